"""The grammar of statements about types: tokens to `shardrouter.type_definitions`."""

from __future__ import annotations

from shardrouter.definition_cursor import Cursor
from shardrouter.errors import NotSupported
from shardrouter.lexer import Kind
from shardrouter.type_definitions import AddLabel, CreateEnumeration

__all__ = ["alter_type", "create_type"]


def _refused(cursor: Cursor, what: str, hint: str) -> NotSupported:
    token = cursor.peek()
    return NotSupported(
        f"{what} is not supported", position=0 if token is None else token.start + 1, hint=hint
    )


def _string(cursor: Cursor) -> str:
    token = cursor.peek()
    if token is None or token.kind is not Kind.STRING:
        raise cursor.unexpected()
    return cursor.take().text


def create_type(cursor: Cursor) -> CreateEnumeration:
    """What stands behind CREATE TYPE."""
    name = cursor.relation()
    cursor.expect("as")
    if cursor.is_mark("("):
        raise _refused(cursor, "a composite type", "Write its fields as columns, or a jsonb.")
    if cursor.is_word("range"):
        raise _refused(cursor, "a range type", "Write its two bounds as columns.")
    cursor.expect("enum")
    cursor.expect_mark("(")
    labels = () if cursor.is_mark(")") else cursor.listed(lambda: _string(cursor))
    cursor.expect_mark(")")
    return CreateEnumeration(name, labels)


def alter_type(cursor: Cursor) -> AddLabel:
    """What stands behind ALTER TYPE."""
    name = cursor.relation()
    if not cursor.accept("add", "value"):
        raise _refused(
            cursor, "this form of ALTER TYPE", "There is ALTER TYPE ... ADD VALUE of enumerations."
        )
    exists = cursor.accept("if", "not", "exists")
    label = _string(cursor)
    before = cursor.accept("before")
    if before or cursor.accept("after"):
        return AddLabel(name, label, _string(cursor), before, exists)
    return AddLabel(name, label, if_not_exists=exists)
