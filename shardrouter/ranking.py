"""DISTINCT ON and WITH TIES of a query, which number the rows among those that sort before them."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.bounds import operand_text
from shardrouter.errors import NotSupported, StatementError
from shardrouter.ordering import SortedBy, sort_keys, sorted_by
from shardrouter.outputs import Ranked, Selected
from shardrouter.planned import Operand
from shardrouter.translate import Scope
from shardrouter.typed import Typed, collated
from shardrouter.windows import direction

__all__ = ["Limits", "rank"]

Limits = tuple[Operand | None, Operand | None]
"""LIMIT and OFFSET."""


def rank(
    node: syntax.Select, outputs: Selected, keys: list[SortedBy], scope: Scope, limits: Limits
) -> None:
    """DISTINCT ON and WITH TIES: a number for each row among those that sort before it."""
    limit, offset = limits
    if node.tail.with_ties and limit is not None:
        if not keys:
            raise StatementError(
                "WITH TIES cannot be specified without ORDER BY clause", sqlstate="42601"
            )
        if node.distinct:
            raise NotSupported(
                "WITH TIES with DISTINCT is not supported",
                hint="Put DISTINCT into a subquery in FROM.",
            )
        window = f"(ORDER BY {sorted_by(keys)})"
        columns = [f"rank() OVER {window} AS r", f"row_number() OVER {window} AS n"]
        most, start = operand_text(limit), "0" if offset is None else operand_text(offset)
        start = f"coalesce({start}, 0)"
        within = f"({most} IS NULL OR ({most} > 0 AND r <= {start} + {most})) AND n > {start}"
        outputs.limit = ""
        outputs.ranked = _ranked(columns, within, keys)
        outputs.is_one_row = False
    elif isinstance(node.distinct, tuple):
        first = sort_keys(
            tuple(syntax.SortKey(part, False, False) for part in node.distinct),
            outputs.items,
            scope,
            clause="DISTINCT ON",
        )
        on = [collated(typed) for _, typed, _ in first]
        _check_distinct_on([typed.sql for _, typed, _ in first], keys)
        partition = f"PARTITION BY {', '.join(on)}" if on else ""
        order = f" ORDER BY {sorted_by(keys)}" if keys else ""
        columns = [f"row_number() OVER ({partition}{order}) AS n"]
        outputs.ranked = _ranked(columns, "n = 1", keys)


def _ranked(columns: list[str], condition: str, keys: list[SortedBy]) -> Ranked:
    texts, beside = [], list(columns)
    for number, (key, typed, index) in enumerate(keys):
        name = f"k{number}" if index is None else str(index + 1)
        if index is None:
            beside.append(f"{typed.sql} AS {name}")
        texts.append(direction(collated(Typed(name, typed.type)), key))
    order = f" ORDER BY {', '.join(texts)}" if texts else ""
    return Ranked(tuple(beside), condition, order)


def _check_distinct_on(on: list[str], keys: list[SortedBy]) -> None:
    """What is sorted by first is what DISTINCT ON names."""
    is_past = False
    sorted_by = [typed.sql for _, typed, _ in keys]
    for text in sorted_by:
        if text not in on:
            is_past = True
        elif is_past:
            raise _unmatched_on()
    if is_past and any(text not in sorted_by for text in on):
        raise _unmatched_on()


def _unmatched_on() -> StatementError:
    return StatementError(
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions", sqlstate="42P10"
    )
