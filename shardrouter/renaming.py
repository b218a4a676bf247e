"""ALTER ... RENAME and SET SCHEMA: the same things by other names.

What the shards call a table stays (`shardrouter.namespaces`), so only a column's new name concerns
them. Texts that were written with the old names are written anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from shardrouter.alter_definitions import (
    RenameColumn,
    RenameConstraint,
    Renamed,
    RenameRelation,
    RenameSchema,
    SetSchema,
)
from shardrouter.change_builder import ChangeBuilder
from shardrouter.ddl import check_columns
from shardrouter.dropping import views_over
from shardrouter.errors import NotSupported, StatementError
from shardrouter.namespaces import check_schema_name, missing_schema, qualified
from shardrouter.syntax import Name
from shardrouter.tables import PUBLIC, TEMPORARY, Column, Index, SqlSequence, Table
from shardrouter.typed import quote
from shardrouter.written import bare

__all__ = ["rename_column", "rename_constraint", "rename_relation", "rename_schema", "set_schema"]

_KINDS: Final = {"view": "a view", "index": "an index", "sequence": "a sequence"}
_SEVERAL: Final = {"index": "indexes", "sequence": "sequences"}
_TOKENS: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


def _found(
    builder: ChangeBuilder, name: Name, kind: Renamed, *, if_exists: bool
) -> tuple[str, str] | None:
    """The kind of a relation, and what it is known by. ALTER TABLE takes any kind."""
    found = builder.catalog.relation(name.text, name.schema)
    if found is None:
        if if_exists:
            builder.notice(f'relation "{name.text}" does not exist, skipping')
            return None
        if name.schema and not builder.catalog.has_schema(name.schema):
            raise missing_schema(name.schema)
        raise StatementError(f'relation "{qualified(name)}" does not exist', sqlstate="42P01")
    if kind not in ("table", found[0]):
        raise StatementError(f'"{name.text}" is not {_KINDS[kind]}', sqlstate="42809")
    return found


def _sql_renamed(sql: str, old: str, new: str) -> str:
    """SQLite's text with another name for a column: names are always in quotes there."""
    return _TOKENS.sub(lambda token: quote(new) if token[0] == quote(old) else token[0], sql)


def _all_renamed(names: Iterable[str], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if name == old else name for name in names)


# --------------------------------------------------------------------------- columns, constraints


def rename_column(builder: ChangeBuilder, node: RenameColumn) -> None:
    found = _found(builder, node.table, "table", if_exists=node.if_exists)
    if found is None:
        return
    if found[0] not in ("table", "view"):
        raise StatementError(
            f'cannot rename columns of relation "{node.table.text}"',
            sqlstate="42809",
            detail=f"This operation is not supported for {_SEVERAL[found[0]]}.",
        )
    table, old, new = builder.table(found[1]), node.name.text, node.new.text
    if table.column(old) is None:
        raise StatementError(f'column "{old}" does not exist', sqlstate="42703")
    if table.column(new) is not None:
        raise StatementError(
            f'column "{new}" of relation "{table.relname}" already exists', sqlstate="42701"
        )
    kept = [Name(column.name) for column in table.columns if column.name != old]
    check_columns([*kept, node.new])
    builder.put(_with_column(table, old, new))
    if table.view is None:
        builder.compute(table.name, {new: quote(old)}, {old: quote(new)})
    for sequence in list(builder.catalog.sequences.values()):
        if sequence.owner == (table.name, old):
            builder.put_sequence(replace(sequence, owner=(table.name, new)))
    for child_name in table.referenced_by:
        child = builder.table(child_name)
        keys = tuple(
            replace(key, references=_all_renamed(key.references, old, new))
            if key.table == table.name
            else key
            for key in child.foreign_keys
        )
        builder.put(replace(child, foreign_keys=keys))
    for view in views_over(builder.catalog, table.name):
        assert view.view is not None
        names = tuple(
            replace(
                name,
                columns=tuple((known, new if now == old else now) for known, now in name.columns),
            )
            if name.relation == table.name
            else name
            for name in view.view.names
        )
        builder.put(replace(view, view=replace(view.view, names=names)))


