"""What a client has prepared and bound, and what it waits for since its last Sync.

Answers leave in the order of the messages they answer, but an Execute is answered only when
its unit of commit has run, at Sync (DESIGN section 8). So whatever comes behind the first
Execute queues up: encoded answers as bytes, executions as `Run`s.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property
from typing import Final, Protocol, TypeAlias

import msgspec

from nodes.protocol import Value
from shardrouter.errors import NotSupported, StatementError
from shardrouter.execution import Execution, Outcome, Prepared
from shardrouter.pgserver.rows_out import RowsOut
from shardrouter.pgwire.connection import Status
from shardrouter.pgwire.messages import ParameterDescription, encode
from shardrouter.pgwire.portals import describe_rows
from shardrouter.planned import (
    CopyFrom,
    CopyTo,
    OneShard,
    RowsWrite,
    SchemaChange,
    TransactionControl,
)

__all__ = [
    "REPLIES_MAX",
    "PortalRun",
    "Portal",
    "PreparedStatement",
    "Reply",
    "Unit",
]

REPLIES_MAX: Final = 200_000
"""Most answers that wait for one Sync: a Bind and an Execute for each row of an executemany."""

_DESCRIPTIONS_MAX: Final = 8
"""Row descriptions kept per statement; a driver asks in one or two combinations of formats."""


class PreparedStatement:
    """A statement of this connection. `prepared` is None for the empty query."""

    def __init__(self, prepared: Prepared | None, size: int = 0) -> None:
        self.prepared = prepared
        self.size = size  # bytes of the message that brought it
        plan = self.plan = prepared.plan if prepared is not None else None
        self.columns = prepared.columns if prepared is not None else ()
        self.parameter_oids = prepared.parameter_oids if prepared is not None else ()
        self.bound = prepared.bound if prepared is not None else None
        if self.bound is not None:
            self.parameter_oids = ()
        self.copies_in = isinstance(plan, CopyFrom)
        self.changes_schema = isinstance(plan, SchemaChange)
        self.is_control = isinstance(plan, TransactionControl)
        self.writes = (
            self.changes_schema
            or self.copies_in
            or isinstance(plan, RowsWrite)
            or (isinstance(plan, OneShard) and plan.is_write)
        )
        self.ways = 0  # of sending it that were learned (`shardrouter.pgserver.round_trips`)
        self._descriptions: dict[tuple[bool, ...], bytes] = {}

    @cached_property
    def parameter_description(self) -> bytes:
        return encode(ParameterDescription(self.parameter_oids))

    def row_description(self, formats: tuple[bool, ...]) -> bytes:
        """RowDescription or NoData, encoded."""
        known = self._descriptions.get(formats)
        if known is None:
            known = describe_rows(self.columns, formats)
            if len(self._descriptions) < _DESCRIPTIONS_MAX:
                self._descriptions[formats] = known
        return known


class Portal(msgspec.Struct, eq=False):
    """A statement with its arguments, and once it ran, its rows."""

    statement: PreparedStatement
    arguments: tuple[Value, ...]
    formats: tuple[bool, ...]  # for each column of the result: binary?
    size: int = 0  # bytes of the message that bound it
    started: bool = False  # it is part of a unit, or was
    outcome: Outcome | None = None
    rows: RowsOut | None = None  # those that the client does not have yet
    is_spent: bool = False  # and if there are none yet, it has them all

    def execution(self) -> Execution:
        prepared = self.statement.prepared
        assert prepared is not None
        plan = prepared.plan
        if isinstance(plan, CopyTo):
            columns = plan.plan.columns
            query = Prepared(plan.query, plan.plan, (), columns, prepared.search_path)
            is_binary = plan.options.format == "binary"
            return Execution(query, (), (is_binary,) * len(columns), stream=True)
        bound = self.statement.bound
        arguments = self.arguments if bound is None else bound
        return Execution(prepared, arguments, self.formats, stream=True)

    def close(self) -> None:
        """Nobody wants more of its rows."""
        if self.outcome is not None and self.outcome.more is not None:
            self.outcome.more.close()


class PortalRun(msgspec.Struct, frozen=True, eq=False):
    """An Execute, or a statement of a simple query, that is to be answered."""

    portal: Portal
    row_limit: int = 0  # 0 or less: all
    described: bool = False  # RowDescription first, as a simple query wants
    moves: bool = False  # MOVE: its rows are not sent


Reply: TypeAlias = bytes | PortalRun


class HasStatus(Protocol):
    """The session whose statements they are."""

    @property
    def status(self) -> Status: ...


def _copy_in_company() -> NotSupported:
    return NotSupported(
        "COPY FROM STDIN cannot be one unit with other statements",
        hint="Send it alone, in a message of its own (or with a Sync behind it).",
    )


class Unit:
    """The answers that wait, in order, and the portals that have yet to run for them."""

    __slots__ = ("changes_schema", "copies_in", "replies", "waiting", "writes")

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.waiting: deque[Portal] = deque()
        self.writes = False
        self.changes_schema = False
        self.copies_in = False

    def add(self, reply: Reply) -> None:
        """Raises StatementError, NotSupported."""
        if len(self.replies) >= REPLIES_MAX:
            raise StatementError(
                f"more than {REPLIES_MAX} messages without a Sync",
                sqlstate="54000",
                hint="Send a Sync more often.",
            )
        if isinstance(reply, PortalRun) and not reply.portal.started:
            statement = reply.portal.statement
            if self.waiting and (self.copies_in or statement.copies_in):
                raise _copy_in_company()
            self.copies_in = statement.copies_in
            self.writes = self.writes or statement.writes
            self.changes_schema = self.changes_schema or statement.changes_schema
            reply.portal.started = True
            self.waiting.append(reply.portal)
        self.replies.append(reply)

    def take_executions(self, session: HasStatus) -> list[Portal]:
        """The portals to run now.

        In a transaction block the next one, for each is answered by itself. Outside, all up to
        BEGIN or the like, for what that becomes part of, or ends, is known only then; all if the
        unit writes, for it is one command on one shard; else the next one only, so that no more
        than one answer is held in memory.
        """
        waiting = self.waiting
        if len(waiting) == 1:  # nearly always
            return [waiting.popleft()]
        count = 1
        if session.status == "I":
            controls = (place for place, p in enumerate(waiting, 1) if p.statement.is_control)
            count = next(controls, len(waiting) if self.writes else 1)
        return [waiting.popleft() for _ in range(count)]

    def clear(self) -> None:
        self.replies.clear()
        self.waiting.clear()
        self.writes = self.changes_schema = self.copies_in = False
