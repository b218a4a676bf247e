"""The grammar of definitions that have a query: views."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter import syntax
from shardrouter.definition_cursor import Cursor, text_of
from shardrouter.definitions import CreateView
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, Token, syntax_error
from shardrouter.statement import parse_tokens

__all__ = ["create_view", "query_from"]


def create_view(cursor: Cursor, *, or_replace: bool) -> CreateView:
    """What stands behind CREATE [OR REPLACE] VIEW."""
    name = cursor.relation()
    columns = cursor.names() if cursor.is_mark("(") else ()
    if (token := cursor.peek()) is not None and token.is_word("with"):
        raise NotSupported(
            "options of a view are not supported",
            position=token.start + 1,
            hint="Leave them out: every role may read what a view reads.",
        )
    cursor.expect("as")
    tokens = cursor.rest()
    if len(tokens) > 3 and tokens[-2].is_word("check") and tokens[-1].is_word("option"):
        raise NotSupported(
            "WITH CHECK OPTION is not supported",
            position=tokens[-2].start + 1,
            hint="Leave it out, and write to the table itself.",
        )
    return CreateView(name, columns, query_from(tokens), text_of(tokens), or_replace)


def query_from(tokens: Sequence[Token]) -> syntax.Query:
    """A query that is kept, or run by something else: it has no parameters."""
    node = parse_tokens(tokens)
    if not isinstance(node, syntax.Select | syntax.Values | syntax.SetOperation):
        raise syntax_error(tokens[0].source, tokens[0].start)
    for token in tokens:
        if token.kind is Kind.PARAMETER:
            raise StatementError(
                f"there is no parameter ${token.text}", sqlstate="42P02", position=token.start + 1
            )
    return node
