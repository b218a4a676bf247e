"""COPY as PostgreSQL 15 reads it, with the list of options and in its two older spellings.

COPY t [(a, b)] FROM STDIN [[WITH] (FORMAT csv, HEADER, ...)]
COPY t [(a, b)] TO STDOUT  [[WITH] CSV HEADER ...]
COPY (query) TO STDOUT
COPY BINARY t FROM STDIN
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shardrouter.copying.options import CopyOptions, checked
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, Token, syntax_error

__all__ = ["CopyStatement", "parse_copy"]

_FILES: Final = "Use COPY ... {} with a client that has the file: psql's \\copy, for one."
_CSV: Final = CopyOptions("csv", delimiter=",", null="")
_TRUE: Final = ("true", "on", "1")
_FALSE: Final = ("false", "off", "0")


@dataclass(frozen=True)
class CopyStatement:
    """One of `table` and `query` is empty."""

    table: str
    schema: str
    position: int  # of the table's name, 1-based
    columns: tuple[tuple[str, int], ...]  # name and position; empty: all
    query: str
    query_start: int  # 0-based offset of the query in the statement
    is_from: bool
    options: CopyOptions


def parse_copy(tokens: Sequence[Token], text: str) -> CopyStatement:
    """A statement whose first token is COPY. Raises StatementError, NotSupported."""
    return _Parser(tokens, text).statement()


class _Parser:
    def __init__(self, tokens: Sequence[Token], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 1

    # ------------------------------------------------------------------ tokens

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> Token:
        token = self._peek()
        if token is None:
            raise syntax_error("", len(self._text))
        self._at += 1
        return token

    def _wrong(self, token: Token | None) -> StatementError:
        if token is None:
            return syntax_error("", len(self._text))
        return syntax_error(token.source, token.start)

    def _has_word(self, *words: str) -> bool:
        token = self._peek()
        if token is None or not token.is_word(*words):
            return False
        self._at += 1
        return True

    def _has_mark(self, mark: str) -> bool:
        token = self._peek()
        if token is None or not token.is_mark(mark):
            return False
        self._at += 1
        return True

    def _name(self) -> Token:
        token = self._next()
        if token.kind not in (Kind.WORD, Kind.NAME):
            raise self._wrong(token)
        return token

    def _string(self) -> str:
        token = self._next()
        if token.kind is not Kind.STRING:
            raise self._wrong(token)
        return token.text

    def _names(self) -> list[Token]:
        """( a, b )"""
        names = [self._name()]
        while self._has_mark(","):
            names.append(self._name())
        if not self._has_mark(")"):
            raise self._wrong(self._peek())
        return names

    # ------------------------------------------------------------------ the statement

    def statement(self) -> CopyStatement:
        options, given = CopyOptions(), set[str]()
        if self._has_word("binary"):
            options, given = replace(options, format="binary"), {"format"}
        table, schema, position, query, query_start = "", "", 0, "", 0
        columns: list[Token] = []
        if self._has_mark("("):
            query, query_start = self._query()
        else:
            table, schema, position = self._table()
            if self._has_mark("("):
                columns = self._names()
        is_from = self._direction(is_query=bool(query))
        if self._has_word("using"):
            if not self._has_word("delimiters"):
                raise self._wrong(self._peek())
            options, given = replace(options, delimiter=self._string()), given | {"delimiter"}
        self._has_word("with")
        if self._has_mark("("):
            options, given = self._listed(options, given)
        else:
            options, given = self._spelled(options, given)
        if self._has_word("where"):
            raise NotSupported(
                "COPY FROM with WHERE is not supported",
                position=self._tokens[self._at - 1].start + 1,
                hint="Leave the other rows out where they are sent.",
            )
        if self._peek() is not None:
            raise self._wrong(self._peek())
        return CopyStatement(
            table,
            schema,
            position,
            tuple((token.text, token.start + 1) for token in columns),
            query,
            query_start,
            is_from,
            checked(options, given=frozenset(given), is_from=is_from),
        )

    def _query(self) -> tuple[str, int]:
        """The text between parentheses; the first is taken already."""
        start = self._tokens[self._at - 1].end
        depth = 1
        while True:
            token = self._next()
            depth += token.is_mark("(") - token.is_mark(")")
            if not depth:
                text = self._text[start : token.start]
                if not text.strip():
                    raise self._wrong(token)
                return text, start

    def _table(self) -> tuple[str, str, int]:
        token = self._name()
        if not self._has_mark("."):
            return token.text, "", token.start + 1
        return self._name().text, token.text, token.start + 1

    def _direction(self, *, is_query: bool) -> bool:
        token = self._next()
        if not token.is_word("from", "to") or (is_query and token.text == "from"):
            raise self._wrong(token)
        is_from = token.text == "from"
        stream = "STDIN" if is_from else "STDOUT"
        place = self._next()
        if place.kind is Kind.STRING or place.is_word("program"):
            raise NotSupported(
                f"COPY {'from' if is_from else 'to'} a file or program of the server is not "
                "supported",
                position=place.start + 1,
                hint=_FILES.format(f"{token.text.upper()} {stream}"),
            )
        if not place.is_word("stdin", "stdout"):
            raise self._wrong(place)
        return is_from

    # ------------------------------------------------------------------ (FORMAT csv, HEADER)

    def _listed(self, options: CopyOptions, given: set[str]) -> tuple[CopyOptions, set[str]]:
        read: dict[str, Callable[[Token], object]] = {
            "delimiter": self._value,
            "null": self._value,
            "quote": self._value,
            "escape": self._value,
            "header": self._header,
            "freeze": self._boolean,
            "force_quote": self._columns_or_all,
            "force_not_null": self._columns,
            "force_null": self._columns,
            "encoding": self._encoding,
        }
        found: dict[str, object] = {}
        while True:
            option = self._name()
            name = option.text
            if name in found or name in given:
                raise StatementError(
                    "conflicting or redundant options",
                    sqlstate="42601",
                    position=option.start + 1,
                )
            if name == "format":
                options = self._format(self._value(option), option)
                given.add("format")
            elif name in read:
                found[name] = read[name](option)
            else:
                raise StatementError(
                    f'option "{name}" not recognized', sqlstate="42601", position=option.start + 1
                )
            if self._has_mark(")"):
                break
            if not self._has_mark(","):
                raise self._wrong(self._peek())
        return _with(options, found), given | set(found)

    def _value(self, option: Token) -> str:
        token = self._peek()
        if token is None or token.is_mark(",") or token.is_mark(")"):
            raise StatementError(f"{option.text} requires a parameter", sqlstate="42601")
        if token.kind not in (Kind.WORD, Kind.NAME, Kind.STRING, Kind.NUMBER):
            raise self._wrong(token)
        self._at += 1
        return token.text

    def _format(self, name: str, option: Token) -> CopyOptions:
        if name == "text":
            return CopyOptions()
        if name == "csv":
            return _CSV
        if name == "binary":
            return CopyOptions("binary")
        raise StatementError(
            f'COPY format "{name}" not recognized', sqlstate="22023", position=option.start + 1
        )

    def _boolean(self, option: Token) -> bool:
        token = self._peek()
        if token is None or token.is_mark(",") or token.is_mark(")"):
            return True
        value = self._value(option).lower()
        if value not in _TRUE + _FALSE:
            raise StatementError(f"{option.text} requires a Boolean value", sqlstate="42601")
        return value in _TRUE

    def _header(self, option: Token) -> str:
        token = self._peek()
        if token is not None and token.text.lower() == "match" and token.kind is not Kind.MARK:
            self._at += 1
            return "match"
        try:
            return "yes" if self._boolean(option) else "no"
        except StatementError as exc:
            raise StatementError(
                'header requires a Boolean value or "match"', sqlstate="42601"
            ) from exc

    def _columns(self, option: Token) -> tuple[str, ...]:
        if not self._has_mark("("):
            raise StatementError(
                f'argument to option "{option.text}" must be a list of column names',
                sqlstate="22023",
                position=option.start + 1,
            )
        return tuple(token.text for token in self._names())

    def _columns_or_all(self, option: Token) -> tuple[str, ...] | None:
        token = self._peek()
        if token is not None and token.text == "*":
            self._at += 1
            return None
        return self._columns(option)

    def _encoding(self, option: Token) -> str:
        name = self._value(option)
        if name.lower().replace("-", "").replace("_", "") not in ("utf8", "unicode", "sqlascii"):
            raise NotSupported(
                f'COPY in encoding "{name}" is not supported', hint="The only encoding is UTF8."
            )
        return name

    # ------------------------------------------------------------------ WITH CSV HEADER

    def _spelled(self, options: CopyOptions, given: set[str]) -> tuple[CopyOptions, set[str]]:
        found: dict[str, object] = {}
        while (token := self._peek()) is not None and token.kind is Kind.WORD:
            name = token.text
            if name == "where":
                break
            self._at += 1
            if name in ("csv", "binary"):
                self._once("format", given, token)
                options = _CSV if name == "csv" else CopyOptions("binary")
            elif name in ("delimiter", "null", "quote", "escape"):
                self._once(name, given, token)
                self._has_word("as")
                found[name] = self._string()
            elif name == "header":
                self._once(name, given, token)
                found[name] = "yes"
            elif name == "freeze":
                self._once(name, given, token)
            elif name == "encoding":
                self._once(name, given, token)
                self._encoding(token)
            elif name == "force":
                self._force(found, given, token)
            else:
                raise self._wrong(token)
        return _with(options, found), given

    def _once(self, name: str, given: set[str], token: Token) -> None:
        if name in given:
            raise StatementError(
                "conflicting or redundant options", sqlstate="42601", position=token.start + 1
            )
        given.add(name)

    def _force(self, found: dict[str, object], given: set[str], token: Token) -> None:
        if self._has_word("quote"):
            self._once("force_quote", given, token)
            star = self._peek()
            if star is not None and star.text == "*":
                self._at += 1
                found["force_quote"] = None
            else:
                found["force_quote"] = self._bare_names()
        elif self._has_word("not"):
            if not self._has_word("null"):
                raise self._wrong(self._peek())
            self._once("force_not_null", given, token)
            found["force_not_null"] = self._bare_names()
        elif self._has_word("null"):
            self._once("force_null", given, token)
            found["force_null"] = self._bare_names()
        else:
            raise self._wrong(self._peek())

    def _bare_names(self) -> tuple[str, ...]:
        names = [self._name().text]
        while self._has_mark(","):
            names.append(self._name().text)
        return tuple(names)


def _with(options: CopyOptions, found: dict[str, object]) -> CopyOptions:
    """Escape is quote unless it is given."""
    known = {k: v for k, v in found.items() if k not in ("freeze", "encoding")}
    if "quote" in known and "escape" not in known:
        known["escape"] = known["quote"]
    return replace(options, **known)  # type: ignore[arg-type]  # each as its reader made it
