"""What a statement would change in a catalog: every rule of the schema that needs the others of its
tables. Pure; `shardrouter.schema_change` says how a change is carried out."""

from __future__ import annotations

from dataclasses import dataclass

from shardrouter import types
from shardrouter.alter_definitions import (
    AlterSequence,
    AlterTable,
    RenameColumn,
    RenameConstraint,
    RenameRelation,
    RenameSchema,
    SetSchema,
)
from shardrouter.altering import alter_table
from shardrouter.catalog import Catalog
from shardrouter.change_builder import ChangeBuilder
from shardrouter.commenting import comment
from shardrouter.ddl import create_index, create_table
from shardrouter.definitions import (
    Comment,
    CreateIndex,
    CreateSchema,
    CreateSequence,
    CreateTable,
    CreateTableAs,
    CreateView,
    Definition,
    DropIndex,
    DropSchema,
    DropSequence,
    DropTable,
    DropTemporary,
    DropView,
    HoldTemporary,
    PlaceTable,
    Renumber,
    Truncate,
)
from shardrouter.distributing import place_table
from shardrouter.dropping import drop, referring_keys
from shardrouter.errors import StatementError
from shardrouter.execution import Notice
from shardrouter.namespaces import (
    NewNames,
    check_schema_name,
    creation_schema,
    missing_schema,
    qualified,
    table_named,
)
from shardrouter.renaming import (
    rename_column,
    rename_constraint,
    rename_relation,
    rename_schema,
    set_schema,
)
from shardrouter.serial import altered_sequence, make_sequence, owned_sequence
from shardrouter.syntax import Name
from shardrouter.tables import Change, Placement, SqlSchema, Table
from shardrouter.temporary import drop_temporary, hold_temporary
from shardrouter.type_changes import (
    add_label,
    check_relation_name,
    create_enumeration,
    drop_type,
)
from shardrouter.type_definitions import AddLabel, CreateEnumeration, DropType
from shardrouter.typed import quote
from shardrouter.view_definitions import create_view, table_of_query

__all__ = ["Begun", "NoWayBack", "begin"]


class NoWayBack(Exception):
    """A change that a shard may refuse, and that others could not undo: it has to be a transaction
    (docs/transactions.md), which all of them prepare."""


@dataclass(frozen=True)
class Begun:
    """`change` is None if there is nothing to do."""

    change: Change | None
    notices: tuple[Notice, ...] = ()
    has_no_way_back: bool = False


def begin(catalog: Catalog, node: Definition, default: Placement = "sharded") -> Begun:
    """What `node` changes in a catalog in which nothing pends. `default` is the placement of a
    table that says nothing. Raises StatementError and NotSupported."""
    builder = ChangeBuilder(catalog)
    match node:
        case CreateTable():
            _create_table(builder, node, default)
        case CreateTableAs():
            _create_table_as(builder, node)
        case CreateView():
            create_view(builder, node)
        case AlterTable():
            alter_table(builder, node)
        case AlterSequence():
            _alter_sequence(builder, node)
        case RenameColumn():
            rename_column(builder, node)
        case RenameConstraint():
            rename_constraint(builder, node)
        case RenameRelation():
            rename_relation(builder, node)
        case RenameSchema():
            rename_schema(builder, node)
        case SetSchema():
            set_schema(builder, node)
        case CreateIndex():
            _create_index(builder, node)
        case Truncate():
            _truncate(builder, node)
        case CreateSequence():
            _create_sequence(builder, node)
        case CreateSchema():
            _create_schema(builder, node)
        case Comment():
            comment(builder, node)
        case PlaceTable():
            place_table(builder, node)
        case Renumber():
            _renumber(builder, node)
        case HoldTemporary():
            hold_temporary(builder, node)
        case DropTemporary():
            drop_temporary(builder, node)
        case DropTable() | DropView() | DropIndex() | DropSequence() | DropSchema():
            drop(builder, node)
        case CreateEnumeration():
            create_enumeration(builder, node)
        case AddLabel():
            add_label(builder, node)
        case DropType():
            drop_type(builder, node)
    return Begun(builder.change(), tuple(builder.notices), builder.has_no_way_back)


def _is_new(builder: ChangeBuilder, names: NewNames, name: Name, *, if_not_exists: bool) -> bool:
    """Whether a relation of this name is to be made; False, with a notice, if there is one and that
    is no error."""
    if name.text not in names.taken or not if_not_exists:
        return True
    builder.notice(f'relation "{name.text}" already exists, skipping', "42P07")
    return False


def _a_table(catalog: Catalog, name: Name) -> Table:
    """Not a view. Raises 42P01, 42809."""
    found = catalog.relation(name.text, name.schema)
    if found is not None and found[0] != "table":
        raise StatementError(f'"{name.text}" is not a table', sqlstate="42809")
    return table_named(catalog, name)


# --------------------------------------------------------------------------- tables


