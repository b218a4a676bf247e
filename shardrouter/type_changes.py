"""CREATE, ALTER and DROP TYPE: what they change in a catalog.

A schema has the enumerations that were made in it, and a column says all of its own: so one more
label is a change of every table that has such a column, though of no row.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from nodes.values import OWN_TYPES
from shardrouter.catalog import Catalog
from shardrouter.change_builder import ChangeBuilder
from shardrouter.enumerations import (
    array_of,
    definition_of,
    first_values,
    labels_of,
    of_definition,
    with_label,
)
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import NAME_BYTES_MAX, Kind, tokenize
from shardrouter.namespaces import (
    creation_schema,
    described,
    missing_schema,
    qualified,
)
from shardrouter.syntax import Name
from shardrouter.tables import Enumeration, SqlSchema
from shardrouter.type_definitions import AddLabel, CreateEnumeration, DropType
from shardrouter.types import resolve

__all__ = ["add_label", "check_relation_name", "create_enumeration", "drop_type", "types_in"]

_NUMBERS: Final = 0x1FFFFFFE
"""Even numbers from OWN_TYPES on."""


def _exists(name: str, hint: str = "") -> StatementError:
    return StatementError(f'type "{name}" already exists', sqlstate="42710", hint=hint)


def check_relation_name(catalog: Catalog, schema: str, name: str) -> None:
    """A relation has a type of its own name. Raises 42710."""
    if (schema, name) in catalog.types:
        raise _exists(
            name,
            "A relation has an associated type of the same name, so you must use a name that "
            "doesn't conflict with any existing type.",
        )


def create_enumeration(builder: ChangeBuilder, node: CreateEnumeration) -> None:
    catalog = builder.catalog
    schema = creation_schema(catalog, node.name)
    name = node.name.text
    relation = catalog.relations.get((schema, name))
    if (schema, name) in catalog.types or (relation is not None and relation[0] != "index"):
        raise _exists(name)
    for label in node.labels:
        _check_label(label)
    if len(set(node.labels)) < len(node.labels):
        raise StatementError(
            'duplicate key value violates unique constraint "pg_enum_typid_label_index"',
            sqlstate="23505",
        )
    made = Enumeration(name, _number(catalog, schema, name), first_values(node.labels))
    _put(builder, schema, (*catalog.schemas[schema].types, made))


def _check_label(label: str) -> None:
    if len(label.encode()) > NAME_BYTES_MAX:
        raise StatementError(
            f'invalid enum label "{label}"',
            sqlstate="42602",
            detail=f"Labels must be {NAME_BYTES_MAX} bytes or less.",
        )


def _number(catalog: Catalog, schema: str, name: str) -> int:
    """The type's OID: of two for which it would be the same, the next."""
    taken = {kind.oid for kind in catalog.types.values()}
    text = f"{schema}\0{name}\0{catalog.version}"
    number = zlib.crc32(text.encode()) & _NUMBERS
    while OWN_TYPES + number in taken:
        number = (number + 2) & _NUMBERS
    return OWN_TYPES + number


def _put(builder: ChangeBuilder, schema: str, types: tuple[Enumeration, ...]) -> None:
    builder.put_schema(replace(builder.catalog.schemas.get(schema, SqlSchema(schema)), types=types))


def _found(builder: ChangeBuilder, name: Name) -> tuple[str, Enumeration] | None:
    if name.schema and name.schema not in builder.catalog.schemas:
        raise missing_schema(name.schema)
    return builder.catalog.enumeration(name.text, name.schema)


