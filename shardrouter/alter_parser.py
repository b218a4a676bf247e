"""The grammar of ALTER: tokens to `shardrouter.alter_definitions`."""

from __future__ import annotations

from typing import Final

from shardrouter import syntax
from shardrouter.alter_definitions import (
    AddColumn,
    AddConstraint,
    AddIdentity,
    AlterSequence,
    AlterTable,
    AlterType,
    DropColumn,
    DropConstraint,
    DropDefault,
    DropIdentity,
    RenameColumn,
    RenameConstraint,
    Renamed,
    RenameRelation,
    RenameSchema,
    SetDefault,
    SetIdentity,
    SetNotNull,
    SetSchema,
    TableAction,
)
from shardrouter.definition_cursor import Cursor, expression_from, text_of, type_from
from shardrouter.definition_parts import Identity, SequenceOptions
from shardrouter.definitions import Definition
from shardrouter.errors import NotSupported
from shardrouter.lexer import Kind
from shardrouter.part_parser import (
    column_definition,
    identity_definition,
    sequence_options,
    table_constraint,
)
from shardrouter.type_parser import alter_type

__all__ = ["parse_alter"]

_ALTERED: Final[tuple[Renamed, ...]] = ("table", "view", "index", "sequence")

_REFUSED: Final = {
    "owner": "Every role that may log in may do all with every table.",
    "enable": "There are no triggers, rules and policies.",
    "disable": "There are no triggers, rules and policies.",
    "cluster": "Rows are stored by their primary key.",
    "inherit": "There is no inheritance.",
    "validate": "Constraints are always valid.",
    "attach": "Rows are spread over shards by WITH (shard_key = 'column').",
    "replica": "Replicas repeat the statements of a log.",
    "force": "There are no policies.",
}


def parse_alter(cursor: Cursor) -> Definition:
    """What stands behind ALTER."""
    token = cursor.peek()
    if cursor.accept("schema"):
        name = cursor.name()
        if cursor.accept("owner"):
            raise _refused(cursor, "owner")
        cursor.expect("rename", "to")
        return RenameSchema(name, cursor.name())
    if cursor.accept("type"):
        return alter_type(cursor)
    kind = next((kind for kind in _ALTERED if token is not None and token.is_word(kind)), None)
    if kind is None:
        if token is not None and token.kind is Kind.WORD:
            raise NotSupported(
                f"ALTER {token.text.upper()} is not supported",
                position=token.start + 1,
                hint="There are ALTER TABLE, VIEW, INDEX, SEQUENCE, SCHEMA, TYPE and ROLE.",
            )
        raise cursor.unexpected()
    cursor.take()
    if_exists = cursor.accept("if", "exists")
    if kind == "table":
        cursor.accept("only")
    name = cursor.relation()
    if cursor.accept("rename"):
        return _rename(cursor, kind, name, if_exists=if_exists)
    if cursor.accept("set", "schema"):
        return SetSchema(kind, name, cursor.name(), if_exists)
    if kind == "sequence":
        if cursor.is_word("owner"):
            raise _refused(cursor, "owner")
        return AlterSequence(name, sequence_options(cursor, altering=True), if_exists)
    if kind == "table":
        return AlterTable(name, cursor.listed(lambda: _action(cursor)), if_exists)
    raise NotSupported(
        f"this form of ALTER {kind.upper()} is not supported",
        position=0 if (here := cursor.peek()) is None else here.start + 1,
        hint=f"There is ALTER {kind.upper()} ... RENAME TO.",
    )


def _refused(cursor: Cursor, word: str) -> NotSupported:
    token = cursor.peek()
    return NotSupported(
        f"ALTER ... {word.upper()} is not supported",
        position=0 if token is None else token.start + 1,
        hint=_REFUSED[word],
    )


def _rename(cursor: Cursor, kind: Renamed, name: syntax.Name, *, if_exists: bool) -> Definition:
    if cursor.accept("to"):
        return RenameRelation(kind, name, cursor.name(), if_exists)
    if cursor.accept("constraint"):
        old = cursor.name()
        cursor.expect("to")
        return RenameConstraint(name, old, cursor.name(), if_exists)
    cursor.accept("column")
    old = cursor.name()
    cursor.expect("to")
    return RenameColumn(name, old, cursor.name(), if_exists)


