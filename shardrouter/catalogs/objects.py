"""What there is, numbered as PostgreSQL numbers it: schemas, relations, columns, constraints.

Pure. The OID of a table follows from its name and the version of the catalog that it came with,
those of its indexes, constraints and row type from the table's and their names: so every router
knows them by the same, also after a restart, and a table made anew has another one. What
PostgreSQL has built in keeps PostgreSQL's own.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from shardrouter.catalog import Catalog
from shardrouter.catalogs.builtin import RELATIONS
from shardrouter.enumerations import labels_of
from shardrouter.lexer import Kind, tokenize
from shardrouter.tables import TEMPORARY, Column, SqlSequence, Table

__all__ = [
    "INFORMATION_SCHEMA",
    "PG_CATALOG",
    "PUBLIC",
    "Constraint",
    "IndexKey",
    "Numbered",
    "Objects",
    "TableObject",
]

PG_CATALOG: Final = 11
PUBLIC: Final = 2200
INFORMATION_SCHEMA: Final = 13183

_DERIVED: Final = 1 << 30
"""OIDs that follow from names are from here on, and below twice as much."""


@dataclass(frozen=True)
class Numbered:
    """A relation: `kind` is pg_class's relkind."""

    oid: int
    schema: str
    name: str
    kind: str


@dataclass(frozen=True)
class IndexKey:
    """An index. `keys` are attribute numbers, 0 for an expression; `elements` what was written."""

    oid: int
    name: str
    table: int
    keys: tuple[int, ...]
    elements: tuple[str, ...]
    options: tuple[int, ...]
    unique: bool
    primary: bool
    where: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Constraint:
    """`kind` is pg_constraint's contype; `index` the OID of what keeps it."""

    oid: int
    name: str
    kind: Literal["p", "u", "c", "f"]
    table: int
    keys: tuple[int, ...]
    index: int = 0
    source: str = ""  # of a check
    referred: int = 0
    referred_keys: tuple[int, ...] = ()
    on_update: str = ""
    on_delete: str = ""
    deferral: str = ""


@dataclass(frozen=True)
class TableObject:
    oid: int
    schema: str
    table: Table
    type: int  # the OID of its row type
    array_type: int
    indexes: tuple[IndexKey, ...]
    constraints: tuple[Constraint, ...]
    schema_oid: int = PUBLIC
    kind: str = "r"

    @property
    def name(self) -> str:
        return self.table.relname

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.table.columns

    def number(self, column: str) -> int:
        """A column's attnum; 0 if there is none."""
        for number, found in enumerate(self.table.columns, 1):
            if found.name == column:
                return number
        return 0


