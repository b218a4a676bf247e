"""Two servers' answers to one statement: the same, refused here, or different."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from tests.suites.differential.constructs import OIDS
from tests.suites.pgclient import Answer, Column

__all__ = ["EXPLAINED", "REFUSED", "UNPROMISED", "difference", "explained", "is_refusal"]

REFUSED: Final = "0A000"

FIRST_OWN_TYPE: Final = 16384
"""PostgreSQL numbers from here what clients define."""

OWN_NOTICE: Final = "rows of several shards"
"""PostgreSQL has no shards to say it of."""

_ARRAYS: Final = frozenset({OIDS["int4[]"], OIDS["text[]"]})

ROWS_SHOWN: Final = 6


def is_refusal(answers: Sequence[Answer]) -> bool:
    """This database says that it does not have what was asked for, or not so much of it."""
    return any(
        answer.sqlstate == REFUSED or _is_own_limit(answer.error or {}) for answer in answers
    )


def _is_own_limit(error: Mapping[str, str]) -> bool:
    return error.get("C") == "54000" and error.get("M", "").endswith(" is not supported")


EXPLAINED: Final = (
    (
        """Of two errors in one statement the other one may be told: PostgreSQL promises no order
        among constants that cannot be computed (class 22) and what cannot be understood (class
        42), and looks at the clauses in an order of its own. The test asks both servers for each
        of the two errors by itself, and they must agree.""",
        re.compile(r"(22|42)...\Z"),
        re.compile(r"(22|42)...\Z"),
    ),
)
"""Differences that stay, with the SQLSTATEs of ours and theirs."""


UNPROMISED: Final = (
    """Whether what cannot be computed fails where no row needs it, or where another operand is
    NULL: that is the planner's matter in PostgreSQL, which promises no order of evaluation. Here
    what is constant by its own text is computed while planning, the rest for each row. Where a
    statement finds no row here, or may not write (25006), and fails there, EXPLAIN of it has to
    fail there too, with the same SQLSTATE: it plans and reads nothing.""",
    """Which of several rows that fail is met first: rows have no order but that of ORDER BY. Tables
    here are read in the order of their keys, those of PostgreSQL mostly as their rows were written,
    so that another row's error may be told. PostgreSQL has to tell ours once its tables are
    rewritten by their keys (`CLUSTER`), with the same plan and nothing else changed.""",
    """An ORDER BY that PostgreSQL does not keep: where a join holds two columns equal and grouping
    sets make one of them NULL, its planner still takes them for equal, and sorts by one of them
    only. It has to have our order once the same rows are sorted apart from what made them
    (`WITH made AS MATERIALIZED ...`).""",
    """Which modifier (the scale of a numeric, the length of a varchar) PostgreSQL tells of a column
    once its planner has computed constants, as in `CASE WHEN true THEN ...`: it says another one
    when it only describes the statement, and that one is told here.""",
    """Whether an array in the binary format is flagged as one that may have NULLs, where it has
    none: PostgreSQL does so for some slices and some results of functions.""",
)
"""What is left out of the comparison."""


def explained(ours: str, theirs: str) -> str:
    """Why both may fail, with different SQLSTATEs, in a sentence; empty if there is no reason."""
    for why, own, other in EXPLAINED:
        if own.match(ours) and other.match(theirs):
            return why
    return ""


def difference(ours: Sequence[Answer], theirs: Sequence[Answer], *, is_ordered: bool = True) -> str:
    """The first difference, in one line that begins with its kind; empty if there is none."""
    if len(ours) != len(theirs):
        return f"answers: {len(ours)} instead of {len(theirs)}"
    for own, other in zip(ours, theirs, strict=True):
        found = _one(own, other, is_ordered=is_ordered)
        if found:
            return found
    return ""


def _one(ours: Answer, theirs: Answer, *, is_ordered: bool) -> str:
    if ours.sqlstate != theirs.sqlstate:
        return f"error: {_outcome(ours)} instead of {_outcome(theirs)}"
    if ours.error is not None:
        return ""  # how many rows were on their way before it is nobody's promise
    if _numbered(ours.parameters) != _numbered(theirs.parameters):
        return f"parameters: {ours.parameters} instead of {theirs.parameters}"
    if _described(ours.columns) != _described(theirs.columns):
        return f"columns: {_columns(ours.columns)} instead of {_columns(theirs.columns)}"
    own, other = _unflagged(ours), _unflagged(theirs)
    if own != other:
        if sorted(map(repr, own)) != sorted(map(repr, other)):
            return f"rows: {_rows(ours)} instead of {_rows(theirs)}"
        if is_ordered:
            return f"order: {_rows(ours)} instead of {_rows(theirs)}"
    if ours.copying != theirs.copying:
        return f"copying: {ours.copying!r} instead of {theirs.copying!r}"
    if ours.copied != theirs.copied and (
        is_ordered or sorted(ours.copied.split(b"\n")) != sorted(theirs.copied.split(b"\n"))
    ):
        return f"copied: {ours.copied!r} instead of {theirs.copied!r}"
    if ours.tag != theirs.tag:
        return f"tag: {ours.tag!r} instead of {theirs.tag!r}"
    levels = [
        [(n.get("S"), n.get("C")) for n in answer.notices if not n["M"].startswith(OWN_NOTICE)]
        for answer in (ours, theirs)
    ]
    if levels[0] != levels[1]:
        return f"notices: {levels[0]} instead of {levels[1]}"
    return ""


def _unflagged(answer: Answer) -> list[tuple[bytes | None, ...]]:
    """Its rows, without the flag of arrays in the binary format (see `UNPROMISED`), and without the
    number of their elements' type if a client has defined it."""
    ends = [
        12 if column.type >= FIRST_OWN_TYPE else 8 if column.type in _ARRAYS else 0
        for column in answer.columns or ()
    ]
    if not any(ends):
        return answer.rows
    return [
        tuple(
            cell[:4] + cell[end:] if end and cell is not None and cell[:3] == b"\0\0\0" else cell
            for cell, end in zip(row, ends, strict=False)
        )
        for row in answer.rows
    ]


def _numbered(types: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Types of parameters. The number of one that a client has defined is each server's own."""
    return None if types is None else tuple(min(oid, FIRST_OWN_TYPE) for oid in types)


def _described(columns: tuple[Column, ...] | None) -> tuple[Column, ...] | None:
    """The number of a type that a client has defined is each server's own."""
    if columns is None:
        return None
    return tuple(replace(c, type=min(c.type, FIRST_OWN_TYPE)) for c in columns)


def _outcome(answer: Answer) -> str:
    if answer.error is not None:
        return f"{answer.sqlstate} ({answer.error.get('M')})"
    return f"{answer.tag or 'no answer'} {_rows(answer) if answer.rows else ''}".strip()


def _columns(columns: tuple[Column, ...] | None) -> str:
    if columns is None:
        return "none"
    return ", ".join(f"{c.name}:{c.type}:{c.size}:{c.modifier}" for c in columns)


def _rows(answer: Answer) -> str:
    shown = [
        "(" + ", ".join("NULL" if v is None else v.decode(errors="replace") for v in row) + ")"
        for row in answer.rows[:ROWS_SHOWN]
    ]
    more = len(answer.rows) - len(shown)
    return " ".join(shown) + (f" and {more} more" if more else "")
