"""Queries inside expressions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nodes.functions import FUNCTIONS
from shardrouter import array_forms, operators, syntax
from shardrouter.alike import is_random
from shardrouter.errors import StatementError
from shardrouter.sqlite_text import words
from shardrouter.typed import Typed, apply, boolean, collated, implicit
from shardrouter.types import TEXT

if TYPE_CHECKING:
    from shardrouter.outputs import Outputs
    from shardrouter.translate import Scope

__all__ = ["exists", "in_query", "quantified", "scalar"]

_ASKED_TWICE_MAX: Final = 10_000
"""Characters of a query that may stand twice in a text: one within the other, within another,
doubles it each time."""


def scalar(node: syntax.Subquery, scope: Scope) -> Typed:
    """Its one value, NULL without a row; several rows are an error (21000), which SQLite would
    not see."""
    outputs = _inner(node.query, scope)
    _one_column(outputs, node.position, "subquery must return only one column")
    (kind,) = outputs.kinds
    kind = kind or TEXT
    text = outputs.text((kind,))
    modifier = outputs.modifiers[0]
    if outputs.is_one_row:
        return Typed(f"({text})", kind, modifier=modifier)
    label = outputs.label(0)
    return Typed(
        f"(SELECT CASE WHEN pg_at_most_one(count(*)) THEN min({label}) END "
        f"FROM (SELECT * FROM ({text}) LIMIT 2))",
        kind,
        modifier=modifier,
    )


def exists(node: syntax.Exists, scope: Scope) -> Typed:
    return boolean(f"EXISTS ({_inner(node.query, scope).text()})")


def _inner(query: syntax.Query, scope: Scope) -> Outputs:
    return scope.statement.query(query, scope)


def _one_column(outputs: Outputs, position: int, message: str) -> None:
    if len(outputs.names) != 1:
        raise StatementError(message, sqlstate="42601", position=position)


def in_query(node: syntax.InQuery, scope: Scope) -> Typed:
    outputs = _inner(node.query, scope)
    operands = node.operand.items if isinstance(node.operand, syntax.Row) else (node.operand,)
    if len(outputs.names) != len(operands):
        many = "many" if len(outputs.names) > len(operands) else "few"
        raise StatementError(
            f"subquery has too {many} columns", sqlstate="42601", position=node.position
        )
    sides, kinds = [], []
    for operand, found in zip(operands, outputs.kinds, strict=True):
        kind = found or TEXT  # open columns are text, whatever they meet
        left = None if scope.is_open(operand) else scope.expression(operand)
        operator = operators.resolve(
            "=", left.type if left is not None else None, kind, node.position
        )
        assert operator.left is not None
        typed = implicit(left or scope.take(operand, operator.left), operator.left)
        sides.append(collated(replace(typed, type=operator.left)))
        kinds.append(operator.right)
    left_text = sides[0] if len(sides) == 1 else f"({', '.join(sides)})"
    among = outputs.text(kinds)
    text = f"({left_text} IN ({among}))"
    if _calls(left_text) and not is_random(among) and len(among) <= _ASKED_TWICE_MAX:
        # PostgreSQL does not compute the left side where the query has no row: it may be an error
        return boolean(f"(CASE WHEN EXISTS ({among}) THEN {text} ELSE 0 END)")
    return boolean(text)


def _calls(text: str) -> bool:
    """Whether it calls a function of a node, which may find no answer for what it is given."""
    return not words(text).isdisjoint(FUNCTIONS)


def quantified(node: syntax.Quantified, scope: Scope) -> Typed:
    """`x > ALL (query)`: NULL if it is neither true of all nor false of one, and so on."""
    if isinstance(node.source, syntax.Select | syntax.Values | syntax.SetOperation):
        query: syntax.Query = node.source
    else:
        return array_forms.quantified_array(node, scope)
    if node.operator == "=" and not node.all:
        return in_query(syntax.InQuery(node.operand, query, node.position), scope)
    if node.operator == "<>" and node.all:
        found = in_query(syntax.InQuery(node.operand, query, node.position), scope)
        return boolean(f"(NOT {found.sql})")
    outputs = _inner(query, scope)
    _one_column(outputs, node.position, "subquery has too many columns")
    kind = outputs.kinds[0] or TEXT
    left = None if scope.is_open(node.operand) else scope.expression(node.operand)
    operator = operators.resolve(
        node.operator, left.type if left is not None else None, kind, node.position
    )
    assert operator.left is not None
    typed = implicit(left or scope.take(node.operand, operator.left), operator.left)
    test = apply(operator, typed, Typed(outputs.label(0), operator.right))
    decided, empty = ("min(p) = 0 THEN 0", 1) if node.all else ("max(p) = 1 THEN 1", 0)
    return boolean(
        f"(SELECT CASE WHEN {decided} WHEN count(p) < count(*) THEN NULL ELSE {empty} END "
        f"FROM (SELECT {test.sql} AS p FROM ({outputs.text((operator.right,))})))"
    )