def _action(cursor: Cursor) -> TableAction:
    if cursor.accept("add"):
        return _add(cursor)
    if cursor.accept("drop"):
        return _drop(cursor)
    if cursor.accept("alter"):
        cursor.accept("column")
        return _alter_column(cursor, cursor.name())
    token = cursor.peek()
    if token is not None and token.is_word(*_REFUSED):
        raise _refused(cursor, token.text)
    raise NotSupported(
        "this form of ALTER TABLE is not supported",
        position=0 if token is None else token.start + 1,
        hint="There are ADD, DROP and ALTER of columns and constraints, RENAME and SET SCHEMA.",
    )


def _add(cursor: Cursor) -> TableAction:
    token = cursor.peek()
    if token is not None and token.is_word(
        "constraint", "primary", "unique", "check", "foreign", "exclude"
    ):
        constraint = table_constraint(cursor)
        if cursor.is_word("not", "valid"):
            here = cursor.peek()
            raise NotSupported(
                "NOT VALID is not supported",
                position=0 if here is None else here.start + 1,
                hint="Leave it out: the rows there are must satisfy the constraint.",
            )
        return AddConstraint(constraint)
    cursor.accept("column")
    exists = cursor.accept("if", "not", "exists")
    column, constraints = column_definition(cursor)
    return AddColumn(column, tuple(constraints), exists)


def _drop(cursor: Cursor) -> TableAction:
    is_constraint = cursor.accept("constraint")
    if not is_constraint:
        cursor.accept("column")
    exists = cursor.accept("if", "exists")
    name = cursor.name()
    cascade = cursor.accept("cascade")
    if not cascade:
        cursor.accept("restrict")
    if is_constraint:
        return DropConstraint(name, exists, cascade)
    return DropColumn(name, exists, cascade)


def _alter_column(cursor: Cursor, name: syntax.Name) -> TableAction:
    if cursor.accept("set", "data", "type") or cursor.accept("type"):
        kind = type_from(cursor.until(lambda token: token.is_word("using", "collate")))
        if not cursor.accept("using"):
            return AlterType(name, kind)
        return AlterType(name, kind, expression_from(cursor.until(lambda _: False)))
    if cursor.accept("set", "default"):
        tokens = cursor.until(lambda _: False)
        return SetDefault(name, expression_from(tokens), text_of(tokens))
    if cursor.accept("drop", "default"):
        return DropDefault(name)
    if cursor.accept("set", "not", "null"):
        return SetNotNull(name, True)
    if cursor.accept("drop", "not", "null"):
        return SetNotNull(name, False)
    if cursor.accept("add", "generated"):
        return AddIdentity(name, *identity_definition(cursor))
    if cursor.accept("drop", "identity"):
        return DropIdentity(name, cursor.accept("if", "exists"))
    if cursor.is_word("restart") or cursor.is_word("set"):
        return _set_identity(cursor, name)
    token = cursor.peek()
    raise NotSupported(
        "this form of ALTER COLUMN is not supported",
        position=0 if token is None else token.start + 1,
        hint="There are TYPE, SET and DROP of DEFAULT and NOT NULL, and of identity.",
    )


def _set_identity(cursor: Cursor, name: syntax.Name) -> SetIdentity:
    identity: Identity = ""
    options = SequenceOptions()
    while cursor.is_word("set") or cursor.is_word("restart"):
        if cursor.accept("set", "generated"):
            identity = "always"
            if not cursor.accept("always"):
                cursor.expect("by", "default")
                identity = "by default"
            continue
        if cursor.is_word("set"):
            if not any(
                cursor.is_word("set", word)
                for word in ("increment", "start", "minvalue", "maxvalue", "no", "cycle", "cache")
            ):
                raise NotSupported(
                    "this form of ALTER COLUMN SET is not supported",
                    position=0 if (here := cursor.peek()) is None else here.start + 1,
                    hint="Leave it out if it says how values are stored: that changes no answer.",
                )
            cursor.take()
        options = sequence_options(cursor, altering=True, options=options, count=1)
    return SetIdentity(name, identity, options)
