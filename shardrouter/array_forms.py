"""Arrays in expressions: ARRAY[...], subscripts, ANY and ALL of an array."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shardrouter import casts, operators, syntax
from shardrouter.casts import Context
from shardrouter.errors import NotSupported, StatementError
from shardrouter.typed import Typed, apply, boolean, call, collated, constant, converted, implicit
from shardrouter.types import INTEGER, JSONB, NAME, TEXT, Type, array_of, is_integer

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["array", "quantified_array", "slice_of", "subscript"]


def array(node: syntax.ArrayItems, scope: Scope) -> Typed:
    if not node.items:
        raise StatementError(
            "cannot determine type of empty array",
            sqlstate="42P18",
            position=node.position,
            hint="Explicitly cast to the desired type, for example ARRAY[]::integer[].",
        )
    kind, typed = scope.alike(node.items, "ARRAY")
    array = array_of(kind)
    if array is None:
        raise NotSupported(f"an array of {kind.name} is not supported", position=node.position)
    known = [item.constant.value for item in typed if item.constant is not None]
    if len(known) == len(typed) and kind.sqlite not in ("BLOB", "REAL"):
        is_late = any(item.is_late for item in typed)
        return constant(call("pg_array", *known), array, is_late=is_late)
    return Typed(f"pg_array({', '.join(item.sql for item in typed)})", array)


def _element(typed: Typed, position: int) -> Type:
    if typed.type is NAME:
        raise NotSupported(
            "a subscript of a name is not supported", position=position, hint="Use substr()."
        )
    if typed.type.element is None:
        raise StatementError(
            f"cannot subscript type {typed.type.name} because it does not support subscripting",
            sqlstate="42804",
            position=position,
        )
    return typed.type.element


def _place(node: syntax.Expression, scope: Scope) -> Typed:
    """A subscript, which is assigned to an integer."""
    typed = scope.take(node, INTEGER)
    cast = casts.find(typed.type, INTEGER, Context.ASSIGNMENT)
    if cast is None:
        raise StatementError(
            "array subscript must have type integer",
            sqlstate="42804",
            position=syntax.position_of(node),
        )
    return converted(typed, cast)


def subscript(node: syntax.Subscript, scope: Scope) -> Typed:
    typed = scope.take(node.operand, TEXT)
    if typed.type is JSONB:
        key = TEXT if scope.is_open(node.index) else scope.expression(node.index).type
        wanted = INTEGER if is_integer(key) else TEXT
        if key is not wanted and casts.find(key, wanted, Context.IMPLICIT) is None:
            raise StatementError(
                f"subscript type {key.name} is not supported",
                sqlstate="42804",
                position=syntax.position_of(node.index),
                hint="jsonb subscript must be coercible to either integer or text.",
            )
        step = scope.coerced(node.index, wanted)
        if wanted is INTEGER:  # a key of an object, too
            cast = casts.find(INTEGER, TEXT, Context.EXPLICIT)
            assert cast is not None
            step = converted(step, cast)
        return Typed(f"pg_path_jsonb({typed.sql}, pg_array({step.sql}))", JSONB)
    element = _element(typed, syntax.position_of(node.operand))
    if node.goes_on:
        raise NotSupported(
            "a subscript of several dimensions is not supported",
            position=syntax.position_of(node.operand),
            hint="Arrays have one dimension here.",
        )
    index = _place(node.index, scope)
    if typed.type.counts_from == 0:
        index = Typed(f"({index.sql} + 1)", INTEGER)
    name = "pg_getbytes_array" if element.sqlite == "BLOB" else "pg_get_array"
    return Typed(f"{name}({typed.sql}, {index.sql})", element)


def slice_of(node: syntax.Slice, scope: Scope) -> Typed:
    typed = scope.take(node.operand, TEXT)
    _element(typed, syntax.position_of(node.operand))
    low = "1" if node.low is None else _place(node.low, scope).sql
    high = str(INTEGER.high) if node.high is None else _place(node.high, scope).sql
    return Typed(f"pg_slice_array({typed.sql}, {low}, {high})", typed.type)


def _known(array: Typed, element: Type) -> list[Typed]:
    """The elements of a constant array of numbers, texts or the like; none if it is no such."""
    stored = None if array.constant is None else array.constant.value
    if not isinstance(stored, str) or element.sqlite in ("BLOB", "REAL"):
        return []
    return [constant(value, element) for value in json.loads(stored)]


def quantified_array(node: syntax.Quantified, scope: Scope) -> Typed:
    """`operand operator ANY (array)`: NULL if it is neither true of one nor false of all."""
    assert not isinstance(node.source, syntax.Select | syntax.Values | syntax.SetOperation)
    left = None if scope.is_open(node.operand) else scope.expression(node.operand)
    if scope.is_open(node.source):
        wanted = TEXT if left is None else left.type
        array = array_of(wanted)
        if array is None:
            raise NotSupported(
                f"an array of {wanted.name} is not supported", position=node.position
            )
        source = scope.take(node.source, array)
    else:
        source = scope.expression(node.source)
    element = source.type.element
    if element is None:
        raise StatementError(
            f"op {'ALL' if node.all else 'ANY'}/{'ANY' if node.all else 'ALL'} (array) requires "
            "array on right side",
            sqlstate="42809",
            position=node.position,
        )
    value = "pg_bytes_array(value)" if element.sqlite == "BLOB" else "value"
    operator = operators.resolve(
        node.operator, left.type if left is not None else None, element, node.position
    )
    assert operator.left is not None
    typed = implicit(left or scope.take(node.operand, operator.left), operator.left)
    known = _known(source, element)
    if known and operator.sql and (node.operator, node.all) in (("=", False), ("<>", True)):
        side = collated(typed)
        items = ", ".join(implicit(item, operator.right).sql for item in known)
        return boolean(f"({side} {'NOT ' if node.all else ''}IN ({items}))")
    if scope.statement.outputs is None:
        raise NotSupported(
            "this form of ANY or ALL is not supported in the definition of a table",
            position=node.position,
            hint="Write IN or NOT IN with constants, or a function of the array.",
        )
    item = implicit(Typed(value, element), operator.right)
    rows = f"FROM json_each({source.sql})"
    if node.operator == "=" and not node.all and operator.sql:
        side = collated(typed)
        test = f"({side} IN (SELECT {item.sql} {rows}))"
    else:
        decided, empty = ("min(p) = 0 THEN 0", 1) if node.all else ("max(p) = 1 THEN 1", 0)
        test = (
            f"(SELECT CASE WHEN {decided} WHEN count(p) < count(*) THEN NULL ELSE {empty} END "
            f"FROM (SELECT {apply(operator, typed, item).sql} AS p {rows}))"
        )
    return boolean(f"(CASE WHEN {source.sql} IS NOT NULL THEN {test} END)")
