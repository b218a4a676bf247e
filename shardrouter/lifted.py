"""The long texts of an INSERT, taken out of its statement: parameters that its client wrote as
literals.

A text that is understood, sent and compiled is many times dearer than a parameter, and a replica
compiles texts up to 1 MiB; so what a program has written out as one large `INSERT ... VALUES` is
planned as if it had been sent with parameters. They take the types of their columns, as an untyped
literal does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nodes.protocol import Value
from shardrouter import types
from shardrouter.lexer import Kind, Token, tokenize

__all__ = ["LIFTED_FROM", "lift", "values_of"]

LIFTED_FROM: Final = 256 * 1024
"""Characters of a statement from which it is worth it."""

STRING_MIN: Final = 40
"""Characters of a text that is worth a parameter."""

STRINGS_MAX: Final = 32_000
"""Texts of one statement: about as many as it may have parameters."""


def lift(sql: str) -> tuple[str, list[str]] | None:
    """The statement with parameters in the place of its long texts, and these; None if there are
    none, or if it has parameters of its own. Raises StatementError."""
    if sql.lstrip()[:6].lower() != "insert":
        return None
    tokens = tokenize(sql)
    if any(token.kind is Kind.PARAMETER for token in tokens):
        return None
    found = _texts_of_rows(tokens)[:STRINGS_MAX]
    if not found:
        return None
    parts: list[str] = []
    at = 0
    for number, token in enumerate(found, 1):
        parts += [sql[at : token.start], f"${number}"]
        at = token.end
    parts.append(sql[at:])
    return "".join(parts), [token.text for token in found]


def _texts_of_rows(tokens: Sequence[Token]) -> list[Token]:
    """The long texts that are a value of a row of VALUES, whole."""
    found: list[Token] = []
    depth = 0
    is_in_rows = False
    for before, token, behind in zip(tokens, tokens[1:], tokens[2:]):  # noqa: B905 -- windows
        if token.is_mark("("):
            depth += 1
        elif token.is_mark(")"):
            depth -= 1
        elif depth == 0 and token.kind is Kind.WORD:
            is_in_rows = token.is_word("values") and not found
        elif (
            is_in_rows
            and depth == 1
            and token.kind is Kind.STRING
            and len(token.text) >= STRING_MIN
            and (before.is_mark("(") or before.is_mark(","))
            and (behind.is_mark(",") or behind.is_mark(")"))
        ):
            found.append(token)
    return found


def values_of(texts: Sequence[str], oids: Sequence[int]) -> tuple[Value, ...]:
    """The texts as values of these types. Raises StatementError."""
    return tuple(
        types.from_text(text, types.by_oid(oid)) for text, oid in zip(texts, oids, strict=True)
    )
