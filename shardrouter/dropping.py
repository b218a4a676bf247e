"""DROP of tables, views, indexes, sequences and schemas, and of what depends on them.

As in PostgreSQL nothing goes that something else needs, unless CASCADE takes that along: a foreign
key goes with the table or key it refers to, a view with what it reads, a DEFAULT with its sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from shardrouter.catalog import Catalog, Kind
from shardrouter.change_builder import ChangeBuilder
from shardrouter.definitions import DropIndex, DropSchema, DropSequence, DropTable, DropView
from shardrouter.errors import NotSupported, StatementError
from shardrouter.namespaces import (
    SYSTEM_SCHEMAS,
    described,
    missing_schema,
    wrong_kind,
)
from shardrouter.syntax import Name
from shardrouter.tables import PUBLIC, ForeignKey, Table
from shardrouter.type_changes import types_in

__all__ = [
    "Dependent",
    "dependents_of",
    "drop",
    "drop_dependents",
    "keys_without_index",
    "referring_keys",
    "unreferred",
    "views_over",
    "views_reading",
    "without_default",
    "without_key",
    "without_relation",
]


@dataclass(frozen=True)
class Dependent:
    """`what` it is, on what it depends, and what takes it away."""

    what: str
    needs: str
    remove: Callable[[ChangeBuilder], None]


def drop(
    builder: ChangeBuilder, node: DropTable | DropView | DropIndex | DropSequence | DropSchema
) -> None:
    match node:
        case DropTable():
            _drop_tables(builder, node)
        case DropView():
            _drop_views(builder, node)
        case DropIndex():
            _drop_indexes(builder, node)
        case DropSequence():
            _drop_sequences(builder, node)
        case DropSchema():
            _drop_schemas(builder, node)


# --------------------------------------------------------------------------- what is meant


def _found(builder: ChangeBuilder, name: Name, kind: Kind, *, if_exists: bool) -> str | None:
    """What the relation is known by; None, with a notice, if there is none and that is no error.
    Of an index it is the name of its table."""
    if name.schema and not builder.catalog.has_schema(name.schema):
        if not if_exists:
            raise missing_schema(name.schema)
        builder.notice(f'schema "{name.schema}" does not exist, skipping')
        return None
    found = builder.catalog.relation(name.text, name.schema)
    if found is not None:
        if found[0] != kind:
            raise wrong_kind(name, found[0], kind)
        return found[1]
    if not if_exists:
        code = "42704" if kind == "index" else "42P01"
        raise StatementError(f'{kind} "{name.text}" does not exist', sqlstate=code)
    builder.notice(f'{kind} "{name.text}" does not exist, skipping')
    return None


# --------------------------------------------------------------------------- what depends


def views_over(catalog: Catalog, name: str) -> list[Table]:
    """The views that read a relation."""
    return [
        view
        for view in catalog.tables.values()
        if view.view is not None and any(known.relation == name for known in view.view.names)
    ]


def referring_keys(catalog: Catalog, table: Table) -> list[tuple[Table, ForeignKey]]:
    """The foreign keys of other tables that refer to this one."""
    return [
        (child, key)
        for name in table.referenced_by
        if (child := catalog.tables.get(name)) is not None and child.name != table.name
        for key in child.foreign_keys
        if key.table == table.name
    ]


def views_reading(catalog: Catalog, table: Table, column: str) -> list[Table]:
    """The views that may read this column of a table."""
    return [
        view
        for view in views_over(catalog, table.name)
        if view.view is not None
        and any(
            name.relation == table.name and column in dict(name.columns).values()
            for name in view.view.names
        )
    ]


def without_key(table: str, key: str) -> Callable[[ChangeBuilder], None]:
    def remove(builder: ChangeBuilder) -> None:
        if table in builder.catalog.tables:
            before = builder.table(table)
            keys = tuple(known for known in before.foreign_keys if known.name != key)
            builder.put(replace(before, foreign_keys=keys))
            unreferred(builder, before)

    return remove


def without_relation(name: str) -> Callable[[ChangeBuilder], None]:
    def remove(builder: ChangeBuilder) -> None:
        if name in builder.catalog.tables:
            _remove_table(builder, builder.table(name))

    return remove


def without_default(table: str, column: str) -> Callable[[ChangeBuilder], None]:
    def remove(builder: ChangeBuilder) -> None:
        if table in builder.catalog.tables:
            before = builder.table(table)
            columns = tuple(
                replace(known, default=None) if known.name == column else known
                for known in before.columns
            )
            builder.put(replace(before, columns=columns))

    return remove


def unreferred(builder: ChangeBuilder, before: Table) -> None:
    """Tables that `before` referred to, and nothing of it refers to any more, forget it."""
    after = builder.catalog.tables.get(before.name)
    left = {key.table for key in after.foreign_keys} if after is not None else set()
    for name in {key.table for key in before.foreign_keys} - left - {before.name}:
        parent = builder.catalog.tables.get(name)
        if parent is not None:
            names = tuple(known for known in parent.referenced_by if known != before.name)
            builder.put(replace(parent, referenced_by=names))


def _remove_table(builder: ChangeBuilder, table: Table) -> None:
    """A table or view, its sequences, and what depends on it."""
    for dependent in dependents_of(builder.catalog, [table]):
        dependent.remove(builder)
    builder.remove(table.name)
    unreferred(builder, table)
    for sequence in list(builder.catalog.sequences.values()):
        if sequence.owner is not None and sequence.owner[0] == table.name:
            builder.remove_sequence(sequence.name)


def drop_dependents(
    builder: ChangeBuilder, found: Iterable[Dependent], what: str, *, cascade: bool
) -> list[Dependent]:
    """Refuse to go on if there are any, or say what CASCADE takes along. `what` is dropped."""
    each = {dependent.what: dependent for dependent in found}
    dependents = list(each.values())
    if not dependents:
        return []
    if not cascade:
        raise StatementError(
            f"cannot drop {what} because other objects depend on "
            + ("them" if what == "desired object(s)" else "it"),
            sqlstate="2BP01",
            detail="\n".join(f"{each.what} depends on {each.needs}" for each in dependents),
            hint="Use DROP ... CASCADE to drop the dependent objects too.",
        )
    lines = [f"drop cascades to {dependent.what}" for dependent in dependents]
    if len(lines) == 1:
        builder.notice(lines[0])
    else:
        builder.notice(f"drop cascades to {len(lines)} other objects", detail="\n".join(lines))
    return dependents


def dependents_of(
    catalog: Catalog,
    tables: Iterable[Table],
    own: Callable[[Table], Dependent] | None = None,
) -> list[Dependent]:
    """What depends on these, and on what does, outside of them, in the order in which PostgreSQL
    tells it: what was made last goes first, after what depends on it, and is told last. With `own`
    they themselves are told as well."""
    roots = list(tables)
    inside = set() if own is not None else {table.name for table in roots}
    gone: list[Dependent] = []

    def visit(table: Table) -> None:
        what = described(catalog, table)
        found: list[tuple[Table, Dependent]] = [
            (
                child,
                Dependent(
                    f"constraint {key.name} on {described(catalog, child)}",
                    what,
                    without_key(child.name, key.name),
                ),
            )
            for child, key in reversed(referring_keys(catalog, table))
        ]
        found += [
            (view, Dependent(described(catalog, view), what, without_relation(view.name)))
            for view in views_over(catalog, table.name)
        ]
        for child, dependent in sorted(found, key=lambda pair: -pair[0].created):
            if child.name in inside:
                continue
            if child.view is not None:
                inside.add(child.name)
                visit(child)
            gone.append(dependent)

    for table in sorted(roots, key=lambda table: -table.created):
        if own is None:
            visit(table)
        elif table.name not in inside:
            inside.add(table.name)
            visit(table)
            gone.append(own(table))
    return gone[::-1]


# --------------------------------------------------------------------------- the statements


def _drop_tables(builder: ChangeBuilder, node: DropTable) -> None:
    _drop_relations(builder, node.names, "table", if_exists=node.if_exists, cascade=node.cascade)


def _drop_views(builder: ChangeBuilder, node: DropView) -> None:
    _drop_relations(builder, node.names, "view", if_exists=node.if_exists, cascade=node.cascade)


def _drop_relations(
    builder: ChangeBuilder, names: tuple[Name, ...], kind: Kind, *, if_exists: bool, cascade: bool
) -> None:
    found = [_found(builder, name, kind, if_exists=if_exists) for name in names]
    gone = [builder.table(name) for name in dict.fromkeys(found) if name is not None]
    what = described(builder.catalog, gone[0]) if len(gone) == 1 else "desired object(s)"
    drop_dependents(builder, dependents_of(builder.catalog, gone), what, cascade=cascade)
    for table in gone:
        if table.name in builder.catalog.tables:
            _remove_table(builder, table)


def _drop_indexes(builder: ChangeBuilder, node: DropIndex) -> None:
    for name in node.names:
        owner = _found(builder, name, "index", if_exists=node.if_exists)
        if owner is None:
            continue
        table = builder.table(owner)
        index = next((index for index in table.indexes if index.relname == name.text), None)
        if index is None:
            label = described(builder.catalog, table)
            raise StatementError(
                f"cannot drop index {name.text} because constraint {name.text} on {label} "
                "requires it",
                sqlstate="2BP01",
                hint=f"You can drop constraint {name.text} on {label} instead.",
            )
        after = replace(table, indexes=tuple(i for i in table.indexes if i is not index))
        needed = [
            Dependent(
                f"constraint {key.name} on {described(builder.catalog, child)}",
                f"index {index.relname}",
                without_key(child.name, key.name),
            )
            for child, key in keys_without_index(builder.catalog, after)
        ]
        drop_dependents(builder, needed, f"index {index.relname}", cascade=node.cascade)
        builder.put(after)
        for dependent in needed:
            dependent.remove(builder)


def keys_without_index(catalog: Catalog, table: Table) -> list[tuple[Table, ForeignKey]]:
    """The foreign keys to a table that nothing makes unique any more what they refer to."""
    keys = [set(table.primary_key), *(set(unique) for unique in table.unique)]
    found = referring_keys(catalog, table)
    found += [(table, key) for key in table.foreign_keys if key.table == table.name]
    return [(child, key) for child, key in found if set(key.references) not in keys]


def _drop_sequences(builder: ChangeBuilder, node: DropSequence) -> None:
    for name in node.names:
        known = _found(builder, name, "sequence", if_exists=node.if_exists)
        if known is None:
            continue
        sequence = builder.catalog.sequences[known]
        if sequence.owner is not None and _is_identity(builder, sequence.owner):
            table = builder.table(sequence.owner[0])
            raise StatementError(
                f"cannot drop sequence {sequence.relname} because column {sequence.owner[1]} of "
                f"{described(builder.catalog, table)} requires it",
                sqlstate="2BP01",
                hint=f"You can drop column {sequence.owner[1]} of "
                f"{described(builder.catalog, table)} instead.",
            )
        what = f"sequence {sequence.relname}"
        found = [
            Dependent(
                f"default value for column {column.name} of {described(builder.catalog, table)}",
                what,
                without_default(table.name, column.name),
            )
            for table in builder.catalog.tables.values()
            for column in table.columns
            if column.default is not None and column.default.sequence == known
        ]
        for dependent in drop_dependents(builder, found, what, cascade=node.cascade):
            dependent.remove(builder)
        builder.remove_sequence(known)


def _is_identity(builder: ChangeBuilder, owner: tuple[str, str]) -> bool:
    table = builder.catalog.tables.get(owner[0])
    column = None if table is None else table.column(owner[1])
    return column is not None and bool(column.identity)


def _drop_schemas(builder: ChangeBuilder, node: DropSchema) -> None:
    gone: list[str] = []
    for name in node.names:
        if name.text in SYSTEM_SCHEMAS:
            raise StatementError(
                f"cannot drop schema {name.text} because it is required by the database system",
                sqlstate="2BP01",
            )
        if name.text == PUBLIC:
            raise NotSupported(
                'dropping the schema "public" is not supported',
                position=name.position,
                hint="Drop what is in it; it is always there.",
            )
        if name.text in builder.catalog.schemas:
            gone.append(name.text)
        elif node.if_exists:
            builder.notice(f'schema "{name.text}" does not exist, skipping')
        else:
            raise missing_schema(name.text)
    catalog = builder.catalog
    found: list[Dependent] = []
    inside = [table for table in catalog.tables.values() if table.schema in gone]
    found += dependents_of(
        catalog,
        inside,
        lambda table: Dependent(
            described(catalog, table), f"schema {table.schema}", without_relation(table.name)
        ),
    )
    for sequence in catalog.sequences.values():
        if sequence.schema in gone and sequence.owner is None:
            label = described(catalog, sequence)
            remove = _without_sequence(sequence.name)
            found.append(Dependent(label, f"schema {sequence.schema}", remove))
    found += [
        Dependent(f"type {schema}.{name}", f"schema {schema}", lambda _: None)
        for schema, name in types_in(catalog, gone)
    ]
    what = f"schema {gone[0]}" if len(gone) == 1 else "desired object(s)"
    for dependent in drop_dependents(builder, found, what, cascade=node.cascade):
        dependent.remove(builder)
    for schema in gone:
        builder.remove_schema(schema)


def _without_sequence(name: str) -> Callable[[ChangeBuilder], None]:
    def remove(builder: ChangeBuilder) -> None:
        for table in list(builder.catalog.tables.values()):
            for column in table.columns:
                if column.default is not None and column.default.sequence == name:
                    without_default(table.name, column.name)(builder)
        if name in builder.catalog.sequences:
            builder.remove_sequence(name)

    return remove
