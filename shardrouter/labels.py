"""The names that PostgreSQL gives to columns without AS."""

from __future__ import annotations

from shardrouter import syntax, types
from shardrouter.errors import StatementError

__all__ = ["label"]


def label(node: syntax.Expression) -> str:
    """The name PostgreSQL gives a column without AS."""
    return _figured(node)[0] or "?column?"


def _figured(node: syntax.Expression) -> tuple[str, int]:
    """A name, and how much it is worth: a function's or a column's 2, a type's or case's 1."""
    match node:
        case syntax.ColumnReference():
            return node.name, 2
        case syntax.Call():
            return _CALLED.get(node.name, node.name), 2
        case syntax.TypeCast():
            name, worth = _figured(node.operand)
            if worth == 2:
                return name, 2
            kind = node.type
            try:
                short = types.resolve_any(kind.name, kind.modifiers, kind.position)[0].short
            except StatementError:
                short = kind.name.rpartition(".")[2].removesuffix("[]")  # of a client's own
            return short.removeprefix("_"), 1  # an array is called by its elements
        case syntax.Case():
            name, worth = _figured(node.default) if node.default is not None else ("", 0)
            return (name, 2) if worth == 2 else ("case", 1)
        case syntax.Subscript() | syntax.Slice() | syntax.Collated():
            return _figured(node.operand)
        case syntax.Exists():
            return "exists", 2
        case syntax.Subquery():
            query = node.query
            while isinstance(query, syntax.SetOperation):
                query = query.left
            if isinstance(query, syntax.Values):
                return "column1", 2
            item = query.items[0]
            if isinstance(item, syntax.Star):
                return "", 0
            return (item.alias, 2) if item.alias is not None else (label(item.expression), 2)
        case syntax.ArrayItems():
            return "array", 2
        case syntax.Row():
            return "row", 2
        case _:
            return "", 0


_CALLED = {"trim": "btrim", "array of": "array"}
