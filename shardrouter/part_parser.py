"""The grammar of what definitions are made of: columns, constraints, options of sequences."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shardrouter import syntax
from shardrouter.definition_cursor import Cursor, expression_from, text_of, type_from
from shardrouter.definition_parts import (
    Action,
    CheckDefinition,
    ColumnDefinition,
    ConstraintDefinition,
    ForeignKeyDefinition,
    Identity,
    KeyDefinition,
    SequenceOptions,
)
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind

__all__ = [
    "column_definition",
    "column_path",
    "identity_definition",
    "nulls_distinct",
    "sequence_options",
    "table_constraint",
]

_ENDS_OF_TYPE: Final = frozenset(
    """check collate compression constraint default deferrable generated initially not null primary
    references storage unique""".split()  # noqa: SIM905
)
"""Words that follow a column's type, or its default."""


def column_definition(cursor: Cursor) -> tuple[ColumnDefinition, list[ConstraintDefinition]]:
    name = cursor.name()
    kind = type_from(cursor.until(lambda token: token.is_word(*_ENDS_OF_TYPE)))
    column = ColumnDefinition(name, kind)
    constraints: list[ConstraintDefinition] = []
    nullable: bool | None = None
    while cursor.peek() is not None and not cursor.is_mark(",") and not cursor.is_mark(")"):
        known = len(constraints)
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
            column = replace(
                column, default=expression_from(tokens), default_source=text_of(tokens)
            )
        elif cursor.accept("primary", "key"):
            constraints.append(KeyDefinition((name,), True, label, position))
        elif cursor.accept("unique"):
            nulls_distinct(cursor)
            constraints.append(KeyDefinition((name,), False, label, position))
        elif cursor.is_word("check"):
            constraints.append(_check(cursor, label, name.text))
        elif cursor.is_word("references"):
            constraints.append(_references(cursor, (name,), label, position))
        elif cursor.is_word("generated", "always", "as") and not cursor.is_word(
            "generated", "always", "as", "identity"
        ):
            column = _generated(cursor, column)
        elif cursor.accept("generated"):
            identity, options = identity_definition(cursor)
            column = replace(column, identity=identity, sequence=options)
        else:
            raise cursor.unexpected()
        if len(constraints) > known:
            constraints[-1] = _deferred(cursor, constraints[-1])
        else:
            _at_once(cursor)
    if nullable and column.identity:
        raise StatementError(
            f'conflicting NULL/NOT NULL declarations for column "{name.text}"', sqlstate="42601"
        )
    return replace(column, not_null=nullable is False), constraints


def _generated(cursor: Cursor, column: ColumnDefinition) -> ColumnDefinition:
    """GENERATED ALWAYS AS (expression) STORED."""
    cursor.expect("generated", "always", "as")
    tokens = cursor.parenthesised()
    cursor.expect("stored")
    return replace(column, generated=expression_from(tokens), default_source=text_of(tokens))


def identity_definition(cursor: Cursor) -> tuple[Identity, SequenceOptions]:
    identity: Identity = "always"
    if not cursor.accept("always"):
        cursor.expect("by", "default")
        identity = "by default"
    cursor.expect("as")
    cursor.expect("identity")
    options = SequenceOptions()
    if cursor.accept_mark("("):
        options = sequence_options(cursor)
        cursor.expect_mark(")")
    return identity, options


def nulls_distinct(cursor: Cursor) -> None:
    if cursor.accept("nulls", "distinct"):
        return
    if cursor.is_word("nulls", "not", "distinct"):
        token = cursor.peek()
        raise NotSupported(
            "NULLS NOT DISTINCT is not supported",
            position=0 if token is None else token.start + 1,
            hint="Declare the columns NOT NULL.",
        )


def _at_once(cursor: Cursor) -> None:
    """NOT DEFERRABLE and INITIALLY IMMEDIATE are what NOT NULL and its like are."""
    while cursor.accept("not", "deferrable") or cursor.accept("initially", "immediate"):
        pass


def _deferred(cursor: Cursor, constraint: ConstraintDefinition) -> ConstraintDefinition:
    """The constraint with what is said of when it is checked. Raises NotSupported for one that is
    no foreign key and would not be checked at once."""
    is_deferrable: bool | None = None
    is_deferred: bool | None = None
    while (token := cursor.peek()) is not None:
        if cursor.accept("not", "deferrable"):
            is_deferrable = False
        elif cursor.accept("deferrable"):
            is_deferrable = True
        elif cursor.accept("initially", "deferred"):
            is_deferred = True
        elif cursor.accept("initially", "immediate"):
            is_deferred = False
        else:
            break
        if is_deferred and is_deferrable is False:
            raise StatementError(
                "constraint declared INITIALLY DEFERRED must be DEFERRABLE",
                sqlstate="42601",
                position=token.start + 1,
            )
        if (is_deferrable or is_deferred) and not isinstance(constraint, ForeignKeyDefinition):
            raise NotSupported(
                "DEFERRABLE is not supported",
                position=token.start + 1,
                hint="Constraints other than foreign keys are checked with each row.",
            )
    if not isinstance(constraint, ForeignKeyDefinition) or not (is_deferrable or is_deferred):
        return constraint
    return replace(constraint, deferral="deferred" if is_deferred else "immediate")