def add_label(builder: ChangeBuilder, node: AddLabel) -> None:
    found = _found(builder, node.name)
    if found is None:
        _check_is_none(node.name, builder.catalog)
        raise StatementError(f'type "{qualified(node.name)}" does not exist', sqlstate="42704")
    schema, before = found
    _check_label(node.label)
    labels = labels_of(before.values)
    if node.label in labels:
        if not node.if_not_exists:
            raise StatementError(f'enum label "{node.label}" already exists', sqlstate="42710")
        builder.notice(f'enum label "{node.label}" already exists, skipping', "42710")
        return
    if node.neighbour is not None and node.neighbour not in labels:
        raise StatementError(f'"{node.neighbour}" is not an existing enum label', sqlstate="22023")
    values = with_label(before.values, node.label, node.neighbour, before=node.before)
    if values is None:
        raise NotSupported(
            "one more label in this place is not supported",
            hint="Add it at the end, or make another type.",
        )
    after = replace(before, values=values)
    types = builder.catalog.schemas[schema].types
    _put(builder, schema, tuple(after if kind is before else kind for kind in types))
    old, new = (of_definition(definition_of(kind)) for kind in (before, after))
    names = {old.in_catalog: new.in_catalog, array_of(old).in_catalog: array_of(new).in_catalog}
    for table in list(builder.catalog.tables.values()):
        columns = tuple(replace(c, type=names.get(c.type, c.type)) for c in table.columns)
        if columns != table.columns:
            builder.put(replace(table, columns=columns))


def _check_is_none(name: Name, catalog: Catalog) -> None:
    """Raises 42809 for a type that is no enumeration."""
    try:
        kind, _ = resolve(name.text, (), name.position)
    except StatementError:
        return
    raise StatementError(f"{kind.name} is not an enum", sqlstate="42809")


def drop_type(builder: ChangeBuilder, node: DropType) -> None:
    for name in node.names:
        found = None
        if not (node.if_exists and name.schema and name.schema not in builder.catalog.schemas):
            found = _found(builder, name)
        if found is None:
            message = f'type "{qualified(name)}" does not exist'
            if not node.if_exists:
                raise StatementError(message, sqlstate="42704")
            builder.notice(f"{message}, skipping")
            continue
        schema, kind = found
        needed = list(_dependents(builder.catalog, kind))
        if needed and node.cascade:
            raise NotSupported(
                "DROP TYPE ... CASCADE of a type in use is not supported",
                position=name.position,
                hint=f"Drop what depends on it first: {'; '.join(needed)}.",
            )
        if needed:
            raise StatementError(
                f"cannot drop type {name.text} because other objects depend on it",
                sqlstate="2BP01",
                detail="\n".join(f"{what} depends on type {name.text}" for what in needed),
                hint="Use DROP ... CASCADE to drop the dependent objects too.",
            )
        types = builder.catalog.schemas[schema].types
        _put(builder, schema, tuple(known for known in types if known is not kind))


def types_in(catalog: Catalog, schemas: Sequence[str]) -> list[tuple[str, str]]:
    """The types that go with these schemas, each with its schema. Raises NotSupported for one that
    something in another schema needs."""
    found = []
    for (schema, name), kind in catalog.types.items():
        if schema not in schemas:
            continue
        needed = list(_dependents(catalog, kind, schemas))
        if needed:
            raise NotSupported(
                f'DROP SCHEMA of the type "{schema}.{name}", which is in use, is not supported',
                hint=f"Drop what depends on it first: {'; '.join(needed)}.",
            )
        found.append((schema, name))
    return found


def _dependents(catalog: Catalog, kind: Enumeration, without: Sequence[str] = ()) -> Iterator[str]:
    """The columns of the type, and what names it in a text, but for what is in some schemas."""
    element = of_definition(definition_of(kind))
    names = {element.in_catalog, array_of(element).in_catalog}
    for table in catalog.tables.values():
        if table.schema in without:
            continue
        label = described(catalog, table)
        if table.view is not None:
            if any(c.type in names for c in table.columns) or _names(table.view.text, kind):
                yield label
            continue
        for column in table.columns:
            if column.type in names:
                yield f"column {column.name} of {label}"
        for column in table.columns:
            source = "" if column.default is None else column.default.source
            if column.type not in names and _names(source, kind):
                yield f"default value for column {column.name} of {label}"
        for check in table.checks:
            if _names(check.source, kind):
                yield f"constraint {check.name} on {label}"


def _names(text: str, kind: Enumeration) -> bool:
    return any(
        token.kind in (Kind.WORD, Kind.NAME) and token.text == kind.name for token in tokenize(text)
    )
