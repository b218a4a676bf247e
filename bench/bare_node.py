"""A node that does no more with a write than pysyncobj's does in bench.stock_pysyncobj: its SQL.

Started in the place of `python -m nodes`, with the same options. Consensus, log, fsyncs and
network are as shipped; a single statement is run without sessions, guards, checks of its text,
time and seed. What a node costs beyond this is what it promises beyond this.
"""

from __future__ import annotations

from nodes.__main__ import main
from nodes.applied_state import AppliedState
from nodes.machine import Machine
from nodes.protocol import (
    Done,
    EntryBody,
    ResponseBody,
    SqlFailure,
    StatementResult,
    Write,
)

_apply_write = AppliedState._apply_write  # noqa: SLF001 -- a part of it is replaced here


def run_only(state: AppliedState, index: int, write: Write, now_us: int, seed: int) -> ResponseBody:
    """In the place of AppliedState._apply_write."""
    if write.sets or len(write.statements) != 1:  # CREATE TABLE
        return _apply_write(state, index, write, now_us, seed)
    statement = write.statements[0]
    cursor = state.writer.raw.execute(statement.sql, statement.parameters)
    return Done((StatementResult(cursor.rowcount),), index)


def check_nothing(_machine: Machine, _body: EntryBody, _size: int) -> SqlFailure | None:
    """In the place of Machine.check."""
    return None


if __name__ == "__main__":
    for of, name, method in (
        (AppliedState, "_apply_write", run_only),
        (Machine, "check", check_nothing),
    ):
        assert callable(getattr(of, name)), f"{of.__name__} has no {name} to replace"
        setattr(of, name, method)
    main()
