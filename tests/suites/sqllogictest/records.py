"""Files of sqllogictest: statements and queries with the answers that are right.

The format is SQLite's (https://sqlite.org/sqllogictest): records separated by empty lines,
`statement ok` or `statement error`, `query TYPES SORT [LABEL]` with the values behind `----`, one
on each line, or their number and MD5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Record", "judge", "parse"]


@dataclass(frozen=True)
class Record:
    """One statement or query of a file."""

    line: int
    sql: str
    is_query: bool
    must_fail: bool = False
    types: str = ""
    sort: str = ""
    expected: tuple[str, ...] = ()


def parse(text: str, engine: str = "postgresql") -> Iterator[Record]:
    """The records that are for `engine`. Raises ValueError naming the line."""
    number = 1
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = block.split("\n")
        start, number = number, number + len(lines) + 1
        lines = [line for line in lines if not line.startswith("#")]
        while lines and not lines[0].strip():
            lines.pop(0)
        is_for_us = True
        while lines and lines[0].split()[0] in ("skipif", "onlyif"):
            kind, name = lines.pop(0).split()[:2]
            is_for_us = is_for_us and (kind == "onlyif") is (name == engine)
        if not lines:
            continue
        words = lines[0].split()
        match words[0]:
            case "statement":
                if is_for_us:
                    yield Record(start, "\n".join(lines[1:]), False, words[1] == "error")
            case "query":
                cut = lines.index("----") if "----" in lines else len(lines)
                expected = [line for line in lines[cut + 1 :] if line]
                if is_for_us:
                    yield Record(
                        start,
                        "\n".join(lines[1:cut]),
                        True,
                        types=words[1],
                        sort=words[2] if len(words) > 2 else "nosort",
                        expected=tuple(expected),
                    )
            case "hash-threshold":
                pass
            case "halt":
                if is_for_us:
                    return
            case other:
                raise ValueError(f"line {start}: {other!r} is no record of sqllogictest")


def judge(record: Record, rows: Sequence[Sequence[object]]) -> str:
    """What is wrong with the answer; empty if it is right."""
    for row in rows:
        if len(row) != len(record.types):
            return f"{len(row)} columns instead of {len(record.types)}"
    shown = [[_shown(v, t) for v, t in zip(row, record.types, strict=True)] for row in rows]
    if record.sort == "rowsort":
        shown.sort()
    values = [value for row in shown for value in row]
    if record.sort == "valuesort":
        values.sort()
    if len(record.expected) == 1 and " values hashing to " in record.expected[0]:
        digest = hashlib.md5("".join(f"{value}\n" for value in values).encode()).hexdigest()
        found = f"{len(values)} values hashing to {digest}"
        return "" if found == record.expected[0] else f"{found} instead of {record.expected[0]}"
    if tuple(values) != record.expected:
        return f"{values[:20]} instead of {list(record.expected[:20])}"
    return ""


def _shown(value: object, kind: str) -> str:
    """As the files write a value of type `kind`: I an integer, R a real, T a text."""
    if value is None:
        return "NULL"
    if kind == "I":
        return str(int(value))  # type: ignore[call-overload]
    if kind == "R":
        return f"{float(value):.3f}"  # type: ignore[arg-type]
    text = str(value)
    return "".join(c if " " <= c <= "~" else "@" for c in text) if text else "(empty)"
