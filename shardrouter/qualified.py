"""What stands in pg_catalog, named with or without it: types, functions, operators.

`x::pg_catalog.text`, `pg_catalog.now()` and `a OPERATOR(pg_catalog.~) b` are what `x::text`,
`now()` and `a ~ b` are. Clients that must not depend on the search path (psql, pg_dump) write
everything so. Tables keep their schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shardrouter.lexer import Kind, Token

__all__ = ["unqualified"]

_TRIGGERS: Final = frozenset({"pg_catalog", "information_schema", "operator", "char"})

_SYSTEM_ARRAYS: Final = frozenset(
    {"oid", "name", "regtype", "regclass", "regproc", "regnamespace", "regrole", "aclitem", "xid"}
)


def unqualified(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens without what says nothing."""
    texts = [token.text for token in tokens]
    if _TRIGGERS.isdisjoint(texts) and ("[" not in texts or _SYSTEM_ARRAYS.isdisjoint(texts)):
        return tokens
    out: list[Token] = []
    at, end = 0, len(tokens)

    def is_mark(i: int, text: str) -> bool:
        return i < end and tokens[i].is_mark(text)

    while at < end:
        token = tokens[at]
        is_type = bool(out) and (out[-1].is_mark("::") or out[-1].is_word("as"))
        if (
            token.is_word("pg_catalog")
            and is_mark(at + 1, ".")
            and at + 2 < end
            and (is_type or is_mark(at + 3, "(") or is_mark(at + 3, "."))
        ):
            at += 2
            continue
        if (
            token.is_word("information_schema")
            and is_mark(at + 1, ".")
            and at + 2 < end
            and tokens[at + 2].is_word("_pg_expandarray")
        ):
            at += 2
            continue
        if token.is_word("operator") and is_mark(at + 1, "("):
            inner = at + 2
            if inner + 1 < end and tokens[inner].is_word("pg_catalog") and is_mark(inner + 1, "."):
                inner += 2
            if inner < end and tokens[inner].kind is Kind.OPERATOR and is_mark(inner + 1, ")"):
                out.append(tokens[inner])
                at = inner + 2
                continue
        if is_type and token.kind is Kind.NAME and token.text == "char":
            out.append(_as_word(token, '"char"'))
            at += 1
        elif is_type and token.kind is Kind.WORD and token.text in _SYSTEM_ARRAYS:
            out.append(token)
            at += 1
        else:
            out.append(token)
            at += 1
            continue
        if is_mark(at, "[") and is_mark(at + 1, "]"):
            out[-1] = _as_word(out[-1], out[-1].text + "[]")
            at += 2
    return out


def _as_word(token: Token, text: str) -> Token:
    return Token(Kind.WORD, text, token.start, token.end, token.source)
