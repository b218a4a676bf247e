"""DROP COLUMN and DROP CONSTRAINT of ALTER TABLE, and what goes with them."""

from __future__ import annotations

from dataclasses import replace

from shardrouter.alter_definitions import DropColumn, DropConstraint
from shardrouter.change_builder import ChangeBuilder
from shardrouter.dropping import (
    Dependent,
    dependents_of,
    drop_dependents,
    keys_without_index,
    referring_keys,
    unreferred,
    views_reading,
    without_default,
    without_key,
    without_relation,
)
from shardrouter.errors import NotSupported, StatementError
from shardrouter.generated import generated_from
from shardrouter.namespaces import described
from shardrouter.tables import Column, Index, Table
from shardrouter.written import columns_written

__all__ = ["drop_column", "drop_constraint"]


def drop_column(builder: ChangeBuilder, name: str, action: DropColumn) -> bool:
    """Whether there was anything to drop."""
    table = builder.table(name)
    column = table.column(action.name.text)
    if column is None:
        message = f'column "{action.name.text}" of relation "{table.relname}" does not exist'
        if not action.if_exists:
            raise StatementError(message, sqlstate="42703")
        builder.notice(f"{message}, skipping")
        return False
    _check_can_go(table, column)
    used = generated_from(table, column.name)
    if used:
        raise NotSupported(
            f'dropping "{column.name}", which "{used[0].name}" is computed from, is not supported',
            hint=f'DROP COLUMN "{used[0].name}" first.',
        )
    label = f"column {column.name} of {described(builder.catalog, table)}"
    found = _dependents(builder, table, column, label)
    for dependent in drop_dependents(builder, found, label, cascade=action.cascade):
        dependent.remove(builder)
    before = builder.table(name)
    builder.put(_without_column(before, column.name))
    unreferred(builder, before)
    for sequence in list(builder.catalog.sequences.values()):
        if sequence.owner == (name, column.name):
            builder.remove_sequence(sequence.name)
    return True


def _check_can_go(table: Table, column: Column) -> None:
    if column.name == table.shard_key:
        raise NotSupported(
            f'dropping the shard key "{column.name}" is not supported',
            hint="Create a table with another one, INSERT ... SELECT, and rename it.",
        )
    if column.name in table.primary_key and table.placement == "sharded":
        raise _keyless(table)
    if len(table.columns) == 1:
        raise NotSupported(
            f'"{column.name}" is the only column of "{table.relname}": a table without columns is '
            "not supported",
            hint="DROP TABLE, or add another column first.",
        )


def _keyless(table: Table) -> NotSupported:
    return NotSupported(
        f'the sharded table "{table.relname}" needs its primary key',
        hint="Create a home table, WITH (home = true), INSERT ... SELECT, and rename it.",
    )


def _dependents(
    builder: ChangeBuilder, table: Table, column: Column, label: str
) -> list[Dependent]:
    catalog = builder.catalog
    keys = referring_keys(catalog, table)
    keys += [(table, key) for key in table.foreign_keys if key.table == table.name]
    found = [
        Dependent(
            f"constraint {key.name} on {described(catalog, child)}",
            label,
            without_key(child.name, key.name),
        )
        for child, key in keys
        if column.name in key.references
    ]
    views = views_reading(catalog, table, column.name)
    found += [
        Dependent(described(catalog, view), label, without_relation(view.name)) for view in views
    ]
    found += dependents_of(catalog, views)
    owned = {s.name for s in catalog.sequences.values() if s.owner == (table.name, column.name)}
    found += [
        Dependent(
            f"default value for column {other.name} of {described(catalog, user)}",
            label,
            without_default(user.name, other.name),
        )
        for user in catalog.tables.values()
        for other in user.columns
        if other.default is not None
        and other.default.sequence in owned
        and (user.name, other.name) != (table.name, column.name)
    ]
    return found


def _without_column(table: Table, name: str) -> Table:
    def stays(index: Index) -> bool:
        texts = [*index.elements, *([index.where] if index.where else [])]
        return not any(name in columns_written(text) for text in texts)

    has_key = name not in table.primary_key
    return replace(
        table,
        columns=tuple(column for column in table.columns if column.name != name),
        primary_key=table.primary_key if has_key else (),
        primary=table.primary if has_key else "",
        primary_comment=table.primary_comment if has_key else "",
        keys=tuple(key for key in table.keys if name not in key.columns),
        checks=tuple(c for c in table.checks if name not in columns_written(c.source)),
        foreign_keys=tuple(key for key in table.foreign_keys if name not in key.columns),
        indexes=tuple(filter(stays, table.indexes)),
    )


def drop_constraint(builder: ChangeBuilder, name: str, action: DropConstraint) -> None:
    table, wanted = builder.table(name), action.name.text
    known = {table.primary, *(key.name for key in table.keys)} - {""}
    known |= {check.name for check in table.checks} | {key.name for key in table.foreign_keys}
    if wanted not in known:
        message = f'constraint "{wanted}" of relation "{table.relname}" does not exist'
        if not action.if_exists:
            raise StatementError(message, sqlstate="42704")
        builder.notice(f"{message}, skipping")
        return
    if wanted == table.primary and table.placement == "sharded":
        raise _keyless(table)
    is_primary = wanted == table.primary
    after = replace(
        table,
        primary="" if is_primary else table.primary,
        primary_key=() if is_primary else table.primary_key,
        primary_comment="" if is_primary else table.primary_comment,
        keys=tuple(key for key in table.keys if key.name != wanted),
        checks=tuple(check for check in table.checks if check.name != wanted),
        foreign_keys=tuple(key for key in table.foreign_keys if key.name != wanted),
    )
    catalog = builder.catalog
    found = [
        Dependent(
            f"constraint {key.name} on {described(catalog, child)}",
            f"index {wanted}",
            without_key(child.name, key.name),
        )
        for child, key in keys_without_index(catalog, after)
    ]
    label = f"constraint {wanted} on {described(catalog, table)}"
    dependents = drop_dependents(builder, found, label, cascade=action.cascade)
    builder.put(after)
    unreferred(builder, table)
    for dependent in dependents:
        dependent.remove(builder)
