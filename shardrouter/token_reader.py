"""Reading a statement of few words from its tokens, without a grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from shardrouter.errors import StatementError
from shardrouter.lexer import Kind, Token, syntax_error

__all__ = ["TokenReader"]

T = TypeVar("T")


class TokenReader:
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

    def last(self, value: T) -> T:
        """`value`, if nothing follows."""
        if (token := self.peek()) is not None:
            raise self.unexpected(token)
        return value

    def takes(self, *words: str) -> bool:
        """Take the next tokens if they are these words."""
        for offset, word in enumerate(words):
            at = self._at + offset
            if at >= len(self._tokens) or not self._tokens[at].is_word(word):
                return False
        self._at += len(words)
        return True

    def takes_mark(self, mark: str) -> bool:
        token = self.peek()
        if token is None or not token.is_mark(mark):
            return False
        self._at += 1
        return True
