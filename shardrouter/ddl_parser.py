"""The grammar of statements that change the schema: tokens to `shardrouter.definitions`.

ALTER is in `shardrouter.alter_parser`, what definitions are made of in `shardrouter.part_parser`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shardrouter import syntax
from shardrouter.alter_parser import parse_alter
from shardrouter.definition_cursor import NOT_YET, Cursor, expression_from, text_of
from shardrouter.definition_parts import ColumnDefinition, ConstraintDefinition
from shardrouter.definitions import (
    Comment,
    CommentKind,
    CreateIndex,
    CreateSchema,
    CreateSequence,
    CreateTable,
    Definition,
    DropIndex,
    DropSchema,
    DropSequence,
    DropTable,
    DropView,
    IndexElement,
    Truncate,
)
from shardrouter.errors import NotSupported
from shardrouter.lexer import Kind, Token
from shardrouter.part_parser import (
    column_definition,
    column_path,
    nulls_distinct,
    sequence_options,
    table_constraint,
)
from shardrouter.query_parser import (
    create_table_as,
    create_view,
    on_commit_clause,
    table_options,
    temporary_words,
)
from shardrouter.type_definitions import DropType
from shardrouter.type_parser import create_type

__all__ = ["FIRST_WORDS", "parse_definition"]

FIRST_WORDS: Final = frozenset({"create", "drop", "alter", "truncate", "comment"})
"""What a statement of this grammar begins with."""


def parse_definition(tokens: Sequence[Token]) -> Definition:
    """The statement of these tokens. Raises StatementError and NotSupported with positions."""
    cursor = Cursor(tokens)
    parsed: Definition
    first = cursor.word()
    if first == "create":
        parsed = _create(cursor)
    elif first == "drop":
        parsed = _drop(cursor)
    elif first == "truncate":
        parsed = _truncate(cursor)
    elif first == "comment":
        parsed = _comment(cursor)
    else:
        parsed = parse_alter(cursor)
    cursor.end()
    return parsed


# --------------------------------------------------------------------------- CREATE


def _create(cursor: Cursor) -> Definition:
    replaces = cursor.is_word("or", "replace") and cursor.accept("or", "replace")
    temporary = temporary_words(cursor)
    if cursor.accept("view"):
        return create_view(cursor, or_replace=replaces, temporary=temporary)
    if not replaces and cursor.accept("table"):
        if _has_query(cursor):
            return create_table_as(cursor, temporary=temporary)
        return _create_table(cursor, temporary=temporary)
    if not replaces and cursor.accept("sequence"):
        exists = cursor.accept("if", "not", "exists")
        return CreateSequence(cursor.relation(), sequence_options(cursor), exists, temporary)
    if replaces or temporary:
        raise cursor.unexpected()
    if cursor.accept("unique", "index"):
        return _create_index(cursor, unique=True)
    if cursor.accept("index"):
        return _create_index(cursor, unique=False)
    if cursor.accept("schema"):
        return _create_schema(cursor)
    if cursor.accept("type"):
        return create_type(cursor)
    token = cursor.peek()
    if token is not None and token.kind is Kind.WORD:
        raise NotSupported(
            f"CREATE {token.text.upper()} is not supported",
            position=token.start + 1,
            hint=NOT_YET.get(token.text, "")
            or "There are CREATE TABLE, VIEW, INDEX, SEQUENCE, SCHEMA and TYPE.",
        )
    raise cursor.unexpected()


def _has_query(cursor: Cursor) -> bool:
    """Whether a table is made of a query: AS stands outside of parentheses."""
    depth = ahead = 0
    while (token := cursor.peek(ahead)) is not None:
        depth += token.is_mark("(") - token.is_mark(")")
        if not depth and token.is_word("as"):
            return True
        ahead += 1
    return False


def _create_table(cursor: Cursor, *, temporary: bool) -> CreateTable:
    exists = cursor.accept("if", "not", "exists")
    table = cursor.relation()
    columns: list[ColumnDefinition] = []
    constraints: list[ConstraintDefinition] = []

    def part() -> None:
        token = cursor.peek()
        if token is not None and token.is_word(
            "constraint", "primary", "unique", "check", "foreign", "exclude", "like"
        ):
            constraints.append(table_constraint(cursor))
        else:
            column, own = column_definition(cursor)
            columns.append(column)
            constraints.extend(own)

    cursor.expect_mark("(")
    if not cursor.is_mark(")"):
        cursor.listed(part)
    cursor.expect_mark(")")
    options = table_options(cursor) if cursor.accept("with") else ()
    if cursor.accept("without", "oids"):
        pass  # what every table is
    on_commit = on_commit_clause(cursor)
    return CreateTable(
        table, tuple(columns), tuple(constraints), options, exists, temporary, on_commit
    )


def _create_index(cursor: Cursor, *, unique: bool) -> CreateIndex:
    concurrently = cursor.accept("concurrently")  # no statement waits for an index here
    exists = cursor.accept("if", "not", "exists")
    name = None if cursor.is_word("on") else cursor.name()
    cursor.expect("on")
    cursor.accept("only")
    table = cursor.relation()
    if cursor.accept("using") and not cursor.accept("btree"):
        cursor.at -= 1
        raise cursor.unexpected()
    cursor.expect_mark("(")
    elements = cursor.listed(lambda: _index_element(cursor))
    cursor.expect_mark(")")
    nulls_distinct(cursor)
    if cursor.accept("with"):
        table_options(cursor)  # how it is stored
    where: Sequence[Token] = ()
    if cursor.accept("where"):
        where = cursor.until(lambda _: False)
    return CreateIndex(
        table,
        elements,
        name,
        unique,
        expression_from(where) if where else None,
        text_of(where),
        exists,
        concurrently,
    )


def _index_element(cursor: Cursor) -> IndexElement:
    token = cursor.peek()
    position = 0 if token is None else token.start + 1
    if cursor.is_mark("("):
        tokens = cursor.parenthesised()
    else:
        tokens = cursor.until(lambda token: token.is_word("asc", "desc", "nulls", "collate"))
        if len(tokens) > 1 and not tokens[1].is_mark("("):
            cursor.at -= len(tokens) - 1
            tokens = tokens[:1]
        elif (end := _end_of_call(tokens)) < len(tokens):
            cursor.at -= len(tokens) - end
            tokens = tokens[:end]
    operator_class = ""
    if (token := cursor.peek()) is not None and not token.is_word("asc", "desc", "nulls"):
        if token.is_word("collate"):
            raise cursor.unexpected()
        if token.kind in (Kind.WORD, Kind.NAME):
            operator_class = cursor.relation().text
    descending = cursor.accept("desc")
    if not descending:
        cursor.accept("asc")
    nulls_first = None
    if cursor.accept("nulls"):
        nulls_first = cursor.accept("first")
        if not nulls_first:
            cursor.expect("last")
    return IndexElement(
        expression_from(tokens),
        text_of(tokens),
        descending,
        nulls_first,
        position,
        operator_class,
    )


def _end_of_call(tokens: Sequence[Token]) -> int:
    """Where the call of a function ends that these tokens begin with."""
    depth = 0
    for at, token in enumerate(tokens):
        if token.is_mark("("):
            depth += 1
        elif token.is_mark(")"):
            depth -= 1
            if depth == 0:
                return at + 1
    return len(tokens)


# --------------------------------------------------------------------------- the others


_DROPPED: Final = ("table", "index", "sequence", "view", "schema", "type")


def _drop(cursor: Cursor) -> Definition:
    token = cursor.peek()
    if token is None or not token.is_word(*_DROPPED):
        if token is not None and token.kind is Kind.WORD:
            raise NotSupported(
                f"DROP {token.text.upper()} is not supported",
                position=token.start + 1,
                hint="There are DROP TABLE, INDEX, SEQUENCE, VIEW, SCHEMA and TYPE.",
            )
        raise cursor.unexpected()
    what = cursor.word()
    concurrently = what == "index" and cursor.accept("concurrently")
    exists = cursor.accept("if", "exists")
    names = cursor.listed(cursor.name if what == "schema" else cursor.relation)
    cascade = cursor.accept("cascade")
    if not cascade:
        cursor.accept("restrict")
    if what == "table":
        return DropTable(names, exists, cascade)
    if what == "index":
        return DropIndex(names, exists, cascade, concurrently)
    if what == "sequence":
        return DropSequence(names, exists, cascade)
    if what == "type":
        return DropType(names, exists, cascade)
    return (
        DropView(names, exists, cascade) if what == "view" else DropSchema(names, exists, cascade)
    )


def _create_schema(cursor: Cursor) -> CreateSchema:
    exists = cursor.accept("if", "not", "exists")
    if not cursor.is_word("authorization"):
        name = cursor.name()
        if cursor.accept("authorization"):
            cursor.name()  # every role that may log in may do all in it
    else:
        cursor.expect("authorization")
        name = cursor.name()  # the schema is called as its owner
    token = cursor.peek()
    if token is not None:
        raise NotSupported(
            "elements of CREATE SCHEMA are not supported",
            position=token.start + 1,
            hint="Create them by statements of their own, after the schema.",
        )
    return CreateSchema(name, exists)


_COMMENTED: Final[tuple[CommentKind, ...]] = ("table", "view", "index", "sequence", "schema")


def _comment(cursor: Cursor) -> Comment:
    cursor.expect("on")
    token = cursor.peek()
    what = cursor.word()
    kind: CommentKind
    part = None
    if what == "column":
        kind = "column"
        name, part = column_path(cursor)
    elif what == "constraint":
        kind, part = "constraint", cursor.name()
        cursor.expect("on")
        name = cursor.relation()
    else:
        known = next((kind for kind in _COMMENTED if kind == what), None)
        if known is None:
            raise NotSupported(
                f"COMMENT ON {what.upper()} is not supported",
                position=token.start + 1 if token else 0,
                hint="Tables, columns, constraints, indexes, sequences, views and schemas can have "
                "comments.",
            )
        kind = known
        name = cursor.name() if kind == "schema" else cursor.relation()
    cursor.expect("is")
    if cursor.accept("null"):
        return Comment(kind, name, None, part)
    text = cursor.peek()
    if text is None or text.kind is not Kind.STRING:
        raise cursor.unexpected()
    cursor.take()
    return Comment(kind, name, text.text, part)


def _truncate(cursor: Cursor) -> Truncate:
    cursor.accept("table")

    def table() -> syntax.Name:
        cursor.accept("only")
        return cursor.relation()

    tables = cursor.listed(table)
    restart = cursor.accept("restart", "identity")
    if not restart:
        cursor.accept("continue", "identity")
    cascade = cursor.accept("cascade")
    if not cascade:
        cursor.accept("restrict")
    return Truncate(tables, restart, cascade)