def _with_column(table: Table, old: str, new: str) -> Table:
    def index(known: Index) -> Index:
        head, on, rest = known.sqlite.partition(f" ON {quote(table.name)} ")
        return replace(
            known,
            sqlite=head + on + _sql_renamed(rest, old, new),
            columns=_all_renamed(known.columns, old, new),
            elements=tuple(bare(element, table.relname, {old: new}) for element in known.elements),
            where=bare(known.where, table.relname, {old: new}) if known.where else "",
        )

    return replace(
        table,
        columns=tuple(
            replace(_computed(c, table.relname, old, new), name=new if c.name == old else c.name)
            for c in table.columns
        ),
        primary_key=_all_renamed(table.primary_key, old, new),
        shard_key=new if table.shard_key == old else table.shard_key,
        keys=tuple(replace(k, columns=_all_renamed(k.columns, old, new)) for k in table.keys),
        checks=tuple(
            replace(
                check,
                sql=_sql_renamed(check.sql, old, new),
                source=bare(check.source, table.relname, {old: new}),
            )
            for check in table.checks
        ),
        foreign_keys=tuple(
            replace(
                key,
                columns=_all_renamed(key.columns, old, new),
                references=_all_renamed(key.references, old, new)
                if key.table == table.name
                else key.references,
            )
            for key in table.foreign_keys
        ),
        indexes=tuple(map(index, table.indexes)),
    )


def _computed(column: Column, relname: str, old: str, new: str) -> Column:
    """A generated column, whose expression may name the column."""
    default = column.default
    if default is None or not default.is_generated:
        return column
    sql, source = _sql_renamed(default.sql, old, new), bare(default.source, relname, {old: new})
    return replace(column, default=replace(default, sql=sql, source=source))


def rename_constraint(builder: ChangeBuilder, node: RenameConstraint) -> None:
    found = _found(builder, node.table, "table", if_exists=node.if_exists)
    if found is None:
        return
    if found[0] != "table":
        raise StatementError(f'"{node.table.text}" is not a table', sqlstate="42809")
    table, old, new = builder.table(found[1]), node.name.text, node.new.text
    of_index = {table.primary, *(key.name for key in table.keys)} - {""}
    others = {c.name for c in table.checks} | {k.name for k in table.foreign_keys}
    if old not in of_index | others:
        raise StatementError(
            f'constraint "{old}" for table "{table.relname}" does not exist', sqlstate="42704"
        )
    if new in of_index | others:
        raise StatementError(
            f'constraint "{new}" for relation "{table.relname}" already exists', sqlstate="42710"
        )
    if old in of_index:
        _check_free(builder, table.schema, node.new)
    builder.put(_with_constraint(table, old, new))


def _with_constraint(table: Table, old: str, new: str) -> Table:
    return replace(
        table,
        primary=new if table.primary == old else table.primary,
        keys=tuple(replace(k, name=new) if k.name == old else k for k in table.keys),
        checks=tuple(replace(c, name=new) if c.name == old else c for c in table.checks),
        foreign_keys=tuple(
            replace(k, name=new) if k.name == old else k for k in table.foreign_keys
        ),
    )


# --------------------------------------------------------------------------- relations


def _check_free(builder: ChangeBuilder, schema: str, name: Name) -> None:
    if (schema, name.text) in builder.catalog.relations:
        raise StatementError(f'relation "{name.text}" already exists', sqlstate="42P07")


def _called(stored: str, relname: str) -> str:
    return "" if stored == relname else relname


def rename_relation(builder: ChangeBuilder, node: RenameRelation) -> None:
    found = _found(builder, node.name, node.kind, if_exists=node.if_exists)
    if found is None:
        return
    kind, name = found
    new = node.new.text
    if kind == "sequence":
        sequence = builder.catalog.sequences[name]
        _check_free(builder, sequence.schema, node.new)
        builder.put_sequence(replace(sequence, called=_called(name, new)))
        return
    table = builder.table(name)
    _check_free(builder, table.schema, node.new)
    if kind == "index":
        builder.put(_with_index(table, node.name.text, new))
        return
    builder.put(_with_own_names(replace(table, called=_called(name, new)), table.relname))
    for other in list(builder.catalog.tables.values()):
        if other.relname == new and other.name != name:
            builder.touch(other.name)  # what was planned for it may mean this one now


