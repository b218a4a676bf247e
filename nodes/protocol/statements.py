"""Statements and their values, the guards they stand under, and the transactions they make up:
what requests and the log are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from nodes.protocol.base import Message

__all__ = [
    "Value",
    "SessionId",
    "OutputColumn",
    "Staged",
    "Statement",
    "EVERY_SLOT",
    "Guard",
    "SetVersion",
    "Ran",
    "Mark",
    "Defined",
    "Step",
    "Transaction",
    "TransactionId",
    "Participant",
]

if TYPE_CHECKING:
    Value: TypeAlias = bool | int | float | str | bytes | None
else:
    # msgspec refuses a union of str and bytes, which msgpack itself tells apart; anything that
    # is not a Value is refused by SQLite when it is bound.
    Value = Any
"""A parameter or a column value; integers are 64 bits wide."""


class SessionId(Message, frozen=True):
    """Names a session of exactly-once commands (DESIGN section 8)."""

    incarnation: int  # of the group; raised only by an unsafe recovery
    index: int  # log index of the entry that opened the session


class OutputColumn(Message, frozen=True):
    """How one column of a result goes onto the PostgreSQL wire."""

    oid: int  # PostgreSQL type OID, see nodes.values
    binary: bool  # PostgreSQL format code 1


class Staged(Message, frozen=True):
    """Names what a stage holds, and says what it has to be (docs/bulk.md): rows, statements, or
    steps of a transaction, as is told where it is named."""

    session: SessionId  # whose stage it is
    stage: int  # its number in the session, never used twice
    chunks: int
    size: int  # of all chunks, in bytes
    digest: bytes  # xxh3-128 of their content, in order
    rows: int = 0  # how many of them: what a leader allows for when it tries them


class Statement(Message, frozen=True):
    """One SQLite statement with its parameters (?1, ?2, ... in `sql`)."""

    sql: str
    parameters: tuple[Value, ...] = ()
    columns: tuple[OutputColumn, ...] = ()
    """If given, rows are answered as PostgreSQL DataRow messages in these formats; if empty,
    rows are answered as values."""
    staged: Staged | None = None
    """If given, it is run once for each row of this stage, which are its parameters, and counts
    as one statement."""


class Guard(Message, frozen=True):
    """Refuse the command unless `object` has exactly `version` in the state that runs it.

    Objects are `table:<name>`, `slot:<number>`, `catalog`; an object never set has version 0.
    """

    object: str
    version: int


EVERY_SLOT: Final = Guard("slot:*", 0)
"""Among guards with slots: some statement touches its tables whole. Nothing ever has this name, so
it refuses nothing."""


class SetVersion(Message, frozen=True):
    """Set the version of an object, in the same transaction as the statements."""

    object: str
    version: int


# --------------------------------------------------------------------------- transactions


class Ran(Message, frozen=True, tag="ran"):
    """A statement of a transaction, and what its client was told (`nodes.outcome_digest`)."""

    statement: Statement
    digest: bytes = b""  # empty: it has not run yet
    stream: bool = False  # its rows come in pieces; the digest is of each of them, in order


class Mark(Message, frozen=True, tag="mark"):
    """SAVEPOINT, ROLLBACK TO SAVEPOINT or RELEASE SAVEPOINT. A savepoint is named by how many
    there are with it: SQLite and PostgreSQL nest them alike."""

    what: Literal["savepoint", "rollback", "release"]
    depth: int


class Defined(Message, frozen=True, tag="defined"):
    """A change of the schema: its statements, which count as one that returns nothing, and what its
    client was told. A write whose transaction has one sets versions."""

    statements: tuple[Statement, ...]
    digest: bytes = b""


Step: TypeAlias = Ran | Mark | Defined


class Transaction(Message, frozen=True):
    """What a client did between BEGIN and COMMIT, reads and failures included, in its order
    (docs/transactions.md). `now_us` and `seed` are those of its BEGIN; the statement at an
    ordinal among the steps draws from (seed, ordinal), wherever and however often it runs."""

    now_us: int
    seed: int
    steps: tuple[Step, ...]
    staged: Staged | None = None  # steps that were sent ahead, before `steps`
    stages: tuple[Staged, ...] = ()  # that statements among those name


# --------------------------------------------------------------------------- over several groups


class TransactionId(Message, frozen=True, order=True):
    """Names a transaction over several groups, and says how old it is: the smaller is the older.
    Given once, at its BEGIN, and kept when it is repeated after a conflict."""

    begun_us: int  # the router's clock; two routers need not agree
    router: int  # random, of this start of the router
    number: int


class Participant(Message, frozen=True):
    """A group that the transaction read or wrote, and the command that prepares it there."""

    group: str
    session: SessionId
    seq: int
