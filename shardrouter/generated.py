"""Generated columns: GENERATED ALWAYS AS (expression) STORED, which SQLite has as well.

The expression lies where a DEFAULT would (`Default.is_generated`), as in PostgreSQL's catalogs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Final

from shardrouter import syntax
from shardrouter.definition_parts import ColumnDefinition
from shardrouter.errors import NotSupported, StatementError
from shardrouter.tables import Column, Default, Table
from shardrouter.translate import table_scope
from shardrouter.typed import Parameters
from shardrouter.written import columns_of, columns_written

__all__ = [
    "check_key",
    "generated_from",
    "not_settable",
    "refuse_selected",
    "with_generated",
    "without_generated",
    "without_settings",
]

_CHANGING: Final = frozenset(
    """
    age array_to_string clock_timestamp concat concat_ws current_database current_date
    current_schema current_setting current_time current_timestamp current_user date_part date_trunc
    extract format gen_random_uuid json_agg json_build_array json_build_object jsonb_build_array
    jsonb_build_object localtime localtimestamp now random row_to_json session_user
    statement_timestamp timeofday to_char to_date to_json to_jsonb to_timestamp
    transaction_timestamp unique_id user uuidv7 version
    """.split()  # noqa: SIM905 -- a list of names
)
"""Functions that PostgreSQL does not call IMMUTABLE, for any or for some of their arguments."""

_OF_SESSION: Final = ("date", "time", "timestamp", "timestamptz", "interval")
"""Casts to these read a text as the session's settings say."""


def with_generated(table: Table, definitions: Sequence[ColumnDefinition]) -> Table:
    """The table with the expressions of those columns that have one. Raises 42P17, 42804."""
    generated = {d.name.text for d in definitions if d.generated is not None}
    generated |= {column.name for column in table.columns if column.is_generated}
    for definition in definitions:
        if definition.generated is not None:
            table = _with_expression(table, definition, definition.generated, generated)
    check_key(table)
    return table


def _with_expression(
    table: Table, definition: ColumnDefinition, node: syntax.Expression, generated: set[str]
) -> Table:
    column = table.column(definition.name.text)
    assert column is not None
    used = next((name for name in columns_of(node) if name in generated), None)
    if used is not None:
        raise StatementError(
            f'cannot use generated column "{used}" in column generation expression',
            sqlstate="42P17",
            detail="A generated column cannot reference another generated column.",
            position=syntax.position_of(node),
        )
    _check_immutable(node)
    parameters = Parameters(())
    typed = table_scope(parameters, table).assign(node, column)
    if parameters.oids():
        raise StatementError("there is no parameter $1", sqlstate="42P02")
    default = Default(
        typed.sql, is_constant=False, source=definition.default_source, is_generated=True
    )
    columns = tuple(
        replace(known, default=default) if known is column else known for known in table.columns
    )
    return replace(table, columns=columns)


def _check_immutable(node: object) -> None:
    if isinstance(node, syntax.Call) and node.name in _CHANGING:
        raise StatementError(
            "generation expression is not immutable", sqlstate="42P17", position=node.position
        )
    if (
        isinstance(node, syntax.TypeCast)
        and not isinstance(node.operand, syntax.StringLiteral)
        and node.type.name.startswith(_OF_SESSION)
    ):
        raise NotSupported(
            f"a cast to {node.type.name} in a generated column is not supported",
            position=node.type.position,
            hint="Compute it in the statements that write the columns it is made of.",
        )
    if isinstance(node, tuple):
        for part in node:
            _check_immutable(part)
    elif is_dataclass(node):
        for field in fields(node):
            _check_immutable(getattr(node, field.name))


def check_key(table: Table) -> None:
    """SQLite keeps rows by their primary key, and computes columns of rows that it has."""
    for column in table.columns:
        if column.is_generated and column.name in (*table.primary_key, table.shard_key):
            raise NotSupported(
                f'the generated column "{column.name}" in a primary key is not supported',
                hint="Make it UNIQUE, and another column the primary key.",
            )


def generated_from(table: Table, column: str) -> list[Column]:
    """The generated columns of a table that are computed from this one."""
    return [
        known
        for known in table.columns
        if known.default is not None
        and known.is_generated
        and column in columns_written(known.default.source)
    ]


def not_settable(table: Table, column: Column) -> StatementError:
    return StatementError(
        f'column "{column.name}" of relation "{table.relname}" is a generated column',
        sqlstate="42601",
    )


def without_generated(node: syntax.Insert, table: Table) -> syntax.Insert:
    """The INSERT without its DEFAULTs for generated columns. Raises 428C9 for other values; those
    of a query are `refuse_selected`'s."""
    generated = {column.name for column in table.columns if column.is_generated}
    if not generated or node.rows == ((),) or node.query is not None:
        return node
    if node.columns is not None:
        names = node.columns
    else:
        names = tuple(syntax.Name(column.name) for column in table.columns)
    width = len(node.rows[0])
    if width > len(names) or any(len(row) != width for row in node.rows):
        return node  # an error, which the analysis tells
    kept = [i for i, name in enumerate(names[:width]) if name.text not in generated]
    for row in node.rows:
        for i, value in enumerate(row):
            if i not in kept and not isinstance(value, syntax.DefaultValue):
                raise _not_default(names[i].text)
    if not kept:
        return replace(node, columns=None, rows=((),))
    rows = tuple(tuple(row[i] for i in kept) for row in node.rows)
    return replace(node, columns=tuple(names[i] for i in kept), rows=rows)


def refuse_selected(columns: Sequence[Column]) -> None:
    """Raises 428C9 if a query gives a value to one of these that is generated."""
    for column in columns:
        if column.is_generated:
            raise _not_default(column.name)


def without_settings(
    assignments: tuple[syntax.Assignment, ...], table: Table
) -> tuple[syntax.Assignment, ...]:
    """SET without DEFAULTs for generated columns. Raises 428C9 for other values."""
    kept = []
    for assignment in assignments:
        column = table.column(assignment.column.text)
        if column is None or not column.is_generated:
            kept.append(assignment)
        elif not isinstance(assignment.value, syntax.DefaultValue):
            raise StatementError(
                f'column "{column.name}" can only be updated to DEFAULT',
                sqlstate="428C9",
                position=assignment.column.position,
                detail=f'Column "{column.name}" is a generated column.',
            )
    if assignments and not kept:
        raise NotSupported(
            "setting nothing but generated columns is not supported",
            position=assignments[0].column.position,
            hint="They follow the columns that they are made of.",
        )
    return tuple(kept)


def _not_default(column: str) -> StatementError:
    return StatementError(
        f'cannot insert a non-DEFAULT value into column "{column}"',
        sqlstate="428C9",
        detail=f'Column "{column}" is a generated column.',
    )
