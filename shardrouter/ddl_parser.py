"""The grammar of statements that change the schema: tokens to `shardrouter.definitions`.

By recursive descent, for it is small and PostgreSQL's own; expressions and types inside are given
to `shardrouter.statement`, so that they mean what they mean in a query. A word that is known and
refused is NotSupported, any other that does not fit is PostgreSQL's syntax error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from shardrouter import syntax
from shardrouter.definitions import (
    Action,
    AddConstraint,
    CheckDefinition,
    ColumnDefinition,
    Comment,
    CommentKind,
    ConstraintDefinition,
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
    ForeignKeyDefinition,
    Identity,
    IndexElement,
    KeyDefinition,
    SequenceOptions,
    Truncate,
)
from shardrouter.errors import NotSupported, StatementError
from shardrouter.keywords import RESERVED
from shardrouter.lexer import Kind, Token, syntax_error
from shardrouter.statement import parse_tokens

__all__ = ["FIRST_WORDS", "parse_definition"]

FIRST_WORDS: Final = frozenset({"create", "drop", "alter", "truncate", "comment"})
"""What a statement of this grammar begins with."""

_ENDS_OF_TYPE: Final = frozenset(
    """check collate compression constraint default deferrable generated initially not null primary
    references storage unique""".split()  # noqa: SIM905
)
"""Words that follow a column's type, or its default."""

_NOT_YET: Final = {
    "deferrable": "Constraints are checked at the end of their statement.",
    "initially": "Constraints are checked at the end of their statement.",
    "exclude": "Use UNIQUE, or check in the application.",
    "like": "Write the columns out.",
    "inherits": "Write the columns out.",
    "partition": "Rows are spread over shards by WITH (shard_key = 'column').",
    "collate": "Text compares by code point, as PostgreSQL's collation C does.",
    "include": "Leave it out: it changes no answer.",
    "using": "Indexes are B-trees; leave it out.",
    "tablespace": "Leave it out: every replica has one file.",
    "temp": "A table belongs to all sessions here.",
    "temporary": "A table belongs to all sessions here.",
    "unlogged": "Leave UNLOGGED out.",
    "storage": "Leave it out: it changes no answer.",
    "compression": "Leave it out: it changes no answer.",
    "as": "CREATE TABLE with its columns, then INSERT ... SELECT.",
    "view": "Write the query where the view would stand.",
    "materialized": "CREATE TABLE with its columns, then INSERT ... SELECT.",
    "or": "",
    "owned": "The sequence of a serial or identity column goes with its table.",
}

_T = TypeVar("_T")


def parse_definition(tokens: Sequence[Token]) -> Definition:
    """The statement of these tokens. Raises StatementError and NotSupported with positions."""
    cursor = _Cursor(tokens)
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
        parsed = _alter(cursor)
    cursor.end()
    return parsed


