"""Window functions, and the windows of OVER and WINDOW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError
from shardrouter.operators import require_operator
from shardrouter.planned import Constant
from shardrouter.typed import collated
from shardrouter.types import BIGINT, DOUBLE, INTEGER, TEXT, Type

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["FUNCTIONS", "call", "definition", "direction"]

FUNCTIONS: Final[dict[str, tuple[int, int, Type | None]]] = {
    "row_number": (0, 0, BIGINT),
    "rank": (0, 0, BIGINT),
    "dense_rank": (0, 0, BIGINT),
    "percent_rank": (0, 0, DOUBLE),
    "cume_dist": (0, 0, DOUBLE),
    "ntile": (1, 1, INTEGER),
    "lag": (1, 3, None),
    "lead": (1, 3, None),
    "first_value": (1, 1, None),
    "last_value": (1, 1, None),
    "nth_value": (2, 2, None),
}
"""How many arguments, and the result; None: the type of the first one."""


def direction(text: str, key: syntax.SortKey) -> str:
    way = "DESC" if key.descending else "ASC"
    return f"{text} {way} NULLS {'FIRST' if key.nulls_first else 'LAST'}"


def call(node: syntax.Call, scope: Scope) -> tuple[str, Type]:
    """A window function without its window."""
    least, most, result = FUNCTIONS[node.name]
    arguments = node.arguments
    if not least <= len(arguments) <= most or node.star or node.distinct or node.order:
        shown = ", ".join(scope.take(a, TEXT).type.name for a in arguments)
        raise StatementError(
            f"function {node.name}({shown}) does not exist",
            sqlstate="42883",
            position=node.position,
        )
    texts: list[str] = []
    if node.name == "ntile":
        texts.append(_positive(arguments[0], scope, "argument of ntile", "22014", 1))
    elif arguments and len(arguments) == 3:
        result, (value, default) = scope.alike((arguments[0], arguments[2]), node.name)
        offset = _positive(arguments[1], scope, f"the offset of {node.name}", "0A000", 0)
        texts += [value.sql, offset, default.sql]
    elif arguments:
        typed = scope.take(arguments[0], TEXT)
        result = typed.type
        texts.append(typed.sql)
        if len(arguments) == 2:
            least = 1 if node.name == "nth_value" else 0
            what = f"argument of {node.name}"
            texts.append(_positive(arguments[1], scope, what, "22016", least))
    assert result is not None
    return f"{node.name}({', '.join(texts)})", result


def _positive(node: syntax.Expression, scope: Scope, what: str, sqlstate: str, least: int) -> str:
    """A count that is known now: SQLite's errors for others are not PostgreSQL's."""
    typed = scope.coerced(node, INTEGER)
    position = syntax.position_of(node)
    if not isinstance(typed.operand, Constant) or not isinstance(typed.operand.value, int):
        raise NotSupported(
            f"{what} must be written as a number", position=position, hint="Write it as a constant."
        )
    if typed.operand.value < least:
        if sqlstate == "0A000" or least == 0:
            raise NotSupported(f"{what} must not be negative", position=position)
        raise StatementError(
            f"{what} must be greater than zero", sqlstate=sqlstate, position=position
        )
    return typed.sql


def definition(node: syntax.Call, scope: Scope, *, is_ours: bool = False) -> str:
    """The window of a call, written out: SQLite's own WINDOW clause is not used. `is_ours` of an
    aggregate that the nodes have made."""
    assert node.over is not None
    if isinstance(node.over, str):
        return f"({_spec(_named(node.over, scope, node.position), scope, is_ours=is_ours)})"
    return f"({_spec(node.over, scope, is_ours=is_ours)})"


def _named(name: str, scope: Scope, position: int) -> syntax.WindowSpec:
    spec = scope.windows.get(name)
    if spec is None:
        raise StatementError(f'window "{name}" does not exist', sqlstate="42704", position=position)
    return spec


def _spec(spec: syntax.WindowSpec, scope: Scope, *, is_ours: bool) -> str:
    partition, order = spec.partition, spec.order
    if spec.base is not None:
        base = _named(spec.base, scope, spec.position)
        while base.base is not None:
            above = _named(base.base, scope, base.position)
            base = syntax.WindowSpec(
                above.base, above.partition, base.order or above.order, base.frame, base.position
            )
        for wrong, what in (
            (partition, "PARTITION BY"),
            (order if base.order else (), "ORDER BY"),
        ):
            if wrong:
                raise StatementError(
                    f'cannot override {what} clause of window "{spec.base}"',
                    sqlstate="42P20",
                    position=spec.position,
                )
        if base.frame is not None:
            raise StatementError(
                f'cannot copy window "{spec.base}" because it has a frame clause',
                sqlstate="42P20",
                position=spec.position,
            )
        partition, order = base.partition, order or base.order
    before, scope.inside = scope.inside, "window"
    parts = []
    if partition:
        parts.append(f"PARTITION BY {', '.join(_compared('an equality', partition, scope))}")
    if order:
        texts = _compared("an ordering", [key.expression for key in order], scope)
        keys = [direction(text, key) for text, key in zip(texts, order, strict=True)]
        parts.append(f"ORDER BY {', '.join(keys)}")
    if spec.frame is not None:
        parts.append(_frame(spec.frame, order, scope, spec.position))
        if is_ours:
            parts[-1] += _without_value_first(spec.frame, scope, spec.position)
    scope.inside = before
    return " ".join(parts)


def _compared(what: str, nodes: Sequence[syntax.Expression], scope: Scope) -> list[str]:
    texts = []
    for node in nodes:
        typed = scope.take(node, TEXT)
        require_operator(what, typed.type, syntax.position_of(node))
        texts.append(collated(typed))
    return texts


def _frame(
    frame: syntax.Frame, order: tuple[syntax.SortKey, ...], scope: Scope, position: int
) -> str:
    if frame.mode == "GROUPS" and not order:
        raise StatementError(
            "GROUPS mode requires an ORDER BY clause", sqlstate="42P20", position=position
        )
    bounds = [_bound(bound, frame.mode, scope, position) for bound in (frame.start, frame.end)]
    if frame.start[:2] == ("UNBOUNDED", "FOLLOWING"):
        raise StatementError(
            "frame start cannot be UNBOUNDED FOLLOWING", sqlstate="42P20", position=position
        )
    if frame.end[:2] == ("UNBOUNDED", "PRECEDING"):
        raise StatementError(
            "frame end cannot be UNBOUNDED PRECEDING", sqlstate="42P20", position=position
        )
    start, end = (_place(bound) for bound in (frame.start, frame.end))
    if start > end:
        raise StatementError(
            "frame starting from following row cannot end with preceding row"
            if start == 3
            else "frame starting from current row cannot have preceding rows",
            sqlstate="42P20",
            position=position,
        )
    exclude = f" EXCLUDE {frame.exclude}" if frame.exclude else ""
    return f"{frame.mode} BETWEEN {bounds[0]} AND {bounds[1]}{exclude}"


def _without_value_first(frame: syntax.Frame, scope: Scope, position: int) -> str:
    """What keeps SQLite from asking an aggregate for its value before its first row: CPython's
    sqlite3 falls over that, and the whole process with it. With an EXCLUDE every frame is computed
    by itself; the row at hand is in no frame that ends before it. Raises NotSupported for a frame
    that never has a row."""
    if frame.end[0] != "OFFSET":
        return ""
    end = _offset(frame.end, scope)
    if frame.start[:2] == ("OFFSET", frame.end[1]):
        start = _offset(frame.start, scope)
        if start < end if frame.end[1] == "PRECEDING" else start > end:
            raise NotSupported(
                "a frame that never has a row is not supported for this aggregate",
                position=position,
                hint="Write NULL.",
            )
    return "" if frame.end[1] == "FOLLOWING" or not end or frame.exclude else " EXCLUDE CURRENT ROW"


def _offset(bound: tuple[str, str, syntax.Expression | None], scope: Scope) -> int:
    """One that `_bound` has looked at."""
    assert bound[2] is not None
    operand = scope.coerced(bound[2], INTEGER).operand
    assert isinstance(operand, Constant)
    assert isinstance(operand.value, int)
    return operand.value


def _place(bound: tuple[str, str, syntax.Expression | None]) -> int:
    if bound[0] == "CURRENT":
        return 2
    sides = {"PRECEDING": 1, "FOLLOWING": 3}
    return sides[bound[1]] + (0 if bound[0] == "OFFSET" else (-1 if bound[1] == "PRECEDING" else 1))


def _bound(
    bound: tuple[str, str, syntax.Expression | None], mode: str, scope: Scope, position: int
) -> str:
    kind, side, offset = bound
    if kind == "CURRENT":
        return "CURRENT ROW"
    if kind == "UNBOUNDED":
        return f"UNBOUNDED {side}"
    if mode == "RANGE":
        raise NotSupported(
            "RANGE with an offset is not supported",
            position=position,
            hint="Write ROWS or GROUPS, or a subquery that counts the range.",
        )
    assert offset is not None
    where = "starting" if side == "PRECEDING" else "ending"
    return f"{_positive(offset, scope, f'frame {where} offset', '22013', 0)} {side}"
