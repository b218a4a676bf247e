"""A small real cluster for planner tests: SQLite databases as shards, run by plans alone.

Statements are planned by `make_plan`, routed by `slots`, run on SQLite with the nodes'
functions installed, and merged by `merge_rows`: everything but the network.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from nodes.functions import Environment, install
from nodes.protocol import Guard, SetVersion, StatementResult, Value
from nodes.values import BOOL, TEXT
from shardrouter.broadcasting import rows_sent
from shardrouter.catalog import (
    LOAD_STATEMENTS,
    Catalog,
    Parts,
    bootstrap,
    decode,
    ownership,
)
from shardrouter.definition_changes import begin
from shardrouter.errors import StatementError
from shardrouter.execution import Execution, Notice, Prepared, scatter_commands
from shardrouter.finishing import finished, new_database
from shardrouter.identity import Identity
from shardrouter.memory_database import MemoryDatabase
from shardrouter.merge import merge_rows
from shardrouter.placement import assign_slots
from shardrouter.plan import bind, make_plan
from shardrouter.planned import (
    Answer,
    Finish,
    Fragment,
    Merge,
    OneShard,
    ResultColumn,
    RowsWrite,
    Scatter,
    SchemaChange,
    SequenceCall,
    SetSetting,
    ShowSetting,
)
from shardrouter.role_statements import RoleStatement
from shardrouter.row_batches import batches, once_each, parts_of
from shardrouter.rows_writing import held_rows
from shardrouter.schema_change import (
    mark,
    publish,
    shard_parts,
    shards_of,
    take_back,
    undo_parts,
)
from shardrouter.settings import Settings
from shardrouter.spreading import commands_of, merged_outcome
from shardrouter.tables import Change, Placement

ROWS_SENT = 1000
"""More than any table has."""


class StaleVersionError(Exception):
    """A guard was refused; carries it and the version that is there."""

    def __init__(self, guard: Guard, have: int) -> None:
        super().__init__(f"{guard.object} has {have}, wanted {guard.version}")
        self.guard = guard
        self.have = have


class ShardError(StatementError):
    """What SQLite refused on a shard, in fewer words than a node has."""


class Group:
    """One group's state machine: SQLite, and versions of objects in the same transaction."""

    def __init__(self) -> None:
        self.environment = Environment()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        install(self.connection, self.environment, sqlite3.connect(":memory:"))
        self.versions: dict[str, int] = {}

    def check(self, guards: Sequence[Guard]) -> None:
        for guard in guards:
            have = self.versions.get(guard.object, 0)
            if have != guard.version:
                raise StaleVersionError(guard, have)

    def write(self, parts: Parts) -> None:
        self.check(parts.guards)
        self.connection.execute("PRAGMA foreign_keys = OFF")
        self.connection.execute("BEGIN")
        try:
            for statement in parts.statements:
                with self._told():
                    self.connection.execute(statement.sql, statement.parameters)
            if self.connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise ShardError("a row refers to nothing", sqlstate="23503")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        self.connection.execute("PRAGMA foreign_keys = ON")
        for change in parts.sets:
            assert isinstance(change, SetVersion)
            self.versions[change.object] = change.version

    def run(self, sql: str, parameters: Sequence[Value]) -> tuple[int, list[tuple[Value, ...]]]:
        with self._told():
            cursor = self.connection.execute(sql, parameters)
            rows = cursor.fetchall()
            if cursor.rowcount < 0 and not rows:  # of WITH before INSERT Python counts nothing
                return int(self.connection.execute("SELECT changes()").fetchone()[0]), rows
            return cursor.rowcount, rows  # which is known when the last row is

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            error = self.environment.take_error()
            if error is not None:
                raise ShardError(error.message, sqlstate=error.sqlstate) from exc
            for words, sqlstate in _REFUSALS.items():
                if words in str(exc):
                    raise ShardError(str(exc), sqlstate=sqlstate) from exc
            raise


_REFUSALS = {
    "shardrouter_range_": "22003",
    "UNIQUE": "23505",
    "NOT NULL": "23502",
    "CHECK": "23514",
    "FOREIGN KEY": "23503",
}


