"""One client's statements: the simple and the extended query protocol over a session.

It knows what Parse, Bind, Describe, Execute, Sync and Query mean; it knows neither sockets
nor how statements are planned and run. Every message is handled at once, unless it needs the
session to do something: then `busy` is set, whoever feeds messages holds the next one back,
and `wake` is called when it can go on. A statement that is prepared already costs no task and
no future: Sync calls `session.execute_unit`, whose callback wakes the feeder.

Unit of commit (DESIGN section 8): a Query message, or everything up to Sync. Executes are
collected and run at Sync; Flush runs what is there. Where a unit fails, PostgreSQL would have
sent the results of the statements before it and then taken them back; here nothing of a unit
that writes has been done when it fails, so only the error is sent.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import cache, partial
from types import UnionType
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from nodes.protocol import StatementResult
from shardrouter.admitting import TooMuch
from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.execution import (
    Execution,
    MoreRows,
    Outcome,
    Prepared,
    changes_search_path,
)
from shardrouter.pgserver.round_trips import Asked, RoundTrips
from shardrouter.pgserver.rows_out import RowsOut
from shardrouter.pgserver.unit import (
    Portal,
    PortalRun,
    PreparedStatement,
    Unit,
)
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.connection import READY, Connection, Event, Status
from shardrouter.pgwire.portals import bind_arguments, describe_rows, result_formats
from shardrouter.planned import (
    CopyFrom,
    DeclareCursor,
    FetchRows,
    Plan,
    PrepareStatement,
    ResultColumn,
    SchemaChange,
    TransactionControl,
)
from shardrouter.quick_enums import quick
from shardrouter.statement import split
from shardrouter.statement_names import STATEMENTS_MAX, no_such_statement
from shardrouter.transaction_answers import in_failed_block
from shardrouter.verdicts import canceled

__all__ = [
    "HELD_BYTES_MAX",
    "PORTALS_MAX",
    "STATEMENTS_MAX",
    "Dialogue",
    "Session",
    "report",
]

log = logging.getLogger(__name__)

UNSENT_MAX: Final = 256 * 1024
"""Bytes of answers after which they are handed to the client before there are more."""

PORTALS_MAX: Final = 1024
"""Named portals of a connection between two Syncs."""

HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Most bytes of statements, and of arguments since the last Sync, that a connection holds."""

_PARSE_COMPLETE: Final = m.encode(m.ParseComplete())
_BIND_COMPLETE: Final = m.encode(m.BindComplete())
_CLOSE_COMPLETE: Final = m.encode(m.CloseComplete())
_EMPTY_QUERY: Final = m.encode(m.EmptyQueryResponse())
_SUSPENDED: Final = m.encode(m.PortalSuspended())

_CHANGES_MEANING: Final = TransactionControl | DeclareCursor | PrepareStatement
"""What comes behind it in a query may be planned only when it has been carried out."""

T = TypeVar("T")


class CopyIn(Protocol):
    """A COPY FROM STDIN under way: see `shardrouter.copy_in`."""

    plan: CopyFrom

    @property
    def is_full(self) -> bool: ...

    async def room(self) -> None: ...

    def feed(self, data: bytes) -> None: ...

    async def finish(self) -> Outcome: ...

    def abandon(self) -> None: ...


