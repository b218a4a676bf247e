"""Special forms in plain form: what PostgreSQL's grammar spells with words of its own.

`extract(year FROM x)` is a call with two arguments, `date '2024-01-01'` is a cast,
`timestamp with time zone` and `int[]` are names of types, `FETCH FIRST 3 ROWS ONLY` is LIMIT 3.
Here tokens become other tokens, each still at the place where it was written, so that the
grammar behind it has one form less for each. What does not have the expected form is left as
it is, for the parser to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, Token

__all__ = ["REVERSED", "TIES", "plain"]

REVERSED: Final = " reversed"
"""Suffix of a call whose two arguments were written in the other order: trim(chars FROM x)."""

TIES: Final = "with ties"
"""A call around the count of FETCH FIRST n ROWS WITH TIES."""

_LITERAL_TYPES: Final = frozenset(
    """
    bigint bool boolean bytea date decimal float float4 float8 int int2 int4 int8 integer interval
    json jsonb name numeric real smallint text time timestamp timestamptz uuid varchar
    """.split()  # noqa: SIM905 -- a list of words
)
"""Types that may stand before a string: `date '2024-01-01'`."""

_COMMA_WORDS: Final = {
    "extract": ("from",),
    "substring": ("from", "for"),
    "overlay": ("placing", "from", "for"),
    "position": ("in",),
}
"""Calls whose arguments are separated by words."""
_WITHOUT_COMMAS: Final = frozenset({"extract", "position"})
"""Those that have no other form."""


def plain(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens with every special form in its plain one."""
    texts = [token.text for token in tokens]
    if _WORTH_A_LOOK.isdisjoint(texts) and (
        _BEFORE_STRINGS.isdisjoint(texts) or all(token.kind is not Kind.STRING for token in tokens)
    ):
        return tokens
    return _Rewriting(tokens).run()


