"""Conditions of a catalog query for a pattern of names. Pure."""

from __future__ import annotations

from shardrouter.cli.shell.arguments import Pattern

__all__ = ["condition", "literal"]


def literal(text: str) -> str:
    """As a string of SQL, whatever it holds."""
    doubled = text.replace("'", "''")
    if "\\" in text:
        doubled = doubled.replace("\\", "\\\\")
        return f"E'{doubled}'"
    return f"'{doubled}'"


def condition(pattern: Pattern, name: str, *, schema: str = "", visible: str = "") -> str:
    """`AND ...` for each part. name, schema: the columns that hold them; visible: what holds of
    an object that needs no schema before its name."""
    parts = []
    if pattern.name is not None:
        parts.append(_matches(name, pattern.name))
    if pattern.schema is not None and schema:
        parts.append(_matches(schema, pattern.schema))
    if visible and not pattern.is_qualified:
        parts.append(visible)
    return "".join(f"  AND {part}\n" for part in parts)


def _matches(column: str, expression: str) -> str:
    return f"{column} OPERATOR(pg_catalog.~) {literal(expression)} COLLATE pg_catalog.default"
