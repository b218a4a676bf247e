"""What is made of a query: a view, with what the names in it stand for from now on, or a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from shardrouter import types
from shardrouter.catalog import Catalog
from shardrouter.change_builder import ChangeBuilder
from shardrouter.ddl import check_columns
from shardrouter.definitions import CreateTableAs, CreateView
from shardrouter.errors import NotSupported, StatementError
from shardrouter.identity import Identity
from shardrouter.namespaces import NewNames, creation_schema
from shardrouter.outputs import Outputs, item_types
from shardrouter.query import analysed
from shardrouter.relations import Statement
from shardrouter.syntax import Name
from shardrouter.tables import Column, Placement, Table, View, ViewName
from shardrouter.translate import Scope
from shardrouter.typed import Parameters

__all__ = ["create_view", "table_of_query"]

_READ: Final = re.compile(r't(\d+)\.(?:"((?:[^"]|"")*)"|c(\d+)\b|column(\d+)\b)')
"""A column in SQLite's text: of a table by its name, of a view by its place."""


def create_view(builder: ChangeBuilder, node: CreateView) -> None:
    """Raises PostgreSQL's errors, and NotSupported."""
    catalog = builder.catalog
    statement = Statement(Parameters((), Identity("")), catalog, analysed, is_kept=True)
    outputs = analysed(node.query, Scope(statement))
    columns = _columns_of_query(outputs, node.columns, "VIEW")
    text = outputs.text()
    is_temporary = any(table.is_temporary for table in statement.tables.values())
    schema = creation_schema(catalog, node.name, temporary=node.temporary or is_temporary)
    if is_temporary and not node.temporary and not node.name.schema:
        builder.notice(f'view "{node.name.text}" will be a temporary view')
    known = catalog.relations.get((schema, node.name.text))
    if statement.asks_catalog:
        raise NotSupported(
            "a view of the system catalogs is not supported",
            position=node.name.position,
            hint="Ask them by the query itself.",
        )
    view = View(node.text, _meant(statement, text))
    tables = statement.tables.values()
    placement: Placement = "home"
    if any(table.placement != "home" for table in tables):
        # Every shard that may run it knows its version.
        placement = "home" if any(t.placement == "home" for t in tables) else "reference"
    if known is not None and node.or_replace:
        if known[0] != "view":
            raise StatementError(f'"{node.name.text}" is not a view', sqlstate="42809")
        _replace(builder, builder.table(known[1]), columns, view, placement)
        return
    check_columns([Name(column.name) for column in columns])
    names = NewNames(catalog, schema)
    stored, called = names.store(names.check(node.name))
    builder.put_new(
        Table(
            stored, 0, columns, (), "", placement, schema=schema, called=called, view=view
        )
    )  # fmt: skip


def table_of_query(node: CreateTableAs, catalog: Catalog, names: NewNames) -> Table:
    """CREATE TABLE AS: the table without its rows."""
    statement = Statement(Parameters((), Identity("")), catalog, analysed)
    outputs = analysed(node.query, Scope(statement))
    columns = _columns_of_query(outputs, node.columns, "TABLE")
    check_columns([Name(column.name) for column in columns])
    if statement.asks_catalog:
        raise NotSupported(
            "a table of what the system catalogs answer is not supported",
            position=node.table.position,
            hint="CREATE TABLE with columns, and INSERT what a query of the catalogs answers.",
        )
    for _, item, _ in statement.written:
        if item.name == node.table.text and not item.schema:
            raise NotSupported(
                f'a table "{item.name}" made of another one of that name is not supported',
                position=item.position,
                hint=f"Write the other one with its schema: public.{item.name}.",
            )
    if any(
        name != "fillfactor" and (name, value) != ("home", "true") for name, value in node.options
    ):
        raise NotSupported(
            "a table made of a query is whole on one shard",
            position=node.table.position,
            hint="CREATE TABLE with its shard key, then INSERT ... SELECT.",
        )
    if node.on_commit and not node.is_private:
        raise StatementError("ON COMMIT can only be used on temporary tables", sqlstate="42P16")
    stored, called = names.store(names.check(node.table))
    return Table(
        stored, 0, columns, (), "", "home", schema=names.schema, called=called,
        on_commit=node.on_commit,
    )  # fmt: skip


