"""What the names of relations mean, and how new ones are called.

Tables, views, indexes and sequences of one schema share a name space, as in PostgreSQL. The shards
have one for all schemas, which does not tell `T` from `t`. So what a shard calls a table
(`Table.name`) is chosen when the table is made, unlike any other name there, and stays: what its
clients call it (`Table.relname`) may change, and may be a name that a shard could not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final

from shardrouter.catalog import Catalog, Kind
from shardrouter.errors import StatementError
from shardrouter.keywords import quoted
from shardrouter.syntax import Name
from shardrouter.tables import PUBLIC, TEMPORARY, SqlSequence, Table

__all__ = [
    "SYSTEM_SCHEMAS",
    "NewNames",
    "check_schema_name",
    "creation_schema",
    "described",
    "missing_schema",
    "qualified",
    "table_named",
    "wrong_kind",
]

SYSTEM_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema", "pg_toast"})
"""There, and not for relations of clients."""

_CLOSED: Final = ("_", "sqlite_", "pragma_")
"""Beginnings of names that belong to the node."""

_KINDS: Final[dict[Kind, str]] = {
    "table": "a table",
    "view": "a view",
    "sequence": "a sequence",
    "index": "an index",
}


def qualified(name: Name) -> str:
    """As it was written, for messages."""
    return f"{name.schema}.{name.text}" if name.schema else name.text


def check_schema_name(name: Name) -> None:
    """Raises 42939."""
    if name.text.startswith("pg_"):
        raise StatementError(
            f'unacceptable schema name "{name.text}"',
            sqlstate="42939",
            detail='The prefix "pg_" is reserved for system schemas.',
        )


def missing_schema(schema: str, position: int = 0) -> StatementError:
    return StatementError(f'schema "{schema}" does not exist', sqlstate="3F000", position=position)


def creation_schema(catalog: Catalog, name: Name, *, temporary: bool = False) -> str:
    """Where a relation of this name is made. Raises 3F000, 42501 and 42P16."""
    own = catalog.temporary_schema
    if temporary or name.schema in ("pg_temp", own or "pg_temp"):
        if name.schema not in ("", "pg_temp", own):
            raise StatementError(
                "cannot create temporary relation in non-temporary schema",
                sqlstate="42P16",
                position=name.position,
            )
        assert own, "a session that makes temporary relations has a schema for them"
        return own
    if name.schema.startswith(TEMPORARY):
        raise StatementError(
            "cannot create relations in temporary schemas of other sessions",
            sqlstate="42P16",
            position=name.position,
        )
    if name.schema:
        if name.schema in SYSTEM_SCHEMAS:
            raise StatementError(
                f'permission denied to create "{name.schema}.{name.text}"',
                sqlstate="42501",
                detail="System catalog modifications are currently disallowed.",
            )
        if name.schema not in catalog.schemas:
            raise missing_schema(name.schema, name.position)
        return name.schema
    for schema in catalog.search_path:
        if schema in catalog.schemas:
            return schema
    raise StatementError(
        "no schema has been selected to create in", sqlstate="3F000", position=name.position
    )


def table_named(catalog: Catalog, name: Name) -> Table:
    """The table or view of that name, which is to be changed. Raises 3F000, 42P01."""
    if name.schema and not catalog.has_schema(name.schema):
        raise missing_schema(name.schema)
    table = catalog.table(name.text, name.schema)
    if table is None:
        raise StatementError(
            f'relation "{qualified(name)}" does not exist', sqlstate="42P01", position=name.position
        )
    return table


def wrong_kind(name: Name, found: Kind, wanted: Kind) -> StatementError:
    """A relation of this name is there, and of another kind."""
    return StatementError(
        f'"{name.text}" is not {_KINDS[wanted]}',
        sqlstate="42809",
        hint=f"Use DROP {found.upper()} to remove {_KINDS[found]}.",
    )


def described(catalog: Catalog, relation: Table | SqlSequence) -> str:
    """As PostgreSQL names it in notices and details: with its schema if the session does not find
    it without."""
    kind = "sequence" if isinstance(relation, SqlSequence) else "table"
    if isinstance(relation, Table) and relation.view is not None:
        kind = "view"
    found = catalog.relation(relation.relname)
    is_visible = found is not None and found[0] != "index" and found[1] == relation.name
    written = quoted(relation.relname)
    return f"{kind} {written if is_visible else f'{quoted(relation.schema)}.{written}'}"


class NewNames:
    """The names that are taken while one statement makes relations in one schema."""

    def __init__(self, catalog: Catalog, schema: str) -> None:
        self.schema = schema
        self.taken = {name for place, name in catalog.relations if place == schema}
        self._stored = {name.lower() for name in _stored_names(catalog)}

    def check(self, name: Name) -> str:
        """The text of a name that is to be new here. Raises 42P07."""
        if name.text in self.taken:
            raise StatementError(
                f'relation "{name.text}" already exists', sqlstate="42P07", position=name.position
            )
        return name.text

    def store(self, relname: str) -> tuple[str, str]:
        """What the shards call the relation, and `called` of what is made of it."""
        self.taken.add(relname)
        base = relname if self.schema == PUBLIC else f"{self.schema}.{relname}"
        if base.lower().startswith(_CLOSED):
            base = f"{PUBLIC}.{base}"
        stored = next(name for name in _numbered(base) if name.lower() not in self._stored)
        self._stored.add(stored.lower())
        return stored, "" if stored == relname else relname


def _numbered(base: str) -> Iterator[str]:
    yield base
    for number in count(2):
        yield f"{base}.{number}"


def _stored_names(catalog: Catalog) -> Iterator[str]:
    yield from catalog.sequences
    for table in catalog.tables.values():
        yield table.name
        yield from (index.name for index in table.indexes)
