"""Aggregates and window functions: their types, their text, and where they may stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shardrouter import operators, ordered_aggregates, syntax, windows
from shardrouter.errors import NotSupported, StatementError
from shardrouter.operators import require_operator
from shardrouter.partials import Called
from shardrouter.typed import Typed, collated, implicit
from shardrouter.types import (
    ANY_ARRAY_OF,
    ARRAY_OF,
    BIGINT,
    BOOLEAN,
    BPCHAR,
    BYTEA,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    Type,
    array_of,
)

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["NAMES", "aggregate", "is_aggregate"]


@dataclass(frozen=True)
class Aggregate:
    """`function` is SQLite's or the node's. `compares`: it needs the collation of its type."""

    name: str
    arguments: tuple[Type, ...]
    result: Type
    function: str
    compares: bool = False


def _table() -> Mapping[str, tuple[Aggregate, ...]]:
    rows = [
        Aggregate("sum", (SMALLINT,), BIGINT, "sum"),
        Aggregate("sum", (INTEGER,), BIGINT, "sum"),
        Aggregate("sum", (BIGINT,), NUMERIC, "pg_sum_numeric"),
        Aggregate("sum", (NUMERIC,), NUMERIC, "pg_sum_numeric"),
        Aggregate("sum", (DOUBLE,), DOUBLE, "pg_sum_float8"),
        *(Aggregate("avg", (k,), NUMERIC, "pg_avg_numeric") for k in (SMALLINT, INTEGER, BIGINT)),
        Aggregate("avg", (NUMERIC,), NUMERIC, "pg_avg_numeric"),
        Aggregate("avg", (DOUBLE,), DOUBLE, "pg_avg_float8"),
        Aggregate("bool_and", (BOOLEAN,), BOOLEAN, "min"),
        Aggregate("every", (BOOLEAN,), BOOLEAN, "min"),
        Aggregate("bool_or", (BOOLEAN,), BOOLEAN, "max"),
        Aggregate("string_agg", (TEXT, TEXT), TEXT, "group_concat"),
    ]
    rows.append(Aggregate("sum", (INTERVAL,), INTERVAL, "pg_sum_interval"))
    rows.append(Aggregate("sum", (REAL,), REAL, "pg_sum_float4"))
    rows.append(Aggregate("avg", (INTERVAL,), INTERVAL, "pg_avg_interval"))
    rows.append(Aggregate("avg", (REAL,), DOUBLE, "pg_avg_float8"))
    numbers = (SMALLINT, INTEGER, BIGINT, NUMERIC, REAL, DOUBLE)
    times = (DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL)
    for kind in (*numbers, TEXT, BPCHAR, *times, *ARRAY_OF.values()):
        rows += [Aggregate(name, (kind,), kind, name, True) for name in ("min", "max")]
    rows.append(Aggregate("string_agg", (BYTEA, BYTEA), BYTEA, "pg_ordered"))
    for kind, array in ANY_ARRAY_OF.items():
        rows.append(Aggregate("array_agg", (kind,), array, "pg_agg_array"))
    rows += _statistics()
    table: dict[str, list[Aggregate]] = {}
    for row in rows:
        table.setdefault(row.name, []).append(row)
    return {name: tuple(found) for name, found in table.items()}


def _statistics() -> Iterator[Aggregate]:
    for alias, name in (
        ("stddev", "stddev_samp"), ("stddev_samp", "stddev_samp"), ("stddev_pop", "stddev_pop"),
        ("variance", "var_samp"), ("var_samp", "var_samp"), ("var_pop", "var_pop"),
    ):  # fmt: skip
        for kind in (SMALLINT, INTEGER, BIGINT, NUMERIC):
            yield Aggregate(alias, (kind,), NUMERIC, f"pg_{name}_numeric")
        for kind in (REAL, DOUBLE):
            yield Aggregate(alias, (kind,), DOUBLE, f"pg_{name}_float8")
    two = (DOUBLE, DOUBLE)
    for name in ("corr", "covar_pop", "covar_samp"):
        yield Aggregate(name, two, DOUBLE, f"pg_regr_{name}")
    for name in ("sxx", "syy", "sxy", "avgx", "avgy", "r2", "slope", "intercept"):
        yield Aggregate(f"regr_{name}", two, DOUBLE, f"pg_regr_{name}")
    yield Aggregate("regr_count", two, BIGINT, "count")
    for name in ("bit_and", "bit_or", "bit_xor"):
        for kind in (SMALLINT, INTEGER, BIGINT):
            yield Aggregate(name, (kind,), kind, f"pg_{name}")


_AGGREGATES: Final = _table()

NAMES: Final = (
    frozenset(_AGGREGATES) | frozenset(windows.FUNCTIONS) | ordered_aggregates.FUNCTIONS | {"count"}
)
_OF_ROWS: Final = frozenset({"string_agg", "array_agg"})
"""Whose result shows the order of the rows."""


def is_aggregate(node: syntax.Call) -> bool:
    return node.name in NAMES


def aggregate(node: syntax.Call, scope: Scope) -> Typed:
    """An aggregate, or a window function, with its FILTER and OVER."""
    is_window = node.over is not None
    if node.name in windows.FUNCTIONS and not is_window:
        raise StatementError(
            f"window function {node.name} requires an OVER clause",
            sqlstate="42809",
            position=node.position,
        )
    _check_place(node, scope, is_window=is_window)
    reads = scope.own_reads, scope.outer_reads
    marks, before = len(scope.loose), scope.inside
    scope.inside = "window" if is_window else "aggregate"
    cut = scope.statement.cut
    is_split = scope.split is not None and not is_window
    if cut is not None and is_split:
        cut.depth += 1  # its arguments are the shards'
    if node.filter is not None and any(map(scope.is_open, node.arguments)):
        scope.condition(node.filter, "FILTER")  # it is understood before they take a type
    if node.name in windows.FUNCTIONS:
        text, kind = windows.call(node, scope)
    else:
        try:
            text, kind = _text(node, scope)
        except StatementError as exc:
            is_unknown = exc.sqlstate in ("42883", "42725") and exc.position == node.position
            if is_unknown and node.filter is not None:  # which is looked for behind the condition
                scope.condition(node.filter, "FILTER")
            raise
    for key in node.order:
        if not scope.is_open(key.expression):
            kind_of_key = scope.expression(key.expression).type
            require_operator("an ordering", kind_of_key, syntax.position_of(key.expression))
    is_ours = text.startswith("pg_")
    condition = ""
    if node.filter is not None:
        if is_window and is_ours:  # of no row, where `windows._without_value_first` applies
            raise NotSupported(
                f"FILTER of {node.name} over a window is not supported",
                position=node.position,
                hint="Aggregate CASE WHEN condition THEN value END.",
            )
        if node.name in windows.FUNCTIONS:
            raise NotSupported(
                "FILTER is not implemented for non-aggregate window functions",
                position=node.position,
            )
        condition = f" FILTER (WHERE {scope.condition(node.filter, 'FILTER').sql})"
    if cut is not None and is_split:
        cut.depth -= 1
    scope.inside = before
    is_outer = scope.own_reads == reads[0] and scope.outer_reads > reads[1]
    if scope.clause and (is_window or not is_outer):
        raise StatementError(
            f"{'window' if is_window else 'aggregate'} functions are not allowed in {scope.clause}",
            sqlstate="42P20" if is_window else "42803",
            position=node.position,
        )
    if is_window:
        scope.has_windows = True
        return Typed(
            f"{text}{condition} OVER {windows.definition(node, scope, is_ours=is_ours)}", kind
        )
    if is_outer:
        raise NotSupported(
            "an aggregate of the outer query's columns is not supported in a subquery",
            position=node.position,
            hint="Aggregate in the outer query.",
        )
    del scope.loose[marks:]
    scope.aggregates += 1
    called = Called(text, condition, kind)
    scope.calls.append(called)
    if scope.split is not None:
        return Typed(scope.split.aggregate(called), kind)
    return Typed(text + condition, kind)


def _check_place(node: syntax.Call, scope: Scope, *, is_window: bool) -> None:
    if scope.inside == "aggregate":
        what = "window function" if is_window else "aggregate function"
        raise StatementError(
            f"aggregate function calls cannot contain {what} calls"
            if is_window
            else "aggregate function calls cannot be nested",
            sqlstate="42803",
            position=node.position,
        )
    if scope.inside == "window" and is_window:
        raise StatementError(
            "window function calls cannot be nested", sqlstate="42P20", position=node.position
        )


def _text(node: syntax.Call, scope: Scope) -> tuple[str, Type]:
    if node.distinct and node.over is not None:
        raise NotSupported(
            "DISTINCT is not implemented for window functions", position=node.position
        )
    is_open = [scope.is_open(argument) for argument in node.arguments]
    if is_open == [True] and node.name in ("json_agg", "jsonb_agg"):
        raise StatementError(
            "could not determine polymorphic type because input has type unknown",
            sqlstate="42804",
        )
    if node.name in ordered_aggregates.FUNCTIONS:
        return ordered_aggregates.call(node, scope)
    if node.within:
        raise StatementError(
            f"{node.name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP",
            sqlstate="42809",
            position=node.position,
        )
    is_ordered = node.name in _OF_ROWS and bool(node.order or node.distinct)
    if not is_ordered:
        for key in node.order:
            scope.expression(key.expression)  # the order of rows does not matter to the others
        if node.distinct and node.order:
            ordered_aggregates.require_listed(node, scope)
    if node.name == "count":
        return _count(node, scope), BIGINT
    if node.star:
        raise StatementError(
            f"{node.name}(*) specified, but {node.name} is not an aggregate function"
            if node.name not in _AGGREGATES
            else f"function {node.name}() does not exist",
            sqlstate="42883",
            position=node.position,
        )
    found = _found(node, scope)
    arguments = [
        implicit(scope.take(argument, kind), kind)
        for argument, kind in zip(node.arguments, found.arguments, strict=True)
    ]
    if is_ordered or found.function == "pg_ordered":
        name = (
            {TEXT: "string_agg", BYTEA: "string_agg_bytea"}[found.result]
            if (found.name == "string_agg")
            else found.function
        )
        return ordered_aggregates.in_order(node, name, arguments, scope), found.result
    texts = [typed.sql for typed in arguments]
    if node.name == "regr_count":  # of no rows too
        return f"count(CASE WHEN {texts[0]} IS NOT NULL THEN {texts[1]} END)", BIGINT
    if found.compares or node.distinct:
        texts[0] = collated(arguments[0])
    distinct = "DISTINCT " if node.distinct else ""
    return f"{found.function}({distinct}{', '.join(texts)})", found.result


def _count(node: syntax.Call, scope: Scope) -> str:
    if node.star:
        return "count(*)"
    if len(node.arguments) != 1:
        shown = ", ".join(scope.take(a, TEXT).type.name for a in node.arguments)
        if not node.arguments:
            raise StatementError(
                "count(*) must be used to call a parameterless aggregate function",
                sqlstate="42809",
                position=node.position,
            )
        raise _unknown(node, shown)
    if not node.distinct:
        return f"count({scope.take_any(node.arguments[0]).sql})"
    typed = scope.take(node.arguments[0], TEXT)
    require_operator("an equality", typed.type, syntax.position_of(node.arguments[0]))
    return f"count(DISTINCT {collated(typed)})"


def _found(node: syntax.Call, scope: Scope) -> Aggregate:
    given = [None if scope.is_open(a) else scope.expression(a).type for a in node.arguments]
    if given == [None] and node.name in ("sum", "avg", "array_agg"):
        raise _not_unique(node, "unknown")  # of numbers or intervals; of elements or arrays
    rows = [row for row in _AGGREGATES[node.name] if len(row.arguments) == len(given)]
    if len(given) == 1 and given[0] is not None and given[0].is_own:
        rows += _of_own(node.name, given[0])
    found = operators.best(rows, lambda row: row.arguments, given)
    if isinstance(found, Aggregate):
        return found
    shown = ", ".join("unknown" if kind is None else kind.name for kind in given)
    if found:
        raise _not_unique(node, shown)
    if node.name == "array_agg" and len(given) == 1:
        raise NotSupported(f"an array of {shown} is not supported", position=node.position)
    raise _unknown(node, shown)


def _of_own(name: str, kind: Type) -> Iterator[Aggregate]:
    """Of an enumeration, or of an array of one."""
    array = array_of(kind) if kind.element is None else None
    if name in ("min", "max"):
        yield Aggregate(name, (kind,), kind, name, True)
    elif name == "array_agg" and array is not None:
        yield Aggregate(name, (kind,), array, "pg_agg_array")


def _not_unique(node: syntax.Call, shown: str) -> StatementError:
    return StatementError(
        f"function {node.name}({shown}) is not unique",
        sqlstate="42725",
        position=node.position,
        hint="Could not choose a best candidate function. "
        "You might need to add explicit type casts.",
    )


def _unknown(node: syntax.Call, shown: str) -> StatementError:
    return StatementError(
        f"function {node.name}({shown}) does not exist",
        sqlstate="42883",
        position=node.position,
        hint="No function matches the given name and argument types. "
        "You might need to add explicit type casts.",
    )
