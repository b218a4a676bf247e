"""What the parser gets to see of a statement: its tokens, by an allow-list of keywords.

Between `shardrouter.lexer`, which knows what a token is, and `shardrouter.statement`, whose
parser knows the grammar of thirty dialects. Only the words listed here become keywords, some
of them only beside certain others; every other word becomes a quoted name with a mark in
front, so that nothing of another dialect, no function of another database and no type that
this one lacks can be recognised in it. Sequences that the parser would let pass although
PostgreSQL does not (a trailing comma) are refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from shardrouter.errors import NotSupported, StatementError
from shardrouter.keywords import CALLED_WITHOUT_PARENTHESES, RESERVED, refusal_hint
from shardrouter.lexer import Kind, Token, syntax_error

__all__ = [
    "MARK",
    "NESTING_MAX",
    "ParserToken",
    "check_sequence",
    "parser_tokens",
    "unexpected",
]


class ParserToken(NamedTuple):
    """A token for the parser: the name of its token type, its text, and which of ours it is."""

    type: str
    text: str
    ordinal: int


MARK: Final = '"'
"""In front of every name given to the parser: no keyword begins with it."""

NESTING_MAX: Final = 100
"""Deepest nesting of parentheses and prefix operators; the parser and the walk recurse."""

_MARKS: Final = {
    "(": "L_PAREN",
    ")": "R_PAREN",
    ",": "COMMA",
    ".": "DOT",
    "::": "DCOLON",
}
_OPERATORS: Final = {
    "=": "EQ",
    "<>": "NEQ",
    "!=": "NEQ",
    "<": "LT",
    "<=": "LTE",
    ">": "GT",
    ">=": "GTE",
    "+": "PLUS",
    "-": "DASH",
    "*": "STAR",
    "/": "SLASH",
    "%": "MOD",
    "||": "DPIPE",
}
_WORDS: Final = {
    "and": "AND",
    "as": "ALIAS",
    "asc": "ASC",
    "between": "BETWEEN",
    "cast": "VAR",
    "constraint": "CONSTRAINT",
    "default": "DEFAULT",
    "desc": "DESC",
    "do": "VAR",
    "false": "FALSE",
    "from": "FROM",
    "in": "IN",
    "into": "INTO",
    "is": "IS",
    "isnull": "ISNULL",
    "limit": "LIMIT",
    "not": "NOT",
    "notnull": "NOTNULL",
    "null": "NULL",
    "offset": "OFFSET",
    "on": "ON",
    "or": "OR",
    "select": "SELECT",
    "table": "TABLE",
    "true": "TRUE",
    "unique": "UNIQUE",
    "values": "VALUES",
    "where": "WHERE",
    "with": "WITH",
}
"""Words that are keywords wherever they stand."""

_FIRST_WORDS: Final = {
    "select": "SELECT",
    "insert": "INSERT",
    "update": "UPDATE",
    "delete": "DELETE",
}
_PHRASES: Final = {
    ("order", "by"): ("ORDER_BY", "ORDER BY"),
    ("double", "precision"): ("IDENTIFIER", MARK + "double precision"),
    ("character", "varying"): ("IDENTIFIER", MARK + "character varying"),
}
"""Two words that are one token."""

_IN_CONTEXT: Final = {
    # word: (words one of which must stand before it, its token)
    "conflict": (("on",), "VAR"),
    "nothing": (("do",), "VAR"),
    "update": (("do",), "UPDATE"),
    "first": (("nulls",), "FIRST"),
    "last": (("nulls",), "VAR"),
}
"""Words that are keywords only after another one; elsewhere they name columns."""


_COMPARING: Final = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})

_OPENING: Final = frozenset(_WORDS.keys() | _FIRST_WORDS.keys() | {"by"}) - frozenset(
    {"asc", "default", "desc", "false", "isnull", "notnull", "null", "table", "true", "unique"}
)
"""Words after which an expression begins, so that a comma or binary operator cannot follow."""


# --------------------------------------------------------------------------- tokens


def _refused_word(token: Token) -> NotSupported | StatementError:
    if token.text in CALLED_WITHOUT_PARENTHESES:
        return unexpected(token)
    word = token.text.upper()
    return NotSupported(
        f"{word} is not supported", position=token.start + 1, hint=refusal_hint(token.text)
    )


def check_sequence(tokens: Sequence[Token]) -> None:
    """Refuse what the parser would accept although PostgreSQL does not, and what is too deep."""
    depth = run = 0
    before: Token | None = None
    in_limit = False
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.is_mark("("):
            depth += 1
        elif token.is_mark(")"):
            depth -= 1
        elif token.is_mark(","):
            _check_comma(before, token, after)
            if in_limit and depth == 0:
                raise syntax_error(",", token.start)  # LIMIT offset, count
        elif token.is_mark(";"):
            raise syntax_error(";", token.start)
        elif token.kind is Kind.MARK and token.text in "[]:":
            raise NotSupported(
                "arrays are not supported",
                position=token.start + 1,
                hint="Write IN (...) with one parameter for each value; keep lists in a table.",
            )
        elif token.is_word("limit") and depth == 0:
            in_limit = True
        is_prefix = token.is_word("not") or _is_sign(token)
        run = run + 1 if is_prefix else 0
        if depth > NESTING_MAX or run > NESTING_MAX:
            raise StatementError(
                "stack depth limit exceeded",
                sqlstate="54001",
                position=token.start + 1,
                hint=f"Nest expressions at most {NESTING_MAX} deep.",
            )
        _check_plus(before, token, after)
        _check_string(token, after)
        before = token
    _check_ranges(tokens)
    first = tokens[0]
    second = tokens[1] if len(tokens) > 1 else None
    wanted = {"insert": "into", "delete": "from"}.get(first.text)
    if first.kind is not Kind.WORD:
        raise unexpected(first)
    if wanted is not None and second is not None and not second.is_word(wanted):
        raise unexpected(second)


def _check_ranges(tokens: Sequence[Token]) -> None:
    """IN and BETWEEN do not associate: `a NOT IN (b) IN (c)` is a syntax error to PostgreSQL.

    The parser groups from the left and puts parentheses around the first, so that its tree no
    longer tells. Per depth of parentheses: does a range test end here that nothing has closed?
    """
    open_ranges = [""]
    for token in tokens:
        if token.is_mark("("):
            open_ranges.append("")
        elif token.is_mark(")"):
            if len(open_ranges) > 1:
                open_ranges.pop()
        elif token.is_word("in", "between"):
            if open_ranges[-1]:
                raise syntax_error(token.source, token.start)
            open_ranges[-1] = token.text
        elif token.is_word("and") and open_ranges[-1] == "between":
            open_ranges[-1] = "in"  # the AND of this BETWEEN; the next one connects
        elif (token.kind is Kind.WORD and token.text in _OPENING and token.text != "not") or (
            token.is_mark(",") or (token.kind is Kind.OPERATOR and token.text in _COMPARING)
        ):
            open_ranges[-1] = ""


def _is_sign(token: Token) -> bool:
    return token.kind is Kind.OPERATOR and token.text in ("-", "+")


def _ends_operand(token: Token | None) -> bool:
    """Whether an expression or a name may end with this token."""
    if token is None or token.kind is Kind.OPERATOR:
        return token is not None and token.text == "*"
    if token.kind is Kind.MARK:
        return token.text == ")"
    return token.kind is not Kind.WORD or token.text not in _OPENING


def _check_comma(before: Token | None, token: Token, after: Token | None) -> None:
    """The parser forgives a comma too many, at either end of a list."""
    if not _ends_operand(before):
        raise unexpected(token)
    if after is None or after.is_mark(")") or after.is_mark(",") or after.is_word("from", "where"):
        raise unexpected(after)


def _check_plus(before: Token | None, token: Token, after: Token | None) -> None:
    """The parser drops a unary plus, and with it PostgreSQL's opinion of what it is put before."""
    if token.kind is not Kind.OPERATOR or token.text != "+" or _ends_operand(before):
        return
    if after is None or after.kind is not Kind.NUMBER:
        raise NotSupported(
            "a unary + is not supported", position=token.start + 1, hint="Leave it out."
        )


