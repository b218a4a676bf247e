"""From the text of a statement to the values of `shardrouter.syntax`.

sqlglot's parser does the grammar; only this module and `shardrouter.parsing` import it. Its
tokenizer is not used: it reads some of PostgreSQL's texts as something else. Instead the parser
gets the tokens of `shardrouter.phrases` and `shardrouter.dialect`. What comes back is walked by
an allow-list of node classes and of their arguments (`shardrouter.parsing`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ErrorLevel, ParseError
from sqlglot.tokenizer_core import Token as SqlglotToken
from sqlglot.tokenizer_core import TokenType

from shardrouter import syntax
from shardrouter.dialect import check_sequence, parser_tokens, unexpected
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Token, split, syntax_error, tokenize
from shardrouter.parsing.changes import Changes
from shardrouter.phrases import plain
from shardrouter.qualified import unqualified

__all__ = ["parse", "split"]


class _Dialect(Postgres):
    """PostgreSQL's, with subscripts as they were written."""

    INDEX_OFFSET = 0


_DIALECT: Final = _Dialect()

# The parser logs when it gives up on a statement; the error that is raised says it better.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


_TOKEN_TYPES: Final = {kind.name: kind for kind in TokenType}
"""An enum's own look-up by name costs more than a dictionary's."""


def parse(sql: str) -> syntax.Statement:
    """One statement. Raises StatementError and NotSupported with positions."""
    return parse_tokens(tokenize(sql))


def parse_tokens(tokens: Sequence[Token]) -> syntax.Statement:
    """One SELECT, VALUES, INSERT, UPDATE or DELETE from its tokens."""
    tokens = plain(unqualified(tokens))
    check_sequence(tokens)
    parser = _DIALECT.parser(error_level=ErrorLevel.IMMEDIATE)
    try:
        trees = parser.parse(
            [
                # `col` is the ordinal of our token, for the parser's messages.
                SqlglotToken(_TOKEN_TYPES[kind], text, 1, i, tokens[i].start, tokens[i].end - 1)
                for kind, text, i in parser_tokens(tokens)
            ],
            "",
        )
        if len(trees) != 1 or trees[0] is None:
            raise unexpected(tokens[0] if tokens else None)
        return _Walk(tokens).statement(trees[0])
    except ParseError as exc:
        raise _syntax_error_of(exc, tokens) from exc
    except RecursionError as exc:
        raise StatementError(
            "stack depth limit exceeded", sqlstate="54001", hint="Write a simpler expression."
        ) from exc


def _syntax_error_of(error: ParseError, tokens: Sequence[Token]) -> StatementError:
    first = error.errors[0] if error.errors else {}
    at = int(first.get("col") or 0)
    if str(first.get("description", "")).startswith("Required keyword"):
        at += 1  # the parser points at the last token it took, what is missing comes after
    if at >= len(tokens):
        end = tokens[-1].end if tokens else 0
        return syntax_error("", end)
    return syntax_error(tokens[at].source, tokens[at].start)


class _Walk(Changes):
    """Turns one tree into values."""

    # ---- statements

    def statement(self, node: exp.Expr) -> syntax.Statement:
        walk: dict[type[exp.Expr], Callable[[Any], syntax.Statement]] = {
            exp.Select: self.query,
            exp.Values: self.query,
            exp.Union: self.query,
            exp.Intersect: self.query,
            exp.Except: self.query,
            exp.Subquery: self.query,
            exp.Insert: self._insert,
            exp.Update: self._update,
            exp.Delete: self._delete,
        }
        found = walk.get(type(node))
        if found is None:
            first = self._tokens[0]
            raise NotSupported(
                f"this form of {first.text.upper()} is not supported",
                position=first.start + 1,
            )
        return found(node)
