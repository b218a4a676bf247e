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
from typing import Final, TypeAlias

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


_WORD, _MARK, _OPERATOR, _STRING = Kind.WORD, Kind.MARK, Kind.OPERATOR, Kind.STRING


ParserToken: TypeAlias = tuple[str, str, int]
"""A token for the parser: the name of its token type, its text, and which of ours it is."""


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
    "[": "L_BRACKET",
    "]": "R_BRACKET",
    ":": "COLON",
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
    "^": "CARET",
    "||": "DPIPE",
}
_OTHER_OPERATORS: Final = frozenset(
    {
        "->",
        "->>",
        "#>",
        "#>>",
        "@>",
        "<@",
        "&&",
        "?",
        "?|",
        "?&",
        "&",
        "|",
        "#",
        "~~",
        "!~~",
        "~~*",
        "!~~*",
        "~",
        "~*",
        "!~",
        "!~*",
        "<<",
        ">>",
        "#-",
        "^@",
        "similar to",
        "not similar to",
    }
)
_PREFIXES: Final = {"~": "TILDE", "|/": "PIPE_SLASH", "||/": "DPIPE_SLASH"}
"""Operators before their operand."""

_WORDS: Final = {
    "all": "ALL",
    "and": "AND",
    "any": "ANY",
    "as": "ALIAS",
    "asc": "ASC",
    "between": "BETWEEN",
    "case": "CASE",
    "cast": "VAR",
    "constraint": "CONSTRAINT",
    "cross": "CROSS",
    "default": "DEFAULT",
    "desc": "DESC",
    "distinct": "DISTINCT",
    "do": "VAR",
    "else": "ELSE",
    "end": "END",
    "except": "EXCEPT",
    "false": "FALSE",
    "from": "FROM",
    "full": "FULL",
    "having": "HAVING",
    "ilike": "ILIKE",
    "in": "IN",
    "inner": "INNER",
    "intersect": "INTERSECT",
    "into": "INTO",
    "is": "IS",
    "isnull": "ISNULL",
    "join": "JOIN",
    "lateral": "LATERAL",
    "left": "LEFT",
    "like": "LIKE",
    "limit": "LIMIT",
    "natural": "NATURAL",
    "not": "NOT",
    "notnull": "NOTNULL",
    "null": "NULL",
    "offset": "OFFSET",
    "on": "ON",
    "or": "OR",
    "outer": "OUTER",
    "returning": "RETURNING",
    "right": "RIGHT",
    "select": "SELECT",
    "some": "SOME",
    "table": "TABLE",
    "then": "THEN",
    "true": "TRUE",
    "union": "UNION",
    "unique": "UNIQUE",
    "using": "USING",
    "values": "VALUES",
    "when": "WHEN",
    "where": "WHERE",
    "window": "WINDOW",
    "with": "WITH",
}
"""Words that are keywords wherever they stand."""

_FIRST_WORDS: Final = {
    "select": "SELECT",
    "insert": "INSERT",
    "update": "UPDATE",
    "delete": "DELETE",
    "values": "VALUES",
    "with": "WITH",
}
_PHRASES: Final = {
    ("order", "by"): ("ORDER_BY", "ORDER BY"),
    ("group", "by"): ("GROUP_BY", "GROUP BY"),
    ("partition", "by"): ("PARTITION_BY", "PARTITION BY"),
}
"""Two words that are one token."""

_IN_CONTEXT: Final = {
    # word: (words one of which must stand before it, its token)
    "conflict": (("on",), "VAR"),
    "nothing": (("do",), "VAR"),
    "update": (("do",), "UPDATE"),
    "first": (("nulls",), "FIRST"),
    "last": (("nulls",), "VAR"),
    "recursive": (("with",), "RECURSIVE"),
    "materialized": (("as", "not"), "VAR"),
    "ordinality": (("with",), "ORDINALITY"),
    "symmetric": (("between",), "VAR"),
    "asymmetric": (("between",), "VAR"),
}
"""Words that are keywords only after another one; elsewhere they name columns."""

_BEFORE_PARENTHESIS: Final = {
    # word: (its token before an opening parenthesis, and whether only after a closing one)
    "exists": ("EXISTS", False),
    "filter": ("FILTER", True),
    "over": ("OVER", True),
}
UNKNOWN: Final = "\0unknown"
"""What the parser takes for a name behind IS: it takes UNKNOWN for NULL."""

_FRAME_MODES: Final = {"rows": "ROWS", "range": "RANGE", "groups": "VAR"}
_FRAME_WORDS: Final = frozenset(
    "unbounded preceding following current row exclude no others ties group".split()  # noqa: SIM905
)
"""Words of a window's frame; elsewhere they name columns."""