def _columns_of_query(outputs: Outputs, names: Sequence[Name], what: str) -> tuple[Column, ...]:
    """The columns of a query as those of what is made of it, the first of them by these names."""
    if len(names) > len(outputs.names):
        said = {
            "VIEW": "CREATE VIEW specifies more column names than columns",
            "TABLE": "too many column names were specified",
        }
        raise StatementError(
            said[what], sqlstate="42601", position=names[0].position if what == "TABLE" else 0
        )
    called = [*names, *(Name(name) for name in outputs.names[len(names) :])]
    return tuple(
        Column(name.text, kind.in_catalog, modifier=modifier)
        for name, kind, modifier in zip(called, item_types(outputs), outputs.modifiers, strict=True)
    )


def _meant(statement: Statement, text: str) -> tuple[ViewName, ...]:
    """What the names of the text stand for, and which columns are read of each."""
    read: dict[int, set[str | int]] = {}
    for number, name, *places in _READ.findall(text):
        place = next((int(found) - 1 for found in places if found), None)
        column = name.replace('""', '"') if place is None else place
        read.setdefault(int(number), set()).add(column)
    for relation, named in statement.columns_named:  # also where the text needs them no more
        read.setdefault(relation, set()).add(named)
    found: dict[tuple[str, str], ViewName] = {}
    for number, item, table in statement.written:
        known = found.get((item.schema, item.name))
        before = dict(known.columns) if known is not None else {}
        here = read.get(number, set())
        columns = tuple(
            (
                column.name,
                column.name
                if before.get(column.name) or column.name in here or place in here
                else "",
            )
            for place, column in enumerate(table.columns)
        )
        found[item.schema, item.name] = ViewName(item.schema, item.name, table.name, columns)
    return tuple(found.values())


def _replace(
    builder: ChangeBuilder,
    before: Table,
    columns: tuple[Column, ...],
    view: View,
    placement: Placement,
) -> None:
    """CREATE OR REPLACE: columns may be added at the end, and nothing else."""
    if len(columns) < len(before.columns):
        raise StatementError("cannot drop columns from view", sqlstate="42P16")
    for old, new in zip(before.columns, columns, strict=False):
        if old.name != new.name:
            raise StatementError(
                f'cannot change name of view column "{old.name}" to "{new.name}"',
                sqlstate="42P16",
                hint="Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.",
            )
        if (old.type, old.modifier) != (new.type, new.modifier):
            raise StatementError(
                f'cannot change data type of view column "{old.name}" from '
                f"{_shown(old)} to {_shown(new)}",
                sqlstate="42P16",
            )
    check_columns([Name(column.name) for column in columns])
    if _reads(builder.catalog, view, before.name):
        raise NotSupported(
            f'the view "{before.relname}" would read itself', hint="Give the new view another name."
        )
    if placement != before.placement:
        raise NotSupported(
            f'the view "{before.relname}" would read tables that are placed otherwise',
            hint="DROP VIEW, then CREATE VIEW.",
        )
    kept = tuple(
        replace(new, comment=old.comment) for old, new in zip(before.columns, columns, strict=False)
    )
    builder.put(replace(before, columns=(*kept, *columns[len(kept) :]), view=view))


def _shown(column: Column) -> str:
    return types.shown(types.of_column(column.type), column.modifier)


def _reads(catalog: Catalog, view: View, name: str) -> bool:
    """Whether a view reads a relation, itself or through other views."""
    for meant in view.names:
        other = catalog.tables.get(meant.relation)
        if meant.relation == name:
            return True
        if other is not None and other.view is not None and _reads(catalog, other.view, name):
            return True
    return False