class _Cursor:
    """The tokens of a statement, taken one by one."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self.at = 0

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.at + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise syntax_error("", self._tokens[-1].end)
        self.at += 1
        return token

    def unexpected(self) -> StatementError | NotSupported:
        """What to raise about the token at hand."""
        token = self.peek()
        if token is None:
            return syntax_error("", self._tokens[-1].end)
        if token.kind is Kind.WORD and token.text in _NOT_YET:
            return NotSupported(
                f"{token.text.upper()} is not supported",
                position=token.start + 1,
                hint=_NOT_YET[token.text],
            )
        return syntax_error(token.source, token.start)

    def is_word(self, *words: str) -> bool:
        """Whether the next tokens are these words."""
        tokens = [self.peek(i) for i in range(len(words))]
        return all(
            token is not None and token.is_word(word)
            for token, word in zip(tokens, words, strict=True)
        )

    def accept(self, *words: str) -> bool:
        if not self.is_word(*words):
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.accept(word):
                raise self.unexpected()

    def word(self) -> str:
        token = self.peek()
        if token is None or token.kind is not Kind.WORD:
            raise self.unexpected()
        self.at += 1
        return token.text

    def is_mark(self, mark: str) -> bool:
        token = self.peek()
        return token is not None and token.is_mark(mark)

    def accept_mark(self, mark: str) -> bool:
        if not self.is_mark(mark):
            return False
        self.at += 1
        return True

    def expect_mark(self, mark: str) -> None:
        if not self.accept_mark(mark):
            raise self.unexpected()

    def end(self) -> None:
        if self.peek() is not None:
            raise self.unexpected()

    def name(self) -> syntax.Name:
        token = self.peek()
        if token is None or token.kind not in (Kind.WORD, Kind.NAME):
            raise self.unexpected()
        if token.kind is Kind.WORD and token.text in RESERVED:
            raise self.unexpected()
        self.at += 1
        return syntax.Name(token.text, token.start + 1)

    def relation(self) -> syntax.Name:
        """A name, and the schema it may say."""
        name = self.name()
        if not self.accept_mark("."):
            return name
        own = self.name()
        if self.is_mark("."):
            raise NotSupported(
                "cross-database references are not implemented",
                position=name.position,
                hint="Write schema.name.",
            )
        return syntax.Name(own.text, name.position, name.text)

    def listed(self, item: Callable[[], _T]) -> tuple[_T, ...]:
        """One or more, with commas between."""
        items = [item()]
        while self.accept_mark(","):
            items.append(item())
        return tuple(items)

    def names(self) -> tuple[syntax.Name, ...]:
        self.expect_mark("(")
        names = self.listed(self.name)
        self.expect_mark(")")
        return names

    def integer(self) -> int:
        token = self.take()
        sign = 1
        if token.kind is Kind.OPERATOR and token.text in ("-", "+"):
            sign = -1 if token.text == "-" else 1
            token = self.take()
        if token.kind is not Kind.NUMBER or not token.text.isdigit() or len(token.text) > 20:
            self.at -= 1
            raise self.unexpected()
        return sign * int(token.text)

    def until(self, is_end: Callable[[Token], bool]) -> Sequence[Token]:
        """The tokens up to the end of the list, or to one that ends them, outside parentheses."""
        start, depth = self.at, 0
        while (token := self.peek()) is not None:
            if token.is_mark("(") or token.is_mark("["):
                depth += 1
            elif token.is_mark(")") or token.is_mark("]"):
                if depth == 0:
                    break
                depth -= 1
            elif depth == 0 and (token.is_mark(",") or (self.at > start and is_end(token))):
                break
            self.at += 1
        if self.at == start:
            raise self.unexpected()
        return self._tokens[start : self.at]

    def parenthesised(self) -> Sequence[Token]:
        """What is between the parentheses that come next."""
        self.expect_mark("(")
        start, depth = self.at, 1
        while depth:
            token = self.take()
            depth += token.is_mark("(") - token.is_mark(")")
        if self.at - 1 == start:
            self.at -= 1
            raise self.unexpected()
        return self._tokens[start : self.at - 1]


# --------------------------------------------------------------------------- expressions, types


_EMPTY: Final = syntax.Select(())


def _select_item(tokens: Sequence[Token]) -> syntax.Expression:
    select = Token(Kind.WORD, "select", tokens[0].start, tokens[0].start, "select")
    node = parse_tokens([select, *tokens])
    if isinstance(node, syntax.Select):
        match node.items:
            case (syntax.SelectItem(expression=expression, alias=None),) if node == replace(
                _EMPTY, items=node.items, position=node.position
            ):
                return expression
    raise syntax_error(tokens[0].source, tokens[0].start)


def _expression(tokens: Sequence[Token]) -> syntax.Expression:
    """As it stands in a query, and nothing else of a query with it."""
    return _select_item(tokens)


def _type(tokens: Sequence[Token]) -> syntax.TypeName:
    at = tokens[0].start
    null = Token(Kind.WORD, "null", at, at, "null")
    cast = Token(Kind.MARK, "::", at, at, "::")
    node = _select_item([null, cast, *tokens])
    if not isinstance(node, syntax.TypeCast):
        raise syntax_error(tokens[0].source, tokens[0].start)
    return node.type


def _source(tokens: Sequence[Token]) -> str:
    """The text of these tokens, with what space there was between them as one blank."""
    text = ""
    for before, token in zip([None, *tokens], tokens, strict=False):
        text += (" " if before is not None and before.end < token.start else "") + token.source
    return text


# --------------------------------------------------------------------------- CREATE


def _create(cursor: _Cursor) -> Definition:
    if cursor.accept("table"):
        return _create_table(cursor)
    if cursor.accept("unique", "index"):
        return _create_index(cursor, unique=True)
    if cursor.accept("index"):
        return _create_index(cursor, unique=False)
    if cursor.accept("sequence"):
        exists = cursor.accept("if", "not", "exists")
        return CreateSequence(cursor.relation(), _sequence_options(cursor), exists)
    if cursor.accept("schema"):
        return _create_schema(cursor)
    token = cursor.peek()
    if token is not None and token.kind is Kind.WORD:
        raise NotSupported(
            f"CREATE {token.text.upper()} is not supported",
            position=token.start + 1,
            hint=_NOT_YET.get(token.text, "")
            or "There are CREATE TABLE, INDEX, SEQUENCE and SCHEMA.",
        )
    raise cursor.unexpected()


def _create_table(cursor: _Cursor) -> CreateTable:
    exists = cursor.accept("if", "not", "exists")
    table = cursor.relation()
    columns: list[ColumnDefinition] = []
    constraints: list[ConstraintDefinition] = []

    def part() -> None:
        token = cursor.peek()
        if token is not None and token.is_word(
            "constraint", "primary", "unique", "check", "foreign", "exclude", "like"
        ):
            constraints.append(_table_constraint(cursor))
        else:
            column, own = _column(cursor)
            columns.append(column)
            constraints.extend(own)

    cursor.expect_mark("(")
    if not cursor.is_mark(")"):
        cursor.listed(part)
    cursor.expect_mark(")")
    options = _options(cursor) if cursor.accept("with") else ()
    if cursor.accept("without", "oids"):
        pass  # what every table is
    return CreateTable(table, tuple(columns), tuple(constraints), options, exists)


def _options(cursor: _Cursor) -> tuple[tuple[str, str], ...]:
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


def _column(cursor: _Cursor) -> tuple[ColumnDefinition, list[ConstraintDefinition]]:
    name = cursor.name()
    kind = _type(cursor.until(lambda token: token.is_word(*_ENDS_OF_TYPE)))
    column = ColumnDefinition(name, kind)
    constraints: list[ConstraintDefinition] = []
    nullable: bool | None = None
    while not cursor.is_mark(",") and not cursor.is_mark(")"):
        label = cursor.name() if cursor.accept("constraint") else None
        token = cursor.peek()
        position = 0 if token is None else token.start + 1
        if cursor.accept("not", "null") or cursor.accept("null"):
            wanted = token is not None and token.text == "null"
            if nullable is not None and nullable is not wanted:
                raise StatementError(
                    f'conflicting NULL/NOT NULL declarations for column "{name.text}"',
                    sqlstate="42601",
                    position=position,
                )
            nullable = wanted
        elif cursor.accept("default"):
            if column.default is not None:
                raise StatementError(
                    f'multiple default values specified for column "{name.text}"',
                    sqlstate="42601",
                    position=position,
                )
            tokens = cursor.until(lambda token: token.is_word(*_ENDS_OF_TYPE))
            column = replace(column, default=_expression(tokens))
        elif cursor.accept("primary", "key"):
            constraints.append(KeyDefinition((name,), True, label, position))
        elif cursor.accept("unique"):
            _nulls_distinct(cursor)
            constraints.append(KeyDefinition((name,), False, label, position))
        elif cursor.is_word("check"):
            constraints.append(_check(cursor, label, name.text))
        elif cursor.is_word("references"):
            constraints.append(_references(cursor, (name,), label, position))
        elif cursor.accept("generated"):
            identity, options = _identity(cursor)
            column = replace(column, identity=identity, sequence=options)
        else:
            raise cursor.unexpected()
        _deferring(cursor)
    if nullable and column.identity:
        raise StatementError(
            f'conflicting NULL/NOT NULL declarations for column "{name.text}"', sqlstate="42601"
        )
    return replace(column, not_null=nullable is False), constraints


def _identity(cursor: _Cursor) -> tuple[Identity, SequenceOptions]:
    identity: Identity = "always"
    if not cursor.accept("always"):
        cursor.expect("by", "default")
        identity = "by default"
    cursor.expect("as")
    if not cursor.accept("identity"):
        raise NotSupported(
            "a generated column is not supported", hint="Compute it in the query that reads it."
        )
    options = SequenceOptions()
    if cursor.accept_mark("("):
        options = _sequence_options(cursor)
        cursor.expect_mark(")")
    return identity, options


def _nulls_distinct(cursor: _Cursor) -> None:
    if cursor.accept("nulls", "distinct"):
        return
    if cursor.is_word("nulls", "not", "distinct"):
        token = cursor.peek()
        raise NotSupported(
            "NULLS NOT DISTINCT is not supported",
            position=0 if token is None else token.start + 1,
            hint="Declare the columns NOT NULL.",
        )


def _deferring(cursor: _Cursor) -> None:
    """NOT DEFERRABLE and INITIALLY IMMEDIATE are what every constraint is."""
    while cursor.accept("not", "deferrable") or cursor.accept("initially", "immediate"):
        pass


def _table_constraint(cursor: _Cursor) -> ConstraintDefinition:
    label = cursor.name() if cursor.accept("constraint") else None
    token = cursor.peek()
    position = 0 if token is None else token.start + 1
    constraint: ConstraintDefinition
    if cursor.accept("primary", "key"):
        constraint = KeyDefinition(cursor.names(), True, label, position)
    elif cursor.accept("unique"):
        _nulls_distinct(cursor)
        constraint = KeyDefinition(cursor.names(), False, label, position)
    elif cursor.is_word("check"):
        constraint = _check(cursor, label, "")
    elif cursor.accept("foreign", "key"):
        columns = cursor.names()
        constraint = _references(cursor, columns, label, position)
    else:
        raise cursor.unexpected()
    _deferring(cursor)
    return constraint


def _check(cursor: _Cursor, label: syntax.Name | None, column: str) -> CheckDefinition:
    token = cursor.take()
    tokens = cursor.parenthesised()
    if cursor.accept("no", "inherit"):
        pass  # there is nothing to inherit from
    return CheckDefinition(_expression(tokens), _source(tokens), label, column, token.start + 1)


def _references(
    cursor: _Cursor, columns: tuple[syntax.Name, ...], label: syntax.Name | None, position: int
) -> ForeignKeyDefinition:
    cursor.expect("references")
    table = cursor.relation()
    referred = cursor.names() if cursor.is_mark("(") else ()
    if cursor.accept("match") and not cursor.accept("simple"):
        raise NotSupported(
            "MATCH FULL is not supported", hint="Declare the columns NOT NULL, or add a CHECK."
        )
    actions: dict[str, Action] = {}
    while cursor.accept("on"):
        event = cursor.word()
        if event not in ("delete", "update") or event in actions:
            cursor.at -= 1
            raise cursor.unexpected()
        actions[event] = _action(cursor, event)
    return ForeignKeyDefinition(
        columns,
        table,
        referred,
        actions.get("delete", "NO ACTION"),
        actions.get("update", "NO ACTION"),
        label,
        position,
    )


def _action(cursor: _Cursor, event: str) -> Action:
    if cursor.accept("no", "action"):
        return "NO ACTION"
    if cursor.accept("restrict"):
        if event == "update":
            raise NotSupported(
                "ON UPDATE RESTRICT is not supported",
                hint="Write ON UPDATE NO ACTION: it differs only for a statement that moves one "
                "key to another row.",
            )
        return "NO ACTION"  # the same for a deletion: both are checked at the statement's end
    if cursor.accept("cascade"):
        return "CASCADE"
    if cursor.accept("set", "null"):
        return _whole_key(cursor, "SET NULL")
    if cursor.accept("set", "default"):
        return _whole_key(cursor, "SET DEFAULT")
    raise cursor.unexpected()


def _whole_key(cursor: _Cursor, action: Action) -> Action:
    if cursor.is_mark("("):
        raise NotSupported(
            f"{action} of some columns is not supported", hint="Name no columns: all are set."
        )
    return action


def _create_index(cursor: _Cursor, *, unique: bool) -> CreateIndex:
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
    _nulls_distinct(cursor)
    if cursor.accept("with"):
        _options(cursor)  # how it is stored
    where: Sequence[Token] = ()
    if cursor.accept("where"):
        where = cursor.until(lambda _: False)
    return CreateIndex(
        table,
        elements,
        name,
        unique,
        _expression(where) if where else None,
        _source(where),
        exists,
        concurrently,
    )


def _index_element(cursor: _Cursor) -> IndexElement:
    token = cursor.peek()
    position = 0 if token is None else token.start + 1
    if cursor.is_mark("("):
        tokens = cursor.parenthesised()
    else:
        tokens = cursor.until(lambda token: token.is_word("asc", "desc", "nulls", "collate"))
        if len(tokens) > 1 and not tokens[1].is_mark("("):
            raise NotSupported(
                "an operator class is not supported",
                position=tokens[1].start + 1,
                hint="Leave it out: every type is indexed in its own order.",
            )
    descending = cursor.accept("desc")
    if not descending:
        cursor.accept("asc")
    nulls_first = None
    if cursor.accept("nulls"):
        nulls_first = cursor.accept("first")
        if not nulls_first:
            cursor.expect("last")
    return IndexElement(_expression(tokens), _source(tokens), descending, nulls_first, position)


def _sequence_options(cursor: _Cursor) -> SequenceOptions:
    options = SequenceOptions()
    while (token := cursor.peek()) is not None and not token.is_mark(")"):
        if cursor.accept("as"):
            start = cursor.at
            cursor.name()
            options = replace(
                options, type=_type([t for t in (cursor.peek(start - cursor.at),) if t])
            )
        elif cursor.accept("increment"):
            cursor.accept("by")
            options = replace(options, increment=cursor.integer())
        elif cursor.accept("start"):
            cursor.accept("with")
            options = replace(options, start=cursor.integer())
        elif cursor.accept("minvalue"):
            options = replace(options, minimum=cursor.integer())
        elif cursor.accept("maxvalue"):
            options = replace(options, maximum=cursor.integer())
        elif cursor.accept("cycle"):
            options = replace(options, cycle=True)
        elif cursor.accept("cache"):
            cursor.integer()  # routers take ranges as they need them
        elif cursor.accept("owned", "by", "none") or (
            cursor.accept("no", "minvalue")
            or cursor.accept("no", "maxvalue")
            or cursor.accept("no", "cycle")
        ):
            pass
        else:
            raise cursor.unexpected()
    return options


# --------------------------------------------------------------------------- the others


_DROPPED: Final = ("table", "index", "sequence", "view", "schema")


def _drop(cursor: _Cursor) -> Definition:
    token = cursor.peek()
    if token is None or not token.is_word(*_DROPPED):
        if token is not None and token.kind is Kind.WORD:
            raise NotSupported(
                f"DROP {token.text.upper()} is not supported",
                position=token.start + 1,
                hint="There are DROP TABLE, INDEX, SEQUENCE, VIEW and SCHEMA.",
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
    return (
        DropView(names, exists, cascade) if what == "view" else DropSchema(names, exists, cascade)
    )


def _create_schema(cursor: _Cursor) -> CreateSchema:
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


def _comment(cursor: _Cursor) -> Comment:
    cursor.expect("on")
    token = cursor.peek()
    what = cursor.word()
    kind: CommentKind
    part = None
    if what == "column":
        kind = "column"
        name, part = _column_path(cursor)
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


def _column_path(cursor: _Cursor) -> tuple[syntax.Name, syntax.Name]:
    """table.column, schema.table.column."""
    names = [cursor.name()]
    while cursor.accept_mark("."):
        names.append(cursor.name())
    if len(names) == 1:
        raise StatementError(
            "column name must be qualified", sqlstate="42601", position=names[0].position
        )
    if len(names) > 3:
        raise NotSupported(
            "cross-database references are not implemented",
            position=names[0].position,
            hint="Write schema.table.column.",
        )
    schema = names[0].text if len(names) == 3 else ""
    return syntax.Name(names[-2].text, names[0].position, schema), names[-1]


def _truncate(cursor: _Cursor) -> Truncate:
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


def _alter(cursor: _Cursor) -> AddConstraint:
    token = cursor.peek()
    if not cursor.accept("table"):
        if token is not None and token.kind is Kind.WORD:
            raise NotSupported(
                f"ALTER {token.text.upper()} is not supported",
                position=token.start + 1,
                hint="There is ALTER TABLE ... ADD of a constraint.",
            )
        raise cursor.unexpected()
    cursor.accept("only")
    table = cursor.relation()
    if cursor.accept("add"):
        token = cursor.peek()
        if token is not None and token.is_word(
            "constraint", "primary", "unique", "check", "foreign"
        ):
            return AddConstraint(table, _table_constraint(cursor))
    raise NotSupported(
        "this form of ALTER TABLE is not supported",
        position=token.start + 1 if token else 0,
        hint="There is ALTER TABLE ... ADD of a constraint; otherwise CREATE a new table.",
    )