_BEFORE_NAMES: Final = frozenset({"from", "into", "join", "table", "update", "."})
_CHANGES: Final = frozenset({"insert", "update", "delete"})
_TELLING: Final = _CHANGES | {"limit", "not", "returning"}
"""Words that `check_sequence` looks at, wherever they are."""
_LOCK_WORDS: Final = frozenset("update share no key of nowait skip locked".split())  # noqa: SIM905
"""Words after FOR."""


_RANGES: Final = frozenset(("in", "between", "like", "ilike"))
_SPECIAL: Final = (
    frozenset("order group partition unknown escape array for set at time zone nulls".split())  # noqa: SIM905
    | _WORDS.keys()
    | _FIRST_WORDS.keys()
    | _IN_CONTEXT.keys()
    | _BEFORE_PARENTHESIS.keys()
    | _FRAME_MODES.keys()
    | {"within", "group"}
    | CALLED_WITHOUT_PARENTHESES
    | RESERVED
)
"""Words that are more than names at some places, or refused there; others are only in a window's
frame and behind FOR."""

_COMPARING: Final = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})

_OPENING: Final = frozenset(_WORDS.keys() | _FIRST_WORDS.keys() | {"by"}) - frozenset(
    """
    all asc default desc end false isnull notnull null table true unique
    """.split()  # noqa: SIM905 -- a list of words
)
"""Words after which an expression begins, so that a comma or binary operator cannot follow."""

_OF_RANGES: Final = (_OPENING - {"not"}) | _RANGES | {"case", "end"}
"""Words that open a range test, or after which none is open."""


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
    depth = run = brackets = 0
    before: Token | None = None
    in_limit = is_body = False  # is_body: after AS (, where a query of WITH begins
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        kind = token.kind
        mark = token.text if kind is _MARK else ""
        word = token.text if kind is _WORD else ""
        if word and word not in _TELLING and (after is None or after.kind is not _STRING):
            run, is_body, before = 0, False, token
            continue
        brackets += (mark == "[") - (mark == "]")
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
        elif mark == ",":
            _check_comma(before, token, after)
            if in_limit and depth == 0:
                raise syntax_error(",", token.start)  # LIMIT offset, count
        elif mark == ";":
            raise syntax_error(";", token.start)
        elif word in _CHANGES and tokens[0].is_word("with") and is_body:
            raise NotSupported(
                "a change in WITH is not supported",
                position=token.start + 1,
                hint="Send it as a statement of its own; RETURNING gives its rows.",
            )
        elif (mark == "[" and not (_ends_operand(before) or _is_array(before))) or (
            mark == ":" and not brackets
        ):
            raise unexpected(token)
        elif word == "limit" and depth == 0:
            in_limit = True
        elif word == "returning":
            in_limit = False
        is_prefix = word == "not" or (kind is _OPERATOR and token.text in ("-", "+"))
        run = run + 1 if is_prefix else 0
        if depth > NESTING_MAX or run > NESTING_MAX:
            raise StatementError(
                "stack depth limit exceeded",
                sqlstate="54001",
                position=token.start + 1,
                hint=f"Nest expressions at most {NESTING_MAX} deep.",
            )
        if kind is _OPERATOR:
            _check_plus(before, token, after)
        if after is not None and after.kind is _STRING:
            _check_string(token)
        is_body = mark == "(" and before is not None and before.is_word("as", "materialized")
        before = token
    _check_ranges(tokens)
    first = tokens[0]
    second = tokens[1] if len(tokens) > 1 else None
    wanted = {"insert": "into", "delete": "from"}.get(first.text)
    if first.kind is not Kind.WORD and not first.is_mark("("):
        raise unexpected(first)
    if wanted is not None and second is not None and not second.is_word(wanted):
        raise unexpected(second)


def _check_ranges(tokens: Sequence[Token]) -> None:
    """IN and BETWEEN do not associate: `a NOT IN (b) IN (c)` is a syntax error to PostgreSQL.

    The parser groups from the left and puts parentheses around the first, so that its tree no
    longer tells. Per depth of parentheses: does a range test end here that nothing has closed?
    """
    if _RANGES.isdisjoint([token.text for token in tokens]):
        return
    open_ranges = [""]
    for token in tokens:
        kind, text = token.kind, token.text
        if kind is _WORD:
            if text not in _OF_RANGES:
                continue
            if text == "case":
                open_ranges.append("")
            elif text == "end":
                if len(open_ranges) > 1:
                    open_ranges.pop()
            elif text in _RANGES:
                if open_ranges[-1]:
                    raise syntax_error(token.source, token.start)
                open_ranges[-1] = text
            elif text == "and" and open_ranges[-1] == "between":
                open_ranges[-1] = "in"  # the AND of this BETWEEN; the next one connects
            else:
                open_ranges[-1] = ""
        elif kind is _MARK:
            if text == "(" or text == "[":
                open_ranges.append("")
            elif text == ")" or text == "]":
                if len(open_ranges) > 1:
                    open_ranges.pop()
            elif text == ",":
                open_ranges[-1] = ""
        elif kind is _OPERATOR and text in _COMPARING:
            open_ranges[-1] = ""


