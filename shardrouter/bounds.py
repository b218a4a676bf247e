"""LIMIT and OFFSET."""

from __future__ import annotations

from typing import Final

from shardrouter import syntax, types
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import Constant, Operand
from shardrouter.translate import Scope
from shardrouter.typed import assigned

__all__ = ["bound", "check_bound", "limit_clause", "operand_text", "reach"]

INT8_MAX: Final = (1 << 63) - 1


def bound(scope: Scope, node: syntax.Expression | None, clause: str) -> Operand | None:
    """LIMIT or OFFSET as a constant or a parameter; NULL is none."""
    if node is None:
        return None
    position = syntax.position_of(node)
    before, scope.clause = scope.clause, clause
    given = scope.take(node, types.BIGINT)
    scope.clause = before
    typed = given if types.is_integer(given.type) else assigned(given, types.BIGINT, -1)
    if typed is None:
        raise StatementError(
            f"argument of {clause} must be type bigint, not type {given.type.name}",
            sqlstate="42804",
            position=position,
        )
    operand = typed.operand
    if operand is None:
        raise NotSupported(
            f"{clause} by an expression is not supported",
            position=position,
            hint="Pass the number as a parameter.",
        )
    if isinstance(operand, Constant):
        if operand.value is None:
            return None
        check_bound(operand.value, clause)
        return operand
    scope.statement.bounds.append((clause, operand))
    return operand


def check_bound(value: object, clause: str) -> None:
    """Raises PostgreSQL's error for a negative LIMIT or OFFSET, which SQLite reads as none."""
    if isinstance(value, int) and value < 0:
        raise StatementError(
            f"{clause} must not be negative",
            sqlstate="2201W" if clause == "LIMIT" else "2201X",
        )


def operand_text(operand: Operand) -> str:
    """As SQLite reads it."""
    return str(operand.value) if isinstance(operand, Constant) else f"?{operand.number}"


def limit_clause(limit: Operand | str | None, offset: Operand | None) -> str:
    """The clause for SQLite, where a LIMIT of -1 is none and NULL is an error."""
    if limit is None and offset is None:
        return ""
    if limit is None:
        text = "-1"
    elif isinstance(limit, str):
        text = limit
    elif isinstance(limit, Constant):
        text = operand_text(limit)
    else:
        text = f"CASE WHEN {operand_text(limit)} IS NULL THEN -1 ELSE {operand_text(limit)} END"
    if offset is None:
        return f" LIMIT {text}"
    start = operand_text(offset)
    if not isinstance(offset, Constant):
        start = f"CASE WHEN {start} IS NULL THEN 0 ELSE {start} END"
    return f" LIMIT {text} OFFSET {start}"


def reach(limit: Operand | None, offset: Operand | None) -> Operand | str | None:
    """How many rows of one shard can be among the answer: limit + offset. Of LIMIT 0 none: with it
    PostgreSQL computes no row, and so meets no error in one."""
    if limit is None:
        return None
    if offset is None:
        return limit
    if isinstance(limit, Constant) and isinstance(offset, Constant):
        assert isinstance(limit.value, int)
        assert isinstance(offset.value, int)
        return Constant(min(limit.value + offset.value, INT8_MAX) if limit.value else 0)
    a, b = operand_text(limit), operand_text(offset)
    # SQLite's + becomes a float where it overflows, and a float is no LIMIT.
    return (
        f"CASE WHEN {a} IS NULL OR {b} > {INT8_MAX} - {a} THEN -1 "
        f"WHEN {b} IS NULL OR {a} = 0 THEN {a} ELSE {a} + {b} END"
    )
