"""The tokens of a short statement, taken one by one.

For statements whose grammar is a few words each: settings, transactions, roles. Everything else
is read by `shardrouter.statement`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from shardrouter.errors import StatementError
from shardrouter.lexer import Kind, Token, syntax_error

__all__ = ["Rest"]

T = TypeVar("T")


class Rest:
    """The tokens of a statement, taken one by one."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def skip(self, count: int) -> None:
        self._at += count

    def peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise syntax_error("", self._tokens[-1].end)
        self._at += 1
        return token

    def name(self) -> str:
        token = self.take()
        if token.kind not in (Kind.WORD, Kind.NAME):
            raise self.unexpected(token)
        return token.text

    def unexpected(self, token: Token) -> StatementError:
        return syntax_error(token.source, token.start)

    def unexpected_end(self) -> StatementError:
        return syntax_error("", self._tokens[-1].end)

    def takes(self, word: str) -> bool:
        """Take the next token if it is this keyword."""
        token = self.peek()
        if token is None or not token.is_word(word):
            return False
        self._at += 1
        return True

    def takes_mark(self, mark: str) -> bool:
        """Take the next token if it is this mark."""
        token = self.peek()
        if token is None or not token.is_mark(mark):
            return False
        self._at += 1
        return True

    def word(self, word: str) -> None:
        """Take this keyword, which has to be there."""
        token = self.take()
        if not token.is_word(word):
            raise self.unexpected(token)

    def last(self, value: T) -> T:
        """`value`, if nothing follows."""
        if (token := self.peek()) is not None:
            raise self.unexpected(token)
        return value