class PlannedCluster:
    """meta and shards, and what a router does with them."""

    def __init__(self, shard_count: int = 3, default: Placement = "sharded") -> None:
        self.default = default
        self.settings = Settings()
        self.sequences: dict[tuple[str, int], int] = {}  # the numbers given out last
        self._finishing: MemoryDatabase | None = None  # made at first use
        self.broadcast: int | None = None  # by which a query is answered, if it has that one
        self.broadcasts = 0  # that the last query over several shards had
        self.notices: tuple[Notice, ...] = ()  # of the last change of the schema
        self.meta = Group()
        self.shards = {f"s{i}": Group() for i in range(1, shard_count + 1)}
        names = list(self.shards)
        owners = assign_slots(names)
        for name, group in self.shards.items():
            parts = ownership(name, names, owners)
            if parts is not None:
                group.write(parts)
        self.meta.write(bootstrap(names, owners))

    @property
    def catalog(self) -> Catalog:
        results = []
        for statement in LOAD_STATEMENTS:
            rows = self.meta.connection.execute(statement.sql).fetchall()
            results.append(StatementResult(len(rows), values=tuple(rows)))
        return decode(results).searched(self.settings.search_path)

    def execute(
        self, sql: str, *arguments: Value, oids: Sequence[int] = ()
    ) -> tuple[tuple[ResultColumn, ...], list[tuple[Value, ...]], int]:
        """Columns, rows (with booleans as booleans) and the number of rows changed."""
        self.notices = ()
        catalog = self.catalog
        plan = make_plan(sql, catalog, oids, Identity("ann"))
        match plan:
            case SchemaChange():
                self._change(catalog, plan)
                return (), [], 0
            case SetSetting():
                self.settings = self.settings.with_value(plan.name, plan.value)
                return (), [], 0
            case ShowSetting():
                shown = self.settings.get(plan.name)
                return (ResultColumn(plan.name, TEXT),), [(shown,)], 1
            case SequenceCall():
                return plan.columns, [(self._next(plan.sequence),)], 1
            case Answer():
                bind(plan, arguments)
                return plan.columns, list(plan.rows), len(plan.rows)
            case OneShard():
                drawn = tuple(map(self._next, plan.draws))
                rows, count = self._one(plan, arguments, drawn)
                return plan.columns, _booleans(rows, plan.columns), count
            case RowsWrite():
                rows, count = self._rows_written(plan, arguments)
                return plan.columns, _booleans(rows, plan.columns), count
            case Scatter():
                prepared = Prepared(sql, plan, plan.parameter_oids, plan.columns)
                rows = self._scattered(plan, Execution(prepared, arguments))
                return plan.columns, _booleans(rows, plan.columns), len(rows)
            case _:
                raise AssertionError(f"{plan!r} asks no shard")

    def _one(
        self, plan: OneShard, arguments: tuple[Value, ...], drawn: tuple[Value, ...]
    ) -> tuple[list[tuple[Value, ...]], int]:
        catalog = self.catalog
        prepared = Prepared("", plan, plan.parameter_oids, plan.columns)
        asks = Execution(prepared, arguments, drawn=drawn, stored=True)
        results = []
        for command in commands_of(plan, asks, catalog):
            sent = command.statement
            count, rows = self.shards[command.shard].run(sent.sql, sent.parameters)
            results.append(StatementResult(count, values=tuple(rows)))
        outcome = merged_outcome(plan, asks, results, catalog)
        return list(outcome.values), outcome.row_count

    def _rows_written(
        self, plan: RowsWrite, arguments: tuple[Value, ...]
    ) -> tuple[list[tuple[Value, ...]], int]:
        read, prepared = plan.read, Prepared("", plan, plan.parameter_oids, plan.columns)
        if isinstance(read, Scatter):
            rows = self._scattered(read, Execution(prepared, arguments))
        elif isinstance(read, OneShard):
            rows, _ = self._one(read, arguments, ())
        else:
            rows = list(read.rows)
        rows = self._finished(plan.shaped, [(held_rows(plan), rows)], ())
        rows = [(*row, *map(self._next, plan.draws)) for row in once_each(plan, rows)]
        told: list[tuple[Value, ...]] = []
        count = 0
        for write, some in parts_of(plan, rows):
            for made, values in batches(plan, write, some, len(arguments)):
                answered, changed = self._one(made, arguments, values)
                if write.is_told:
                    told += answered
                    count += changed
        return told, count

    def _scattered(self, plan: Scatter, execution: Execution) -> list[tuple[Value, ...]]:
        self.broadcasts = len(plan.broadcasts)
        sent: tuple[Value, ...] = ()
        if self.broadcast is not None and self.broadcast < self.broadcasts:
            broadcast = plan.broadcasts[self.broadcast]
            small = replace(plan, fragments=(broadcast.small,))
            _, [[*parts]] = self._answers(small, execution, (ROWS_SENT,))
            rows = rows_sent([row for part in parts for row in part])
            plan, sent = plan.by(broadcast), (ROWS_SENT, rows)
        bound, answers = self._answers(plan, execution, sent)
        if isinstance(plan.finish, Merge):
            return merge_rows(plan.finish, answers[0], bound)
        fragments = [
            (fragment, [row for part in parts for row in part])
            for fragment, parts in zip(plan.fragments, answers, strict=True)
        ]
        given = tuple(bound[number - 1] for number in plan.finish.parameters)
        return self._finished(plan.finish, fragments, given)

    def _finished(
        self,
        finish: Finish,
        fragments: Sequence[tuple[Fragment, Sequence[tuple[Value, ...]]]],
        given: tuple[Value, ...],
    ) -> list[tuple[Value, ...]]:
        if self._finishing is None:
            self._finishing = new_database()
        return finished(
            self._finishing, finish, fragments, given, lambda _rows: None, lambda: False
        )

    def _answers(
        self, plan: Scatter, execution: Execution, sent: tuple[Value, ...]
    ) -> tuple[tuple[Value, ...], list[list[list[tuple[Value, ...]]]]]:
        bound, commands = scatter_commands(plan, execution, self.catalog, sent)
        return bound, [
            [self.shards[c.shard].run(c.statement.sql, c.statement.parameters)[1] for c in asked]
            for asked in commands
        ]

    def _next(self, name: str) -> int:
        sequence = self.catalog.sequences[name]
        key = name, sequence.version
        before = self.sequences.get(key)
        if before is None:
            ((last, is_called),) = self.meta.connection.execute(
                'SELECT "last", "is_called" FROM "catalog_sequences" WHERE "name" = ?', (name,)
            )
            before = last if is_called else last - sequence.increment
        self.sequences[key] = before + sequence.increment
        return self.sequences[key]

    def _change(self, catalog: Catalog, plan: SchemaChange) -> None:
        assert not isinstance(plan.definition, RoleStatement)
        begun = begin(catalog, plan.definition, self.default)
        self.notices, change = begun.notices, begun.change
        if change is None:
            return
        self.meta.write(mark(catalog, change))
        done: list[str] = []
        for shard in shards_of(catalog, change):
            try:
                self.shards[shard].write(shard_parts(catalog, change, shard))
            except ShardError:
                self._take_back(done)
                raise
            done.append(shard)
        self.meta.write(publish(self.catalog))

    def _take_back(self, done: Sequence[str]) -> None:
        parts, marked = take_back(self.catalog)
        undone = marked.pending
        assert isinstance(undone, Change)
        self.meta.write(parts)
        for shard in shards_of(self.catalog, undone):
            self.shards[shard].write(undo_parts(self.catalog, undone, shard, made=shard in done))
        self.meta.write(publish(self.catalog))


def _booleans(
    rows: Sequence[tuple[Value, ...]], columns: Sequence[ResultColumn]
) -> list[tuple[Value, ...]]:
    """SQLite's 0 and 1 as what the wire makes of them."""
    flags = [column.oid == BOOL for column in columns]
    return [
        tuple(
            bool(value) if flag and value is not None else value
            for value, flag in zip(row, flags, strict=True)
        )
        for row in rows
    ]