def _with_index(table: Table, old: str, new: str) -> Table:
    indexes = tuple(
        replace(index, called=_called(index.name, new)) if index.relname == old else index
        for index in table.indexes
    )
    return _with_constraint(replace(table, indexes=indexes), old, new)


def _with_own_names(table: Table, relname: str) -> Table:
    """Columns were written with the table's name before them, perhaps."""
    return replace(
        table,
        checks=tuple(replace(c, source=bare(c.source, relname, {})) for c in table.checks),
        indexes=tuple(
            replace(
                index,
                elements=tuple(bare(element, relname, {}) for element in index.elements),
                where=bare(index.where, relname, {}) if index.where else "",
            )
            for index in table.indexes
        ),
    )


def set_schema(builder: ChangeBuilder, node: SetSchema) -> None:
    found = _found(builder, node.name, node.kind, if_exists=node.if_exists)
    if found is None:
        return
    kind, name = found
    schema = node.schema.text
    if schema not in builder.catalog.schemas:
        raise missing_schema(schema)
    relations: tuple[Table | SqlSequence | None, ...] = (
        builder.catalog.tables.get(name),
        builder.catalog.sequences.get(name),
    )
    if any(known is not None and known.schema.startswith(TEMPORARY) for known in relations):
        raise StatementError(
            "cannot move objects into or out of temporary schemas", sqlstate="0A000"
        )
    if kind == "index":
        raise NotSupported(
            "moving an index to another schema is not supported",
            position=node.schema.position,
            hint="It goes with its table: ALTER TABLE ... SET SCHEMA.",
        )
    if kind == "sequence":
        sequence = builder.catalog.sequences[name]
        if sequence.owner is not None:
            raise StatementError(
                "cannot move an owned sequence into another schema",
                sqlstate="0A000",
                detail=f'Sequence "{sequence.relname}" is linked to table '
                f'"{builder.table(sequence.owner[0]).relname}".',
            )
        _check_free_in(builder, sequence.schema, schema, [sequence.relname])
        builder.put_sequence(replace(sequence, schema=schema))
        return
    table = builder.table(name)
    owned = [s for s in builder.catalog.sequences.values() if s.owner and s.owner[0] == name]
    names = [table.relname, *(index.relname for index in table.indexes)]
    names += [key.name for key in table.keys] + ([table.primary] if table.primary else [])
    _check_free_in(builder, table.schema, schema, [*names, *(s.relname for s in owned)])
    builder.put(replace(table, schema=schema))
    for sequence in owned:
        builder.put_sequence(replace(sequence, schema=schema))
    for other in list(builder.catalog.tables.values()):
        if other.relname == table.relname and other.name != name:
            builder.touch(other.name)


def _check_free_in(builder: ChangeBuilder, before: str, schema: str, names: list[str]) -> None:
    for name in names if before != schema else ():
        if (schema, name) in builder.catalog.relations:
            raise StatementError(
                f'relation "{name}" already exists in schema "{schema}"', sqlstate="42P07"
            )


def rename_schema(builder: ChangeBuilder, node: RenameSchema) -> None:
    old, new = node.name.text, node.new.text
    schema = builder.catalog.schemas.get(old)
    if schema is None:
        raise missing_schema(old)
    if old == PUBLIC:
        raise NotSupported(
            'renaming the schema "public" is not supported',
            position=node.name.position,
            hint="It is always there; create another one.",
        )
    check_schema_name(node.new)
    if new in builder.catalog.schemas:
        raise StatementError(f'schema "{new}" already exists', sqlstate="42P06")
    relations: list[Table | SqlSequence] = [*builder.catalog.tables.values()]
    relations += builder.catalog.sequences.values()
    builder.remove_schema(old)
    builder.put_schema(replace(schema, name=new))
    for relation in relations:
        if relation.schema == old and isinstance(relation, Table):
            builder.put(replace(builder.table(relation.name), schema=new))
        elif relation.schema == old and isinstance(relation, SqlSequence):
            builder.put_sequence(replace(relation, schema=new))
