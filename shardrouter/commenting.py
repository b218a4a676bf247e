"""COMMENT ON: texts that go with tables, columns, constraints, indexes, sequences and schemas."""

from __future__ import annotations

from dataclasses import replace

from shardrouter.catalog import Kind
from shardrouter.change_builder import ChangeBuilder
from shardrouter.definitions import Comment
from shardrouter.errors import StatementError
from shardrouter.namespaces import missing_schema, qualified, table_named, wrong_kind
from shardrouter.syntax import Name
from shardrouter.tables import Table

__all__ = ["comment"]


def comment(builder: ChangeBuilder, node: Comment) -> None:
    """Raises PostgreSQL's error if what is commented on is not there."""
    text = node.text or ""
    match node.kind:
        case "schema":
            schema = builder.catalog.schemas.get(node.name.text)
            if schema is None:
                raise missing_schema(node.name.text)
            builder.put_schema(replace(schema, comment=text))
        case "sequence":
            sequence = builder.catalog.sequences[_named(builder, node.name, "sequence")]
            builder.put_sequence(replace(sequence, comment=text))
        case "index":
            table = builder.table(_named(builder, node.name, "index"))
            builder.put(_on_index(table, node.name.text, text))
        case "table" | "view":
            table = builder.table(_named(builder, node.name, node.kind))
            builder.put(replace(table, comment=text))
        case "column":
            assert node.part is not None
            builder.put(_on_column(builder, node.name, node.part, text))
        case "constraint":
            assert node.part is not None
            builder.put(_on_constraint(table_named(builder.catalog, node.name), node.part, text))


def _named(builder: ChangeBuilder, name: Name, kind: Kind) -> str:
    """What a relation of that kind is known by."""
    found = builder.catalog.relation(name.text, name.schema)
    if found is None:
        raise StatementError(f'relation "{qualified(name)}" does not exist', sqlstate="42P01")
    if found[0] != kind:
        raise replace_hint(wrong_kind(name, found[0], kind))
    return found[1]


def replace_hint(error: StatementError) -> StatementError:
    """Nothing is dropped here."""
    error.hint = ""
    return error


def _on_column(builder: ChangeBuilder, relation: Name, name: Name, text: str) -> Table:
    table = table_named(builder.catalog, relation)
    if table.column(name.text) is None:
        raise StatementError(
            f'column "{name.text}" of relation "{qualified(relation)}" does not exist',
            sqlstate="42703",
        )
    columns = tuple(
        replace(column, comment=text) if column.name == name.text else column
        for column in table.columns
    )
    return replace(table, columns=columns)


def _on_index(table: Table, name: str, text: str) -> Table:
    """The index of a constraint has its comment apart from the constraint's in PostgreSQL; here
    they are one."""
    if any(index.relname == name for index in table.indexes):
        indexes = tuple(
            replace(index, comment=text) if index.relname == name else index
            for index in table.indexes
        )
        return replace(table, indexes=indexes)
    return _with_constraint(table, name, text)


def _on_constraint(table: Table, name: Name, text: str) -> Table:
    known = {table.primary, *(key.name for key in table.keys)}
    known |= {check.name for check in table.checks} | {key.name for key in table.foreign_keys}
    if name.text not in known - {""}:
        raise StatementError(
            f'constraint "{name.text}" for table "{table.relname}" does not exist',
            sqlstate="42704",
        )
    return _with_constraint(table, name.text, text)


def _with_constraint(table: Table, name: str, text: str) -> Table:
    return replace(
        table,
        primary_comment=text if table.primary == name else table.primary_comment,
        keys=tuple(replace(k, comment=text) if k.name == name else k for k in table.keys),
        checks=tuple(replace(c, comment=text) if c.name == name else c for c in table.checks),
        foreign_keys=tuple(
            replace(k, comment=text) if k.name == name else k for k in table.foreign_keys
        ),
    )
