"""What is wrong with a command in every state of the database, so that it need not enter the log.

Sizes, counts, and texts that SQLite cannot compile: what the leader finds here is an answer for
this copy. What a state decides is found when the entry is applied, or tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from nodes.authorizer import DDL, Mode, mode_of_write
from nodes.protocol import (
    ENTRY_BYTES_MAX,
    TRANSACTION_STEPS_MAX,
    Abort,
    Commit,
    EntryBody,
    Participant,
    Prepare,
    SqlFailure,
    TransactionOutcome,
    Write,
)
from nodes.sql_connection import Refused, SqlConnection
from nodes.transaction_unit import steps_in

__all__ = ["EntryChecks", "needs_dry_run"]

_COMPILED_MAX: Final = 1024
"""Texts that are remembered as sound."""

_ENTRY_ROOM: Final = 64
"""What an Entry adds to the body it carries: time, seed, lengths."""

_STATELESS: Final = frozenset({"42601", "42501", "42883", "08P01", "54000", "0A000", "22021"})
"""What a text or its parameters are refused for in every state. A name that is unknown here
may be created by an entry of the log that is not applied yet."""


class EntryChecks:
    """Of one replica of `group`; `reader` gives the connection that compiles."""

    def __init__(self, group: str, reader: Callable[[], SqlConnection]) -> None:
        self._group = group
        self._reader = reader
        self._compiled: set[str] = set()

    def refusal(self, body: EntryBody, size: int) -> SqlFailure | None:
        """Why it need not enter the log; `size` is the length of its encoding."""
        match body:
            case Write():
                return self._refusal_of_write(body, size)
            case Prepare() | Commit():
                anchor = body.anchor if isinstance(body, Prepare) else self._group
                return (
                    self._refusal_of_parts(body.participants, anchor, body.write)
                    or _refusal_of_change(body.write)
                    or self._refusal_of_write(body.write, size)
                )
            case Abort():
                return self._refusal_of_parts(body.participants, self._group)
            case TransactionOutcome() if body.own.group != self._group:
                return _malformed("its participant is of another group")
        return None

    def _refusal_of_parts(
        self, participants: Sequence[Participant], anchor: str, write: Write | None = None
    ) -> SqlFailure | None:
        """What is wrong with who takes part."""
        parts = {each.group: each for each in participants}
        own = parts.get(self._group)
        if own is None or anchor not in parts or len(parts) < len(participants):
            return _malformed("this group, or the anchor, is not one of the participants")
        if write is not None and (own.session, own.seq) != (write.session, write.seq):
            return _malformed("the participant of this group is another command")
        return None

    def _refusal_of_write(self, write: Write, size: int) -> SqlFailure | None:
        size += _ENTRY_ROOM
        if size > ENTRY_BYTES_MAX:
            return SqlFailure(
                "54000",
                f"the statement needs {size} bytes, the limit is {ENTRY_BYTES_MAX}",
                0,
                "Send it in smaller parts.",
            )
        transaction = write.transaction
        if transaction is not None and steps_in(transaction) > TRANSACTION_STEPS_MAX:
            return SqlFailure(
                "54000", f"a transaction may have {TRANSACTION_STEPS_MAX} steps, not more"
            )
        compiled = self._compiled
        for ordinal, statement in enumerate(write.statements):
            if statement.sql in compiled and not write.sets:
                continue
            mode = mode_of_write(statement.sql, sets_versions=bool(write.sets))
            is_schema = mode in (Mode.DDL, Mode.RENAME)
            key = DDL + statement.sql if is_schema else statement.sql
            if key in compiled:
                continue
            try:
                self._reader().compile(statement, ordinal, mode)
            except Refused as exc:
                if exc.failure.sqlstate in _STATELESS:
                    return exc.failure
                continue
            if len(compiled) >= _COMPILED_MAX:
                compiled.clear()
            compiled.add(key)
        return None


def _is_definition(sql: str) -> bool:
    return mode_of_write(sql, sets_versions=True) in (Mode.DDL, Mode.RENAME)


def _malformed(what: str) -> SqlFailure:
    return SqlFailure("08P01", f"the transaction over several groups is malformed: {what}")


def _refusal_of_change(write: Write) -> SqlFailure | None:
    """A change of the schema is a step of what is prepared: one that has to switch foreign keys off
    cannot be tried beside others."""
    if write.sets and any(_is_definition(statement.sql) for statement in write.statements):
        return SqlFailure("0A000", "a statement that changes the schema cannot be prepared")
    return None


def needs_dry_run(body: EntryBody) -> bool:
    """Whether the work of applying it can be told only by doing it. A change of the schema
    is not asked, unless it is part of a transaction: its work is bounded, or as little as
    dropping pages, and a change that is marked in `meta` has to be carried through on every
    shard. Nor is what consists of bounded pieces: their size, or that of the stages that hold
    them, is their limit."""
    write = body.write if isinstance(body, Prepare | Commit) else body
    if not isinstance(write, Write) or write.quick or write.bounded:
        return False
    return write.transaction is not None or not write.sets
