"""Functions that answer rows in the list of a SELECT: SELECT unnest(a), b FROM t.

Of one such call this is what a LATERAL join with it would answer, and is written as that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from shardrouter import syntax
from shardrouter.errors import NotSupported
from shardrouter.row_functions import NAMES
from shardrouter.set_functions import is_set_function

__all__ = ["lists_rows", "with_rows_of_lists"]

_COLUMN = " rows"
"""No column is called so."""


def with_rows_of_lists(node: syntax.Select) -> syntax.Select:
    """The same node if there is no such call in its list."""
    calls = [
        call
        for item in node.items
        if isinstance(item, syntax.SelectItem)
        and type(item.expression) is not syntax.ColumnReference
        for call in _calls(item.expression)
    ]
    if not calls:
        return node
    first = calls[0]
    if len(calls) > 1 and all(is_set_function(call) for call in calls):
        return node  # they advance together: shardrouter.set_functions
    if any(call != first for call in calls[1:]) or len(calls) > 1:
        raise _refused(first, "several functions that answer rows in one list are not supported")
    if node.group or node.having is not None or node.grouping or node.distinct or node.windows:
        raise _refused(first, f"{first.name} in the list of a grouped query is not supported")
    if first.name.endswith(("_each", "_each_text")):
        raise _refused(first, f"{first.name} in the list of a query is not supported")
    source = syntax.FromCall(first, _COLUMN, (syntax.Name(_COLUMN),))
    reference = syntax.ColumnReference(_COLUMN, _COLUMN, first.position)
    items = tuple(
        syntax.SelectItem(
            _replaced(item.expression, first, reference),
            item.alias or (first.name if item.expression == first else None),
        )
        if isinstance(item, syntax.SelectItem)
        else item
        for item in node.items
    )
    if any(isinstance(item, syntax.Star) and item.table is None for item in items):
        raise _refused(first, f"{first.name} beside * is not supported")
    sources: tuple[syntax.FromItem, ...] = (*node.sources, source)
    return dataclasses.replace(node, items=items, sources=sources)


def lists_rows(node: syntax.Select) -> bool:
    """Whether a function in its list answers rows."""
    items = [item.expression for item in node.items if isinstance(item, syntax.SelectItem)]
    return any(True for item in items for _ in _calls(item))


def _refused(call: syntax.Call, what: str) -> NotSupported:
    return NotSupported(what, position=call.position, hint="Write it in FROM.")


_QUERIES: Final = (syntax.Select, syntax.Values, syntax.SetOperation)


def _calls(node: Any) -> Iterator[syntax.Call]:
    """Of functions that answer rows, outside of subqueries."""
    if isinstance(node, syntax.Call) and (node.name in NAMES or is_set_function(node)):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from _calls(part)
    elif not isinstance(node, _QUERIES):
        for name in getattr(node, "__dataclass_fields__", ()):
            yield from _calls(getattr(node, name))


def _replaced(node: Any, old: syntax.Call, new: syntax.Expression) -> Any:
    if node == old:
        return new
    if isinstance(node, tuple):
        return tuple(_replaced(part, old, new) for part in node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        changes = {
            field.name: _replaced(getattr(node, field.name), old, new)
            for field in dataclasses.fields(node)
        }
        return dataclasses.replace(node, **changes)
    return node