def table_constraint(cursor: Cursor) -> ConstraintDefinition:
    label = cursor.name() if cursor.accept("constraint") else None
    token = cursor.peek()
    position = 0 if token is None else token.start + 1
    constraint: ConstraintDefinition
    if cursor.accept("primary", "key"):
        constraint = KeyDefinition(cursor.names(), True, label, position)
    elif cursor.accept("unique"):
        nulls_distinct(cursor)
        constraint = KeyDefinition(cursor.names(), False, label, position)
    elif cursor.is_word("check"):
        constraint = _check(cursor, label, "")
    elif cursor.accept("foreign", "key"):
        columns = cursor.names()
        constraint = _references(cursor, columns, label, position)
    else:
        raise cursor.unexpected()
    return _deferred(cursor, constraint)


def _check(cursor: Cursor, label: syntax.Name | None, column: str) -> CheckDefinition:
    token = cursor.take()
    tokens = cursor.parenthesised()
    if cursor.accept("no", "inherit"):
        pass  # there is nothing to inherit from
    return CheckDefinition(expression_from(tokens), text_of(tokens), label, column, token.start + 1)


def _references(
    cursor: Cursor, columns: tuple[syntax.Name, ...], label: syntax.Name | None, position: int
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


def _action(cursor: Cursor, event: str) -> Action:
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


def _whole_key(cursor: Cursor, action: Action) -> Action:
    if cursor.is_mark("("):
        raise NotSupported(
            f"{action} of some columns is not supported", hint="Name no columns: all are set."
        )
    return action


def sequence_options(
    cursor: Cursor,
    *,
    altering: bool = False,
    options: SequenceOptions | None = None,
    count: int = 0,
) -> SequenceOptions:
    """All that follow, or `count`; those of ALTER if `altering`. They are added to `options`."""
    made = options or SequenceOptions()
    taken = 0
    while (token := cursor.peek()) is not None and not token.is_mark(")"):
        found = _sequence_option(cursor, made)
        if found is None and altering:
            found = _restart(cursor, made)
        if found is None:
            raise cursor.unexpected()
        made = found
        taken += 1
        if taken == count:
            break
    if not taken and altering:
        raise cursor.unexpected()
    return made


def _sequence_option(cursor: Cursor, options: SequenceOptions) -> SequenceOptions | None:
    """The options with one more; None if another word follows."""
    if cursor.accept("as"):
        start = cursor.at
        cursor.name()
        kind = type_from([t for t in (cursor.peek(start - cursor.at),) if t])
        return replace(options, type=kind)
    if cursor.accept("increment"):
        cursor.accept("by")
        return replace(options, increment=cursor.integer())
    if cursor.accept("start"):
        cursor.accept("with")
        return replace(options, start=cursor.integer())
    if cursor.accept("minvalue"):
        return replace(options, minimum=cursor.integer())
    if cursor.accept("maxvalue"):
        return replace(options, maximum=cursor.integer())
    if cursor.accept("no", "minvalue"):
        return replace(options, open_minimum=True)
    if cursor.accept("no", "maxvalue"):
        return replace(options, open_maximum=True)
    if cursor.accept("cycle"):
        return replace(options, cycle=True)
    if cursor.accept("no", "cycle"):
        return replace(options, cycle=False)
    if cursor.accept("cache"):
        cursor.integer()  # routers take ranges as they need them
        return options
    if cursor.accept("owned", "by"):
        if cursor.accept("none"):
            return replace(options, owner="none")
        return replace(options, owner=column_path(cursor))
    return None


def _restart(cursor: Cursor, options: SequenceOptions) -> SequenceOptions | None:
    if not cursor.accept("restart"):
        return None
    is_given = cursor.accept("with")
    token = cursor.peek()
    if token is not None and token.kind in (Kind.NUMBER, Kind.OPERATOR):
        return replace(options, restart=cursor.integer())
    if is_given:
        raise cursor.unexpected()
    return replace(options, restart="start")


def column_path(cursor: Cursor) -> tuple[syntax.Name, syntax.Name]:
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
