"""generate_series of integers alone in FROM, as a recursive query of SQLite: without an end to its
length, and a row is there before the next one is made."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.translate import Scope
from shardrouter.types import BIGINT, INTEGER, Type, is_integer

__all__ = ["is_plain_series", "series"]


def is_plain_series(item: syntax.FromCall, scope: Scope) -> bool:
    """Whether it is such a one: of integers that do not read what stands before it in FROM."""
    call = item.call
    if call.name != "generate_series" or not 2 <= len(call.arguments) <= 3 or item.ordinality:
        return False
    kinds = []
    for argument in call.arguments:
        if not isinstance(
            argument, syntax.NumberLiteral | syntax.ParameterReference | syntax.Negation
        ):
            return False
        kinds.append(None if scope.is_open(argument) else scope.expression(argument).type)
    return all(kind is None or is_integer(kind) for kind in kinds)


def series(call: syntax.Call, scope: Scope) -> tuple[str, Type]:
    """The text, which has one column `v`, and the column's type."""
    kinds = [None if scope.is_open(a) else scope.expression(a).type for a in call.arguments]
    wanted = BIGINT if BIGINT in kinds else INTEGER
    texts = [scope.coerced(argument, wanted).sql for argument in call.arguments]
    start, stop = texts[:2]
    if len(texts) == 2:
        text = f"SELECT {start} WHERE {start} <= {stop} UNION ALL SELECT v + 1 FROM s"
        return f"WITH RECURSIVE s(v) AS ({text} WHERE v < {stop}) SELECT v FROM s", wanted
    step = f"pg_series_step({texts[2]})"
    within = f"CASE WHEN {step} > 0 THEN {start} <= {stop} ELSE {start} >= {stop} END"
    # Compared by what is left, so that nothing overflows at the ends of bigint.
    further = f"CASE WHEN {step} > 0 THEN {stop} - v >= {step} ELSE {stop} - v <= {step} END"
    text = f"SELECT {start} WHERE {within} UNION ALL SELECT v + {step} FROM s WHERE {further}"
    return f"WITH RECURSIVE s(v) AS ({text}) SELECT v FROM s", wanted