class _Rewriting:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._out: list[Token] = []
        self._separators: dict[int, tuple[str, ...]] = {}  # depth of parentheses -> words
        self._substrings: set[int] = set()  # depths of those that have no FROM yet
        self._depth = 0
        self._at = 0

    def run(self) -> list[Token]:
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.is_mark("("):
                self._depth += 1
            elif token.is_mark(")"):
                self._separators.pop(self._depth, None)
                self._depth -= 1
            elif self._is_type() and self.long_type_name(token):
                continue
            elif token.kind is Kind.WORD:
                if token.text in self._separators.get(self._depth, ()):
                    if token.text == "for" and self._depth in self._substrings:
                        # substring(x FOR n) is of the first n.
                        comma = _as(token, Kind.MARK, ",")
                        self._out += [comma, _as(token, Kind.NUMBER, "1")]
                    self._substrings.discard(self._depth)
                    token = _as(token, Kind.MARK, ",")
                else:
                    form = _FORMS.get(token.text)
                    if form is not None and form(self, token):
                        continue
            self._out.append(token)
            self._at += 1
        return self._out

    def _next(self, distance: int = 1) -> Token | None:
        at = self._at + distance
        return self._tokens[at] if at < len(self._tokens) else None

    def _follows(self, *words: str, distance: int = 1) -> bool:
        for i, word in enumerate(words):
            token = self._next(distance + i)
            if token is None or not (token.is_word(word) or token.is_mark(word)):
                return False
        return True

    def _is_name(self) -> bool:
        """Whether what was before makes this word a name: after AS or a point."""
        return bool(self._out) and (self._out[-1].is_word("as") or self._out[-1].is_mark("."))

    # ---- calls

    def call(self, token: Token) -> bool:
        """extract(field FROM x), substring(x FROM a FOR b), ..."""
        if self._is_name() or not self._follows("("):
            return False
        opening = self._tokens[self._at + 1]
        self._depth += 1
        self._separators[self._depth] = _COMMA_WORDS[token.text]
        if token.text == "substring":
            self._substrings.add(self._depth)
        self._out += [token, opening]
        self._at += 2
        if token.text in _WITHOUT_COMMAS:
            self._refuse_commas()
        first = self._next(0)
        if token.text == "extract" and first is not None and first.kind is Kind.WORD:
            self._out.append(_as(first, Kind.STRING, first.text))
            self._at += 1
        return True

    def _refuse_commas(self) -> None:
        """In the parentheses that begin here."""
        depth = 0
        for token in self._tokens[self._at :]:
            depth += token.is_mark("(") - token.is_mark(")")
            if depth < 0:
                return
            if depth == 0 and token.is_mark(","):
                raise StatementError(
                    'syntax error at or near ","', sqlstate="42601", position=token.start + 1
                )

    def trim(self, token: Token) -> bool:
        """trim([BOTH | LEADING | TRAILING] [characters] FROM x), or with commas."""
        if self._is_name() or not self._follows("("):
            return False
        opening = self._tokens[self._at + 1]
        name, side, at = "btrim", self._next(2), self._at + 2
        if side is not None and side.is_word("both", "leading", "trailing"):
            name = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}[side.text]
            at += 1
        if self._has_from(at):
            if self._tokens[at].is_word("from"):
                at += 1
            else:
                name += REVERSED
                self._separators[self._depth + 1] = ("from",)
        self._depth += 1
        self._out += [_as(token, Kind.WORD, name), opening]
        self._at = at
        return True

    def _has_from(self, at: int) -> bool:
        """Whether FROM stands in the parentheses in which token `at` is."""
        depth = 0
        for token in self._tokens[at:]:
            if token.is_mark("("):
                depth += 1
            elif token.is_mark(")"):
                depth -= 1
                if depth < 0:
                    return False
            elif depth == 0 and token.is_word("from"):
                return True
        return False

    # ---- types

    def _is_type(self) -> bool:
        """Whether what was before makes the name that comes that of a type."""
        return bool(self._out) and (self._out[-1].is_mark("::") or self._out[-1].is_word("as"))

    def long_type_name(self, token: Token) -> bool:
        """schema.name, name[], and both, as one name; PostgreSQL calls an array's type _name."""
        if token.kind not in (Kind.WORD, Kind.NAME):
            return False
        name, schema, at = token, "", self._at + 1
        if self._follows("."):
            own = self._next(2)
            if own is None or own.kind not in (Kind.WORD, Kind.NAME):
                return False
            name, schema, at = own, token.text, self._at + 3
        elif token.kind is Kind.WORD and token.text in _FORMS:
            return False
        brackets = 0
        while size := self._brackets(at, may_have_size=True):
            brackets, at = brackets + 1, at + size
        if at == self._at + 1:
            return False
        text = name.text
        if schema == "pg_catalog" and text.startswith("_"):
            text, brackets = text[1:], brackets + 1
        elif schema and schema != "pg_catalog":
            text = f"{schema}.{text}"
        self._out.append(_as(token, name.kind, text + "[]" * brackets))
        self._at = at
        return True

    def type_name(self, token: Token) -> bool:
        """A type's name of several words, with its brackets; and the literal it may begin."""
        if self._is_name() and not self._out[-1].is_word("as"):
            return False
        name, at = token.text, self._at + 1
        for words in _TYPE_WORDS.get(name, ()):
            if self._follows(*words):
                name, at = " ".join((name, *words)), at + len(words)
                break
        length: list[Token] = []
        if name in _ZONED:
            if at + 2 < len(self._tokens) and self._tokens[at].is_mark("("):
                length = list(self._tokens[at : at + 3])
            distance = at + len(length) - self._at
            for words in (("with", "time", "zone"), ("without", "time", "zone")):
                if self._follows(*words, distance=distance):
                    name = " ".join((name, *words))
                    at += len(length) + 3
                    break
            else:
                length = []
        is_literal = token.text in _LITERAL_TYPES or name != token.text
        if not length and is_literal and self._is_length(at) and self._is_string(at + 3):
            length = list(self._tokens[at : at + 3])  # timestamp(0) '...'
            at += 3
        brackets = 0
        is_cast = bool(self._out) and self._out[-1].is_mark("::")
        is_type = is_cast or (bool(self._out) and self._out[-1].is_word("as"))
        while size := self._brackets(at, may_have_size=is_type or brackets > 0):
            brackets, at = brackets + 1, at + size
        following = self._tokens[at] if at < len(self._tokens) else None
        if following is not None and following.kind is Kind.STRING and is_literal and not is_cast:
            mark = _as(token, Kind.MARK, "::")
            self._out += [following, mark, _as(token, Kind.WORD, name + "[]" * brackets), *length]
            self._at = at + 1
            return True
        if at == self._at + 1:
            return False
        self._out += [_as(token, Kind.WORD, name + "[]" * brackets), *length]
        self._at = at
        return True

    def _is_length(self, at: int) -> bool:
        """Whether `(3)` is there."""
        found = self._tokens[at : at + 3]
        return (
            len(found) == 3
            and found[0].is_mark("(")
            and found[1].kind is Kind.NUMBER
            and found[2].is_mark(")")
        )

    def _is_string(self, at: int) -> bool:
        return at < len(self._tokens) and self._tokens[at].kind is Kind.STRING

    def _brackets(self, at: int, *, may_have_size: bool) -> int:
        """How many tokens `[]` or `[3]` are there; PostgreSQL takes no notice of the size. Behind
        a name that may be a column's, `[3]` is a subscript."""
        if self._follows("[", "]", distance=at - self._at):
            return 2
        found = self._tokens[at : at + 3]
        if not may_have_size or len(found) < 3 or found[1].kind is not Kind.NUMBER:
            return 0
        return 3 if found[0].is_mark("[") and found[2].is_mark("]") else 0

    # ---- clauses

    def fetch(self, token: Token) -> bool:
        """FETCH FIRST [n] ROWS ONLY"""
        if not (self._follows("first") or self._follows("next")):
            return False
        at = self._at + 2
        count: list[Token] = []
        while at < len(self._tokens) and not self._tokens[at].is_word("row", "rows"):
            count.append(self._tokens[at])
            at += 1
        if at + 1 >= len(self._tokens):
            return False
        after = self._tokens[at + 1]
        if after.is_word("with") and at + 2 < len(self._tokens):
            last = self._tokens[at + 2]
            if not last.is_word("ties"):
                return False
            self._out += [_as(token, Kind.WORD, "limit"), _as(token, Kind.NAME, TIES)]
            self._out += [_as(token, Kind.MARK, "("), *(count or [_as(token, Kind.NUMBER, "1")])]
            self._out.append(_as(token, Kind.MARK, ")"))
            self._at = at + 3
            return True
        if not after.is_word("only"):
            return False
        self._out += [_as(token, Kind.WORD, "limit")]
        self._out += count or [_as(token, Kind.NUMBER, "1")]
        self._at = at + 2
        return True

    def rows(self, token: Token) -> bool:
        """OFFSET n ROWS"""
        if len(self._out) < 2 or not self._out[-2].is_word("offset"):
            return False
        self._at += 1
        return True

    def similar(self, token: Token) -> bool:
        """SIMILAR TO is an operator."""
        if not self._follows("to"):
            return False
        text = "similar to"
        if self._out and self._out[-1].is_word("not"):
            self._out.pop()
            text = "not similar to"
        self._out.append(_as(token, Kind.OPERATOR, text))
        self._at += 2
        return True

    def collate(self, token: Token) -> bool:
        """COLLATE "C" is what there is: text compares by code point. Said as a cast to no type."""
        at = self._at + 1
        if self._follows("pg_catalog", "."):
            at += 2
        name = self._tokens[at] if at < len(self._tokens) else None
        if name is None or name.text not in _COLLATIONS[name.kind is Kind.NAME]:
            return False
        self._out += [_as(token, Kind.MARK, "::"), _as(token, Kind.WORD, COLLATED)]
        self._at = at + 1
        return True

    def array(self, token: Token) -> bool:
        """ARRAY(SELECT ...) is a call."""
        if not self._follows("("):
            return False
        self._out.append(_as(token, Kind.NAME, "array of"))
        self._at += 1
        return True

    def table(self, token: Token) -> bool:
        """TABLE t, where a query may begin, is SELECT * FROM t."""
        before = self._out[-1] if self._out else None
        following = self._next()
        if following is None or following.kind not in (Kind.WORD, Kind.NAME):
            return False
        if before is not None and not (
            before.is_mark("(") or before.is_word("union", "intersect", "except", "all")
        ):
            return False
        self._out += [_as(token, Kind.WORD, "select"), _as(token, Kind.OPERATOR, "*")]
        self._out.append(_as(token, Kind.WORD, "from"))
        self._at += 1
        return True

    def using(self, token: Token) -> bool:
        """ORDER BY x USING <"""
        following = self._next()
        if following is not None and following.kind is Kind.OPERATOR:
            raise NotSupported(
                "ORDER BY ... USING is not supported",
                position=token.start + 1,
                hint="Write ASC or DESC.",
            )
        return False

    def grouping(self, token: Token) -> bool:
        """GROUPING SETS (...) is a call."""
        if not self._follows("sets", "("):
            return False
        self._out.append(_as(token, Kind.NAME, "grouping sets"))
        self._at += 2
        return True

    def intervals(self, token: Token) -> bool:
        """make_interval(days => 3): the arguments in their order."""
        if not self._follows("("):
            return False
        depth, at = 0, self._at + 1
        arguments: list[list[Token]] = [[]]
        while at < len(self._tokens):
            part = self._tokens[at]
            depth += part.is_mark("(") - part.is_mark(")")
            if depth == 0:
                break
            if depth == 1 and part.is_mark(","):
                arguments.append([])
            elif not (depth == 1 and part.is_mark("(") and at == self._at + 1):
                arguments[-1].append(part)
            at += 1
        named = {}
        for argument in arguments:
            if len(argument) < 3 or argument[1].text not in ("=>", ":="):
                return False
            field = argument[0].text
            if field not in _INTERVAL_FIELDS or field in named:
                return False
            named[field] = argument[2:]
        zero = [_as(token, Kind.NUMBER, "0")]
        self._out += [token, self._tokens[self._at + 1]]
        for number, field in enumerate(_INTERVAL_FIELDS):
            if number:
                self._out.append(_as(token, Kind.MARK, ","))
            self._out += plain(named.get(field, zero))
        self._at = at
        self._depth += 1
        return True

    def searching(self, token: Token) -> bool:
        """SEARCH and CYCLE behind a query of WITH RECURSIVE."""
        if not self._out or not self._out[-1].is_mark(")"):
            return False
        if token.text == "search" and not self._follows("depth"):
            if not self._follows("breadth"):
                return False
        elif token.text == "cycle" and not any(t.is_word("set") for t in self._tokens[self._at :]):
            return False
        raise NotSupported(
            f"{token.text.upper()} of WITH RECURSIVE is not supported",
            position=token.start + 1,
            hint="Keep the path in an array column, and compare with it.",
        )


