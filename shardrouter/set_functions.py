"""Functions that answer sets of rows: unnest and its like, in FROM and in the list of a SELECT.

They are SQLite's json_each over the arrays' stored forms. In FROM such a function sees the
relations before it, as in PostgreSQL. Those in one list advance together, a row of each at a time,
until the longest has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from shardrouter import syntax
from shardrouter.errors import StatementError
from shardrouter.planned import Constant
from shardrouter.typed import Typed
from shardrouter.types import BIGINT, INTEGER, SYSTEM_TYPES, Type

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["Rows", "in_list", "is_of_several", "is_set_function", "rows_of"]

_OF_ARRAYS: Final = frozenset({"unnest", "generate_subscripts"})
_EMPTY: Final = {"pg_partition_ancestors": SYSTEM_TYPES["regclass"]}
"""Sets in which nothing can be: of tables that are not partitioned."""


@dataclass(frozen=True)
class Rows:
    """The text of what stands in FROM, and its columns: each with its text and type."""

    text: str
    columns: tuple[Typed, ...]
    ordinal: Typed


def is_set_function(call: syntax.Call) -> bool:
    return call.name in _OF_ARRAYS


def is_of_several(call: syntax.Call) -> bool:
    return call.name in _EMPTY or (call.name == "unnest" and len(call.arguments) > 1)


def rows_of(call: syntax.Call, scope: Scope, name: str) -> Rows:
    """The rows of one function, called `name` in SQLite's text."""
    ordinal = Typed(f"({name}.key + 1)", BIGINT)
    if call.name in _EMPTY:
        for argument in call.arguments:
            scope.expression(argument)
        column = Typed(f"{name}.value", _EMPTY[call.name])
        return Rows(f"json_each('[]') AS {name}", (column,), ordinal)
    return _advancing([call], scope, name, ordinal)


def in_list(
    items: Sequence[syntax.SelectItem | syntax.Star], scope: Scope
) -> tuple[str, dict[int, Typed]]:
    """What the functions in a list add to FROM, empty if there are none; and what each is."""
    calls = [
        call
        for item in items
        if isinstance(item, syntax.SelectItem)
        and type(item.expression) is not syntax.ColumnReference  # most are
        for call in _calls(item.expression)
    ]
    if len(calls) < 2:
        return "", {}
    name = f"t{scope.statement.number()}"
    found = _advancing(calls, scope, name, Typed("", BIGINT))
    columns = iter(found.columns)
    return found.text, {id(call): next(columns) for call in calls}


_QUERIES: Final = (syntax.Select, syntax.Values, syntax.SetOperation)


def _calls(node: object) -> Iterator[syntax.Call]:
    """The functions of sets in an expression, but for those of a query in it."""
    if isinstance(node, syntax.Call) and node.name in _OF_ARRAYS:
        if node.name == "unnest" and len(node.arguments) != 1:
            raise StatementError(
                "function unnest with several arrays stands in FROM",
                sqlstate="42883",
                position=node.position,
            )
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from _calls(part)
    elif not isinstance(node, _QUERIES):
        for name in getattr(node, "__dataclass_fields__", ()):
            yield from _calls(getattr(node, name))


def _advancing(calls: Sequence[syntax.Call], scope: Scope, name: str, ordinal: Typed) -> Rows:
    """Arrays side by side: where one has ended there is NULL."""
    arrays: list[Typed] = []
    shown: list[tuple[Typed, bool]] = []  # the array, and whether its subscripts are wanted
    for call in calls:
        wants_subscripts = call.name == "generate_subscripts"
        given = call.arguments
        if wants_subscripts:
            if len(given) != 2:
                raise _none_such(call, "")
            dimension = scope.coerced(given[1], INTEGER)
            given = given[:1]
        for argument in given:
            typed = _array(call, argument, scope)
            if wants_subscripts and dimension.constant != Constant(1):
                text = f"CASE WHEN {dimension.sql} = 1 THEN {typed.sql} ELSE '[]' END"
                typed = replace(typed, sql=text)
            shown.append((typed, wants_subscripts))
            if all(typed.sql != known.sql for known in arrays):
                arrays.append(typed)
    text = f"json_each({_longest([array.sql for array in arrays])}) AS {name}"
    alone = len(arrays) == 1
    return Rows(
        text,
        tuple(
            _subscript(array, name, alone=alone)
            if wants_subscripts
            else _element(array, name, alone=alone)
            for array, wants_subscripts in shown
        ),
        ordinal,
    )


def _none_such(call: syntax.Call, shown: str) -> StatementError:
    return StatementError(
        f"function {call.name}({shown}) does not exist",
        sqlstate="42883",
        position=call.position,
        hint="No function matches the given name and argument types. "
        "You might need to add explicit type casts.",
    )


def _array(call: syntax.Call, argument: syntax.Expression, scope: Scope) -> Typed:
    if scope.is_open(argument):
        raise StatementError(
            f"function {call.name}(unknown) is not unique",
            sqlstate="42725",
            position=call.position,
            hint="Could not choose a best candidate function. "
            "You might need to add explicit type casts.",
        )
    typed = scope.expression(argument)
    if typed.type.element is None:
        raise _none_such(call, typed.type.name)
    return typed


def _longest(arrays: Sequence[str]) -> str:
    longest = arrays[0]
    for other in arrays[1:]:
        sizes = [f"coalesce(pg_cardinality_array({array}), 0)" for array in (other, longest)]
        longest = f"CASE WHEN {sizes[0]} > {sizes[1]} THEN {other} ELSE {longest} END"
    return longest


def _kind(array: Typed) -> Type:
    assert array.type.element is not None
    return array.type.element


def _element(array: Typed, name: str, *, alone: bool) -> Typed:
    kind = _kind(array)
    is_bytes = kind.sqlite == "BLOB"
    if alone:
        value = f"pg_bytes_array({name}.value)" if is_bytes else f"{name}.value"
        return Typed(value, kind)
    function = "pg_getbytes_array" if is_bytes else "pg_get_array"
    return Typed(f"{function}({array.sql}, {name}.key + 1)", kind)


def _subscript(array: Typed, name: str, *, alone: bool) -> Typed:
    text = f"({name}.key + {array.type.counts_from})"
    if not alone:
        text = f"CASE WHEN {name}.key < pg_cardinality_array({array.sql}) THEN {text} END"
    return Typed(text, INTEGER)
