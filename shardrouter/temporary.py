"""Temporary tables: whose they are, and what becomes of them when their session is gone.

Pure. A temporary table is a home table in a schema of its session, `pg_temp_R_N`: R is the number
of the session's router among those that have temporary tables, N that of the session among the
router's. A router holds its R by a row among the schemas (`SqlSchema.holder` and `until`), which it
writes again in time. A number whose time is over belongs to whoever takes it next, who removes what
is left there. So names are used again, and what the shards remember of dropped tables is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Final

from shardrouter.catalog import Catalog
from shardrouter.change_builder import ChangeBuilder
from shardrouter.definitions import DropTemporary, HoldTemporary
from shardrouter.dropping import without_relation
from shardrouter.tables import TEMPORARY, SqlSchema

__all__ = ["drop_temporary", "held", "hold_temporary", "session_schema"]

_OF_ROUTER: Final = f"{TEMPORARY}{{}}"


def held(catalog: Catalog, holder: str) -> str:
    """The schema whose number a router holds; empty: none."""
    return next((s.name for s in catalog.schemas.values() if s.holder == holder), "")


def session_schema(router: str, number: int) -> str:
    return f"{router}_{number}"


def hold_temporary(builder: ChangeBuilder, node: HoldTemporary) -> None:
    """A number for the router, or the one it has for a longer time. What others have left is
    removed."""
    own = held(builder.catalog, node.holder)
    for schema in list(builder.catalog.schemas.values()):
        if schema.holder and schema.name != own and schema.until < node.now:
            _empty(builder, _session_schemas(builder.catalog, schema.name))
            builder.remove_schema(schema.name)
    if not own:
        names = (_OF_ROUTER.format(number) for number in count(1))
        own = next(name for name in names if name not in builder.catalog.schemas)
        _empty(builder, _session_schemas(builder.catalog, own))
    builder.put_schema(SqlSchema(own, holder=node.holder, until=node.until))


def drop_temporary(builder: ChangeBuilder, node: DropTemporary) -> None:
    """All that is in the schemas of these sessions, if their router still holds its number."""
    own = held(builder.catalog, node.holder)
    if not own:
        return
    schemas = node.schemas if node.schemas is not None else _session_schemas(builder.catalog, own)
    _empty(builder, schemas)
    if node.schemas is None:
        builder.remove_schema(own)


def _session_schemas(catalog: Catalog, router: str) -> list[str]:
    places = {table.schema for table in catalog.tables.values()}
    places |= {sequence.schema for sequence in catalog.sequences.values()}
    return sorted(place for place in places if place.startswith(f"{router}_"))


def _empty(builder: ChangeBuilder, schemas: Iterable[str]) -> None:
    gone = set(schemas)
    for table in list(builder.catalog.tables.values()):
        if table.schema in gone:
            without_relation(table.name)(builder)
    for sequence in list(builder.catalog.sequences.values()):
        if sequence.schema in gone:
            builder.remove_sequence(sequence.name)