def _create_table(builder: ChangeBuilder, node: CreateTable, default: Placement) -> None:
    catalog = builder.catalog
    schema = creation_schema(catalog, node.table, temporary=node.temporary)
    names = NewNames(catalog, schema)
    check_relation_name(catalog, names.schema, node.table.text)
    if not _is_new(builder, names, node.table, if_not_exists=node.if_not_exists):
        return
    made = create_table(node, catalog, names, default)
    builder.put_new(made.table)
    for sequence in made.sequences:
        builder.put_sequence(sequence)
    builder.refer(made.table)


def _create_table_as(builder: ChangeBuilder, node: CreateTableAs) -> None:
    """The table; its rows are a statement of their own."""
    catalog = builder.catalog
    schema = creation_schema(catalog, node.table, temporary=node.temporary)
    names = NewNames(catalog, schema)
    check_relation_name(catalog, names.schema, node.table.text)
    if _is_new(builder, names, node.table, if_not_exists=node.if_not_exists):
        builder.put_new(table_of_query(node, catalog, names))


def _truncate(builder: ChangeBuilder, node: Truncate) -> None:
    tables = {table.name: table for table in (_a_table(builder.catalog, n) for n in node.tables)}
    found = list(tables.values())
    for table in found:  # grows
        for child, _ in referring_keys(builder.catalog, table):
            if child.name in tables:
                continue
            if not node.cascade:
                raise StatementError(
                    "cannot truncate a table referenced in a foreign key constraint",
                    sqlstate="0A000",
                    detail=f'Table "{child.relname}" references "{table.relname}".',
                    hint=f'Truncate table "{child.relname}" at the same time, or use TRUNCATE ... '
                    "CASCADE.",
                )
            builder.notice(f'truncate cascades to table "{child.relname}"')
            tables[child.name] = child
            found.append(child)
    for name in tables:
        builder.touch(name)
        builder.also(name, f"DELETE FROM {quote(name)}")  # noqa: S608 -- quoted names
    if node.restart_identity:
        for sequence in list(builder.catalog.sequences.values()):
            if sequence.owner is not None and sequence.owner[0] in tables:
                builder.restart(sequence.name, sequence.start)


# --------------------------------------------------------------------------- the others


def _create_index(builder: ChangeBuilder, node: CreateIndex) -> None:
    before = table_named(builder.catalog, node.table)
    if before.view is not None:
        raise StatementError(
            f'cannot create index on relation "{before.relname}"',
            sqlstate="42809",
            detail="This operation is not supported for views.",
        )
    names = NewNames(builder.catalog, before.schema)
    if node.name is not None and not _is_new(
        builder, names, node.name, if_not_exists=node.if_not_exists
    ):
        return
    builder.put(create_index(before, node, names))


def _create_sequence(builder: ChangeBuilder, node: CreateSequence) -> None:
    schema = creation_schema(builder.catalog, node.name, temporary=node.temporary)
    names = NewNames(builder.catalog, schema)
    if _is_new(builder, names, node.name, if_not_exists=node.if_not_exists):
        relname = names.check(node.name)
        made = make_sequence(relname, node.options, types.BIGINT, names)
        builder.put_sequence(owned_sequence(builder.catalog, made, node.options))


def _renumber(builder: ChangeBuilder, node: Renumber) -> None:
    if node.sequence not in builder.catalog.sequences:
        raise StatementError(f'relation "{node.sequence}" does not exist', sqlstate="42P01")
    if node.value is None:
        builder.renumber(node.sequence)
    else:
        builder.restart(node.sequence, node.value, is_called=node.is_called)


def _create_schema(builder: ChangeBuilder, node: CreateSchema) -> None:
    check_schema_name(node.name)
    name = node.name.text
    if name in builder.catalog.schemas or name == "information_schema":
        if not node.if_not_exists:
            raise StatementError(f'schema "{name}" already exists', sqlstate="42P06")
        builder.notice(f'schema "{name}" already exists, skipping', "42P06")
        return
    builder.put_schema(SqlSchema(name))


def _alter_sequence(builder: ChangeBuilder, node: AlterSequence) -> None:
    found = builder.catalog.relation(node.name.text, node.name.schema)
    if found is None:
        if node.if_exists:
            builder.notice(f'relation "{node.name.text}" does not exist, skipping')
            return
        if node.name.schema and not builder.catalog.has_schema(node.name.schema):
            raise missing_schema(node.name.schema)
        raise StatementError(f'relation "{qualified(node.name)}" does not exist', sqlstate="42P01")
    if found[0] != "sequence":
        raise StatementError(f'"{node.name.text}" is not a sequence', sqlstate="42809")
    after, restarted = altered_sequence(builder.catalog.sequences[found[1]], node.options)
    builder.put_sequence(owned_sequence(builder.catalog, after, node.options))
    if restarted is not None:
        builder.restart(after.name, restarted)
