"""A small real session: the router's planner over one SQLite in memory.

What the PostgreSQL port needs of a session, without a cluster: statements are planned by
`make_plan`, run as units of commit, and answered as DataRow messages. `gate` holds answers
back, so that a test can be in the middle of something.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from nodes.protocol import StatementResult, Value
from nodes.values import SLOTS, encode_data_rows
from shardrouter.catalog import Catalog, Table
from shardrouter.copying.reader import row_reader
from shardrouter.definition_changes import begin
from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.execution import (
    Execution,
    Outcome,
    Prepared,
    command_of,
    outcome_of,
    rows_outcome,
    scatter_commands,
)
from shardrouter.identity import Identity
from shardrouter.pgwire import Status
from shardrouter.plan import make_plan, parameter_oids, result_columns
from shardrouter.planned import (
    Answer,
    CloseCursor,
    CopyFrom,
    Merge,
    OneShard,
    ResultColumn,
    Scatter,
    SchemaChange,
    SetSetting,
    ShowSetting,
)
from shardrouter.role_statements import RoleStatement
from shardrouter.roles import Role
from shardrouter.settings import Settings
from tests.shardrouter.catalogs import EMPTY, with_change

Done = Callable[[list[Outcome] | RouterError], None]


@dataclass
class Database:
    """What all sessions share."""

    sqlite: sqlite3.Connection = field(
        default_factory=lambda: sqlite3.connect(":memory:", isolation_level=None)
    )
    tables: dict[str, Table] = field(default_factory=dict)
    version: int = 0
    prepared: dict[tuple[str, tuple[int, ...]], Prepared] = field(default_factory=dict)
    units: list[list[str]] = field(default_factory=list)  # texts, in order of execution
    sessions: int = 0  # open ones
    gate: asyncio.Event | None = None  # if there is one, answers wait for it
    waiting: asyncio.Event = field(default_factory=asyncio.Event)  # something is at the gate
    answer_at_once: bool = False  # `done` from within execute_unit
    status: Status = "I"  # what every session says of its transaction
    copies: int = 0  # COPY FROM STDIN under way
    copies_are_full: bool = False
    roles: list[Role | None] = field(default_factory=list)  # of sessions, in their order
    cancelled: int = 0  # how often a session was asked to cancel

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.version, self.tables, ("shard-1",), [0] * SLOTS, [1] * SLOTS)

    def session(self, role: Role | None = None) -> MemorySession:
        self.sessions += 1
        self.roles.append(role)
        return MemorySession(self)

    def close(self) -> None:
        self.sqlite.close()


class MemorySession:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = Settings()
        self.statements: dict[str, Prepared] = {}
        self.pid = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def prepared(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared | None:
        return self._database.prepared.get((text, parameter_oids))

    async def prepare(self, text: str, oids: tuple[int, ...] = ()) -> Prepared:
        await asyncio.sleep(0)  # as if the catalog had to be read
        plan = make_plan(text, self._database.catalog, oids, Identity("ann"))
        prepared = Prepared(text, plan, parameter_oids(plan), result_columns(plan))
        self._database.prepared[text, oids] = prepared
        return prepared

    def cursor_columns(self, name: str) -> tuple[ResultColumn, ...]:
        raise StatementError(f'cursor "{name}" does not exist', sqlstate="34000")

    @property
    def status(self) -> Status:
        return self._database.status

    @property
    def idle_timeout_s(self) -> float:
        settings = self._settings
        return settings.idle_session_s if self.status == "I" else settings.idle_in_transaction_s

    def wants(self, severity: str) -> bool:
        return self._settings.wants(severity)

    async def configure(self, texts: Iterable[str]) -> None:
        for text in texts:
            await self.run([Execution(await self.prepare(text), (), ())])
        self._settings = self._settings.rebased()

    def note_failure(self) -> None:
        if self._database.status == "T":
            self._database.status = "E"

    def open_unit(self) -> None:
        pass

    has_unit = False

    async def close_unit(self) -> None:
        pass

    def copy_in(self, prepared: Prepared) -> MemoryCopy:
        assert isinstance(prepared.plan, CopyFrom)
        return MemoryCopy(self._database, prepared.plan)

    def cancel(self) -> None:
        self._database.cancelled += 1

    def parameter_status(self) -> list[tuple[str, str]]:
        return list(self._settings.announced())

    def execute_unit(
        self, unit: Sequence[Execution], done: Done, *, timeout_s: float | None = None
    ) -> None:
        database = self._database
        if database.gate is not None:
            task = asyncio.get_running_loop().create_task(self._at_gate(list(unit), done))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif database.answer_at_once:
            done(self._execute(unit))
        else:
            asyncio.get_running_loop().call_soon(done, self._execute(unit))

    async def _at_gate(self, unit: Sequence[Execution], done: Done) -> None:
        assert self._database.gate is not None
        self._database.waiting.set()
        await self._database.gate.wait()
        done(self._execute(unit))

    async def run(self, unit: Sequence[Execution], timeout_s: float | None = None) -> list[Outcome]:
        result = self._execute(unit)
        if isinstance(result, RouterError):
            raise result
        return result

    async def close(self) -> None:
        self._database.sessions -= 1

    def _execute(self, unit: Sequence[Execution]) -> list[Outcome] | RouterError:
        database = self._database
        database.units.append([execution.prepared.text for execution in unit])
        outcomes: list[Outcome] = []
        database.sqlite.execute("BEGIN")
        try:
            outcomes.extend(map(self._run_one, unit))  # as far as it comes
        except RouterError as error:
            database.sqlite.execute("ROLLBACK")
            error.statement = len(outcomes)
            return error
        database.sqlite.execute("COMMIT")
        return outcomes

    def _run_one(self, execution: Execution) -> Outcome:
        database = self._database
        plan = execution.prepared.plan
        match plan:
            case OneShard():
                statement = command_of(plan, execution, database.catalog).statement
                rows, changed = self._sql(statement.sql, statement.parameters)
                count = len(rows) if plan.columns else changed
                data = encode_data_rows(rows, statement.columns) if plan.columns else b""
                return outcome_of(plan, execution, StatementResult(count, data))
            case Scatter():
                arguments, _ = scatter_commands(plan, execution, database.catalog)
                assert isinstance(plan.finish, Merge)
                rows, _ = self._sql(plan.fragments[0].sql, arguments)
                shown = [row[: len(plan.columns)] for row in rows]
                return rows_outcome(f"SELECT {len(rows)}", execution, shown, plan.columns)
            case Answer(tag=tag, rows=answer):
                tag = f"SELECT {len(answer)}" if tag == "SELECT" else tag
                return rows_outcome(tag, execution, answer, plan.columns)
            case SetSetting(name=name, value=value):
                before, self._settings = self._settings, self._settings.with_value(name, value)
                changes = self._settings.announced_since(before)
                return Outcome("RESET" if value is None else "SET", parameter_status=changes)
            case ShowSetting(name=name):
                shown = [(self._settings.get(name),)]
                return rows_outcome("SHOW", execution, shown, execution.prepared.columns)
            case CloseCursor(name=""):
                return Outcome("CLOSE CURSOR ALL")
            case SchemaChange(tag=tag):
                return self._change(tag, plan)
            case _:
                raise AssertionError(plan)

    def _sql(self, sql: str, arguments: Sequence[Value]) -> tuple[list[tuple[Value, ...]], int]:
        try:
            cursor = self._database.sqlite.execute(sql, arguments)
            return cursor.fetchall(), cursor.rowcount
        except sqlite3.IntegrityError as exc:
            raise StatementError(str(exc), sqlstate="23505", detail="A detail.") from exc

    def _change(self, tag: str, plan: SchemaChange) -> Outcome:
        database = self._database
        catalog = replace(EMPTY, version=database.version, tables=database.tables)
        if isinstance(plan.definition, RoleStatement):
            raise NotSupported("there are no roles here")
        begun = begin(catalog, plan.definition)
        if begun.change is not None:
            for moved in begun.change.tables:
                for sql in moved.sqlite:
                    self._sql(sql, ())
            database.version += 1
            database.tables = dict(with_change(catalog, begun.change).tables)
            database.prepared.clear()
        return Outcome(tag, notices=begun.notices)


class MemoryCopy:
    """A COPY FROM STDIN: all rows go in with the last, or none. It is full after every piece, if
    `Database.copies_are_full` says so."""

    def __init__(self, database: Database, plan: CopyFrom) -> None:
        self.plan = plan
        self._database = database
        self._reader = row_reader(plan.table, plan.columns, plan.options)
        self._rows: list[tuple[Value, ...]] = []
        database.copies += 1

    @property
    def is_full(self) -> bool:
        return self._database.copies_are_full

    async def room(self) -> None:
        await asyncio.sleep(0)

    def feed(self, data: bytes) -> None:
        self._rows += self._reader.feed(data)

    async def finish(self) -> Outcome:
        await asyncio.sleep(0)
        self._rows += self._reader.finish()
        sqlite = self._database.sqlite
        sqlite.execute("BEGIN")
        try:
            sqlite.executemany(self.plan.insert.sql, self._rows)
        except sqlite3.IntegrityError as exc:
            sqlite.execute("ROLLBACK")
            raise StatementError(str(exc), sqlstate="23505") from exc
        sqlite.execute("COMMIT")
        self.abandon()
        return Outcome(f"COPY {len(self._rows)}", len(self._rows))

    def abandon(self) -> None:
        self._database.copies -= 1
