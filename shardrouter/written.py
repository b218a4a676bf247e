"""Expressions that the catalog keeps as they were written: which columns they name, and the same
with other names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from shardrouter import syntax
from shardrouter.definition_cursor import expression_from
from shardrouter.keywords import quoted
from shardrouter.lexer import tokenize

__all__ = ["bare", "columns_of", "columns_written", "expression_of"]


def expression_of(source: str) -> syntax.Expression:
    return expression_from(tokenize(source))


def columns_of(node: object) -> set[str]:
    """The names of the columns that an expression refers to."""
    return {reference.name for reference in _references(node)}


def columns_written(source: str) -> set[str]:
    """The same of a text."""
    return columns_of(expression_of(source))


def _references(node: object) -> Iterator[syntax.ColumnReference]:
    if isinstance(node, syntax.ColumnReference):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from _references(part)
    elif is_dataclass(node):
        for part in fields(node):
            yield from _references(getattr(node, part.name))


def bare(source: str, relname: str, renamed: Mapping[str, str]) -> str:
    """The text with columns by their new names, and without `relname` before any of them."""
    tokens = tokenize(source)
    starts = {token.start + 1: at for at, token in enumerate(tokens)}
    text = source
    references = sorted(_references(expression_of(source)), key=lambda found: -found.position)
    for reference in references:
        is_own = reference.table == relname
        if reference.name not in renamed and not is_own:
            continue
        first = starts[reference.position]
        last = first if reference.table is None else first + (4 if reference.schema else 2)
        name = quoted(renamed.get(reference.name, reference.name))
        text = text[: tokens[first].start] + name + text[tokens[last].end :]
    return text
