"""Texts for SQLite that were made here, read again: which columns and parameters they name.

Every column of a table is written `tN."name"` and every parameter `?N` (`shardrouter.relations`),
so that a text says by itself what it reads. Strings and names in quotes are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["Named", "names_of", "relations_read", "renamed", "renumbered", "words"]

_TOKEN: Final = re.compile(
    r"""'(?:[^']|'')*'"""
    r"""|\bt(?P<relation>\d+)\.(?:"(?P<column>(?:[^"]|"")*)")?"""
    r"""|"(?:[^"]|"")*\""""
    r"""|\?(?P<parameter>\d+)"""
    r"""|(?P<word>[A-Za-z_]\w*)"""
)


_SOURCE: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"(?: AS t(\d+)\b)?""")
_PARAMETER: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\?(\d+)""")


class Named(NamedTuple):
    """What a text names: it is read once for both."""

    columns: Mapping[int, frozenset[str]]
    """The columns of tables, by the number of their relation."""
    words: frozenset[str]
    """Keywords, and the names of functions and of whatever stands without quotes."""


def names_of(text: str) -> Named:
    found: dict[int, set[str]] = {}
    said = set()
    for relation, column, _, word in _TOKEN.findall(text):
        if word:
            said.add(word)
        elif column:
            found.setdefault(int(relation), set()).add(column.replace('""', '"'))
    columns = {number: frozenset(names) for number, names in found.items()}
    return Named(columns, frozenset(said))


def relations_read(text: str) -> frozenset[int]:
    """The relations of which it names a column, of whatever kind they are."""
    return frozenset(
        int(token["relation"]) for token in _TOKEN.finditer(text) if token["relation"] is not None
    )


def words(text: str) -> frozenset[str]:
    """The words alone of what it names."""
    found = {word for *_, word in _TOKEN.findall(text)}
    found.discard("")
    return frozenset(found)


def renamed(text: str, sources: Mapping[int, str]) -> tuple[str, frozenset[str]]:
    """The text with some tables of its FROM called something else, by the numbers they have, and
    which of these names it now has."""
    used = set()

    def new(token: re.Match[str]) -> str:
        name = token[1] and sources.get(int(token[1]))
        if not name:
            return token[0]
        used.add(name)
        return f"{name} AS t{token[1]}"

    made = _SOURCE.sub(new, text)
    return made, frozenset(used)


def renumbered(text: str) -> tuple[str, tuple[int, ...]]:
    """The text with its parameters numbered without gaps, and the number that each had: SQLite
    wants as many values as the highest number."""
    if "?" not in text:
        return text, ()
    order: dict[int, int] = {}

    def new(token: re.Match[str]) -> str:
        number = token[1]
        if number is None:
            return token[0]
        return f"?{order.setdefault(int(number), len(order) + 1)}"

    made = _PARAMETER.sub(new, text)
    return made, tuple(order)
