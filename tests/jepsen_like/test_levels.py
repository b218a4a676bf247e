"""Reads of several levels in one workload: what is asked, how, and what it means."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import islice

from jepsen_like.adapters.shardrouter import at_levels
from jepsen_like.history import lint
from jepsen_like.load import Call
from jepsen_like.workloads.levels import Levels, levelled_register
from jepsen_like.workloads.register import register
from jepsen_like.workloads.workload import SqlCall, sql_of
from tests.jepsen_like.histories import op


def test_reads_are_spread_over_the_levels_and_writes_are_not() -> None:
    workload = levelled_register(["any", "lease"])
    assert isinstance(workload, Levels)
    calls = list(islice(workload.calls(random.Random(1), workload.keys(1000)), 2000))
    seen = Counter(call.f for call in calls)
    assert set(seen) == {"read", "read any", "read lease", "write"}
    assert 0.15 < seen["write"] / 2000 < 0.3
    assert seen["read any"] > seen["write"]
    levels = {call.f: workload.level_of(call) for call in calls}
    assert levels == {"read": "", "write": "", "read any": "any", "read lease": "lease"}
    assert workload.sql(Call("read any", 3)) == workload.sql(Call("read", 3))


def test_a_call_names_its_level_in_the_statement_and_only_where_one_is_asked_for() -> None:
    levelled = levelled_register(["any"])
    plain = register(keys=2, name="plain")
    to_sql = at_levels(sql_of([levelled, plain]), [levelled, plain])

    def text(f: str, workload: str) -> str:
        asked = to_sql(Call(f, 1, 2, workload))
        assert isinstance(asked, SqlCall)
        return asked.text

    read = text("read", "plain")
    assert text("read any", levelled.name).startswith("/*+ consistency=any */ SELECT")
    assert text("read", levelled.name).startswith("SELECT")
    assert read.startswith("SELECT")
    assert text("write", levelled.name).startswith("UPDATE")


def test_a_read_of_any_level_that_got_no_answer_did_nothing() -> None:
    lost = "08003 connection was closed"
    for f in ("read", "read any"):
        assert not lint([replace(op(f, at=(0, 1), outcome="fail"), error=lost)])
    assert lint([replace(op("write", 1, at=(0, 1), outcome="fail"), error=lost)])
