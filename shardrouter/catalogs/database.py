"""Where queries of the catalogs run: a SQLite database in memory, which holds what they name.

One for a router, used by one thread at a time. A relation is filled when a query names it first;
what depends on the catalog alone is kept until the catalog is another one, and what PostgreSQL has
built in for ever. Rows, time and memory are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from nodes.functions import FunctionError
from nodes.protocol import Value
from shardrouter import types
from shardrouter.catalogs import cluster_of_pg, information, tables_of_pg
from shardrouter.catalogs.builtin import RELATIONS, Relation, Row
from shardrouter.catalogs.functions import Answers
from shardrouter.catalogs.world import World
from shardrouter.errors import StatementError
from shardrouter.memory_database import MemoryDatabase
from shardrouter.planned import CatalogQuery, ResultColumn
from shardrouter.settings import Settings
from shardrouter.signatures.system import NAMES

__all__ = ["Answered", "CatalogDatabase"]

ROWS_MAX: Final = 1_000_000
ANSWER_CELLS_MAX: Final = 4_000_000
MEMORY_PAGES_MAX: Final = 65_536
"""Of 4 KiB."""

_ROWS: Final[Mapping[str, Callable[[World], Iterable[Row]]]] = {
    **tables_of_pg.ROWS,
    **cluster_of_pg.ROWS,
    **information.ROWS,
}
_INDEXED: Final = {
    "pg_class": ("oid", "relname"),
    "pg_attribute": ("attrelid",),
    "pg_type": ("oid",),
    "pg_constraint": ("conrelid",),
    "pg_index": ("indrelid", "indexrelid"),
}


@dataclass(frozen=True)
class Answered:
    """The rows, and what `set_config` has set: name, value, whether for the transaction only."""

    rows: list[tuple[Value, ...]]
    changes: tuple[tuple[str, str, bool], ...]


class CatalogDatabase:
    def __init__(self) -> None:
        self._memory = MemoryDatabase("the catalogs", MEMORY_PAGES_MAX)
        self._raw = self._memory.raw
        self._answers: Answers | None = None
        self._filled: dict[str, object] = {}  # relation -> what it was filled for
        self._builtin: dict[str, int] = {}  # relation -> how many of its rows are always there
        self._raw.execute("PRAGMA temp_store = MEMORY").fetchall()
        for name in NAMES:
            self._raw.create_function(f"pgc_{name}", -1, partial(self._call, name))

    def close(self) -> None:
        self._memory.close()

    def run(
        self,
        query: CatalogQuery,
        arguments: Sequence[Value],
        world: World,
        settings: Settings,
        formats: Sequence[bool] | None,
        now_us: int,
        is_over: Callable[[], bool],
    ) -> Answered:
        """The answer; named OIDs that are not wanted in binary are names. `is_over`: nobody waits
        any longer. Raises StatementError."""
        answers = self._answers = Answers(world, settings)
        self._memory.environment.begin(now_us, now_us, 0)
        width = len(query.columns)
        for name in query.relations:
            self._fill(RELATIONS[name], world)
        try:
            with self._memory.query(is_over):
                rows = self._memory.rows(
                    query.sql, arguments, lambda count: _check_cells(count * width)
                )
        finally:
            self._answers = None
        return Answered(_named(rows, query.columns, formats, answers), tuple(answers.changes))

    def _call(self, name: str, *arguments: Value) -> Value:
        assert self._answers is not None
        try:
            return self._answers.call(name, arguments)
        except FunctionError as exc:
            self._memory.environment.keep_error(exc)
            raise
        except Exception as exc:
            self._memory.environment.keep_error(FunctionError("XX000", f"{name}: {exc!r}"))
            raise

    # ---- what it holds

    def _fill(self, relation: Relation, world: World) -> None:
        """The rows of one relation, unless it has them."""
        name = relation.table.name
        wanted = world if name in cluster_of_pg.OF_SESSION else world.lasting
        if self._filled.get(name) == wanted:
            return
        self._raw.execute("BEGIN")
        try:
            builtin = self._builtin.get(name)
            if builtin is None:
                builtin = self._create(relation, world)
            else:
                self._raw.execute(f'DELETE FROM "{name}" WHERE rowid > ?', (builtin,))  # noqa: S608 -- names of PostgreSQL's
            if name in _ROWS:
                self._insert(relation, _ROWS[name](world))
        except BaseException:
            self._raw.execute("ROLLBACK")
            raise
        self._raw.execute("COMMIT")
        self._builtin[name] = builtin
        self._filled[name] = wanted

    def _create(self, relation: Relation, world: World) -> int:
        """The table, with the rows that it always has: how many they are."""
        name = relation.table.name
        listed = ", ".join(f'"{c.name}" {types.of_column(c.type).column}' for c in relation.columns)
        self._raw.execute(f'CREATE TABLE "{name}" ({listed})')
        for column in _INDEXED.get(name, ()):
            self._raw.execute(f'CREATE INDEX "{name}.{column}" ON "{name}" ("{column}")')
        if name not in tables_of_pg.BUILTIN_ROWS:
            return 0
        return self._insert(relation, tables_of_pg.BUILTIN_ROWS[name](world))

    def _insert(self, relation: Relation, rows: Iterable[Row]) -> int:
        """How many there were."""
        has_zeros = relation.schema == "pg_catalog"  # what SQL describes is NULL instead
        kinds = [(column.name, types.of_column(column.type)) for column in relation.columns]
        defaults = [(column, _zero(kind) if has_zeros else None) for column, kind in kinds]
        places = ", ".join("?" * len(defaults))
        cursor = self._raw.executemany(
            f'INSERT INTO "{relation.table.name}" VALUES ({places})',  # noqa: S608 -- names of PostgreSQL's
            (_cells(row, defaults) for row in rows),
        )
        return max(cursor.rowcount, 0)


def _check_cells(count: int) -> None:
    if count > ANSWER_CELLS_MAX:
        raise StatementError(
            f"the answer has more than {ANSWER_CELLS_MAX} values",
            sqlstate="54000",
            hint="Add a LIMIT or a narrower WHERE.",
        )


def _zero(kind: types.Type) -> Value:
    """What a column holds of which nothing is said: NULL for what may be missing."""
    if kind is types.CHAR:
        return ""
    if kind is types.BOOLEAN or kind.category == "N" or kind.is_named:
        return 0.0 if kind.sqlite == "REAL" else 0
    return None


def _cells(row: Row, defaults: Sequence[tuple[str, Value]]) -> list[Value]:
    return [row.get(column, zero) for column, zero in defaults]


def _named(
    rows: list[tuple[Value, ...]],
    columns: Sequence[ResultColumn],
    formats: Sequence[bool] | None,
    answers: Answers,
) -> list[tuple[Value, ...]]:
    """The rows with names for the OIDs that are shown so."""
    shown: dict[int, Callable[[Value], Value]] = {}
    for i, column in enumerate(columns):
        kind = types.by_oid(column.oid)
        if formats is not None and formats[i]:
            continue
        if kind.is_named:
            shown[i] = partial(answers.name_of, kind.short)
        elif kind.element is not None and kind.element.is_named:
            shown[i] = partial(answers.names_of, kind.element.short)
    if not shown:
        return rows
    return [
        tuple(
            shown[i](value) if i in shown and value is not None else value
            for i, value in enumerate(row)
        )
        for row in rows
    ]
