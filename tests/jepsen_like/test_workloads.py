"""The register workload means the same in SQL as in its model."""

from __future__ import annotations

import random
import sqlite3
from itertools import islice
from typing import Any

import pytest

from jepsen_like.load import Call
from jepsen_like.models.model import ILLEGAL
from jepsen_like.models.model import Call as Step
from jepsen_like.workloads import SqlCall, register


def run_sql(connection: sqlite3.Connection, sql: SqlCall) -> Any:
    arguments = {str(number): value for number, value in enumerate(sql.arguments, 1)}
    cursor = connection.execute(sql.text, arguments)
    if sql.answer == "value":
        row = cursor.fetchone()
        return None if row is None else row[0]
    return cursor.rowcount > 0 if sql.answer == "changed" else None


@pytest.mark.parametrize("seed", range(5))
def test_sql_and_model_agree(seed: int) -> None:
    workload = register(keys=4, calls_per_key=30)
    keys = workload.keys(300)
    connection = sqlite3.connect(":memory:")
    connection.execute(workload.create_sql())
    for key in keys:
        run_sql(connection, workload.load_sql(key))
    model = workload.model()
    states = {key: model.init() for key in keys}
    for call in islice(workload.calls(random.Random(seed), keys), 300):
        output = run_sql(connection, workload.sql(call))
        after = model.step(states[call.key], Step(call.f, call.value, output, True))
        assert after is not ILLEGAL, call
        states[call.key] = after
    connection.close()


def test_a_lost_row_cannot_be_taken_for_a_fresh_one() -> None:
    workload = register()
    model = workload.model()
    assert model.step(model.init(), Step("read", None, None, True)) is ILLEGAL


def test_what_a_register_cannot_do_is_named() -> None:
    with pytest.raises(ValueError, match="not 'append'"):
        register().sql(Call("append", 1))
    with pytest.raises(ValueError, match="at least one key"):
        register(keys=0)
