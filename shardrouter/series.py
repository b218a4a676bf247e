"""Functions in FROM: generate_series of integers, as a recursive query of SQLite."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.errors import NotSupported
from shardrouter.translate import Scope
from shardrouter.types import BIGINT, INTEGER, Type, is_integer

__all__ = ["series"]


def series(call: syntax.Call, scope: Scope) -> tuple[str, Type]:
    """The text of a function in FROM, which has one column `v`, and the column's type."""
    if call.name != "generate_series" or not 2 <= len(call.arguments) <= 3:
        raise NotSupported(
            f"the function {call.name} in FROM is not supported",
            position=call.position,
            hint="There is generate_series(start, stop [, step]) of integers.",
        )
    kinds = [None if scope.is_open(a) else scope.expression(a).type for a in call.arguments]
    for kind in kinds:
        if kind is not None and not is_integer(kind):
            raise NotSupported(
                f"generate_series of {kind.name} is not supported",
                position=call.position,
                hint="Generate integers and compute from them.",
            )
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
