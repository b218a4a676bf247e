"""Statements that the comparison is about, as data: a name and an example for each construct.

The examples use the tables of `TABLES`. The grammar makes larger ones of the same constructs,
by these names. They stand in `statements.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["STATEMENTS", "TABLES", "StatementExample"]

TABLES: Final = (
    "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c bigint, f float8, ok bool)",
    "CREATE TABLE u (id int PRIMARY KEY, t_id int, n bigint)",
    "INSERT INTO t VALUES (1, 10, 'x', 100, 0.5, true), (2, 20, 'y', 225, 1.5, false)",
    "INSERT INTO t (id, a) VALUES (3, 10)",
    "INSERT INTO u VALUES (1, 1, 100), (2, 1, 200), (3, 2, 300), (4, NULL, 400)",
)


@dataclass(frozen=True)
class StatementExample:
    """One construct: its statements run in this order."""

    section: str
    name: str
    script: tuple[str, ...]


def _examples(text: str) -> Iterator[StatementExample]:
    section = ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            name, _, script = line.partition(" | ")
            yield StatementExample(section, name, tuple(script.split("; ")))


STATEMENTS: Final = tuple(
    _examples(Path(__file__).with_name("statements.txt").read_text(encoding="utf-8"))
)
