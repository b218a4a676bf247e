"""`SELECT create_distributed_table(...)` and `create_reference_table(...)`, by which Citus
says where the rows of a table are.

A table is placed when it is created. So for one that is placed as they ask, which is what a schema
written for Citus mostly comes to, they have nothing to do; the rows of any other are moved
(`shardrouter.relocation`).
"""

from __future__ import annotations

from shardrouter import syntax, types
from shardrouter.catalog import Catalog
from shardrouter.definitions import PlaceTable
from shardrouter.errors import NotSupported, StatementError
from shardrouter.namespaces import table_named
from shardrouter.planned import Answer, ResultColumn, SchemaChange
from shardrouter.sequence_calls import sequence_named
from shardrouter.tables import Table

__all__ = ["is_placed", "placement_call"]


def placement_call(node: syntax.Statement, catalog: Catalog) -> Answer | SchemaChange | None:
    """What it comes to, if the statement is such a call alone; else None."""
    if not isinstance(node, syntax.Select) or len(node.items) != 1:
        return None
    (item,) = node.items
    call = item.expression if isinstance(item, syntax.SelectItem) else None
    if not isinstance(call, syntax.Call):
        return None
    if call.name not in ("create_distributed_table", "create_reference_table"):
        return None
    names = [sequence_named(argument) for argument in call.arguments]
    wanted = 2 if call.name == "create_distributed_table" else 1
    if len(names) != wanted or names[0] is None or names[-1] is None:
        raise NotSupported(
            f"this form of {call.name} is not supported",
            position=call.position,
            hint="There are create_distributed_table('table', 'column') and "
            "create_reference_table('table').",
        )
    key = names[-1].text if wanted == 2 else None
    columns = (ResultColumn(call.name, types.TEXT.oid),)
    if is_placed(table_named(catalog, names[0]), key):
        return Answer("SELECT", columns, (("",),))
    return SchemaChange("SELECT 1", PlaceTable(names[0], key), columns)


def is_placed(table: Table, key: str | None) -> bool:
    """Whether its rows are where the call wants them. Raises 42703."""
    if key is None:
        return table.placement == "reference"
    if table.column(key) is None:
        raise StatementError(
            f'column "{key}" of relation "{table.relname}" does not exist', sqlstate="42703"
        )
    return table.shard_key == key
