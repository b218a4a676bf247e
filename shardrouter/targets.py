"""The columns that a write sets, and the values for them."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter import syntax, types
from shardrouter.catalog import Column, Table
from shardrouter.errors import NotSupported, StatementError
from shardrouter.translate import Scope
from shardrouter.typed import Typed, constant

__all__ = ["default_of", "settings", "target_column"]


def target_column(table: Table, name: syntax.Name) -> Column:
    column = table.column(name.text)
    if column is None:
        raise StatementError(
            f'column "{name.text}" of relation "{table.relname}" does not exist',
            sqlstate="42703",
            position=name.position,
        )
    return column


def default_of(column: Column) -> Typed:
    """What DEFAULT means in place of a value."""
    kind = types.of_column(column.type)
    default = column.default
    if default is None:
        return constant(None, kind)
    return constant(default.value, kind) if default.is_constant else Typed(default.sql, kind)


def settings(
    assignments: Sequence[syntax.Assignment], table: Table, scope: Scope
) -> list[tuple[Column, Typed]]:
    """SET a = x, b = y, of UPDATE or of ON CONFLICT DO UPDATE."""
    found: list[tuple[Column, Typed]] = []
    for assignment in assignments:
        column = target_column(table, assignment.column)
        if any(column is known for known, _ in found):
            raise StatementError(
                f'multiple assignments to same column "{column.name}"',
                sqlstate="42601",
                position=assignment.column.position,
            )
        if scope.parent is not None and column.name == table.shard_key:
            raise NotSupported(
                f'changing the shard key "{column.name}" in ON CONFLICT is not supported',
                position=assignment.column.position,
                hint="UPDATE it by a statement of its own.",
            )
        value = assignment.value
        if isinstance(value, syntax.DefaultValue):
            found.append((column, default_of(column)))
        else:
            found.append((column, scope.assign(value, column)))
    return found
