"""Queries that clients send, and what PostgreSQL answered: to be asked again, of either.

An OID that is not PostgreSQL's own has no meaning but for who gave it, so both are written as the
name of what they number: `{oid:book}` in a query is the number of that relation there, and in an
answer it stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = [
    "CLIENTS",
    "DIRECTORY",
    "NAMES_OF_OIDS",
    "Answer",
    "filled",
    "in_order",
    "queries",
    "renamed",
    "statements",
]

DIRECTORY: Final = Path(__file__).parents[1] / "testdata" / "catalog_queries"

CLIENTS: Final = ("asyncpg", "django", "pgcli", "psql", "psycopg", "sqlalchemy")
"""Whose queries there are."""

NAMES_OF_OIDS: Final = """
    SELECT oid, relname::text FROM pg_catalog.pg_class WHERE oid >= 16384
    UNION ALL SELECT oid, 'constraint ' || conname FROM pg_catalog.pg_constraint WHERE oid >= 16384
    UNION ALL SELECT oid, 'type ' || typname FROM pg_catalog.pg_type WHERE oid >= 16384
    UNION ALL SELECT oid, 'default ' || adnum::text FROM pg_catalog.pg_attrdef WHERE oid >= 16384
    UNION ALL SELECT oid, 'database' FROM pg_catalog.pg_database WHERE datname = current_database()
    UNION ALL SELECT oid, 'schema ' || nspname FROM pg_catalog.pg_namespace
        WHERE nspname = 'information_schema'
"""
"""What numbers mean where this is asked."""

Answer = dict[str, Any]
"""`columns`: name and type of each; `rows`: of texts."""


def statements(text: str) -> list[str]:
    return [part.strip() for part in re.split(r";\s*(?:\n|\Z)", text) if part.strip()]


def queries(name: str) -> list[str]:
    """The queries that one client sends."""
    return statements((DIRECTORY / f"{name}.sql").read_text(encoding="utf-8"))


_MARK: Final = re.compile(r"\{oid:([^}]*)\}")


_ORDERED: Final = re.compile(r"ORDER\s+BY[^()]*\Z", re.IGNORECASE)


def in_order(query: str, rows: list[list[str | None]]) -> list[list[str | None]]:
    """The rows as they are compared: sorted, if the query says nothing of their order."""
    return rows if _ORDERED.search(query) else sorted(rows, key=str)


def filled(query: str, oids: Mapping[str, int]) -> str:
    return _MARK.sub(lambda match: str(oids[match[1]]), query)


def renamed(
    rows: Sequence[Sequence[str | None]], names: Mapping[str, str]
) -> list[list[str | None]]:
    """Rows with names for the numbers that are in them."""

    def cell(text: str | None) -> str | None:
        if text is None:
            return None
        return re.sub(r"(?<![\w.])\d{4,}(?![\w.])", lambda m: _shown(m[0], names), text)

    return [[cell(text) for text in row] for row in rows]


def _shown(digits: str, names: Mapping[str, str]) -> str:
    return f"{{{names[digits]}}}" if digits in names else digits
