"""What every part of the walk over a tree needs: names, positions, and nothing left unread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from sqlglot import exp

from shardrouter import syntax
from shardrouter.dialect import MARK, unexpected
from shardrouter.errors import NotSupported
from shardrouter.lexer import Kind, Token, syntax_error

__all__ = ["Walk"]

_LEAVES: Final = (exp.Identifier, exp.Literal)
"""Nodes with nothing below them."""

_CLAUSES: Final = {
    "joins": "a join",
    "db": "a name of three parts",
    "with": "WITH",
    "ordinality": "WITH ORDINALITY",
    "sample": "TABLESAMPLE",
    "query": "a subquery",
}
"""What the parser's arguments are called where its own name says little."""


class Walk:
    """Knows the tokens of the statement, for positions."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._operators = [token for token in tokens if token.kind is Kind.OPERATOR]
        self._operator_starts = [token.start + 1 for token in self._operators]

    def _only(self, node: exp.Expr, *known: str) -> None:
        """Every argument that is set is among `known`."""
        for name, value in node.args.items():
            if name in known or name.startswith("_") or value is None or value is False:
                continue
            if value == [] or value == "":
                continue
            what = name.strip("_").replace("_", " ")
            raise NotSupported(
                f"{_CLAUSES.get(what, what.upper())} is not supported"
                f" in {type(node).__name__.upper()}",
                position=self._position(value if isinstance(value, exp.Expr) else node),
            )

    def _position(self, node: exp.Expr) -> int:
        """1-based offset of the first token in the tree that knows where it was."""
        if type(node) in _LEAVES:
            return int(node.meta.get("start", -1)) + 1
        below = node.args.values() if type(node) is exp.Column else node.walk()
        starts = [n.meta["start"] for n in below if isinstance(n, exp.Expr) and "start" in n.meta]
        return min(starts) + 1 if starts else 0

    def _unsupported(self, node: exp.Expr, what: str = "") -> NotSupported:
        name = what or f"the expression {type(node).__name__.upper()}"
        return NotSupported(f"{name} is not supported", position=self._position(node))

    def _name(self, node: Any) -> syntax.Name:
        """A plain name. One without quotes is a keyword, as every name is given in quotes."""
        if not isinstance(node, exp.Identifier):
            if isinstance(node, exp.Column):
                self._only(node, "this")
                return self._name(node.this)
            if isinstance(node, exp.Ordered):
                self._only(node, "this", "nulls_first")
                return self._name(node.this)
            if isinstance(node, exp.Expr):
                raise self._unsupported(node)
            raise unexpected(None)
        position, text = self._position(node), node.name
        if not node.args.get("quoted") or not text.startswith(MARK):
            raise syntax_error(text.lower(), position - 1)
        return syntax.Name(text[len(MARK) :], position)

    def _names(self, nodes: Sequence[exp.Expr]) -> tuple[syntax.Name, ...]:
        return tuple(self._name(node) for node in nodes)

    def _label(self, node: exp.Identifier) -> str:
        """The name after AS, where any word may stand."""
        return node.name.removeprefix(MARK)

    def _token_after(self, position: int) -> Token | None:
        return next((token for token in self._tokens if token.start + 1 > position), None)

    def _operator_before(self, operand: exp.Expr, *texts: str) -> int:
        """Where the operator before an operand is: the last one of `texts`; 0 if unknown."""
        right = self._position(operand)
        at = bisect_left(self._operator_starts, right)
        while at > 0:
            at -= 1
            if self._operators[at].text in texts:
                return self._operator_starts[at]
        return 0

    def _word_before(self, position: int, *words: str) -> int:
        """Where the last of these words before a position is; 0 if there is none."""
        found = 0
        for token in self._tokens:
            if token.start + 1 >= position:
                break
            if token.is_word(*words):
                found = token.start + 1
        return found
