"""Operators and casts: for every pair of types what a real PostgreSQL 15 said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shardrouter import casts, operators
from shardrouter.casts import Context
from shardrouter.errors import StatementError
from shardrouter.types import DOUBLE, INTEGER, NUMERIC, TEXT, TYPES

RECORDED = Path(__file__).parent.parent / "testdata" / "postgresql"
ASKED_ARRAYS = ("_int4", "_int8", "_text", "_varchar", "_numeric", "_uuid")
KINDS = {
    kind.short: kind
    for kind in TYPES.values()
    if kind.element is None or kind.short in ASKED_ARRAYS
}

TEXTS = ("text", "varchar", "bpchar", "name")
"""Of an element of one of these types and an array of another, PostgreSQL takes either."""

SHORTS = {kind.short for kind in TYPES.values()}

OF_RANGES = ("@>", "<@", "&&", "?|")
"""PostgreSQL has these for ranges and shapes too, which makes more of them ambiguous."""


def _recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / name).read_text("utf-8"))
    return found


@pytest.mark.parametrize("symbol", sorted({symbol for symbol, _ in operators.OPERATORS}))
def test_an_operator_is_the_one_that_postgresql_chooses(symbol: str) -> None:
    expected = _recorded("operators.json")[symbol]
    for left in ("", "unknown", *KINDS):
        for right in ("unknown", *KINDS):
            if not left and (symbol, 1) not in operators.OPERATORS:
                continue
            wanted = expected.get(f"{left} {right}", "42883")
            if wanted not in SHORTS and not wanted.startswith("42"):
                wanted = "42883"  # of a type that is not here
            found = _chosen(symbol, left, right)
            if symbol in OF_RANGES and wanted == "42725":
                continue
            sides = (left.removeprefix("_"), right.removeprefix("_"))
            if symbol == "||" and set(sides) <= set(TEXTS) and sides != (left, right):
                continue
            assert found == wanted, f"{left} {symbol} {right}"


def _chosen(symbol: str, left: str, right: str) -> str:
    """The type of the result, or the SQLSTATE."""
    try:
        if left:
            return operators.resolve(symbol, KINDS.get(left), KINDS.get(right)).result.short
        return operators.resolve_prefix(symbol, KINDS.get(right)).result.short
    except StatementError as exc:
        return exc.sqlstate


def test_a_cast_is_allowed_where_postgresql_allows_it() -> None:
    expected = _recorded("casts.json")
    for source in KINDS.values():
        for target in KINDS.values():
            cast = casts.find(source, target, Context.EXPLICIT)
            found = "iae"[cast.context] if cast is not None else None
            key = f"{source.short} {target.short}"
            assert found == expected.get(key), key


def test_the_error_names_both_sides() -> None:
    with pytest.raises(StatementError, match=r"operator does not exist: integer = text") as error:
        operators.resolve("=", INTEGER, TEXT, 5)
    assert (error.value.sqlstate, error.value.position) == ("42883", 5)
    with pytest.raises(StatementError, match=r"operator is not unique: unknown \+ unknown"):
        operators.resolve("+", None, None)


def test_a_numeric_that_meets_a_double_becomes_one() -> None:
    assert operators.resolve("+", NUMERIC, DOUBLE).operands == (DOUBLE, DOUBLE)
    assert operators.resolve("+", NUMERIC, INTEGER).operands == (NUMERIC, NUMERIC)
