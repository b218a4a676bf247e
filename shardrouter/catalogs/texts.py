"""Definitions as PostgreSQL writes them out: of constraints, indexes, defaults."""

from __future__ import annotations

import re
from typing import Final

from nodes.values import encode_text
from shardrouter import types
from shardrouter.catalogs import deparse
from shardrouter.catalogs.objects import Constraint, IndexKey, Objects, TableObject
from shardrouter.catalogs.quoting import quoted
from shardrouter.made_keys import is_made
from shardrouter.tables import Column, Table, View

__all__ = [
    "check_text",
    "constraint_text",
    "default_text",
    "element_text",
    "index_text",
    "relation_text",
    "view_text",
]


def relation_text(objects: Objects, oid: int) -> str | None:
    """A relation as regclass shows it: with its schema where its name alone means another."""
    relation = objects.relations.get(oid)
    if relation is None:
        return None
    name = quoted(relation.name)
    return name if objects.is_visible(oid) else f"{quoted(relation.schema)}.{name}"


def _columns(table: TableObject, keys: tuple[int, ...]) -> str:
    return ", ".join(quoted(table.columns[key - 1].name) for key in keys)


def check_text(source: str, table: Table, *, pretty: bool = False) -> str:
    """A condition, in the parentheses that it needs."""
    return deparse.condition(source, table, pretty=pretty) or f"({source})"


def constraint_text(constraint: Constraint, objects: Objects, *, pretty: bool = False) -> str:
    """pg_get_constraintdef."""
    table = objects.tables[constraint.table]
    columns = _columns(table, constraint.keys)
    match constraint.kind:
        case "p":
            return f"PRIMARY KEY ({columns})"
        case "u":
            return f"UNIQUE ({columns})"
        case "c":
            text = check_text(constraint.source, table.table, pretty=pretty)
            return f"CHECK ({text})"
        case "f":
            other = objects.tables[constraint.referred]
            text = f"FOREIGN KEY ({columns}) REFERENCES {relation_text(objects, other.oid)}"
            text += f"({_columns(other, constraint.referred_keys)})"
            if constraint.on_update != "NO ACTION":
                text += f" ON UPDATE {constraint.on_update}"
            if constraint.on_delete != "NO ACTION":
                text += f" ON DELETE {constraint.on_delete}"
            return text + _DEFERRALS[constraint.deferral]


_DEFERRALS: Final = {
    "": "",
    "immediate": " DEFERRABLE",
    "deferred": " DEFERRABLE INITIALLY DEFERRED",
}

_CALL: Final = re.compile(r"[A-Za-z_][\w$]*\s*\(.*\)\Z", re.DOTALL)


def element_text(index: IndexKey, table: TableObject, at: int, *, pretty: bool = False) -> str:
    """One element of an index: a column, or an expression in the parentheses it needs."""
    key = index.keys[at]
    if key:
        return quoted(table.columns[key - 1].name)
    written = index.elements[at].strip()
    source = deparse.condition(written, table.table, pretty=pretty) or written
    return source if _CALL.match(source) else f"({source})"


def _class(index: IndexKey, at: int) -> str:
    name = index.classes[at] if index.classes else ""
    return f" {name}" if name else ""


def _order(option: int) -> str:
    return {0: "", 1: " DESC NULLS LAST", 2: " NULLS FIRST", 3: " DESC"}[option]


def index_text(index: IndexKey, table: TableObject, *, pretty: bool = False) -> str:
    """pg_get_indexdef; a `pretty` one has no parentheses that are not needed."""
    parts = [
        element_text(index, table, at, pretty=pretty) + _class(index, at) + _order(option)
        for at, option in enumerate(index.options)
    ]
    text = (
        f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {quoted(index.name)} ON "
        f"{quoted(table.schema)}.{quoted(table.name)} USING btree ({', '.join(parts)})"
    )
    if not index.where:
        return text
    return f"{text} WHERE {check_text(index.where, table.table, pretty=pretty)}"


_BARE: Final = (types.INTEGER, types.BOOLEAN)


def default_text(column: Column, table: Table | None = None) -> str | None:
    """pg_get_expr of a column's default, or of what a column of `table` is generated as."""
    default = column.default
    if default is None:
        return None
    if default.is_generated and table is not None:
        return deparse.condition(default.source, table) or default.source
    if is_made(default.sequence):
        return default.source
    if default.sequence:
        return f"nextval('{quoted(default.sequence)}'::regclass)"
    kind = types.of_column(column.type)
    if default.source:
        return deparse.default(default.source, kind) or default.source
    if not default.is_constant:
        return default.sql
    value = default.value
    if kind is types.BOOLEAN:
        return "true" if value else "false"
    text = encode_text(value, kind.oid).decode()
    if types.is_number(kind):
        is_negative = text.startswith("-")
        if kind is types.INTEGER and not is_negative:
            return text
        if not is_negative and re.fullmatch(r"\d+(\.\d+)?", text) and kind in _WRITTEN_PLAIN:
            return text
        return f"'{text}'::{types.shown(kind)}"
    escaped = text.replace("'", "''")
    return f"'{escaped}'::{kind.name if kind is not types.BPCHAR else 'bpchar'}"


_WRITTEN_PLAIN: Final = frozenset(
    {types.SMALLINT, types.BIGINT, types.NUMERIC, types.REAL, types.DOUBLE}
)
"""A constant of another type is written with the type it had before its cast: 0 for each."""


def view_text(view: View) -> str:
    """pg_get_viewdef: what was written."""
    return f" {view.text};"
