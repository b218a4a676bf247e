"""The grammar of definitions that have a query: views, tables of its rows."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter import syntax
from shardrouter.definition_cursor import Cursor, text_of
from shardrouter.definitions import CreateTableAs, CreateView
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, Token, syntax_error
from shardrouter.statement import parse_tokens
from shardrouter.tables import OnCommit

__all__ = [
    "create_table_as",
    "create_view",
    "on_commit_clause",
    "select_into",
    "table_options",
    "temporary_words",
]


def create_view(cursor: Cursor, *, or_replace: bool, temporary: bool) -> CreateView:
    """What stands behind CREATE [OR REPLACE] VIEW."""
    name = cursor.relation()
    columns = cursor.names() if cursor.is_mark("(") else ()
    if (token := cursor.peek()) is not None and token.is_word("with"):
        raise NotSupported(
            "options of a view are not supported",
            position=token.start + 1,
            hint="Leave them out: every role may read what a view reads.",
        )
    cursor.expect("as")
    tokens = cursor.rest()
    if len(tokens) > 3 and tokens[-2].is_word("check") and tokens[-1].is_word("option"):
        raise NotSupported(
            "WITH CHECK OPTION is not supported",
            position=tokens[-2].start + 1,
            hint="Leave it out, and write to the table itself.",
        )
    query = query_from(tokens)
    _without_parameters(tokens)
    return CreateView(name, columns, query, text_of(tokens), or_replace, temporary)


def create_table_as(cursor: Cursor, *, temporary: bool) -> CreateTableAs:
    """What stands behind CREATE TABLE, of a table that a query makes."""
    exists = cursor.accept("if", "not", "exists")
    name = cursor.relation()
    columns = cursor.names() if cursor.is_mark("(") else ()
    options = table_options(cursor) if cursor.accept("with") else ()
    if cursor.accept("without", "oids"):
        pass  # what every table is
    on_commit = on_commit_clause(cursor)
    cursor.expect("as")
    return _table_of(name, columns, cursor.rest(), options, exists, temporary, on_commit)


def select_into(tokens: Sequence[Token]) -> CreateTableAs | None:
    """SELECT ... INTO, which is CREATE TABLE AS; None if it is another statement."""
    if not tokens[0].is_word("select", "with") or "into" not in [t.text for t in tokens]:
        return None
    depth = 0
    selects = tokens[0].is_word("select")
    at = -1
    for token in tokens:
        at += 1
        depth += token.is_mark("(") - token.is_mark(")")
        if depth:
            continue
        if token.is_word("insert", "from"):
            return None
        selects |= token.is_word("select")
        if token.is_word("into") and selects:
            break
    else:
        return None
    cursor = Cursor(tokens)
    cursor.at = at + 1
    temporary = temporary_words(cursor)
    cursor.accept("table")
    name = cursor.relation()
    rest = [*tokens[:at], *tokens[cursor.at :]]
    return _table_of(name, (), rest, (), False, temporary, "")


def _table_of(
    name: syntax.Name,
    columns: tuple[syntax.Name, ...],
    tokens: Sequence[Token],
    options: tuple[tuple[str, str], ...],
    exists: bool,
    temporary: bool,
    on_commit: OnCommit,
) -> CreateTableAs:
    fills = True
    if len(tokens) > 3 and tokens[-1].is_word("data") and tokens[-2].is_word("no", "with"):
        fills = tokens[-2].is_word("with")
        tokens = tokens[: -2 if fills else -3]
    if tokens[0].is_word("execute"):
        raise NotSupported(
            "CREATE TABLE AS EXECUTE is not supported",
            position=tokens[0].start + 1,
            hint="Write the query itself.",
        )
    query = query_from(tokens)
    for token in tokens:
        if token.kind is Kind.PARAMETER:
            raise NotSupported(
                "parameters in CREATE TABLE AS are not supported",
                position=token.start + 1,
                hint="CREATE TABLE AS ... WITH NO DATA, then INSERT ... SELECT with parameters.",
            )
    return CreateTableAs(
        name, columns, query, text_of(tokens), options, exists, temporary, on_commit, fills
    )


def table_options(cursor: Cursor) -> tuple[tuple[str, str], ...]:
    """What stands behind WITH: name = value, ..."""

    def option() -> tuple[str, str]:
        name = cursor.name().text
        token = cursor.peek()
        if token is None or token.kind is not Kind.OPERATOR or token.text != "=":
            return name, "true"
        cursor.take()
        value = cursor.take()
        if value.kind not in (Kind.WORD, Kind.NAME, Kind.STRING, Kind.NUMBER):
            cursor.at -= 1
            raise cursor.unexpected()
        return name, value.text

    cursor.expect_mark("(")
    options = cursor.listed(option)
    cursor.expect_mark(")")
    return options


def temporary_words(cursor: Cursor) -> bool:
    """TEMPORARY, by any of its names."""
    for words in ("temporary",), ("temp",), ("local", "temporary"), ("local", "temp"):
        if cursor.accept(*words) or cursor.accept("global", *words):
            return True
    return False


def on_commit_clause(cursor: Cursor) -> OnCommit:
    if not cursor.accept("on", "commit") or cursor.accept("preserve", "rows"):
        return ""
    if cursor.accept("drop"):
        return "drop"
    cursor.expect("delete", "rows")
    return "delete"


def query_from(tokens: Sequence[Token]) -> syntax.Query:
    """A query, and no other statement."""
    node = parse_tokens(tokens)
    if not isinstance(node, syntax.Select | syntax.Values | syntax.SetOperation):
        raise syntax_error(tokens[0].source, tokens[0].start)
    return node


def _without_parameters(tokens: Sequence[Token]) -> None:
    for token in tokens:
        if token.kind is Kind.PARAMETER:
            raise StatementError(
                f"there is no parameter ${token.text}", sqlstate="42P02", position=token.start + 1
            )
