"""DECLARE, FETCH, MOVE and CLOSE, and PREPARE, EXECUTE and DEALLOCATE: from their tokens to plans.

Pure. A cursor's query and a prepared statement are texts of their own, planned as such: nothing is
said of them here but where they stand. Which of them there are is the session's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar

from shardrouter import types
from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.lexer import Kind, Token
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    CloseCursor,
    Deallocate,
    DeclareCursor,
    ExecuteStatement,
    FetchRows,
    OneShard,
    Plan,
    PrepareStatement,
    Scatter,
)
from shardrouter.statement_words import Rest

__all__ = ["cursor_statement"]

MakePlan: TypeAlias = Callable[[str, Sequence[int]], Plan]
"""Of a text, and the types that are declared for its parameters."""

T = TypeVar("T")

_FORWARD_ONLY: Final = "Cursors go forward: FETCH [FORWARD] [n | ALL | NEXT] FROM name."


def cursor_statement(
    tokens: Sequence[Token], sql: str, oids: Sequence[int], make_plan: MakePlan
) -> Plan | None:
    """The plan of such a statement; None if it is none. Raises what `make_plan` does, and
    StatementError, NotSupported."""
    first = tokens[0]
    rest = Rest(tokens)
    rest.skip(1)
    if first.is_word("declare"):
        return _declare(rest, sql, oids, make_plan)
    if first.is_word("fetch", "move"):
        return _fetch(rest, moves=first.is_word("move"))
    if first.is_word("close"):
        return rest.last(CloseCursor("" if rest.takes("all") else rest.name()))
    if first.is_word("prepare"):
        return _prepare(rest, sql, make_plan)
    if first.is_word("execute"):
        return _execute(rest, sql)
    if first.is_word("deallocate"):
        rest.takes("prepare")
        return rest.last(Deallocate("" if rest.takes("all") else rest.name()))
    return None


# --------------------------------------------------------------------------- cursors


def _declare(rest: Rest, sql: str, oids: Sequence[int], make_plan: MakePlan) -> DeclareCursor:
    name = rest.name()
    while not rest.takes("cursor"):
        token = rest.take()
        if token.is_word("scroll", "binary"):
            raise NotSupported(
                f"a {token.text.upper()} cursor is not supported",
                position=token.start + 1,
                hint=_FORWARD_ONLY if token.is_word("scroll") else "Ask FETCH for binary values.",
            )
        if token.is_word("no"):
            rest.word("scroll")
        elif not token.is_word("insensitive", "asensitive"):
            raise rest.unexpected(token)
    is_held = rest.takes("with")
    if is_held or rest.takes("without"):
        rest.word("hold")
    rest.word("for")
    query, plan = _planned(rest, sql, oids, make_plan)
    if (
        not isinstance(plan, OneShard | Scatter | Answer | CatalogQuery)
        or not plan.columns
        or _writes(plan)
    ):
        raise NotSupported(
            "DECLARE CURSOR for this statement is not supported", hint="Write a SELECT."
        )
    for column in plan.columns:
        if types.by_oid(column.oid).is_named:
            raise NotSupported(
                f'a cursor over "{column.name}" of type {types.by_oid(column.oid).name} is not '
                "supported",
                hint="Cast it to text or to oid.",
            )
    return DeclareCursor(name, query, plan, is_held)


def _writes(plan: Plan) -> bool:
    return isinstance(plan, OneShard) and (plan.is_write or bool(plan.locking))


def _planned(rest: Rest, sql: str, oids: Sequence[int], make_plan: MakePlan) -> tuple[str, Plan]:
    """The text from here to the end, and its plan; errors point into the whole statement."""
    first = rest.peek()
    if first is None:
        raise rest.unexpected_end()
    query = sql[first.start :].rstrip().rstrip(";").rstrip()
    try:
        return query, make_plan(query, oids)
    except RouterError as exc:
        if exc.position:
            exc.position += first.start
        raise


def _fetch(rest: Rest, *, moves: bool) -> FetchRows:
    count = _count(rest)
    if not rest.takes("from"):
        rest.takes("in")
    return FetchRows(rest.last(rest.name()), count, moves)


def _count(rest: Rest) -> int | None:
    """How many rows; None: all."""
    token = rest.peek()
    if token is None:
        raise rest.unexpected_end()
    if token.is_word("prior", "first", "last", "absolute", "relative", "backward"):
        raise _backward(token)
    if rest.takes("next"):
        return 1
    rest.takes("forward")
    if rest.takes("all"):
        return None
    token = rest.peek()
    if token is not None and token.kind is Kind.OPERATOR and token.text == "-":
        raise _backward(token)
    if token is not None and token.kind is Kind.NUMBER:
        rest.take()
        if not token.text.isdigit():
            raise rest.unexpected(token)
        if token.text == "0":
            raise _backward(token)
        return int(token.text)
    return 1


def _backward(token: Token) -> NotSupported:
    return NotSupported(
        "this direction of FETCH and MOVE is not supported",
        position=token.start + 1,
        hint=_FORWARD_ONLY,
    )


# --------------------------------------------------------------------------- statements


def _prepare(rest: Rest, sql: str, make_plan: MakePlan) -> PrepareStatement:
    name = rest.name()
    declared: list[int] = []
    if rest.takes_mark("("):
        while True:
            declared.append(_type(rest))
            if not rest.takes_mark(","):
                break
        mark = rest.take()
        if not mark.is_mark(")"):
            raise rest.unexpected(mark)
    rest.word("as")
    first = rest.peek()
    if first is not None and not first.is_word(
        "select", "insert", "update", "delete", "values", "with"
    ):
        raise rest.unexpected(first)
    query, plan = _planned(rest, sql, declared, make_plan)
    return PrepareStatement(name, query, plan, tuple(declared))


def _type(rest: Rest) -> int:
    """The OID of a type as it is named here: words, a modifier without effect, and brackets."""
    first = rest.take()
    if first.kind not in (Kind.WORD, Kind.NAME):
        raise rest.unexpected(first)
    words = [first.text]
    while (token := rest.peek()) is not None and token.kind is Kind.WORD:
        words.append(rest.take().text)
    if rest.takes_mark("("):
        while not rest.takes_mark(")"):
            rest.take()
    name = " ".join(words)
    if rest.takes_mark("["):
        if not rest.takes_mark("]"):
            raise rest.unexpected(rest.take())
        name += "[]"
    kind, _ = types.resolve(name, (), first.start + 1)
    return kind.oid


def _execute(rest: Rest, sql: str) -> ExecuteStatement:
    name = rest.name()
    arguments: list[str] = []
    if rest.takes_mark("("):
        start = rest.take()
        token, depth = start, 0
        while True:
            if token.kind is Kind.PARAMETER:
                raise StatementError(
                    f"there is no parameter ${token.text}",
                    sqlstate="42P02",
                    position=token.start + 1,
                )
            if depth == 0 and (token.is_mark(",") or token.is_mark(")")):
                if token.start == start.start:
                    raise rest.unexpected(token)
                arguments.append(sql[start.start : token.start].strip())
                if token.is_mark(")"):
                    break
                start = token = rest.take()
                continue
            depth += _DEPTH.get(token.text, 0) if token.kind is Kind.MARK else 0
            token = rest.take()
    return rest.last(ExecuteStatement(name, tuple(arguments)))


_DEPTH: Final = {"(": 1, "[": 1, ")": -1, "]": -1}
