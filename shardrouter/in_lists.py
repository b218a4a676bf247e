"""`x IN (a, b, ...)`: PostgreSQL compares with an array of the items that name no column, if these
have a type in common, and with each of the others by itself (transformAExprIn)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from shardrouter import syntax, types
from shardrouter.common_types import common_type
from shardrouter.errors import StatementError
from shardrouter.lazy_constants import names_columns
from shardrouter.typed import Typed, boolean, collated
from shardrouter.types import TEXT, Type

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["in_list"]


def in_list(node: syntax.InList, scope: Scope) -> tuple[Typed, list[tuple[Typed, Typed]]]:
    """The test as a boolean, and the sides of each comparison it stands for."""
    position = syntax.position_of(node.operand)
    is_open = scope.is_open(node.operand)
    if isinstance(node.operand, syntax.ParameterReference) and is_open:
        scope.take(node.operand, _deduced(node, node.operand, scope))
    node = replace(node, items=_alike_items(node, scope, is_open=is_open))
    if isinstance(node.operand, syntax.Row):
        tests = [scope.binary(syntax.Binary("=", node.operand, i, position)) for i in node.items]
        return boolean(f"({' OR '.join(test.sql for test in tests)})"), []
    compared = [
        scope.comparison(syntax.Binary("=", node.operand, item, position)) for item in node.items
    ]
    pairs = [(left, right) for _, left, right in compared]
    first = pairs[0][0]
    if any(left.sql != first.sql or left.type is not first.type for left, _ in pairs):
        return boolean(f"({' OR '.join(test.sql for test, _, _ in compared)})"), pairs
    items = ", ".join(right.sql for _, right in pairs)
    return boolean(f"({collated(first)} IN ({items}))"), pairs


def _deduced(node: syntax.InList, parameter: syntax.ParameterReference, scope: Scope) -> Type:
    """The type of an open parameter before IN: what an array of the items that name no column
    would have; without one, what every comparison by itself finds, which must be the same."""
    alone = [item for item in node.items if not names_columns(item)]
    kinds = [None if scope.is_open(i) else scope.expression(i).type for i in alone]
    found: list[Type] = []
    if len(alone) > 1:
        with suppress(StatementError):
            found = [common_type(kinds, "IN")]
        if found and found[0].element is not None:  # there are no arrays of arrays
            found = []
    first: list[Type] = []
    if not found:
        found = [TEXT if scope.is_open(i) else scope.expression(i).type for i in node.items]
    elif any(_is_same(parameter, item) for item in alone):
        first = found  # of the array, before it is compared
    found = first + [TEXT if kind is types.VARCHAR else kind for kind in found]  # has no operators
    if any(kind is not found[0] for kind in found):
        raise StatementError(
            f"inconsistent types deduced for parameter ${parameter.number}",
            sqlstate="42P08",
            position=parameter.position,
        )
    return found[0]


def _is_same(parameter: syntax.ParameterReference, node: syntax.Expression) -> bool:
    return isinstance(node, syntax.ParameterReference) and node.number == parameter.number


def _alike_items(
    node: syntax.InList, scope: Scope, *, is_open: bool
) -> tuple[syntax.Expression, ...]:
    """The items of which open ones have the common type of all that name no column, and of the
    operand unless that `is_open`: PostgreSQL compares with an array of them. With one such item it
    does not."""
    alone = [item for item in node.items if not names_columns(item)]
    if len(alone) < 2 or isinstance(node.operand, syntax.Row):
        return node.items
    if not any(scope.is_open(item) for item in alone):
        return node.items
    known = alone if is_open else [node.operand, *alone]
    kinds = [None if scope.is_open(i) else scope.expression(i).type for i in known]
    try:
        common = common_type(kinds, "IN")
    except StatementError:
        return node.items  # each is compared by itself
    if common.element is not None:
        return node.items
    # character without a length is of one character
    name = syntax.TypeName("bpchar" if common is types.BPCHAR else common.name)
    items = []
    for item in node.items:
        if scope.is_open(item) and isinstance(item, syntax.ParameterReference):
            scope.take(item, common)
        is_literal = isinstance(item, syntax.StringLiteral | syntax.NullLiteral)
        items.append(syntax.TypeCast(item, name) if is_literal else item)
        if is_literal:
            scope.expression(items[-1])  # read before any operator is looked for
    return tuple(items)
