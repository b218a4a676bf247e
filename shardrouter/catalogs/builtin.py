"""What PostgreSQL has built in: its catalogs' columns, its types, as they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from nodes.protocol import Value
from shardrouter import types
from shardrouter.catalogs import recorded
from shardrouter.tables import Column, Table

__all__ = ["BUILTIN_TYPES", "RELATIONS", "TYPE_ROWS", "Relation", "Row", "find"]

Row: TypeAlias = Mapping[str, Value]
"""A row of a relation, by column; a column that is not there is NULL, or its type's zero."""


@dataclass(frozen=True)
class Relation:
    """A relation of pg_catalog or information_schema: `table` describes what SQLite is given."""

    oid: int
    schema: str
    name: str
    kind: str
    table: Table

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.table.columns


def _column(text: str) -> Column:
    name, kind, *modifier = text.split(":")
    return Column(name, types.by_short(kind).name, modifier=int(modifier[0]) if modifier else -1)


def _relations() -> Iterator[Relation]:
    for block in recorded.RELATIONS.strip().split("\n\n"):
        schema, kind, oid, name, *columns = block.split()
        text = name if schema == "pg_catalog" else f"{schema}.{name}"
        described = tuple(_column(column) for column in columns)
        has_oid = kind == "r" and described[0].name == "oid"
        key = ("oid",) if has_oid else ()
        yield Relation(int(oid), schema, name, kind, Table(text, 0, described, key, "", "home"))


RELATIONS: Final[Mapping[str, Relation]] = {
    relation.table.name: relation for relation in _relations()
}
"""By the name of their table in SQLite: that of PostgreSQL, with the schema in front if it is
information_schema."""


def find(schema: str, name: str) -> Table | None:
    """The relation a statement names; without a schema those of pg_catalog are found."""
    if schema not in ("", "pg_catalog", "information_schema"):
        return None
    found = RELATIONS.get(f"{schema}.{name}" if schema == "information_schema" else name)
    return None if found is None else found.table


_TYPE_COLUMNS: Final = (
    *("oid", "typname", "typlen", "typbyval", "typtype", "typcategory", "typispreferred"),
    *("typdelim", "typelem", "typarray", "typalign", "typstorage", "typcollation"),
    *("typinput", "typoutput", "typreceive", "typsend", "typsubscript", "typmodin", "typmodout"),
)


def _types() -> Iterator[dict[str, Value]]:
    for line in recorded.TYPES.strip().splitlines():
        row: dict[str, Value] = {}
        for name, text in zip(_TYPE_COLUMNS, line.split(), strict=True):
            if text in ("t", "f") and name in ("typbyval", "typispreferred"):
                row[name] = text == "t"
            elif text.lstrip("-").isdigit():
                row[name] = int(text)
            else:
                row[name] = text
        row |= {"typnamespace": 11, "typowner": 10, "typisdefined": True, "typtypmod": -1}
        yield row


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


BUILTIN_TYPES: Final = tuple(_types())
TYPE_ROWS: Final[Mapping[int, Row]] = {_number(row["oid"]): row for row in BUILTIN_TYPES}
