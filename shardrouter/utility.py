"""Statements about the session: SET, SHOW, RESET, and what pools send when they tidy up.

Their grammar is a few words each; they are read from the tokens. PostgreSQL's other
commands are known here by name, to be refused with a hint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, Token, syntax_error
from shardrouter.planned import (
    Answer,
    Plan,
    SetSetting,
    ShowColumns,
    ShowSetting,
    ShowTables,
)

__all__ = ["utility"]

_AUTOCOMMIT: Final = (
    "Every statement commits by itself, and so does a query of several statements on one "
    "shard; send them without BEGIN."
)
_REFUSED: Final = {
    **dict.fromkeys(
        ["abort", "begin", "commit", "end", "release", "rollback", "savepoint", "start"],
        _AUTOCOMMIT,
    ),
    "alter": "Create a table with the new definition and copy the rows.",
    "analyse": "There are no planner statistics to collect.",
    "analyze": "There are no planner statistics to collect.",
    "call": "",
    "checkpoint": "",
    "cluster": "",
    "comment": "",
    "declare": "Use LIMIT and OFFSET.",
    "do": "",
    "execute": "Prepare through the extended query protocol.",
    "explain": "The command line tells where a key lives: shardrouter where TABLE KEY.",
    "prepare": "Prepare through the extended query protocol.",
    "fetch": "Use LIMIT and OFFSET.",
    "grant": "There are no roles.",
    "import": "",
    "listen": "",
    "load": "",
    "lock": _AUTOCOMMIT,
    "merge": "Write INSERT ... ON CONFLICT.",
    "move": "",
    "notify": "",
    "reassign": "There are no roles.",
    "refresh": "",
    "reindex": "",
    "revoke": "There are no roles.",
    "security": "",
    "table": "Write SELECT * FROM table.",
    "truncate": "DROP the table and CREATE it again.",
    "vacuum": "SQLite reuses free space by itself.",
    "values": "Write SELECT.",
    "with": "Write one SELECT over one table.",
}


def utility(tokens: Sequence[Token]) -> Plan | None:
    """The plan of such a statement; None if it is for the parser."""
    words = [token.text if token.kind is Kind.WORD else "" for token in tokens]
    rest = _Rest(tokens)
    match words:
        case ["set", *_]:
            return _set(rest)
        case ["show", "tables"]:
            return ShowTables()
        case ["show", "columns", "from", _, *_]:
            rest.skip(3)
            return ShowColumns(rest.last(rest.name()))
        case ["show", "all"]:
            raise NotSupported("SHOW ALL is not supported", hint="Name one setting.")
        case ["show", _, *_]:
            rest.skip(1)
            return ShowSetting(rest.last(_setting_name(rest)))
        case ["reset", _, *_]:
            rest.skip(1)
            return SetSetting(rest.last(_setting_name(rest)), None)
        case ["discard", "all"]:
            return SetSetting("all", None)
        case ["discard", "plans" | "sequences" | "temp" | "temporary"]:
            return Answer(f"DISCARD {words[1].upper()}")
        case ["deallocate", "all"] | ["deallocate", "prepare", "all"]:
            return Answer("DEALLOCATE ALL")
        case ["close", "all"]:
            return Answer("CLOSE CURSOR ALL")
        case ["unlisten", _]:
            return Answer("UNLISTEN")
        case [first, *_] if first in _REFUSED or first in ("close", "deallocate", "discard"):
            raise NotSupported(
                f"{first.upper()} is not supported",
                position=tokens[0].start + 1,
                hint=_REFUSED.get(first, ""),
            )
    return None


class _Rest:
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

    def last(self, value: str) -> str:
        """`value`, if nothing follows."""
        if (token := self.peek()) is not None:
            raise self.unexpected(token)
        return value


def _setting_name(rest: _Rest) -> str:
    first = rest.name()
    if first == "time" and (token := rest.peek()) is not None and token.is_word("zone"):
        rest.take()
        return "timezone"
    if first == "transaction" and (token := rest.peek()) is not None and token.is_word("isolation"):
        rest.skip(1)
        if rest.name() == "level":
            return "transaction_isolation"
    parts = [first]
    while (token := rest.peek()) is not None and token.is_mark("."):
        rest.take()
        parts.append(rest.name())
    return ".".join(part.lower() for part in parts)


def _set(rest: _Rest) -> SetSetting:
    rest.skip(1)
    scope = rest.peek()
    if scope is not None and scope.is_word("local", "transaction", "constraints", "role"):
        raise NotSupported(
            f"SET {scope.text.upper()} is not supported",
            position=scope.start + 1,
            hint="There are no transaction blocks and no roles; write SET name = value.",
        )
    if scope is not None and scope.is_word("session"):
        rest.take()
        if (token := rest.peek()) is not None and token.is_word("characteristics", "authorization"):
            raise NotSupported(
                f"SET SESSION {token.text.upper()} is not supported",
                position=token.start + 1,
                hint="Every statement is a transaction of its own.",
            )
    name = _setting_name(rest)
    if name == "names":
        name = "client_encoding"
    elif name != "timezone" or _is_assignment(rest.peek()):
        token = rest.take()
        if not _is_assignment(token):
            raise rest.unexpected(token)
    values = [_value(rest)]
    while (token := rest.peek()) is not None and token.is_mark(","):
        rest.take()
        values.append(_value(rest))
    if values == [None]:
        return SetSetting(rest.last(name), None)
    if None in values:
        raise syntax_error("default", 0)
    return SetSetting(rest.last(name), ", ".join(value for value in values if value is not None))


def _is_assignment(token: Token | None) -> bool:
    if token is None:
        return False
    return token.is_word("to") or (token.kind is Kind.OPERATOR and token.text == "=")


def _value(rest: _Rest) -> str | None:
    """One value; None for DEFAULT."""
    token = rest.take()
    if token.is_word("default"):
        return None
    if token.kind is Kind.OPERATOR and token.text in ("-", "+"):
        number = rest.take()
        if number.kind is not Kind.NUMBER:
            raise rest.unexpected(number)
        return token.text.removeprefix("+") + number.text
    if token.kind in (Kind.WORD, Kind.NAME, Kind.STRING, Kind.NUMBER):
        return token.text
    raise rest.unexpected(token)
