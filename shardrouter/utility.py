"""Statements about the session: SET, SHOW, RESET, and what pools send when they tidy up.

Their grammar is a few words each; they are read from the tokens. PostgreSQL's other
commands are known here by name, to be refused with a hint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nodes.values import FLOAT8, TEXT, VOID
from shardrouter.errors import NotSupported
from shardrouter.keywords import quoted
from shardrouter.lexer import Kind, Token, syntax_error
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    Constant,
    Parameter,
    Pause,
    Plan,
    ResultColumn,
    SchemaChange,
    SetSetting,
    ShowColumns,
    ShowSetting,
    ShowTables,
)
from shardrouter.role_statements import role_statement
from shardrouter.statement_words import Rest

__all__ = ["utility"]

_REFUSED: Final = {
    "call": "",
    "checkpoint": "",
    "cluster": "",
    "do": "",
    "grant": "Every role that may log in reads and writes all tables.",
    "import": "",
    "listen": "",
    "load": "",
    "lock": "Transactions are serializable without it.",
    "merge": "Write INSERT ... ON CONFLICT.",
    "notify": "",
    "reassign": "Every role that may log in reads and writes all tables.",
    "refresh": "",
    "reindex": "",
    "revoke": "Every role that may log in reads and writes all tables.",
    "security": "",
}


def utility(tokens: Sequence[Token]) -> Plan | None:
    """The plan of such a statement; None if it is for the parser."""
    words = [token.text if token.kind is Kind.WORD else "" for token in tokens]
    rest = Rest(tokens)
    match words:
        case ["set", *_]:
            return _set(rest)
        case ["create" | "alter" | "drop", "role" | "user" | "group", *_]:
            return SchemaChange(f"{words[0].upper()} ROLE", role_statement(rest))
        case ["show", "tables"]:
            return ShowTables()
        case ["show", "columns", "from", _, *_]:
            rest.skip(3)
            return ShowColumns(rest.last(rest.name()))
        case ["show", "all"]:
            return CatalogQuery(
                relations=("pg_settings",),
                sql='SELECT "name", "setting", "short_desc" FROM "pg_settings"',
                columns=tuple(ResultColumn(n, TEXT) for n in ("name", "setting", "description")),
                asks_meta=False,
                tag="SHOW",
            )
        case ["show", _, *_]:
            rest.skip(1)
            return ShowSetting(rest.last(_setting_name(rest)))
        case ["reset", _, *_]:
            rest.skip(1)
            return SetSetting(rest.last(_setting_name(rest)), None)
        case ["discard", "all"]:
            return SetSetting("all", None, discards=True)
        case ["vacuum" | "analyze" | "analyse", *_]:
            return _maintenance(rest)
        case ["select", "pg_sleep", "", "", ""]:
            return _pause(tokens)
        case ["discard", "plans" | "sequences" | "temp" | "temporary"]:
            return Answer(f"DISCARD {words[1].upper().replace('TEMPORARY', 'TEMP')}")
        case ["unlisten", _]:
            return Answer("UNLISTEN")
        case [first, *_] if first in _REFUSED or first == "discard":
            raise NotSupported(
                f"{first.upper()} is not supported",
                position=tokens[0].start + 1,
                hint=_REFUSED.get(first, ""),
            )
    return None


def _maintenance(rest: Rest) -> Answer:
    """VACUUM and ANALYZE: there is nothing to do, for SQLite reuses free space by itself and plans
    without statistics; the tables have to be there."""
    is_vacuum = rest.takes("vacuum")
    if is_vacuum:
        for word in ("full", "freeze", "verbose"):
            rest.takes(word)
    is_analyze = rest.takes("analyze") or rest.takes("analyse")
    if is_analyze and not is_vacuum:
        rest.takes("verbose")
    tables: list[str] = []
    while rest.peek() is not None:
        tables.append(rest.name())
        token = rest.peek()
        if token is not None and not token.is_mark(","):
            raise rest.unexpected(token)
        if token is not None:
            rest.take()
    tag = "VACUUM" if is_vacuum else "ANALYZE"
    return Answer(tag, tables=tuple(tables), alone=is_vacuum)


def _pause(tokens: Sequence[Token]) -> Plan | None:
    """`SELECT pg_sleep(seconds)` with a number or a parameter; what is more is no pause."""
    _, _, before, seconds, behind = tokens
    if not before.is_mark("(") or not behind.is_mark(")"):
        return None
    columns = (ResultColumn("pg_sleep", VOID),)
    if seconds.kind is Kind.NUMBER:
        return Pause(Constant(float(seconds.text)), columns)
    if seconds.kind is Kind.PARAMETER and seconds.text == "1":
        return Pause(Parameter(1), columns, (FLOAT8,))
    return None


def _setting_name(rest: Rest) -> str:
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


def _set(rest: Rest) -> SetSetting:
    rest.skip(1)
    scope = rest.peek()
    if scope is not None and scope.is_word("role"):
        raise NotSupported(
            "SET ROLE is not supported",
            position=scope.start + 1,
            hint="To be another role, connect as that role.",
        )
    is_local = rest.takes("local")
    is_session = not is_local and rest.takes("session")
    token = rest.peek()
    if is_session and token is not None and token.is_word("authorization"):
        raise NotSupported(
            "SET SESSION AUTHORIZATION is not supported",
            position=token.start + 1,
            hint="Connect as the other user.",
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
        return SetSetting(rest.last(name), None, is_local)
    if None in values:
        raise syntax_error("default", 0)
    given = [value for value in values if value is not None]
    if name == "search_path":
        given = [quoted(value) for value in given]
    value = ", ".join(given)
    return SetSetting(rest.last(name), value, is_local)


def _is_assignment(token: Token | None) -> bool:
    if token is None:
        return False
    return token.is_word("to") or (token.kind is Kind.OPERATOR and token.text == "=")


def _value(rest: Rest) -> str | None:
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
