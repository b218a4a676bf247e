"""The tokens of a statement that changes the schema, taken one by one.

By recursive descent, for the grammar is small and PostgreSQL's own; expressions and types inside
are given to `shardrouter.statement`, so that they mean what they mean in a query. A word that is
known and refused is NotSupported, any other that does not fit is PostgreSQL's syntax error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError
from shardrouter.keywords import RESERVED
from shardrouter.lexer import Kind, Token, syntax_error
from shardrouter.statement import parse_tokens

__all__ = ["NOT_YET", "Cursor", "expression_from", "text_of", "type_from"]

NOT_YET: Final = {
    "deferrable": "Constraints are checked at the end of their statement.",
    "initially": "Constraints are checked at the end of their statement.",
    "exclude": "Use UNIQUE, or check in the application.",
    "like": "Write the columns out.",
    "inherits": "Write the columns out.",
    "partition": "Rows are spread over shards by WITH (shard_key = 'column').",
    "collate": "Text compares by code point, as PostgreSQL's collation C does.",
    "include": "Leave it out: it changes no answer.",
    "using": "Indexes are B-trees; leave it out.",
    "tablespace": "Leave it out: every replica has one file.",
    "unlogged": "Leave UNLOGGED out.",
    "storage": "Leave it out: it changes no answer.",
    "compression": "Leave it out: it changes no answer.",
    "as": "CREATE TABLE with its columns, then INSERT ... SELECT.",
    "materialized": "CREATE VIEW, or CREATE TABLE and INSERT ... SELECT what it is to keep.",
    "recursive": "CREATE VIEW ... AS WITH RECURSIVE ... says the same.",
    "owned": "The sequence of a serial or identity column goes with its table.",
}


_T = TypeVar("_T")


class Cursor:
    """The tokens of a statement, taken one by one."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self.at = 0

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.at + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise syntax_error("", self._tokens[-1].end)
        self.at += 1
        return token

    def unexpected(self) -> StatementError | NotSupported:
        """What to raise about the token at hand."""
        token = self.peek()
        if token is None:
            return syntax_error("", self._tokens[-1].end)
        if token.kind is Kind.WORD and token.text in NOT_YET:
            return NotSupported(
                f"{token.text.upper()} is not supported",
                position=token.start + 1,
                hint=NOT_YET[token.text],
            )
        return syntax_error(token.source, token.start)

    def is_word(self, *words: str) -> bool:
        """Whether the next tokens are these words."""
        tokens = [self.peek(i) for i in range(len(words))]
        return all(
            token is not None and token.is_word(word)
            for token, word in zip(tokens, words, strict=True)
        )

    def accept(self, *words: str) -> bool:
        if not self.is_word(*words):
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.accept(word):
                raise self.unexpected()

    def word(self) -> str:
        token = self.peek()
        if token is None or token.kind is not Kind.WORD:
            raise self.unexpected()
        self.at += 1
        return token.text

    def is_mark(self, mark: str) -> bool:
        token = self.peek()
        return token is not None and token.is_mark(mark)

    def accept_mark(self, mark: str) -> bool:
        if not self.is_mark(mark):
            return False
        self.at += 1
        return True

    def expect_mark(self, mark: str) -> None:
        if not self.accept_mark(mark):
            raise self.unexpected()

    def end(self) -> None:
        if self.peek() is not None:
            raise self.unexpected()

    def name(self) -> syntax.Name:
        token = self.peek()
        if token is None or token.kind not in (Kind.WORD, Kind.NAME):
            raise self.unexpected()
        if token.kind is Kind.WORD and token.text in RESERVED:
            raise self.unexpected()
        self.at += 1
        return syntax.Name(token.text, token.start + 1)

    def relation(self) -> syntax.Name:
        """A name, and the schema it may say."""
        name = self.name()
        if not self.accept_mark("."):
            return name
        own = self.name()
        if self.is_mark("."):
            raise NotSupported(
                "cross-database references are not implemented",
                position=name.position,
                hint="Write schema.name.",
            )
        return syntax.Name(own.text, name.position, name.text)

    def listed(self, item: Callable[[], _T]) -> tuple[_T, ...]:
        """One or more, with commas between."""
        items = [item()]
        while self.accept_mark(","):
            items.append(item())
        return tuple(items)

    def names(self) -> tuple[syntax.Name, ...]:
        self.expect_mark("(")
        names = self.listed(self.name)
        self.expect_mark(")")
        return names

    def integer(self) -> int:
        token = self.take()
        sign = 1
        if token.kind is Kind.OPERATOR and token.text in ("-", "+"):
            sign = -1 if token.text == "-" else 1
            token = self.take()
        if token.kind is not Kind.NUMBER or not token.text.isdigit() or len(token.text) > 20:
            self.at -= 1
            raise self.unexpected()
        return sign * int(token.text)

    def rest(self) -> Sequence[Token]:
        """All that is left, and something is."""
        found = self._tokens[self.at :]
        if not found:
            raise self.unexpected()
        self.at = len(self._tokens)
        return found

    def until(self, is_end: Callable[[Token], bool]) -> Sequence[Token]:
        """The tokens up to the end of the list, or to one that ends them, outside parentheses."""
        start, depth = self.at, 0
        while (token := self.peek()) is not None:
            if token.is_mark("(") or token.is_mark("["):
                depth += 1
            elif token.is_mark(")") or token.is_mark("]"):
                if depth == 0:
                    break
                depth -= 1
            elif depth == 0 and (token.is_mark(",") or (self.at > start and is_end(token))):
                break
            self.at += 1
        if self.at == start:
            raise self.unexpected()
        return self._tokens[start : self.at]

    def parenthesised(self) -> Sequence[Token]:
        """What is between the parentheses that come next."""
        self.expect_mark("(")
        start, depth = self.at, 1
        while depth:
            token = self.take()
            depth += token.is_mark("(") - token.is_mark(")")
        if self.at - 1 == start:
            self.at -= 1
            raise self.unexpected()
        return self._tokens[start : self.at - 1]


_EMPTY: Final = syntax.Select(())


def _select_item(tokens: Sequence[Token]) -> syntax.Expression:
    select = Token(Kind.WORD, "select", tokens[0].start, tokens[0].start, "select")
    node = parse_tokens([select, *tokens])
    if isinstance(node, syntax.Select):
        match node.items:
            case (syntax.SelectItem(expression=expression, alias=None),) if node == replace(
                _EMPTY, items=node.items, position=node.position
            ):
                return expression
    raise syntax_error(tokens[0].source, tokens[0].start)


def expression_from(tokens: Sequence[Token]) -> syntax.Expression:
    """As it stands in a query, and nothing else of a query with it."""
    return _select_item(tokens)


def type_from(tokens: Sequence[Token]) -> syntax.TypeName:
    at = tokens[0].start
    null = Token(Kind.WORD, "null", at, at, "null")
    cast = Token(Kind.MARK, "::", at, at, "::")
    node = _select_item([null, cast, *tokens])
    if not isinstance(node, syntax.TypeCast):
        raise syntax_error(tokens[0].source, tokens[0].start)
    return node.type


def text_of(tokens: Sequence[Token]) -> str:
    """The text of these tokens, with what space there was between them as one blank."""
    text = ""
    for before, token in zip([None, *tokens], tokens, strict=False):
        text += (" " if before is not None and before.end < token.start else "") + token.source
    return text
