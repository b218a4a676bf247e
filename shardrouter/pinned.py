"""Expressions that the catalog keeps, when a column of theirs gets another type.

PostgreSQL keeps what it once understood: the `'5'` of `CHECK (c > '5')` over a text is a text for
good, and has no comparison with the integer that the column becomes. What is kept here is what was
written, so the types of its literals are written behind them before the column changes.
"""

from __future__ import annotations

from itertools import pairwise

from nodes.values import OWN_TYPES
from shardrouter import types
from shardrouter.errors import NotSupported
from shardrouter.lexer import tokenize
from shardrouter.tables import Table
from shardrouter.translate import table_scope
from shardrouter.typed import Parameters
from shardrouter.types import OwnTypes
from shardrouter.written import expression_of

__all__ = ["pinned"]


def pinned(source: str, table: Table, own: OwnTypes | None) -> str:
    """The text with a type behind each literal that has it from what it meets in `table`."""
    scope = table_scope(Parameters(()), table, own=own)
    scope.expression(expression_of(source))
    tokens = tokenize(source)
    ends = {token.start + 1: token.end for token in tokens}
    cast = {token.start + 1 for token, then in pairwise(tokens) if then.text == "::"}
    text = source
    for position, kind in sorted(scope.statement.literals.items(), reverse=True):
        if (kind.element or kind).oid >= OWN_TYPES and position not in cast:
            raise NotSupported(
                f"changing the type of a column while {source} is kept is not supported",
                hint="Drop the constraint or the index, and create it again afterwards.",
            )
        if position in cast:
            continue
        end = ends[position]
        name = "bpchar" if kind is types.BPCHAR else types.shown(kind)
        text = f"{text[:end]}::{name}{text[end:]}"
    return text
