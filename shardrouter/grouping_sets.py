"""ROLLUP, CUBE and GROUPING SETS: one grouping after the other, as branches of a UNION ALL.

Each branch groups by one set; what other sets group by is NULL in it. Sorting, DISTINCT and LIMIT
are of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Final

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError

__all__ = ["expanded"]

SETS_MAX: Final = 64
"""Each is a query of its own."""

_Set = tuple[syntax.Expression, ...]
_NAMES: Final = frozenset({"rollup", "cube", "grouping sets"})


def expanded(node: syntax.Select, labels: Sequence[str]) -> syntax.Select | None:
    """The query as a UNION ALL of simple groupings; None if it has nothing but simple ones."""
    if not any(_is_sets(item) for item in node.group):
        return None
    for found, what in ((node.windows, "WINDOW"), (node.locking, f"FOR {node.locking}")):
        if found:
            raise NotSupported(f"{what} with grouping sets is not supported")
    sets = [
        tuple(dict.fromkeys(part for parts in chosen for part in parts))
        for chosen in product(*(_sets(item) for item in node.group))
    ]
    if len(sets) > SETS_MAX:
        raise NotSupported(
            f"more than {SETS_MAX} grouping sets are not supported",
            hint="Send several queries.",
        )
    every = tuple(dict.fromkeys(part for found in sets for part in found))
    items = [_item(item) for item in node.items]
    order, hidden = _order(node.tail.order, items, labels)
    listed = tuple(
        syntax.SelectItem(item.expression, _name(i)) for i, item in enumerate([*items, *hidden])
    )
    if hidden and node.distinct:
        raise StatementError(
            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
            sqlstate="42P10",
        )
    branches: list[syntax.Query] = [
        replace(
            node,
            items=listed,
            group=found,
            grouping=syntax.Grouping(every),
            distinct=False,
            tail=syntax.Tail(),
        )
        for found in sets
    ]
    whole = branches[0]
    for branch in branches[1:]:
        whole = syntax.SetOperation("UNION", True, whole, branch)
    shown = tuple(
        syntax.SelectItem(syntax.ColumnReference(_name(i), None), label)
        for i, label in enumerate(labels)
    )
    return syntax.Select(
        shown,
        (syntax.FromQuery(whole, "grouped"),),
        distinct=node.distinct,
        tail=replace(node.tail, order=order),
        position=node.position,
    )


def _name(index: int) -> str:
    """No column is called so."""
    return f" {index + 1}"


def _item(item: syntax.SelectItem | syntax.Star) -> syntax.SelectItem:
    if isinstance(item, syntax.Star):
        raise NotSupported(
            "* with grouping sets is not supported",
            position=item.position,
            hint="Name the columns.",
        )
    return item


def _order(
    order: Sequence[syntax.SortKey], items: list[syntax.SelectItem], labels: Sequence[str]
) -> tuple[tuple[syntax.SortKey, ...], list[syntax.SelectItem]]:
    """The keys by the names of the branches' columns, and what they need beside the list."""
    found, hidden = [], []
    for key in order:
        node, index = key.expression, None
        if isinstance(node, syntax.NumberLiteral):
            found.append(key)  # a position
            continue
        if isinstance(node, syntax.ColumnReference) and node.table is None and node.name in labels:
            index = list(labels).index(node.name)
        index = next((i for i, item in enumerate(items) if item.expression == node), index)
        if index is None:
            hidden.append(syntax.SelectItem(node))
            index = len(items) + len(hidden) - 1
        found.append(replace(key, expression=syntax.ColumnReference(_name(index), None)))
    return tuple(found), hidden


# --------------------------------------------------------------------------- the sets


def _is_sets(item: syntax.Expression) -> bool:
    return isinstance(item, syntax.Call) and item.name in _NAMES


def _parts(item: syntax.Expression) -> _Set:
    """A member of ROLLUP or CUBE: an expression, or several in parentheses that go together."""
    return item.items if isinstance(item, syntax.Row) else (item,)


def _sets(item: syntax.Expression) -> list[_Set]:
    if not isinstance(item, syntax.Call) or item.name not in _NAMES:
        return [_parts(item)]
    members = [_parts(argument) for argument in item.arguments]
    if item.name == "rollup":
        chosen = [tuple(members[:count]) for count in range(len(members), -1, -1)]
    elif item.name == "cube":
        if len(members) > 6:
            raise NotSupported(
                "CUBE of more than six members is not supported", position=item.position
            )
        counts = range(len(members), -1, -1)
        chosen = [tuple(found) for count in counts for found in combinations(members, count)]
    else:
        return [found for argument in item.arguments for found in _sets(argument)]
    return [tuple(part for member in found for part in member) for found in chosen]
