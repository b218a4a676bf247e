"""FOREIGN KEY: whether the table referred to has such a key, and its rows are on the same shard."""

from __future__ import annotations

from shardrouter import syntax, types
from shardrouter.catalog import Catalog
from shardrouter.definition_parts import ForeignKeyDefinition
from shardrouter.errors import NotSupported, StatementError
from shardrouter.namespaces import table_named
from shardrouter.tables import ForeignKey, Table

__all__ = ["check_placement", "check_types", "foreign_key"]


def foreign_key(
    table: Table, node: ForeignKeyDefinition, name: str, catalog: Catalog
) -> ForeignKey:
    """The constraint `name` of `table`. Raises PostgreSQL's errors, and NotSupported where a row
    and what it refers to may be on different shards."""
    parent = _parent(table, node.table, catalog)
    columns = _columns(table, node.columns)
    if node.references:
        references = _columns(parent, node.references)
    elif parent.primary_key:
        references = parent.primary_key
    else:
        raise StatementError(
            f'there is no primary key for referenced table "{parent.relname}"', sqlstate="42704"
        )
    if len(columns) != len(references):
        raise StatementError(
            "number of referencing and referenced columns for foreign key disagree",
            sqlstate="42830",
        )
    keys = [set(parent.primary_key), *(set(unique) for unique in parent.unique)]
    if set(references) not in keys:
        raise StatementError(
            "there is no unique constraint matching given keys for referenced table "
            f'"{parent.relname}"',
            sqlstate="42830",
        )
    check_types(table, parent, columns, references, name)
    key = ForeignKey(
        name,
        columns,
        parent.name,
        references,
        node.on_delete,
        node.on_update,
        deferral=node.deferral,
    )
    check_placement(table, parent, key, node.position)
    return key


def _parent(table: Table, name: syntax.Name, catalog: Catalog) -> Table:
    """`table` itself may be new, and is found where it is going to be."""
    if name.text == table.relname and name.schema in ("", table.schema):
        places = catalog.search_path if not name.schema else (table.schema,)
        before = places[: places.index(table.schema)] if table.schema in places else ()
        if not any((place, name.text) in catalog.relations for place in before):
            return table
    parent = table_named(catalog, name)
    if parent.view is not None:
        raise StatementError(
            f'referenced relation "{parent.relname}" is not a table', sqlstate="42809"
        )
    if parent.is_temporary != table.is_temporary:
        what = "temporary" if table.is_temporary else "permanent"
        raise StatementError(
            f"constraints on {what} tables may reference only {what} tables", sqlstate="42P16"
        )
    return parent


def _columns(table: Table, names: tuple[syntax.Name, ...]) -> tuple[str, ...]:
    for name in names:
        if table.column(name.text) is None:
            raise StatementError(
                f'column "{name.text}" referenced in foreign key constraint does not exist',
                sqlstate="42703",
            )
    return tuple(name.text for name in names)


def check_types(
    table: Table, parent: Table, columns: tuple[str, ...], references: tuple[str, ...], name: str
) -> None:
    for one, other in zip(columns, references, strict=True):
        column, referred = table.column(one), parent.column(other)
        assert column is not None
        assert referred is not None
        kinds = types.of_column(column.type), types.of_column(referred.type)
        alike = kinds[0] is kinds[1] or all(map(types.is_integer, kinds))
        if alike or all(map(types.is_text, kinds)):
            continue
        if all(map(types.is_number, kinds)):
            raise NotSupported(
                f'foreign key constraint "{name}" compares {kinds[0].name} with {kinds[1].name}',
                hint="Give both columns the same type.",
            )
        raise StatementError(
            f'foreign key constraint "{name}" cannot be implemented',
            sqlstate="42804",
            detail=f'Key columns "{one}" and "{other}" are of incompatible types: '
            f"{types.shown(kinds[0])} and {types.shown(kinds[1])}.",
        )


def check_placement(table: Table, parent: Table, key: ForeignKey, position: int = 0) -> None:
    """Whether a row and what it refers to are always on one shard. Raises NotSupported."""
    if parent.placement == "reference" or (table.placement == parent.placement == "home"):
        return
    pairs = dict(zip(key.columns, key.references, strict=True))
    if table.placement == parent.placement == "sharded" and (
        pairs.get(table.shard_key) == parent.shard_key
    ):
        if "SET" in key.on_delete or "SET" in key.on_update:
            raise NotSupported(
                f"ON DELETE {key.on_delete} ON UPDATE {key.on_update} would change the shard key",
                position=position,
                hint="Write NO ACTION or CASCADE.",
            )
        return
    raise NotSupported(
        f'a foreign key from "{table.relname}" ({table.placement}) to "{parent.relname}" '
        f"({parent.placement}) is not supported: the row it refers to may be on another shard",
        position=position,
        hint=f'Make "{parent.relname}" a reference table, or both home tables, or shard both by '
        "the columns of this key and include their shard keys in it.",
    )
