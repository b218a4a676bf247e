"""Aggregates that show the order of their rows: agg(x ORDER BY y), WITHIN GROUP, json_agg.

The node's `pg_ordered` sorts the rows and hands them to the aggregate; its first argument says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from shardrouter import any_calls, syntax
from shardrouter.errors import NotSupported, StatementError
from shardrouter.operators import require_operator
from shardrouter.typed import Typed, literal
from shardrouter.types import DOUBLE, INTERVAL, JSON, JSONB, NUMERIC, TEXT, Type, is_number

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["FUNCTIONS", "call", "in_order", "require_listed"]

_JSON: Final = frozenset({"json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg"})
_WITHIN: Final = frozenset({"percentile_cont", "percentile_disc", "mode"})
FUNCTIONS: Final = _JSON | _WITHIN
"""Aggregates that take arguments of any type."""


def call(node: syntax.Call, scope: Scope) -> tuple[str, Type]:
    return _within(node, scope) if node.name in _WITHIN else _json(node, scope)


def require_listed(node: syntax.Call, scope: Scope) -> None:
    """Of an aggregate with DISTINCT: what its rows are sorted by is one of its arguments. Raises
    StatementError 42P10."""
    own = {scope.take(argument, TEXT).sql for argument in node.arguments}
    for key in node.order:
        # What has no type yet is another one than an argument that has got its own.
        is_open = isinstance(key.expression, syntax.StringLiteral | syntax.NullLiteral)
        if is_open or scope.take(key.expression, TEXT).sql not in own:
            raise StatementError(
                "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list",
                sqlstate="42P10",
                position=syntax.position_of(key.expression),
            )


def in_order(node: syntax.Call, function: str, arguments: Sequence[Typed], scope: Scope) -> str:
    """The aggregate over rows in the order of the call; distinct ones in that of its arguments."""
    if node.over is not None:
        raise NotSupported(
            "aggregate ORDER BY is not implemented for window functions", position=node.position
        )
    keys = [(scope.take(key.expression, TEXT), key) for key in node.order]
    ways = [_way(typed.type, key.descending, key.nulls_first) for typed, key in keys]
    texts = [typed.sql for typed, _ in keys]
    if node.distinct:
        require_listed(node, scope)
        for argument in arguments:  # rows that are equal in all of them are one
            if argument.sql not in texts:
                texts.append(argument.sql)
                ways.append(_way(argument.type, False, False))
    return _text(function, [a.sql for a in arguments], texts, ways, is_distinct=node.distinct)


def _text(
    function: str,
    arguments: Sequence[str],
    keys: Sequence[str],
    ways: Sequence[str],
    *,
    is_distinct: bool = False,
) -> str:
    how = f"{function} {len(arguments)} {'distinct' if is_distinct else 'all'} {' '.join(ways)}"
    return f"pg_ordered({', '.join([literal(how.rstrip()), *arguments, *keys])})"


def _way(kind: Type, is_descending: bool, nulls_first: bool) -> str:
    return f"{kind.collation}/{'d' if is_descending else 'a'}/{'f' if nulls_first else 'l'}"


# --------------------------------------------------------------------------- json


def _json(node: syntax.Call, scope: Scope) -> tuple[str, Type]:
    kind = JSONB if node.name.startswith("jsonb") else JSON
    is_object = node.name.endswith("object_agg")
    if len(node.arguments) != (2 if is_object else 1) or node.star:
        shown = ", ".join(scope.take(a, TEXT).type.name for a in node.arguments)
        raise StatementError(
            f"function {node.name}({shown}) does not exist",
            sqlstate="42883",
            position=node.position,
            hint="No function matches the given name and argument types. "
            "You might need to add explicit type casts.",
        )
    if not is_object and scope.is_open(node.arguments[0]):
        raise any_calls.undetermined()
    texts = [any_calls.as_json(argument, scope) for argument in node.arguments]
    name = f"pg_{'objectagg' if is_object else 'agg'}_{kind.short}"
    if not is_object:
        texts.append(literal(_separator(node.arguments[0], scope)))
    if not node.order and not node.distinct:
        return f"{name}({', '.join(texts)})", kind
    if node.distinct:
        raise NotSupported(
            f"DISTINCT in {node.name} is not supported",
            position=node.position,
            hint="Select DISTINCT in a subquery first.",
        )
    return in_order(node, name, [Typed(text, TEXT) for text in texts], scope), kind


def _separator(node: syntax.Expression, scope: Scope) -> str:
    """Rows and arrays stand on lines of their own."""
    is_row = isinstance(node, syntax.Row) or (
        isinstance(node, syntax.ColumnReference)
        and node.table is None
        and node.name in scope.relations
        and not any(name == node.name for name, _ in scope.shown)
    )
    is_long = is_row or (
        not scope.is_open(node) and scope.expression(node).type.element is not None
    )
    return ", \n " if is_long else ", "


# --------------------------------------------------------------------------- WITHIN GROUP


def _within(node: syntax.Call, scope: Scope) -> tuple[str, Type]:
    if not node.within:
        raise StatementError(
            f"WITHIN GROUP is required for ordered-set aggregate {node.name}",
            sqlstate="42809",
            position=node.position,
        )
    if node.over is not None:
        raise NotSupported(
            f"OVER is not supported for ordered-set aggregate {node.name}", position=node.position
        )
    if len(node.within) != 1 or len(node.arguments) != (node.name != "mode"):
        raise NotSupported(
            f"this form of {node.name} is not supported",
            position=node.position,
            hint="Write percentile_cont(fraction) WITHIN GROUP (ORDER BY one expression).",
        )
    (key,) = node.within
    if node.name != "percentile_cont" and scope.is_open(key.expression):
        raise any_calls.undetermined()
    value = scope.take(key.expression, DOUBLE if node.name == "percentile_cont" else TEXT)
    if node.name != "percentile_cont":
        require_operator("an ordering", value.type, syntax.position_of(key.expression))
    name, kind = node.name, value.type
    arguments = []
    if node.name != "mode":
        (fraction,) = node.arguments
        if not scope.is_open(fraction) and scope.expression(fraction).type.element is not None:
            raise NotSupported(
                f"{node.name} of an array of fractions is not supported",
                position=node.position,
                hint="Write one call for each fraction.",
            )
        arguments.append(scope.coerced(fraction, DOUBLE).sql)
    if node.name == "percentile_cont":
        if is_number(kind):
            value, kind = scope.coerced(key.expression, DOUBLE), DOUBLE
        elif kind is INTERVAL:
            name = "percentile_cont_interval"
        else:
            raise StatementError(
                f"function percentile_cont({DOUBLE.name}, {kind.name}) does not exist",
                sqlstate="42883",
                position=node.position,
                hint="No aggregate function matches the given name and argument types. "
                "Perhaps you misplaced ORDER BY; ORDER BY must appear after all regular "
                "arguments of the aggregate.",
            )
    elif node.name == "mode" and kind is NUMERIC:
        name = "mode_numeric"
    way = _way(kind, key.descending, key.nulls_first)
    return _text(name, [*arguments, value.sql], [value.sql], [way]), kind
