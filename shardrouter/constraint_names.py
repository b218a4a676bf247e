"""Names of constraints, indexes and sequences that the statement leaves open, as PostgreSQL makes
them (`ChooseConstraintName`, `makeObjectName`): table, columns, kind, a number if that is taken."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count

from shardrouter.lexer import NAME_BYTES_MAX

__all__ = ["choose"]


def choose(table: str, columns: str, label: str, taken: Collection[str]) -> str:
    """`table_columns_label`, or with a number behind it that makes it new."""
    for number in count():
        name = _made(table, columns, label if number == 0 else f"{label}{number}")
        if name not in taken:
            return name
    raise AssertionError("numbers do not end")


def _made(first: str, second: str, label: str) -> str:
    """The longer of the two parts is cut until the whole fits."""
    ends = [part for part in (label,) if part]
    room = NAME_BYTES_MAX - sum(len(part.encode()) + 1 for part in ends) - (1 if second else 0)
    one, two = first.encode(), second.encode()
    while len(one) + len(two) > room:
        if len(one) > len(two):
            one = one[:-1]
        else:
            two = two[:-1]
    parts = [part.decode(errors="ignore") for part in (one, two)]
    return "_".join([*(part for part in parts if part), *ends])
