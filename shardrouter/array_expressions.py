"""Arrays in expressions: ARRAY[...], subscripts, and `x = ANY (array)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardrouter import casts, operators, syntax
from shardrouter.casts import Context
from shardrouter.errors import NotSupported, StatementError
from shardrouter.typed import Typed, apply, boolean, constant, converted, implicit
from shardrouter.typed import call as computed
from shardrouter.types import ARRAY_OF, INTEGER, TEXT, Type

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["items", "quantified", "subscript"]


def items(node: syntax.ArrayItems, scope: Scope) -> Typed:
    """ARRAY[a, b, ...], of the type that all of them can have."""
    if not node.items:
        raise StatementError(
            "cannot determine type of empty array",
            sqlstate="42P18",
            position=node.position,
            hint="Explicitly cast to the desired type, for example ARRAY[]::integer[].",
        )
    kind, typed = scope.alike(node.items, "ARRAY")
    array = _array_of(kind, node.position)
    known = [item.constant.value for item in typed if item.constant is not None]
    if len(known) == len(typed):
        return constant(computed("pg_array", *known), array)
    return Typed(f"pg_array({', '.join(item.sql for item in typed)})", array)


def _array_of(kind: Type, position: int) -> Type:
    array = ARRAY_OF.get(kind)
    if array is None:
        raise NotSupported(
            f"an array of {kind.name} is not supported",
            position=position,
            hint="Arrays have one dimension; keep the inner lists in a jsonb.",
        )
    return array


def subscript(node: syntax.Subscript, scope: Scope) -> Typed:
    """array[i]: NULL outside of its bounds."""
    array = scope.expression(node.operand)
    position = syntax.position_of(node.operand)
    kind = array.type.element
    if kind is None:
        if array.type.short == "jsonb":
            raise NotSupported(
                "a subscript of jsonb is not supported",
                position=position,
                hint="Write value -> 'key' or value -> 0.",
            )
        raise StatementError(
            f"cannot subscript type {array.type.name} because it does not support subscripting",
            sqlstate="42804",
            position=position,
        )
    index = scope.coerced(node.index, INTEGER)
    function = "pg_getbytes_array" if kind.sqlite == "BLOB" else "pg_get_array"
    return Typed(f"{function}({array.sql}, {index.sql})", kind, modifier=array.modifier)


def quantified(node: syntax.Quantified, source: syntax.Expression, scope: Scope) -> Typed:
    """`x operator ANY (array)`, or ALL. An open array is of what it is compared with."""
    left = None if scope.is_open(node.operand) else scope.expression(node.operand)
    if scope.is_open(source):
        array = scope.take(
            source, _array_of(left.type if left is not None else TEXT, node.position)
        )
    else:
        array = scope.expression(source)
    element = array.type.element
    if element is None:
        raise StatementError(
            "op ANY/ALL (array) requires array on right side",
            sqlstate="42809",
            position=node.position,
        )
    kind = left.type if left is not None else None
    operator = operators.resolve(node.operator, kind, element, node.position)
    assert operator.left is not None
    first = implicit(left or scope.take(node.operand, operator.left), operator.left)
    if operator.right is not element:
        cast = casts.find(array.type, ARRAY_OF[operator.right], Context.IMPLICIT)
        assert cast is not None, "an array is cast as its elements are"
        array = converted(array, cast)
    is_plain = operator.left.sqlite == operator.right.sqlite and not operator.function
    if is_plain and "pg_" not in operator.sql and (node.operator, node.all) in _AS_IN:
        found = operators.in_array(first.sql, array.sql, operator.right)
        return boolean(f"(NOT {found})" if node.all else found)
    value = "pg_bytes_array(value)" if element.sqlite == "BLOB" else "value"
    test = apply(operator, Typed("pg_left", operator.left), Typed(value, operator.right))
    decided, empty = ("min(p) = 0 THEN 0", 1) if node.all else ("max(p) = 1 THEN 1", 0)
    return boolean(
        f"(SELECT CASE WHEN {decided} WHEN count(p) < count(*) THEN NULL ELSE {empty} END FROM "  # noqa: S608 -- texts of the analysis
        f"(SELECT {test.sql} AS p FROM (SELECT {first.sql} AS pg_left), "
        f"json_each(coalesce({array.sql}, '[null]'))))"
    )


_AS_IN = frozenset({("=", False), ("<>", True)})
