"""PostgreSQL's keywords: which words are names only in quotes, and what the refused ones are.

A word that PostgreSQL reserves never names a column or table without quotes: `SELECT user`
is a function there, so it must not read a column called user here (PostgreSQL 15, appendix C).
"""

from __future__ import annotations

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
    ["current_catalog", "current_role", "current_schema", "current_user", "session_user", "user"]
)

_ONE_TABLE = "Read one table at a time and join in the application."
_NO_AGGREGATES = "Over a table there is count(*); aggregate its rows in the application."
_TIME = "Pass the time as a parameter."
_HINTS: Final = {
    "all": "Leave it out, or spell the comparison with AND and OR.",
    "any": "Write IN (...) with one parameter for each value.",
    "array": "Write IN (...) with one parameter for each value.",
    "case": "Decide in the application, or split the statement by WHERE.",
    "check": "Check the value in the application.",
    "collate": "Text compares by code point, as PostgreSQL's collation C does.",
    "cross": _ONE_TABLE,
    "current_date": _TIME,
    "current_time": _TIME,
    "current_timestamp": _TIME,
    "distinct": "Remove duplicates in the application.",
    "except": _ONE_TABLE,
    "fetch": "Write LIMIT.",
    "for": "Every statement is a unit of its own: put the condition into the WHERE of the UPDATE.",
    "foreign": "Foreign keys are not supported; leave it out.",
    "full": _ONE_TABLE,
    "group": _NO_AGGREGATES,
    "having": _NO_AGGREGATES,
    "ilike": "Filter in the application.",
    "inner": _ONE_TABLE,
    "intersect": _ONE_TABLE,
    "join": _ONE_TABLE,
    "lateral": _ONE_TABLE,
    "left": _ONE_TABLE,
    "like": "Compare with >= and < for a prefix, or filter in the application.",
    "localtime": _TIME,
    "localtimestamp": _TIME,
    "natural": _ONE_TABLE,
    "references": "Foreign keys are not supported; leave it out.",
    "returning": "Supply every value with the statement and use what you supplied.",
    "right": _ONE_TABLE,
    "similar": "Filter in the application.",
    "symmetric": "Put the lower bound first.",
    "union": "Send one SELECT after the other.",
    "using": _ONE_TABLE,
    "window": _NO_AGGREGATES,
}


def refusal_hint(word: str) -> str:
    """What to do instead of the refused keyword; empty if there is nothing to say."""
    return _HINTS.get(word, "")