class Objects:
    """All of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._taken: set[int] = {n for t in catalog.types.values() for n in (t.oid, t.oid + 1)}
        self.schemas: dict[str, int] = {
            "pg_catalog": PG_CATALOG,
            "public": PUBLIC,
            "pg_toast": 99,
            "information_schema": INFORMATION_SCHEMA,
        }
        for name in catalog.schemas:
            self.schemas.setdefault(name, self._number("schema", name))
        places = [table.schema for table in catalog.tables.values()]
        for name in [*places, *(sequence.schema for sequence in catalog.sequences.values())]:
            if name not in self.schemas:  # a session's
                self.schemas[name] = self._number("schema", name)
        self.temporary_schemas = {
            oid for name, oid in self.schemas.items() if name.startswith(TEMPORARY)
        }
        self.path = tuple(name for name in catalog.search_path if name in self.schemas)
        """The schemas in which a session looks for names, but for pg_catalog."""
        tables = sorted(catalog.tables.values(), key=lambda table: table.name)
        numbers = {table.name: self._number("table", table.name, table.created) for table in tables}
        self.sequences: dict[int, SqlSequence] = {
            self._number("sequence", name): sequence
            for name, sequence in sorted(catalog.sequences.items())
        }
        self._tables_by_name = {table.name: table for table in tables}
        self.tables: dict[int, TableObject] = {
            numbers[table.name]: self._table(table, numbers) for table in tables
        }
        self._labels = {
            (kind.oid, label): self._number(kind.oid, "label", label)
            for kind in catalog.types.values()
            for label in labels_of(kind.values)
        }
        self.relations: dict[int, Numbered] = {
            relation.oid: relation for relation in self._relations()
        }
        self.by_name: dict[tuple[str, str], int] = {
            (relation.schema, relation.name): relation.oid for relation in self.relations.values()
        }
        self.schema_names: dict[int, str] = {oid: name for name, oid in self.schemas.items()}
        self.comments: dict[tuple[int, int], str] = dict(self._comments(catalog))
        """By OID and column; 0 for what is no column."""

    def _number(self, *names: object) -> int:
        """The OID that follows from names; of two for which it is the same, the next."""
        found = _DERIVED | zlib.crc32("\0".join(map(str, names)).encode()) & (_DERIVED - 1)
        while found in self._taken:
            found = _DERIVED | (found + 1) & (_DERIVED - 1)
        self._taken.add(found)
        return found

    def label_oid(self, kind: int, label: str) -> int:
        """Of a label of an enumeration."""
        return self._labels[kind, label]

    def _relations(self) -> Iterator[Numbered]:
        for system in RELATIONS.values():
            yield Numbered(system.oid, system.schema, system.name, system.kind)
        for table in self.tables.values():
            yield Numbered(table.oid, table.schema, table.name, table.kind)
            for index in table.indexes:
                yield Numbered(index.oid, table.schema, index.name, "i")
        for oid, sequence in self.sequences.items():
            yield Numbered(oid, sequence.schema, sequence.relname, "S")

    def _comments(self, catalog: Catalog) -> Iterator[tuple[tuple[int, int], str]]:
        for schema in catalog.schemas.values():
            if schema.comment:
                yield (self.schemas[schema.name], 0), schema.comment
        for oid, sequence in self.sequences.items():
            if sequence.comment:
                yield (oid, 0), sequence.comment
        for table in self.tables.values():
            of = table.table
            if of.comment:
                yield (table.oid, 0), of.comment
            for number, column in enumerate(of.columns, 1):
                if column.comment:
                    yield (table.oid, number), column.comment
            said = {key.name: key.comment for key in of.keys}
            said |= {check.name: check.comment for check in of.checks}
            said |= {key.name: key.comment for key in of.foreign_keys}
            said[of.primary] = of.primary_comment
            for constraint in table.constraints:
                if said.get(constraint.name):
                    yield (constraint.oid, 0), said[constraint.name]
            indexes = {index.relname: index.comment for index in of.indexes}
            for index in table.indexes:
                if indexes.get(index.name):
                    yield (index.oid, 0), indexes[index.name]

    def _table(self, table: Table, numbers: dict[str, int]) -> TableObject:
        oid = numbers[table.name]
        columns = [column.name for column in table.columns]
        indexes: list[IndexKey] = []
        constraints: list[Constraint] = []

        def attributes(names: tuple[str, ...]) -> tuple[int, ...]:
            return tuple(columns.index(name) + 1 for name in names)

        def key(name: str, names: tuple[str, ...], *, primary: bool) -> None:
            index = self._number(oid, "index", name)
            keys = attributes(names)
            zeros = (0,) * len(keys)
            indexes.append(IndexKey(index, name, oid, keys, names, zeros, True, primary))
            number = self._number(oid, "constraint", name)
            kind: Literal["p", "u"] = "p" if primary else "u"
            constraints.append(Constraint(number, name, kind, oid, keys, index))

        if table.primary_key:
            key(table.primary or f"{table.name}_pkey", table.primary_key, primary=True)
        for unique in table.keys:
            key(unique.name, unique.columns, primary=False)
        for made in table.indexes:
            named = [_unquoted(element) for element in made.elements]
            keys = tuple(columns.index(name) + 1 if name in columns else 0 for name in named)
            options = tuple(map(_option, made.orders)) or (0,) * len(keys)
            number = self._number(oid, "index", made.name)  # which stays, as a table's
            indexes.append(
                IndexKey(
                    number, made.relname, oid, keys, made.elements, options, made.unique, False,
                    made.where, made.classes,
                )
            )  # fmt: skip
        for check in table.checks:
            number = self._number(oid, "constraint", check.name)
            keys = attributes(_columns_in(check.source, columns))
            constraints.append(Constraint(number, check.name, "c", oid, keys, source=check.source))
        for foreign in table.foreign_keys:
            number = self._number(oid, "constraint", foreign.name)
            other = self._tables_by_name.get(foreign.table)
            referred = [] if other is None else [column.name for column in other.columns]
            constraints.append(
                Constraint(
                    number,
                    foreign.name,
                    "f",
                    oid,
                    attributes(foreign.columns),
                    referred=numbers.get(foreign.table, 0),
                    referred_keys=tuple(referred.index(name) + 1 for name in foreign.references),
                    on_update=foreign.on_update,
                    on_delete=foreign.on_delete,
                    deferral=foreign.deferral,
                )
            )
        kind = self._number(oid, "type")
        array = self._number(oid, "array type")
        return TableObject(
            oid,
            table.schema,
            table,
            kind,
            array,
            tuple(indexes),
            tuple(constraints),
            self.schemas.get(table.schema, PUBLIC),
            "r" if table.view is None else "v",
        )

    def referred_index(self, constraint: Constraint) -> int:
        """The OID of the unique index that keeps what a foreign key refers to."""
        other = self.tables[constraint.referred]
        keys = sorted(constraint.referred_keys)
        return next(
            (c.index for c in other.constraints if c.kind in "pu" and sorted(c.keys) == keys), 0
        )

    def is_identity(self, sequence: SqlSequence) -> bool:
        """Whether it belongs to an identity column."""
        if sequence.owner is None:
            return False
        table = self._tables_by_name.get(sequence.owner[0])
        column = None if table is None else table.column(sequence.owner[1])
        return column is not None and bool(column.identity)

    def find(self, name: str, schema: str = "") -> int:
        """The OID of a relation; without a schema the first in the search path. 0: none."""
        path = (schema,) if schema else ("pg_catalog", *self.path)
        return next((o for s in path if (o := self.by_name.get((s, name), 0))), 0)

    def is_visible(self, oid: int) -> bool:
        """Whether its name without a schema means it."""
        relation = self.relations.get(oid)
        return relation is not None and self.find(relation.name) == oid


def _columns_in(source: str, columns: list[str]) -> tuple[str, ...]:
    """The columns that a condition refers to, in the order in which it does."""
    tokens = tokenize(source)
    found: dict[str, None] = {}
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.kind in (Kind.WORD, Kind.NAME) and token.text in columns:
            is_type = before is not None and before.is_mark("::")
            is_call = after is not None and after.is_mark("(")
            if not is_type and not is_call:
                found[token.text] = None
    return tuple(found)


def _option(order: str) -> int:
    """pg_index has 1 for a descending element, 2 for NULLs first."""
    descending = order.startswith("DESC")
    first = order.endswith("FIRST") or (descending and not order.endswith("LAST"))
    return descending | first << 1


def _unquoted(element: str) -> str:
    """What an element of an index names, if it is a column."""
    if element.startswith('"') and element.endswith('"'):
        return element[1:-1].replace('""', '"')
    return element.lower() if re.fullmatch(r"[\w$]+", element) else ""
