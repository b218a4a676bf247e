"""PostgreSQL's keywords: which words are names only in quotes, and what the refused ones are.

A word that PostgreSQL reserves never names a column or table without quotes: `SELECT user`
is a function there, so it must not read a column called user here (PostgreSQL 15, appendix C).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["RESERVED", "CALLED_WITHOUT_PARENTHESES", "refusal_hint"]

RESERVED: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast
    check collate collation column concurrently constraint create cross current_catalog
    current_date current_role current_schema current_time current_timestamp current_user
    default deferrable desc distinct do else end except false fetch for foreign freeze from
    full grant group having ilike in initially inner intersect into is isnull join lateral
    leading left like limit localtime localtimestamp natural not notnull null offset on only
    or order outer overlaps placing primary references returning right select session_user
    similar some symmetric table tablesample then to trailing true union unique user using
    variadic verbose when where window with
    """.split()  # noqa: SIM905 -- eighty words read better than eighty lines
)

CALLED_WITHOUT_PARENTHESES: Final = frozenset(
    """
    current_catalog current_date current_role current_schema current_time current_timestamp
    current_user localtime localtimestamp session_user user
    """.split()  # noqa: SIM905 -- a list of words
)

_HINTS: Final = {
    "check": "Check the value in the application.",
    "collate": "Text compares by code point, as PostgreSQL's collation C does.",
    "foreign": "Foreign keys are not supported; leave it out.",
    "references": "Foreign keys are not supported; leave it out.",
    "similar": "Write LIKE, or several of them with OR.",
    "tablesample": "Filter by a column.",
    "variadic": "Write the elements out.",
}


def refusal_hint(word: str) -> str:
    """What to do instead of the refused keyword; empty if there is nothing to say."""
    return _HINTS.get(word, "")


_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*", re.ASCII)


def quoted(name: str) -> str:
    """A name as it stands in a statement: in quotes if it needs them."""
    if _PLAIN.fullmatch(name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'