def _ends_operand(token: Token | None) -> bool:
    """Whether an expression or a name may end with this token."""
    if token is None or token.kind is _OPERATOR:
        return token is not None and token.text == "*"
    if token.kind is _MARK:
        return token.text in ")]"
    return token.kind is not _WORD or token.text not in _OPENING


def _is_array(token: Token | None) -> bool:
    return token is not None and token.is_word("array")


def _check_comma(before: Token | None, token: Token, after: Token | None) -> None:
    """The parser forgives a comma too many, at either end of a list."""
    if not _ends_operand(before):
        raise unexpected(token)
    if after is None or after.is_mark(")") or after.is_mark(",") or after.is_word("from", "where"):
        raise unexpected(after)


def _check_plus(before: Token | None, token: Token, after: Token | None) -> None:
    """The parser drops a unary plus, and with it PostgreSQL's opinion of what it is put before."""
    if token.text != "+" or _ends_operand(before):
        return
    if after is None or after.kind is not Kind.NUMBER:
        raise NotSupported(
            "a unary + is not supported", position=token.start + 1, hint="Leave it out."
        )


def _check_string(token: Token) -> None:
    """What is before a string: a name makes it a typed literal (`date '...'`) or is nothing at
    all."""
    if token.kind is Kind.WORD and token.text in RESERVED - _WORDS.keys():
        raise _refused_word(token)
    if token.kind is Kind.NAME or (
        token.kind is Kind.WORD
        and token.text not in _WORDS
        and token.text not in ("by", "escape", "zone", "rows", "range", "groups")
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


def _is_after_is(tokens: Sequence[Token], at: int) -> bool:
    before = tokens[at - 2] if tokens[at - 1].is_word("not") else tokens[at - 1]
    return before.is_word("is")


def parser_tokens(tokens: Sequence[Token]) -> Iterator[ParserToken]:
    """Tokens for the parser. Their `col` is the ordinal of ours, for its error messages."""
    previous = ""
    skip = False
    is_update = False  # an UPDATE whose SET is to come
    lock = frame = False
    windows: list[bool] = []  # per open parenthesis: whether it holds a window's definition
    for i, token in enumerate(tokens):
        if skip:
            skip = False
            continue
        following = tokens[i + 1] if i + 1 < len(tokens) else None
        opens = following is not None and following.kind is _MARK and following.text == "("

        kind = token.kind
        word = token.text if kind is _WORD else ""
        if word and word not in _SPECIAL and previous != "as" and i and not (lock or frame):
            yield ("IDENTIFIER", MARK + word, i)  # what most words are
        elif kind is Kind.NAME:
            yield ("IDENTIFIER", MARK + token.text, i)
        elif kind is _STRING:
            yield ("STRING", token.text, i)
        elif kind is Kind.NUMBER:
            yield ("NUMBER", token.text, i)
        elif kind is Kind.PARAMETER:
            yield ("PARAMETER", "$", i)
            yield ("NUMBER", token.text, i)
        elif kind is _MARK:
            if token.text == "(":
                windows.append(previous == "over" or previous == "window as")
            elif token.text == ")":
                frame = False
                if windows:
                    windows.pop()
            yield (_MARKS[token.text], token.text, i)
        elif kind is _OPERATOR:
            if token.text in _PREFIXES and not _ends_operand(tokens[i - 1] if i else None):
                yield (_PREFIXES[token.text], token.text, i)
            elif token.text in _OPERATORS:
                yield (_OPERATORS[token.text], token.text, i)
            else:
                yield from _other_operator(token, i)
        elif following and following.kind is _WORD and (word, following.text) in _PHRASES:
            name, text = _PHRASES[word, following.text]
            yield (name, text, i)
            skip = True
            word = following.text
        elif previous == "as" and not _is_materialized(tokens, i):
            yield ("IDENTIFIER", MARK + word, i)  # after AS any word is a name
        elif i == 0:
            if word not in _FIRST_WORDS:
                raise unexpected(token)
            is_update = word == "update"
            yield (_FIRST_WORDS[word], word, i)
        elif word == "unknown" and previous in ("is", "not") and _is_after_is(tokens, i):
            yield ("IDENTIFIER", MARK + UNKNOWN, i)
        elif word in ("left", "right") and opens:
            yield ("IDENTIFIER", MARK + word, i)  # the functions
        elif word == "escape" and following is not None and following.kind is Kind.STRING:
            yield ("ESCAPE", word, i)
        elif word == "array" and following is not None and following.is_mark("["):
            yield ("ARRAY", word, i)
        elif word in _WORDS:
            yield (_WORDS[word], word, i)
            if word == "as" and _names_window(tokens, i):
                word = "window as"
        elif word in _WITHIN_GROUP and _is_within_group(tokens, i):
            yield ("VAR", word, i)
        elif word == "for":
            lock = True
            yield ("FOR", word, i)
        elif lock and word in _LOCK_WORDS:
            yield ("VAR", word, i)
        elif word in _CHANGES and previous == ")" and tokens[0].is_word("with"):
            is_update = word == "update"
            yield (_FIRST_WORDS[word], word, i)
        elif word == "set" and (previous == "update" or is_update):
            is_update = False
            yield ("SET", word, i)
        elif word in _IN_CONTEXT and previous in _IN_CONTEXT[word][0]:
            yield (_IN_CONTEXT[word][1], word, i)
        elif word in _FRAME_MODES and windows and windows[-1] and _starts_frame(following):
            frame = True
            yield (_FRAME_MODES[word], word, i)
        elif frame and word in _FRAME_WORDS:
            yield ("VAR", word, i)
        elif (
            word in _BEFORE_PARENTHESIS
            and (opens or (word == "over" and following is not None))
            and (previous == ")" or not _BEFORE_PARENTHESIS[word][1])
        ):
            yield (_BEFORE_PARENTHESIS[word][0], word, i)
        elif (
            (
                word == "at"
                and i + 2 < len(tokens)
                and tokens[i + 1].is_word("time")
                and tokens[i + 2].is_word("zone")
            )
            or (
                (word, previous) in (("time", "at"), ("zone", "time"))
                and tokens[i - 1].is_word("at", "time")
            )
            or (word == "nulls" and following and following.is_word("first", "last"))
        ):
            yield ("VAR", word, i)
        elif word in CALLED_WITHOUT_PARENTHESES and previous not in _BEFORE_NAMES:
            yield ("IDENTIFIER", MARK + word, i)
            if not opens:
                yield ("L_PAREN", "(", i)
                yield ("R_PAREN", ")", i)
        elif word in RESERVED:
            raise _refused_word(token)
        else:
            yield ("IDENTIFIER", MARK + word, i)
        previous = word or token.text


def _other_operator(token: Token, ordinal: int) -> Iterator[ParserToken]:
    """An operator the parser does not know by its sign: OPERATOR(->>)."""
    if token.text not in _OTHER_OPERATORS:
        raise NotSupported(f"the operator {token.text} is not supported", position=token.start + 1)
    yield ("OPERATOR", "operator", ordinal)
    yield ("L_PAREN", "(", ordinal)
    yield ("VAR", token.text, ordinal)
    yield ("R_PAREN", ")", ordinal)


_WITHIN_GROUP: Final = ("within", "group")


def _is_within_group(tokens: Sequence[Token], at: int) -> bool:
    """Either word of aggregate(...) WITHIN GROUP (..."""
    at -= tokens[at].is_word("group")
    return (
        at > 0
        and at + 2 < len(tokens)
        and tokens[at - 1].is_mark(")")
        and tokens[at].is_word("within")
        and tokens[at + 1].is_word("group")
        and tokens[at + 2].is_mark("(")
    )


def _is_materialized(tokens: Sequence[Token], at: int) -> bool:
    """WITH t AS [NOT] MATERIALIZED (..."""
    at += tokens[at].is_word("not")
    return (
        at + 1 < len(tokens) and tokens[at].is_word("materialized") and tokens[at + 1].is_mark("(")
    )


def _names_window(tokens: Sequence[Token], at: int) -> bool:
    """Whether the AS at `at` belongs to WINDOW name AS (...), name AS (...)."""
    if at < 2:
        return False
    before = tokens[at - 2]
    if before.is_word("window"):
        return True
    if not before.is_mark(","):
        return False
    # In a list that WINDOW began: nothing but definitions stands between.
    depth = 0
    for token in reversed(tokens[: at - 2]):
        if token.is_mark(")"):
            depth += 1
        elif token.is_mark("("):
            depth -= 1
            if depth < 0:
                return False
        elif depth == 0 and token.is_word("window"):
            return True
        elif depth == 0 and token.is_word("with", "select", "from", "recursive"):
            return False
    return False


def _starts_frame(token: Token | None) -> bool:
    return token is not None and (
        token.kind in (Kind.NUMBER, Kind.PARAMETER)
        or token.is_mark("(")
        or token.is_word("between", "unbounded", "current", "interval")
        or token.kind is Kind.STRING
    )
