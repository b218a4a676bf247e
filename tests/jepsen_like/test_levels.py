"""Reads of several levels in one workload: what is asked, on which session, and what it means."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import islice

from jepsen_like.clients import Answer, LevelClient
from jepsen_like.history import lint
from jepsen_like.load import Call
from jepsen_like.workloads.levels import Levels, levelled_register
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


class Session:
    def __init__(self, name: str, *, is_usable: bool = True) -> None:
        self.name, self.is_usable, self.ended = name, is_usable, False

    async def invoke(self, call: Call) -> Answer:
        return Answer("ok", self.name)

    def abort(self) -> None:
        self.ended = True


async def test_each_call_goes_to_the_session_of_its_level() -> None:
    sessions = {"": Session("default"), "any": Session("any")}
    client = LevelClient(sessions, levelled_register(["any"]).level_of)
    assert (await client.invoke(Call("read any", 1))).output == "any"
    assert (await client.invoke(Call("read", 1))).output == "default"
    assert (await client.invoke(Call("write", 1, 2))).output == "default"
    assert client.is_usable
    broken = LevelClient({**sessions, "any": Session("any", is_usable=False)}, lambda _call: "")
    assert not broken.is_usable
    client.abort()
    assert all(session.ended for session in sessions.values())


def test_a_read_of_any_level_that_got_no_answer_did_nothing() -> None:
    lost = "08003 connection was closed"
    for f in ("read", "read any"):
        assert not lint([replace(op(f, at=(0, 1), outcome="fail"), error=lost)])
    assert lint([replace(op("write", 1, at=(0, 1), outcome="fail"), error=lost)])