class Session(Protocol):
    """What runs a client's statements. All calls come from the event loop's thread."""

    pid: int
    """The number by which the client may be cancelled, once it has one."""

    def prepared(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared | None:
        """The statement if it is prepared already."""

    async def prepare(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared:
        """Raises RouterError."""

    def execute_unit(
        self,
        unit: Sequence[Execution],
        done: Callable[[list[Outcome] | RouterError], None],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """All of `unit` or nothing. `done` is called exactly once, perhaps from within."""

    async def run(
        self, unit: Sequence[Execution], timeout_s: float | None = None
    ) -> list[Outcome]: ...

    def copy_in(self, prepared: Prepared) -> CopyIn:
        """Begin a COPY FROM STDIN. Raises RouterError."""

    def cancel(self) -> None:
        """End early what was executed last; `done` hears what became of it."""

    @property
    def statements(self) -> dict[str, Prepared]:
        """By name, those of PREPARE and of the protocol alike."""

    def cursor_columns(self, name: str) -> tuple[ResultColumn, ...]:
        """Of a cursor of DECLARE. Raises StatementError 34000."""

    @property
    def status(self) -> Status:
        """Whether it is in a transaction block, and whether that has failed."""

    @property
    def idle_timeout_s(self) -> float:
        """How long the client may say nothing, as it stands now; 0: for ever."""

    def wants(self, severity: str) -> bool:
        """Whether the client wants to hear notices of this severity."""

    async def configure(self, texts: Iterable[str]) -> None:
        """SETs with which it begins, and to which RESET goes back. Raises RouterError."""

    def note_failure(self) -> None:
        """A message failed, perhaps one that the session never saw: a transaction block fails with
        it, and a unit is over."""

    def open_unit(self) -> None:
        """What is executed from now on is one unit of commit, unless a block is open."""

    @property
    def has_unit(self) -> bool:
        """Whether such a unit is open."""

    async def close_unit(self) -> None:
        """Its end. Raises RouterError: then nothing of it has happened."""

    def parameter_status(self) -> Sequence[tuple[str, str]]: ...

    async def close(self) -> None: ...


@quick
class _Then(enum.Enum):
    """What follows when all that waits is answered."""

    NOTHING = "nothing"  # after Flush
    READY = "ready"  # after Sync and Query


class Copying(NamedTuple):
    """A COPY FROM STDIN, and what follows when it is answered."""

    copy: CopyIn
    then: _Then | None


def report(error: RouterError, severity: str = "ERROR") -> m.Report:
    return m.Report(
        severity,
        error.sqlstate,
        error.message,
        error.detail,
        error.hint,
        error.position,
        where=error.where,
        schema=error.schema,
        table=error.table,
        column=error.column,
        data_type=error.data_type,
        constraint=error.constraint,
        routine=error.routine,
    )


@cache
def _too_much() -> bytes:
    """They are all the same, and there are many where there is no time for them."""
    return m.encode(m.ErrorResponse(report(TooMuch())))


def internal_error(severity: str = "ERROR") -> m.Report:
    return m.Report(severity, "XX000", "internal error of the router; its log has the details")


class Dialogue:
    """See the module. The feeder, while not `busy`: advance() if `answering`, else handle()."""

    def __init__(
        self,
        session: Session,
        connection: Connection,
        *,
        wake: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.busy = False  # the session is at work
        self._session = session
        self._connection = connection
        self._wake = wake
        self._spawn = spawn
        self._statements: dict[str, PreparedStatement] = {}
        self._portals: dict[str, Portal] = {}
        self._unit = Unit()
        self.answering: _Then | None = None
        """Set while a unit is being run and answered: no message may be handled before its end,
        and this follows it."""
        self._rest: tuple[str, Sequence[str], int] | None = None  # of a query, see _prepare_all
        self._held: m.Parse | None = None  # to be prepared when what is before it has run
        self._flushed_write = False  # since the last Sync, Flush made a write run
        self._round_trips = RoundTrips(self._statements, session.statements)
        self._statement_bytes = 0
        self._bound_bytes = 0
        self._answered: PortalRun | None = None  # whose answer has begun
        self._more_of: MoreRows | None = None  # that is waited for
        self._copying: Copying | None = None  # the rows of a COPY FROM STDIN come

    def out_of_patience(self) -> m.Report:
        """What it is told when it has said nothing for longer."""
        if self._session.status == "I":
            return m.Report("FATAL", "57P05", "terminating connection due to idle-session timeout")
        return m.Report(
            "FATAL", "25P03", "terminating connection due to idle-in-transaction timeout"
        )

    def handle(self, event: Event) -> None:
        """React to a message of the client; never raises what the client can cause."""
        try:
            self._handlers[type(event)](self, event)
        except RouterError as error:
            self._fail(report(error))
        except Exception:
            self._bug(event)

    def take(self, data: bytes) -> bool:
        """Handle all that came, if it is one statement as drivers send it, and nothing is under way
        or waits: what the messages would do one by one, in one go. False: nothing was done."""
        if self.busy or self.answering is not None or self._unit.replies or self._flushed_write:
            return False
        status = self._session.status
        in_block = status != "I"
        if in_block and not (status == "T" and self._takes_one_more(len(data))):
            return False
        if self._portals and not in_block:  # something was sent without a Sync
            return False
        asked = self._round_trips.read(data)
        if asked is None:
            return False
        if self._portals:
            self._close_portal("")
        self._connection.begin_round_trip()
        self.busy = True

        def done(result: list[Outcome] | RouterError) -> None:
            self.busy = False
            self._answer_round_trip(asked, len(data), result, in_block=in_block)
            self._wake()

        try:
            self._session.execute_unit([asked[1]], done)
        except Exception:
            self.busy = False
            self._bug(self._session)
            self._wake()
        return True

    def _takes_one_more(self, size: int) -> bool:
        """Whether a Bind of the unnamed portal, of so many bytes, is nothing to be refused in the
        block, which has not failed."""
        return (
            not self._session.has_unit
            and len(self._portals) < PORTALS_MAX
            and self._bound_bytes + size <= HELD_BYTES_MAX
        )

    def _answer_round_trip(
        self, asked: Asked, size: int, result: list[Outcome] | RouterError, *, in_block: bool
    ) -> None:
        statement, execution, is_described = asked
        formats = execution.formats
        assert formats is not None
        head = _BIND_COMPLETE
        if is_described:
            head += statement.row_description(formats)
        connection = self._connection
        if isinstance(result, RouterError):
            connection.send_encoded(head)
            self._fail_with(result)
            return
        outcome = result[0]
        if outcome.more is None and not outcome.notices and not outcome.parameter_status:
            tag = m.encode_command_complete(outcome.tag)
            status: Status = "I"
            if in_block or statement.is_control:
                status = self._session.status
            if status != "I":  # the portal is there as long as the block is
                portal = Portal(statement, execution.arguments, formats, size, True, outcome)
                portal.is_spent = True
                self._portals[""] = portal
                self._bound_bytes += size
            elif self._portals:  # this was the end of the block
                self._end_unit()
            connection.send_encoded(b"".join((head, outcome.rows, tag, READY[status])))
            return
        # There is more to say: from here on it is as if it had come message by message.
        connection.send_encoded(head)
        portal = Portal(statement, execution.arguments, formats, size, True, outcome)
        self._portals[""] = portal
        self._bound_bytes += size
        self._unit.replies.append(PortalRun(portal))
        self.answering = _Then.READY

    def _fail_with(self, error: RouterError) -> None:
        """`_fail`, by an error of the session."""
        if type(error) is TooMuch:
            self._session.note_failure()
            self._connection.fail_encoded(_too_much(), self._end_unit())
        else:
            self._fail(report(error))

    def cancel(self) -> None:
        """The client asks, on another connection, for an end of what is running."""
        if self._more_of is not None:
            self._more_of.cancel()
        elif self.busy:
            self._session.cancel()
        elif self._copying is not None or (self.answering and self._is_streaming):
            self._fail(report(canceled()))
            self._wake()

    @property
    def _is_streaming(self) -> bool:
        """The client has yet to read what it was sent, and there is more."""
        run = self._answered
        return run is not None and run.portal.rows is not None and run.portal.rows.more is not None

    def refuse(self, said: m.Report) -> None:
        """A message could not be read."""
        self._fail(said)

    def _bug(self, about: object) -> None:
        log.exception("a client's %s failed; the connection goes on", type(about).__name__)
        self._fail(internal_error())

    def _fail(self, said: m.Report) -> None:
        """The unit is over: what was collected never ran, or ran and had no effect."""
        self._session.note_failure()
        self._connection.fail(said, self._end_unit())

    def _end_unit(self) -> Status:
        """Portals live as long as their transaction: to here, unless it is a block."""
        status = self._session.status
        self.answering = None
        self._rest = self._held = None
        self._unit.clear()
        self._flushed_write = False
        if self._copying is not None:
            self._copying.copy.abandon()
            self._copying = None
        if status != "T":
            if self._answered is not None:
                self._answered.portal.close()
            for portal in self._portals.values():
                portal.close()
            self._portals.clear()
            self._bound_bytes = 0
        self._answered = self._more_of = None
        return status

    def _later(self, work: Coroutine[Any, Any, T], then: Callable[[T], None]) -> None:
        """Do something that waits; messages are held back until `then` was called."""
        self.busy = True

        async def finish() -> None:
            try:
                result = await work
                then(result)
            except RouterError as error:
                self._fail(report(error))
            except Exception:
                self._bug(work)
            finally:
                self.busy = False
            self._wake()

        self._spawn(finish())

    # --------------------------------------------------------------------------- answers

    def _reply(self, data: bytes) -> None:
        """Answer at once, or behind the Executes that have not run yet."""
        if self._unit.replies:
            self._unit.add(data)
        else:
            self._connection.send_encoded(data)

    def advance(self) -> None:
        """Answer what has run, and run what has not; at the end of the unit be ready."""
        unit, send = self._unit, self._connection.send_encoded
        while unit.replies:
            reply = unit.replies[0]
            if isinstance(reply, PortalRun):
                if reply.portal.outcome is None:
                    portals = unit.take_executions(self._session)
                    if reply.portal.statement.copies_in:
                        self._begin_copy(reply.portal)
                    else:
                        self._execute_unit(portals)
                    return
                if not self._answer(reply, reply.portal.outcome):
                    return
                unit.replies.popleft()
                if self._connection.unsent > UNSENT_MAX:
                    return  # what the client has not read yet comes first
            else:
                unit.replies.popleft()
                send(reply)
        then, self.answering = self.answering, None
        self._flushed_write = self._flushed_write or unit.writes
        unit.clear()
        if self._rest is not None:
            rest, self._rest = self._rest, None
            self._later(self._prepare_all(*rest), self._run_query)
            return
        if self._held is not None:
            event, self._held = self._held, None
            self.handle(event)
        elif then is _Then.READY:
            if self._session.status != "I" and self._session.has_unit:
                self._later(self._session.close_unit(), self._be_ready)
            else:
                self._be_ready()

    def _be_ready(self, _: None = None) -> None:
        self._connection.ready(self._end_unit())

    def _execute_unit(self, portals: Sequence[Portal]) -> None:
        self.busy = True

        def done(result: list[Outcome] | RouterError) -> None:
            self.busy = False
            if isinstance(result, RouterError):
                self._fail_with(result)
            else:
                for portal, outcome in zip(portals, result, strict=True):
                    portal.outcome = outcome
            self._wake()

        try:
            self._session.execute_unit([portal.execution() for portal in portals], done)
        except Exception:
            self.busy = False
            self._bug(self._session)

    def _answer(self, run: PortalRun, outcome: Outcome) -> bool:
        """Send what there is of an Execute's answer. False: more of it has to come first."""
        portal, send = run.portal, self._connection.send_encoded
        statement = portal.statement
        rows = portal.rows
        if rows is None:
            assert statement.prepared is not None
            rows = portal.rows = RowsOut(statement.prepared.plan, outcome)
            if portal.is_spent:
                rows.begin(0)
                rows.take()
            if run.described and statement.columns:
                send(statement.row_description(portal.formats))
            if rows.is_copy:
                send(rows.head())
        if run is not self._answered:
            self._answered = run
            rows.begin(run.row_limit)
        if run.moves:
            rows.take()
        else:
            send(rows.take())
        if rows.needs_more:
            assert rows.more is not None
            self._more_of = rows.more
            self._later(rows.more.next(), partial(self._more_came, rows))
            return False
        if run.moves:
            send(m.encode_command_complete(f"MOVE {rows.count}"))
            return True
        if rows.is_suspended:
            send(_SUSPENDED)
            return True
        if rows.is_copy:
            send(rows.foot())
        for n in outcome.notices:
            if self._session.wants(n.severity):
                said = m.Report(n.severity, n.sqlstate, n.message, n.detail, n.hint)
                self._connection.send(m.NoticeResponse(said))
        send(m.encode_command_complete(rows.tag))
        for name, value in outcome.parameter_status:
            self._connection.send(m.ParameterStatus(name, value))
        return True

    def _more_came(self, rows: RowsOut, piece: StatementResult | None) -> None:
        self._more_of = None
        rows.add(piece)

    # ---------------------------------------------------------------------- simple query

    def _query(self, event: m.Query) -> None:
        self._forget_statement("")
        self._close_portal("")
        prepared = self._session.prepared(event.text)
        if prepared is not None:
            self._run_query([prepared])
            return
        texts = split(event.text)
        known = [self._session.prepared(text) for text in texts]
        found = [prepared for prepared in known if prepared is not None]
        if len(found) == len(texts) and not any(map(_moves_names, found)):
            self._run_query(found)
        else:
            self._later(self._prepare_all(event.text, texts), self._run_query)

    async def _prepare_all(self, query: str, texts: Sequence[str], end: int = 0) -> list[Prepared]:
        """The statements of a query, from `end` on. If one of them cannot be prepared, only those
        up to the last BEGIN, COMMIT or the like before it: what comes behind may be another
        matter when that has been carried out, and is prepared then. So is what comes behind a
        change of the schema, or of search_path."""
        found: list[Prepared] = []
        ends: list[int] = []
        for text in texts:
            start = query.index(text, end)
            end = start + len(text)
            ends.append(end)
            try:
                prepared = self._session.prepared(text) or await self._session.prepare(text)
            except RouterError as error:
                if error.position:
                    error.position += start  # the client knows the whole message only
                last = _last_of(found, _CHANGES_MEANING)
                if error.sqlstate == "42601" or last < 0:
                    raise
                self._rest = query, texts[last + 1 :], ends[last]
                return found[: last + 1]
            found.append(prepared)
            if _moves_names(prepared) and len(texts) > 1:
                last = _last_of(found, TransactionControl)
                if last < 0:
                    self._session.open_unit()
                    last = len(found) - 1
                if last < len(texts) - 1:
                    self._rest = query, texts[last + 1 :], ends[last]
                return found[: last + 1]
        return found

    def _run_query(self, statements: Sequence[Prepared]) -> None:
        if not statements:
            self._reply(_EMPTY_QUERY)
        for prepared in statements:
            self._say_cut(prepared)
            moved = self._moved(prepared.plan)
            if moved is not None:
                self._run(moved)
                continue
            statement = PreparedStatement(prepared)
            if statement.parameter_oids:
                raise StatementError("there is no parameter $1", sqlstate="42P02")
            portal = Portal(statement, (), (False,) * len(statement.columns))
            self._run(PortalRun(portal, described=True))
        self.answering = _Then.READY

    def _say_cut(self, prepared: Prepared | None) -> None:
        """Notices of names that are too long."""
        if prepared is None or not prepared.cut_names or not self._session.wants("NOTICE"):
            return
        for whole, rest in prepared.cut_names:
            said = f'identifier "{whole}" will be truncated to "{rest}"'
            self._connection.send(m.NoticeResponse(m.Report("NOTICE", "42622", said)))

    def _moved(self, plan: Plan) -> PortalRun | None:
        """What MOVE of a portal of the protocol is: an Execute whose rows are not sent."""
        if not isinstance(plan, FetchRows) or not plan.moves:
            return None
        portal = self._portals.get(plan.name)
        if portal is None or not portal.statement.columns:
            return None
        return PortalRun(portal, plan.count or 0, moves=True)

    # -------------------------------------------------------------------- extended query

    def _parse(self, event: m.Parse) -> None:
        name, text, oids = event.statement, event.text, event.parameter_oids
        named = self._session.statements
        if name and name not in named:
            self._forget_statement(name)  # it was deallocated by SQL
        if name and (name in self._statements or name in named):
            raise StatementError(f'prepared statement "{name}" already exists', sqlstate="42P05")
        if not name:
            self._forget_statement("")
        size = self._connection.event_bytes
        if len(self._statements) >= STATEMENTS_MAX or self._statement_bytes + size > HELD_BYTES_MAX:
            raise StatementError(
                f"a connection may hold {STATEMENTS_MAX} prepared statements "
                f"of together {HELD_BYTES_MAX >> 20} MiB",
                sqlstate="54000",
                hint="Close some of them.",
            )

        def keep(prepared: Prepared | None) -> None:
            self._say_cut(prepared)
            self._statements[name] = PreparedStatement(prepared, size)
            self._statement_bytes += size
            if name and prepared is not None:
                named[name] = prepared
            self._reply(_PARSE_COMPLETE)

        prepared = self._session.prepared(text, oids)
        if prepared is not None:
            keep(prepared)
            return
        statements = split(text)
        if len(statements) > 1:
            raise StatementError(
                "cannot insert multiple commands into a prepared statement", sqlstate="42601"
            )
        if not statements:
            keep(None)
        elif self._unit.changes_schema:
            self._session.open_unit()
            self._held = event
            self.answering = _Then.NOTHING  # what has changed decides what this means
        else:
            self._later(self._session.prepare(text, oids), keep)

    def _forget_statement(self, name: str) -> None:
        statement = self._statements.pop(name, None)
        if statement is not None:
            self._statement_bytes -= statement.size

    def _close_statement(self, name: str) -> None:
        self._forget_statement(name)
        self._session.statements.pop(name, None)

    def _close_portal(self, name: str) -> None:
        # Before its unit has run, what it holds is still held by the unit.
        portal = self._portals.pop(name, None)
        if portal is not None:
            portal.close()
        if portal is not None and (portal.outcome is not None or not portal.started):
            self._bound_bytes -= portal.size

    def _statement(self, name: str) -> PreparedStatement:
        statement = self._statements.get(name)
        if not name and statement is not None:
            return statement
        prepared = self._session.statements.get(name)
        if statement is not None and statement.prepared is prepared:
            return statement
        # SQL has prepared or deallocated it.
        self._forget_statement(name)
        if prepared is None:
            raise no_such_statement(name)
        self._statements[name] = statement = PreparedStatement(prepared)
        return statement

    def _portal(self, name: str) -> Portal:
        portal = self._portals.get(name)
        if portal is None and self._session.status == "E":
            raise in_failed_block()  # it went with what has failed
        if portal is None:
            raise StatementError(f'portal "{name}" does not exist', sqlstate="34000")
        return portal

    def _bind(self, event: m.Bind) -> None:
        statement = self._statement(event.statement)
        name = event.portal
        if name and name in self._portals:
            raise StatementError(f'cursor "{name}" already exists', sqlstate="42P03")
        self._bound_bytes += self._connection.event_bytes
        if len(self._portals) >= PORTALS_MAX or self._bound_bytes > HELD_BYTES_MAX:
            raise StatementError(
                f"a connection may hold {PORTALS_MAX} portals and {HELD_BYTES_MAX >> 20} MiB "
                "of arguments in one transaction",
                sqlstate="54000",
                hint="Send a Sync more often, or close portals.",
            )
        arguments = bind_arguments(event, statement.parameter_oids)
        formats = result_formats(event, len(statement.columns))
        self._close_portal(name)  # the unnamed one
        size = self._connection.event_bytes
        self._portals[name] = Portal(statement, arguments, formats, size)
        self._reply(_BIND_COMPLETE)

    def _describe(self, event: m.Describe) -> None:
        if event.target is m.Target.PORTAL:
            if event.name and event.name not in self._portals:  # a cursor that DECLARE has opened
                columns = self._session.cursor_columns(event.name)
                self._reply(describe_rows(columns, (False,) * len(columns)))
                return
            portal = self._portal(event.name)
            self._reply(portal.statement.row_description(portal.formats))
            return
        statement = self._statement(event.name)
        self._reply(statement.parameter_description)
        self._reply(statement.row_description((False,) * len(statement.columns)))

    def _execute(self, event: m.Execute) -> None:
        portal = self._portal(event.portal)
        if portal.statement.prepared is None:
            self._reply(_EMPTY_QUERY)
            return
        if portal.started and not portal.statement.columns:
            raise StatementError(f'portal "{event.portal}" cannot be run', sqlstate="55000")
        self._run(PortalRun(portal, event.row_limit))
        if portal.statement.copies_in:
            self.answering = _Then.NOTHING  # its rows come before the Sync

    def _run(self, run: PortalRun) -> None:
        if self._flushed_write and self._session.status == "I" and not run.portal.started:
            raise NotSupported(
                "a statement cannot follow a write that Flush has already committed",
                hint="Send a Sync behind the write.",
            )
        self._unit.add(run)

    def _close(self, event: m.Close) -> None:
        if event.target is m.Target.PORTAL:
            self._close_portal(event.name)
        else:
            self._close_statement(event.name)
        self._reply(_CLOSE_COMPLETE)

    def _flush(self, _: m.Flush) -> None:
        if self._unit.replies:
            self.answering = _Then.NOTHING

    def _sync(self, _: m.Sync) -> None:
        self.answering = _Then.READY

    def _function_call(self, _: m.FunctionCall) -> None:
        raise NotSupported(
            "the function call message is not supported", hint="Call the function by SELECT."
        )

    # ------------------------------------------------------------------ COPY FROM STDIN

    def _begin_copy(self, portal: Portal) -> None:
        """Ask for the rows; what was to follow follows when they have come."""
        assert portal.statement.prepared is not None
        try:
            copy = self._session.copy_in(portal.statement.prepared)
        except RouterError as error:
            self._fail(report(error))
            return
        self._copying = Copying(copy, self.answering)
        self.answering = None
        is_binary = copy.plan.options.format == "binary"
        formats = (int(is_binary),) * len(copy.plan.columns)
        self._connection.begin_copy_in(m.CopyInResponse(int(is_binary), formats))

    def _copy_data(self, event: m.CopyData) -> None:
        assert self._copying is not None
        copy = self._copying.copy
        copy.feed(event.data)
        if copy.is_full:
            self._later(copy.room(), lambda _: None)

    def _copy_done(self, _: m.CopyDone) -> None:
        assert self._copying is not None
        self._later(self._copying.copy.finish(), self._copied)

    def _copied(self, outcome: Outcome) -> None:
        copying, self._copying = self._copying, None
        assert copying is not None
        run = self._unit.replies[0]
        assert isinstance(run, PortalRun)
        run.portal.outcome = outcome
        self.answering = copying.then

    def _copy_fail(self, event: m.CopyFail) -> None:
        raise StatementError(f"COPY from stdin failed: {event.reason}", sqlstate="57014")

    _handlers: ClassVar[dict[type[Any], Callable[[Dialogue, Any], None]]] = {
        m.Query: _query,
        m.Parse: _parse,
        m.Bind: _bind,
        m.Describe: _describe,
        m.Execute: _execute,
        m.Close: _close,
        m.Flush: _flush,
        m.Sync: _sync,
        m.FunctionCall: _function_call,
        m.CopyData: _copy_data,
        m.CopyDone: _copy_done,
        m.CopyFail: _copy_fail,
    }


def _moves_names(prepared: Prepared) -> bool:
    """Whether what stands behind it may mean something else than it meant before."""
    return isinstance(prepared.plan, SchemaChange) or changes_search_path(prepared.plan)


def _last_of(statements: Sequence[Prepared], kinds: UnionType) -> int:
    """The place of the last of them whose plan is one of these; -1: there is none."""
    places = [n for n, p in enumerate(statements) if isinstance(p.plan, kinds)]
    return places[-1] if places else -1