def _as(token: Token, kind: Kind, text: str) -> Token:
    return Token(kind, text, token.start, token.end, token.source)


COLLATED: Final = "\0collated"
"""What COLLATE is a cast to."""

_COLLATIONS: Final = (
    frozenset({"default", "ucs_basic"}),
    frozenset({"C", "POSIX", "default", "ucs_basic"}),
)
"""In which text sorts by code point, as all text here; without and with quotes."""

_INTERVAL_FIELDS: Final = ("years", "months", "weeks", "days", "hours", "mins", "secs")
_ZONED: Final = frozenset({"time", "timestamp"})
_TYPE_WORDS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "double": (("precision",),),
    "character": (("varying",),),
    "char": (("varying",),),
}
_FORMS: Final[dict[str, Callable[[_Rewriting, Token], bool]]] = {
    **dict.fromkeys(_COMMA_WORDS, _Rewriting.call),
    **dict.fromkeys((*_LITERAL_TYPES, *_TYPE_WORDS), _Rewriting.type_name),
    "trim": _Rewriting.trim,
    "fetch": _Rewriting.fetch,
    "row": _Rewriting.rows,
    "rows": _Rewriting.rows,
    "similar": _Rewriting.similar,
    "collate": _Rewriting.collate,
    "array": _Rewriting.array,
    "search": _Rewriting.searching,
    "cycle": _Rewriting.searching,
    "table": _Rewriting.table,
    "using": _Rewriting.using,
    "grouping": _Rewriting.grouping,
    "make_interval": _Rewriting.intervals,
}
_BEFORE_STRINGS: Final = _LITERAL_TYPES - _ZONED
"""Words that are often names of columns: of one word, and a type's only before a string."""

_WORTH_A_LOOK: Final = (frozenset(_FORMS) - _BEFORE_STRINGS) | {"cast", "::", "["}
