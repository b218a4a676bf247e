"""ALTER COLUMN ... TYPE: how the values of a column become those of another type, and what else of
the table was written for the type it had."""

from __future__ import annotations

from dataclasses import replace

from shardrouter import casts, types
from shardrouter.alter_definitions import AlterType
from shardrouter.casts import Context
from shardrouter.change_builder import ChangeBuilder
from shardrouter.ddl import check_of, index_of
from shardrouter.dropping import referring_keys, views_over
from shardrouter.errors import NotSupported, StatementError
from shardrouter.generated import generated_from
from shardrouter.namespaces import described
from shardrouter.pinned import pinned
from shardrouter.planned import Constant
from shardrouter.references import check_types
from shardrouter.tables import Column, Default, Index, Table
from shardrouter.translate import table_scope
from shardrouter.typed import Parameters, Typed, assigned, literal, quote
from shardrouter.written import columns_written

__all__ = ["retyped"]


def retyped(
    builder: ChangeBuilder, before: Table, name: str, action: AlterType
) -> tuple[bool, bool]:
    """Give a column another type. `before` is the table before all actions, which USING sees.
    Answers whether rows can refuse it, and whether it cannot be undone."""
    table = builder.table(name)
    column = table.column(action.name.text)
    assert column is not None
    written = action.type
    kind, modifier = types.resolve(
        written.name, written.modifiers, written.position, builder.catalog.own_type
    )
    after = replace(column, type=kind.in_catalog, modifier=modifier)
    source = types.of_column(column.type)
    _check_kept(builder, table, column, source, kind)
    text = _values(before, column, kind, modifier, action, builder.catalog.own_type)
    if column.name == table.shard_key and len(builder.catalog.shards_of(table)) > 1:
        _check_key_kept(column, kind, text, action)
    after = replace(after, default=_default(column, source, kind, modifier))
    columns = tuple(after if known.name == column.name else known for known in table.columns)
    changed = replace(table, columns=columns)
    own = builder.catalog.own_type
    indexes = tuple(
        index_of(changed, _pinned_index(index, table, own))
        if not index.columns
        and any(column.name in columns_written(s) for s in (*index.elements, index.where) if s)
        else index
        for index in changed.indexes
    )
    checks = tuple(
        check_of(changed, replace(check, source=pinned(check.source, table, own)))
        if column.name in columns_written(check.source)
        else check
        for check in changed.checks
    )
    changed = replace(changed, indexes=indexes, checks=checks)
    builder.put(changed)
    for key in changed.foreign_keys:
        if column.name in key.columns:
            parent = builder.table(key.table)
            check_types(changed, parent, key.columns, key.references, key.name)
    for child, key in referring_keys(builder.catalog, changed):
        if column.name in key.references:
            check_types(child, changed, key.columns, key.references, key.name)
    if text != quote(column.name):
        builder.compute(name, {column.name: text}, {column.name: quote(column.name)})
    is_wider = _is_wider(source, column.modifier, kind, modifier) and action.using is None
    return not is_wider, text != quote(column.name)


def _pinned_index(index: Index, table: Table, own: types.OwnTypes) -> Index:
    elements = tuple(pinned(source, table, own) for source in index.elements)
    return replace(
        index, elements=elements, where=pinned(index.where, table, own) if index.where else ""
    )


def _is_wider(source: types.Type, before: int, kind: types.Type, after: int) -> bool:
    """Whether every value stays as it is stored."""
    if types.is_integer(source) and types.is_integer(kind):
        return source.low >= kind.low
    if types.is_text(source) and kind in (types.TEXT, types.VARCHAR):
        return source is not types.BPCHAR and (after < 0 or 0 <= before <= after)
    return False