def _check_string(token: Token, after: Token | None) -> None:
    """A name before a string is a typed literal (`date '...'`) or nothing at all."""
    if after is None or after.kind is not Kind.STRING:
        return
    if token.kind is Kind.WORD and token.text in RESERVED - _WORDS.keys():
        raise _refused_word(token)
    if token.kind is Kind.NAME or (
        token.kind is Kind.WORD and token.text not in _WORDS and token.text != "by"
    ):
        raise NotSupported(
            f"the literal {token.text} '...' is not supported",
            position=token.start + 1,
            hint=f"Write '...'::{token.text}.",
        )


def unexpected(token: Token | None) -> StatementError:
    """42601 at a token, or at the end of the input."""
    if token is None:
        return syntax_error("", -1)
    return syntax_error(token.source, token.start)


def parser_tokens(tokens: Sequence[Token]) -> Iterator[ParserToken]:
    """Tokens for the parser. Their `col` is the ordinal of ours, for its error messages."""
    previous = ""
    skip = False
    for i, token in enumerate(tokens):
        if skip:
            skip = False
            continue
        following = tokens[i + 1] if i + 1 < len(tokens) else None

        word = token.text if token.kind is Kind.WORD else ""
        if token.kind is Kind.NAME:
            yield ParserToken("IDENTIFIER", MARK + token.text, i)
        elif token.kind is Kind.STRING:
            yield ParserToken("STRING", token.text, i)
        elif token.kind is Kind.NUMBER:
            yield ParserToken("NUMBER", token.text, i)
        elif token.kind is Kind.PARAMETER:
            yield ParserToken("PARAMETER", "$", i)
            yield ParserToken("NUMBER", token.text, i)
        elif token.kind is Kind.MARK:
            yield ParserToken(_MARKS[token.text], token.text, i)
        elif token.kind is Kind.OPERATOR:
            if token.text not in _OPERATORS:
                raise NotSupported(
                    f"the operator {token.text} is not supported", position=token.start + 1
                )
            yield ParserToken(_OPERATORS[token.text], token.text, i)
        elif following and following.kind is Kind.WORD and (word, following.text) in _PHRASES:
            kind, text = _PHRASES[word, following.text]
            yield ParserToken(kind, text, i)
            skip = True
            word = following.text
        elif previous == "as":
            yield ParserToken("IDENTIFIER", MARK + word, i)  # after AS any word is a name
        elif i == 0:
            if word not in _FIRST_WORDS:
                raise unexpected(token)
            yield ParserToken(_FIRST_WORDS[word], word, i)
        elif word in _WORDS:
            yield ParserToken(_WORDS[word], word, i)
        elif word == "set" and (previous == "update" or tokens[0].is_word("update")):
            yield ParserToken("SET", word, i)
        elif word in _IN_CONTEXT and previous in _IN_CONTEXT[word][0]:
            yield ParserToken(_IN_CONTEXT[word][1], word, i)
        elif (word == "nulls" and following and following.is_word("first", "last")) or (
            word == "count" and following and following.is_mark("(")
        ):
            yield ParserToken("VAR", word, i)
        elif (
            word in CALLED_WITHOUT_PARENTHESES
            and tokens[0].is_word("select")
            and previous != "from"
        ):
            yield ParserToken("IDENTIFIER", MARK + word, i)
            if following is None or not following.is_mark("("):
                yield ParserToken("L_PAREN", "(", i)
                yield ParserToken("R_PAREN", ")", i)
        elif word in RESERVED:
            raise _refused_word(token)
        else:
            yield ParserToken("IDENTIFIER", MARK + word, i)
        previous = word
