"""Small stores with known bugs, to prove workloads with: SQLite in memory, and what is in front.

A workload's own SQL runs on it, call by call, by a few processes in turns. Each bug is one that
databases have had: a read from a copy that lags, an acknowledged write that never happened, a
write that happened twice, a condition or constraint that is not looked at.
"""

from __future__ import annotations

import random
import sqlite3
from itertools import islice
from typing import Any, Literal, TypeAlias

from jepsen_like.checks.of_workloads import BY_NAME
from jepsen_like.checks.values import Evidence
from jepsen_like.history import Operation
from jepsen_like.load import Call
from jepsen_like.result import Verdict
from jepsen_like.workloads import SqlCall, SqlTransaction, Workload

__all__ = ["Bug", "run_sql", "recorded", "judged"]

Bug: TypeAlias = Literal[
    "none", "stale read", "lost write", "double apply", "no guard", "resurrection"
]

PROCESSES = 3
EVERY = 7  # of what the bug is about
LAG = 6  # changes by which the copy is behind
STEP_NS = 1_000
ERRORS = {"no such table": "42P01", "already exists": "42P07"}


def run_sql(connection: sqlite3.Connection, sql: SqlCall) -> Any:
    arguments = {str(number): value for number, value in enumerate(sql.arguments, 1)}
    try:
        cursor = connection.execute(sql.text, arguments)
    except sqlite3.OperationalError as exc:
        code = next(code for text, code in ERRORS.items() if text in str(exc))
        return sql.refusals[code]
    if sql.answer == "value":
        row = cursor.fetchone()
        return None if row is None else row[0]
    if sql.answer == "column":
        return tuple(row[0] for row in cursor)
    if sql.answer == "done":
        return None
    if sql.answer == "claimed":
        return sql.arguments[-1] if cursor.rowcount > 0 else None
    return cursor.rowcount > 0


class Store:
    def __init__(self, workload: Workload, bug: Bug) -> None:
        self._workload, self._bug = workload, bug
        self._now, self._copy = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
        self._behind: list[SqlCall] = []  # what the copy has not done yet
        self._count = 0
        self._change(SqlCall(workload.create_sql(), (), "done"))

    def load(self, key: int) -> None:
        for sql in _all(self._workload.load_sql(key)):
            self._change(sql)

    def call(self, call: Call) -> Any:
        found = self._workload.sql(call)
        if isinstance(found, SqlTransaction):
            return self._transact(found)
        if isinstance(found, tuple):
            return tuple(self._act(sql) for sql in found)
        return self._act(found)

    def _act(self, sql: SqlCall) -> Any:
        return self._read(sql) if sql.text.startswith("SELECT") else self._write(sql)

    def _transact(self, transaction: SqlTransaction) -> Any:
        steps, answer = transaction.run(), None
        while True:
            try:
                sql = steps.send(answer)
            except StopIteration as end:
                return end.value
            answer = self._act(sql)

    def close(self) -> None:
        self._now.close()
        self._copy.close()

    def _read(self, sql: SqlCall) -> Any:
        self._count += 1
        is_behind = self._bug == "stale read" and self._count % EVERY == 0
        return run_sql(self._copy if is_behind else self._now, sql)

    def _write(self, sql: SqlCall) -> Any:
        self._count += 1
        is_due = self._count % EVERY == 0
        if self._bug == "lost write" and is_due:
            return {"done": None, "changed": True, "claimed": sql.arguments[-1:]}[sql.answer]
        if self._bug == "no guard" and sql.answer == "changed":
            self._change(sql)
            return True
        if self._bug == "no guard" and sql.answer == "claimed":
            self._change(sql)
            return sql.arguments[-1]
        if self._bug == "resurrection" and sql.text.startswith("DELETE") and is_due:
            return None
        if self._bug == "double apply" and is_due:
            self._change(sql)
        return self._change(sql)

    def _change(self, sql: SqlCall) -> Any:
        self._behind.append(sql)
        while len(self._behind) > LAG:
            run_sql(self._copy, self._behind.pop(0))
        return run_sql(self._now, sql)


def _all(found: SqlCall | tuple[SqlCall, ...] | None) -> tuple[SqlCall, ...]:
    if found is None:
        return ()
    return found if isinstance(found, tuple) else (found,)


def recorded(
    workload: Workload, bug: Bug = "none", *, seed: int = 1, calls: int = 1000
) -> list[Operation]:
    """What a few clients see, one call after the other, with every key read at the end. Of some
    writes nobody hears whether they happened; half of those did."""
    rng = random.Random(f"{seed}/store")
    keys = workload.keys(calls)
    store = Store(workload, bug)
    history: list[Operation] = []
    processes = list(range(PROCESSES))
    try:
        for key in keys:
            store.load(key)
        plan = list(islice(workload.calls(random.Random(seed), keys), calls))
        used = sorted({call.key for call in plan})
        for number, call in enumerate([*plan, *(Call("read", key) for key in used)]):
            sent = (number + 1) * STEP_NS
            slot = rng.randrange(PROCESSES)
            is_unknown = call.f != "read" and rng.random() < 0.05
            answer = store.call(call) if not is_unknown or rng.random() < 0.5 else None
            history.append(_operation(call, processes[slot], sent, answer, is_unknown=is_unknown))
            if is_unknown:
                processes[slot] = max(processes) + 1
    finally:
        store.close()
    return history


def _operation(call: Call, process: int, sent: int, answer: Any, *, is_unknown: bool) -> Operation:
    return Operation(
        process,
        call.f,
        call.key,
        call.value,
        "info" if is_unknown else "ok",
        None if is_unknown else answer,
        sent,
        sent,
        sent + STEP_NS // 2,
        "n1",
        "no answer" if is_unknown else "",
    )


def judged(workload: Workload, check: str, history: list[Operation]) -> Verdict:
    """By the check of this name, as a run would be."""
    evidence = Evidence(tuple(history), (), (), {}, workload.model(), workload.initial)
    (verdict,) = BY_NAME[check].judge(evidence).verdicts
    return verdict
