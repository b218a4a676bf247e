"""Errors of constraints in PostgreSQL's words: a shard tells the row, the catalog the names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from nodes.protocol import Value, Violation
from nodes.values import ValueFormatError, encode_text
from shardrouter import types
from shardrouter.catalog import Catalog
from shardrouter.errors import RouterError
from shardrouter.keywords import RESERVED
from shardrouter.tables import Column, Table

__all__ = ["explain"]

SHOWN_BYTES_MAX: Final = 64
"""Of each value of a failing row, as in PostgreSQL."""


def explain(error: RouterError, catalog: Catalog) -> RouterError:
    """The error, with message, detail and names if it is one of a constraint of a known table."""
    violation = error.violation
    table = None if violation is None else catalog.tables.get(violation.table)
    if violation is None or table is None:
        return error
    error.schema, error.table = table.schema, table.relname
    match violation.kind:
        case "not null":
            (error.column,) = violation.columns
            error.message = (
                f'null value in column "{error.column}" of relation "{table.relname}" '
                "violates not-null constraint"
            )
            error.detail = _failing_row(table, violation.values)
        case "check":
            error.constraint = violation.constraint
            error.message = (
                f'new row for relation "{table.relname}" violates check constraint '
                f'"{violation.constraint}"'
            )
            error.detail = _failing_row(table, violation.values)
        case "unique":
            error.constraint = _unique_name(table, violation)
            error.message = f'duplicate key value violates unique constraint "{error.constraint}"'
            error.detail = _key(
                table, violation.columns, violation.values, "already exists.", quoted=True
            )
        case "reference" | "referenced":
            _explain_reference(error, table, violation, catalog)
    error.args = (error.message,)
    return error


def _explain_reference(
    error: RouterError, table: Table, violation: Violation, catalog: Catalog
) -> None:
    key = next(
        (
            key
            for key in table.foreign_keys
            if key.columns == violation.columns and key.table == violation.parent
        ),
        None,
    )
    parent = catalog.tables.get(violation.parent)
    if key is None or parent is None:
        return
    error.constraint = key.name
    if violation.kind == "reference":
        error.message = (
            f'insert or update on table "{table.relname}" violates foreign key constraint '
            f'"{key.name}"'
        )
        what = f'is not present in table "{parent.relname}".'
        error.detail = _key(table, key.columns, violation.values, what)
        return
    error.message = (
        f'update or delete on table "{parent.relname}" violates foreign key constraint '
        f'"{key.name}" on table "{table.relname}"'
    )
    what = f'is still referenced from table "{table.relname}".'
    error.detail = _key(parent, key.references, violation.values, what)


def _unique_name(table: Table, violation: Violation) -> str:
    if violation.constraint:
        named = [i.relname for i in table.indexes if i.name == violation.constraint]
        return named[0] if named else violation.constraint
    if violation.columns == table.primary_key:
        return table.primary
    names = [key.name for key in table.keys if key.columns == violation.columns]
    names += [i.relname for i in table.indexes if i.unique and i.columns == violation.columns]
    return names[0] if names else f"{table.relname}_{'_'.join(violation.columns)}_key"


_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*")


def _key(
    table: Table,
    columns: Sequence[str],
    values: Sequence[Value],
    what: str,
    *,
    quoted: bool = False,
) -> str:
    """PostgreSQL quotes names where they are those of an index."""
    if len(values) != len(columns):
        return ""
    shown = []
    for name, value in zip(columns, values, strict=True):
        column = table.column(name)
        shown.append("" if column is None else _text(value, column))
    names = [
        '"' + name.replace('"', '""') + '"' if quoted and _needs_quotes(name) else name
        for name in columns
    ]
    return f"Key ({', '.join(names)})=({', '.join(shown)}) {what}"


def _needs_quotes(name: str) -> bool:
    return _PLAIN.fullmatch(name) is None or name in RESERVED


def _failing_row(table: Table, values: Sequence[Value]) -> str:
    if len(values) != len(table.columns):
        return ""
    texts = []
    for value, column in zip(values, table.columns, strict=True):
        text = _text(value, column)
        if len(text.encode()) > SHOWN_BYTES_MAX:
            text = text.encode()[:SHOWN_BYTES_MAX].decode(errors="ignore") + "..."
        texts.append(text)
    return f"Failing row contains ({', '.join(texts)})."


def _text(value: Value, column: Column) -> str:
    if value is None:
        return "null"
    try:
        return encode_text(value, types.of_column(column.type).oid).decode()
    except (ValueFormatError, ValueError):
        return str(value)  # it was cut
