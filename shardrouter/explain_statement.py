"""EXPLAIN (ROUTE) statement: what the shards run of it and what is made of that here. Costs are not
known: there is no EXPLAIN without ROUTE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.lexer import Token
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    ExplainRoute,
    OneShard,
    Plan,
    RowsWrite,
    Scatter,
)

__all__ = ["explain_statement"]

_HINT = "EXPLAIN (ROUTE) shows which shards run what of a statement."


def explain_statement(
    tokens: Sequence[Token],
    sql: str,
    oids: Sequence[int],
    make_plan: Callable[[str, Sequence[int]], Plan],
) -> ExplainRoute | None:
    """The plan; None if it is another statement. Errors point into the whole statement."""
    if not tokens[0].is_word("explain"):
        return None
    options, first = _options(tokens)
    if "route" not in options:
        raise NotSupported(
            "EXPLAIN without ROUTE is not supported", position=tokens[0].start + 1, hint=_HINT
        )
    for option in options:
        if option not in ("route", "route on", "route true", "format text", "format json"):
            raise NotSupported(
                f"the option {option} of EXPLAIN (ROUTE) is not supported",
                hint="There are ROUTE and FORMAT TEXT or JSON.",
            )
    if first is None:
        raise StatementError("syntax error at end of input", sqlstate="42601", position=len(sql))
    try:
        plan = make_plan(sql[first.start :].rstrip().rstrip(";").rstrip(), oids)
    except RouterError as exc:
        if exc.position:
            exc.position += first.start
        raise
    if not isinstance(plan, OneShard | Scatter | RowsWrite | Answer | CatalogQuery):
        raise NotSupported(
            "EXPLAIN of this statement is not supported",
            position=first.start + 1,
            hint="It shows the route of SELECT, INSERT, UPDATE and DELETE.",
        )
    return ExplainRoute(plan, is_json="format json" in options)


def _options(tokens: Sequence[Token]) -> tuple[list[str], Token | None]:
    """What stands in parentheses, in lower case, and what comes behind them."""
    if len(tokens) < 2 or not tokens[1].is_mark("("):
        return [], tokens[1] if len(tokens) > 1 else None
    options: list[str] = []
    words: list[str] = []
    for at, token in enumerate(tokens[2:], 2):
        if token.is_mark(",") or token.is_mark(")"):
            options.append(" ".join(words).lower())
            words = []
            if token.is_mark(")"):
                return options, tokens[at + 1] if at + 1 < len(tokens) else None
        else:
            words.append(token.text)
    return options, None
