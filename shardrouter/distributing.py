"""What a table has to be so that its rows may go to other shards: the rules of CREATE TABLE, for a
table that is there."""

from __future__ import annotations

from dataclasses import replace

from shardrouter import types
from shardrouter.catalog import Catalog
from shardrouter.change_builder import ChangeBuilder
from shardrouter.definitions import PlaceTable
from shardrouter.dropping import referring_keys
from shardrouter.errors import NotSupported, StatementError
from shardrouter.namespaces import table_named
from shardrouter.placement_calls import is_placed
from shardrouter.references import check_placement
from shardrouter.tables import Index, Table

__all__ = ["place_table"]


def place_table(builder: ChangeBuilder, node: PlaceTable) -> None:
    """Raises StatementError and NotSupported."""
    catalog = builder.catalog
    table = table_named(catalog, node.table)
    if table.view is not None:
        raise StatementError(f'"{table.relname}" is not a table', sqlstate="42809")
    if is_placed(table, node.key):
        return
    if table.is_temporary:
        raise NotSupported(
            f'"{table.relname}" is temporary, and so whole on one shard',
            hint="Create a table that is not, and fill it from this one.",
        )
    if node.key is None:
        after = replace(table, placement="reference", shard_key="")
    else:
        after = replace(table, placement="sharded", shard_key=node.key)
        _check_key(after)
    _check_references(catalog, after)
    builder.put(after)
    if len(catalog.shards) > 1:
        builder.relocated = table.name


def _check_key(table: Table) -> None:
    key = table.column(table.shard_key)
    assert key is not None
    kind = types.of_column(key.type)
    if kind not in types.SHARD_KEY_TYPES:
        listed = ", ".join(sorted(kind.name for kind in types.SHARD_KEY_TYPES))
        raise NotSupported(
            f"a column of type {kind.name} cannot be the shard key",
            hint=f"A shard key is of one of the types {listed}.",
        )
    if key.is_generated:
        raise NotSupported(
            f'the generated column "{key.name}" cannot be the shard key',
            hint="Choose a column that an INSERT gives a value to.",
        )
    if not table.primary_key:
        raise NotSupported(
            f'table "{table.relname}" has no primary key, which a sharded table has',
            hint="Add one that includes the shard key: ALTER TABLE ... ADD PRIMARY KEY.",
        )
    uniques = [("PRIMARY KEY", table.primary_key)]
    uniques += [("UNIQUE", unique.columns) for unique in table.keys]
    for what, columns in uniques:
        if key.name not in columns:
            raise NotSupported(
                f'{what} ({", ".join(columns)}) does not include the column "{key.name}"',
                hint="Include it there, drop the constraint, or choose another column.",
            )
    for index in table.indexes:
        if index.unique and not _has(index, key.name):
            raise NotSupported(
                f'the unique index "{index.relname}" does not include the column "{key.name}"',
                hint="Include it there, drop the index, or choose another column.",
            )


def _has(index: Index, column: str) -> bool:
    return column in (index.columns or index.elements)


def _check_references(catalog: Catalog, after: Table) -> None:
    hint = " Drop the constraint, place both tables, and add it again."
    tables = {**catalog.tables, after.name: after}
    own = [(after, key) for key in after.foreign_keys]
    for child, key in [*own, *referring_keys(catalog, after)]:
        try:
            check_placement(child, tables[key.table], key)
        except NotSupported as exc:
            exc.hint += hint
            raise