def _check_kept(
    builder: ChangeBuilder, table: Table, column: Column, source: types.Type, kind: types.Type
) -> None:
    """What depends on the type, and cannot change with it."""
    used = generated_from(table, column.name)
    if used:
        raise StatementError(
            "cannot alter type of a column used by a generated column",
            sqlstate="0A000",
            detail=f'Column "{column.name}" is used by generated column "{used[0].name}".',
        )
    if column.is_generated:
        raise NotSupported(
            "changing the type of a generated column is not supported",
            hint="DROP it and ADD it with the other type: its values are computed again.",
        )
    for view in views_over(builder.catalog, table.name):
        if view.view is not None and any(
            known.relation == table.name and column.name in dict(known.columns).values()
            for known in view.view.names
        ):
            raise StatementError(
                "cannot alter type of a column used by a view or rule",
                sqlstate="0A000",
                detail=f"rule _RETURN on {described(builder.catalog, view)} depends on column "
                f'"{column.name}"',
            )
    alike = kind is source or (types.is_integer(kind) and types.is_integer(source))
    if column.name == table.shard_key and not (alike or _both_text(kind, source)):
        raise NotSupported(
            f'the shard key "{column.name}" cannot become {kind.name}: its rows would be on other '
            "shards",
            hint="Create a table with the other type, INSERT ... SELECT, and rename it.",
        )


def _check_key_kept(column: Column, kind: types.Type, text: str, action: AlterType) -> None:
    """The values of a shard key stay what they are: integers do, of any size."""
    stays = types.is_integer(kind) if action.using is None else False
    if text != quote(column.name) and not stays:
        raise NotSupported(
            f'the shard key "{column.name}" cannot have other values: its rows would be on other '
            "shards",
            hint="Create a table with the values that it is to have, INSERT ... SELECT, and rename "
            "it.",
        )


def _both_text(*kinds: types.Type) -> bool:
    return all(kind in (types.TEXT, types.VARCHAR) for kind in kinds)


def _values(
    before: Table,
    column: Column,
    kind: types.Type,
    modifier: int,
    action: AlterType,
    own: types.OwnTypes,
) -> str:
    """SQLite's text of the new values, over the row as it was."""
    shown = types.shown(kind)
    source = types.of_column(column.type)
    if action.using is None:
        typed = Typed(quote(column.name), source, modifier=column.modifier)
        found = assigned(typed, kind, modifier)
        if found is not None:
            return found.sql
        is_castable = casts.find(source, kind, Context.EXPLICIT) is not None
        raise StatementError(
            f'column "{column.name}" cannot be cast automatically to type {shown}',
            sqlstate="42804",
            hint=f'You might need to specify "USING {column.name}::{shown}".'
            if is_castable
            else "",
        )
    parameters = Parameters(())
    after = replace(column, type=kind.in_catalog, modifier=modifier)
    try:
        sql = table_scope(parameters, before, own=own).assign(action.using, after).sql
    except StatementError as exc:
        if exc.sqlstate != "42804":
            raise
        raise StatementError(
            f'result of USING clause for column "{column.name}" cannot be cast automatically to '
            f"type {shown}",
            sqlstate="42804",
            hint="You might need to add an explicit cast.",
        ) from exc
    if parameters.oids():
        raise StatementError("there is no parameter $1", sqlstate="42P02")
    return sql


def _default(column: Column, source: types.Type, kind: types.Type, modifier: int) -> Default | None:
    default = column.default
    if default is None or default.sequence or (source is kind and modifier == column.modifier):
        return default
    known = Constant(default.value) if default.is_constant else None
    typed = Typed(default.sql, source, known, modifier=column.modifier)
    found = assigned(typed, kind, modifier)
    if found is None:
        raise StatementError(
            f'default for column "{column.name}" cannot be cast automatically to type '
            f"{types.shown(kind)}",
            sqlstate="42804",
        )
    if found.constant is not None:
        return replace(default, sql=literal(found.constant.value), value=found.constant.value)
    return replace(default, sql=found.sql, is_constant=False, value=None)
