"""Transcripts: a statement, `----`, and the plan it gets, in text files that a person can read.

Cases are separated by empty lines; a line that begins with # is a comment. A statement that
creates a table adds it to the catalog of the rest of its file. `REWRITE=1 pytest ...` writes
what the code says now into the files; read the difference before you commit it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from shardrouter.catalog import Catalog
from shardrouter.definition_changes import begin
from shardrouter.definitions import CreateTable
from shardrouter.errors import RouterError
from shardrouter.identity import Identity
from shardrouter.plan import make_plan
from shardrouter.planned import (
    Answer,
    Begin,
    CatalogQuery,
    CloseCursor,
    CopyFrom,
    CopyTo,
    Deallocate,
    DeclareCursor,
    EndBlock,
    ExecuteStatement,
    ExplainRoute,
    FetchRows,
    OneShard,
    Plan,
    PrepareStatement,
    ResultColumn,
    RowsWrite,
    SavepointStep,
    Scatter,
    SchemaChange,
    SequenceCall,
    SetConstraints,
    SetModes,
    SetSetting,
    ShowColumns,
    ShowSetting,
    ShowTables,
)
from shardrouter.role_statements import RoleStatement
from shardrouter.routes import described, operand_shown, route, written
from shardrouter.tables import Table
from tests.shardrouter.catalogs import EMPTY, with_change

__all__ = ["replay"]


def replay(path: Path) -> tuple[str, str]:
    """The file as it is, and as it would be if it said what the code does now."""
    expected = path.read_text(encoding="utf-8")
    catalog = EMPTY
    blocks = []
    for block in expected.strip("\n").split("\n\n"):
        lines = block.splitlines()
        comments = [line for line in lines if line.startswith("#")]
        body = [line for line in lines if not line.startswith("#")]
        if not body:
            blocks.append(block)
            continue
        sql = "\n".join(body[: body.index("----")] if "----" in body else body)
        try:
            plan = make_plan(sql, catalog, (), Identity("ann"))
        except RouterError as error:
            said = _error(error)
        else:
            said, catalog = _said(plan, catalog)
        blocks.append("\n".join([*comments, sql, "----", said]))
    return expected, "\n\n".join(blocks) + "\n"


def _said(plan: Plan, catalog: Catalog) -> tuple[str, Catalog]:
    if not isinstance(plan, SchemaChange):
        return _plan(plan), catalog
    definition = plan.definition
    if isinstance(definition, RoleStatement):
        return repr(definition), catalog
    if isinstance(definition, CreateTable):  # a name may be used again
        others = {k: t for k, t in catalog.tables.items() if k != definition.table.text}
        catalog = dataclasses.replace(catalog, tables=others, sequences={})
    try:
        begun = begin(catalog, definition)
    except RouterError as error:
        return _error(error), catalog
    lines = [plan.tag.lower(), *(f"notice: {notice.message}" for notice in begun.notices)]
    if begun.change is not None:
        for moved in begun.change.tables:
            lines += [f"sqlite: {sql}" for sql in moved.sqlite]
            if moved.before is None and moved.after is not None:
                lines.append(_described(moved.after))
        lines += [f"sequence: {sequence.name}" for sequence in begun.change.made]
        catalog = with_change(catalog, begun.change)
    return "\n".join(lines), catalog


def _described(table: Table) -> str:
    placed = f"shard key: {table.shard_key}" if table.shard_key else table.placement
    return f"primary key: {', '.join(table.primary_key) or 'none'}; {placed}"


def _error(error: RouterError) -> str:
    where = f" at {error.position}" if error.position else ""
    lines = [f"error {error.sqlstate}{where}: {error.message}"]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def _tables(plan: OneShard | Scatter | RowsWrite) -> str:
    return ", ".join(name for name, _ in plan.tables)


def _columns(columns: tuple[ResultColumn, ...]) -> str:
    return ", ".join(f"{column.name}:{column.oid}" for column in columns)


def _plan(plan: Plan) -> str:
    match plan:
        case OneShard():
            lines = [f"one shard {plan.tag} {_tables(plan)}{' quick' if plan.quick else ''}"]
            lines += ["sql: " + plan.sql]
            keys = f"keys: {plan.key_type} " + ", ".join(map(operand_shown, plan.keys))
            places = {"": "home", "every": "every shard", "alike": "every shard, alike"}
            lines.append(keys if plan.keys else places[plan.spread])
        case Scatter():
            lines = [f"scatter {_tables(plan)}", *described(plan)]
        case RowsWrite():
            lines = [f"rows {plan.tag} {_tables(plan)}", *written(plan)]
        case Answer():
            lines = [f"answer {plan.tag}", *map(repr, plan.rows)]
        case CatalogQuery():
            named = " ".join(plan.relations) or "no relation"
            lines = [f"catalogs {plan.tag} {named}", "sql: " + plan.sql]
        case CopyFrom():
            names = ", ".join(column.name for column in plan.columns)
            return f"copy from, {plan.options.format}: {names}\n{_plan(plan.insert)}"
        case CopyTo():
            return f"copy to, {plan.options.format}\n{_plan(plan.plan)}"
        case SetSetting():
            return f"set {'local ' if plan.is_local else ''}{plan.name} = {plan.value!r}"
        case Begin() | EndBlock() | SavepointStep() | SetModes():
            return str(plan)
        case ShowSetting():
            return f"show {plan.name}"
        case ShowTables():
            return "show tables"
        case SchemaChange():
            raise AssertionError("said by _said")
        case SequenceCall():
            return f"{plan.function} of {plan.sequence}"
        case ShowColumns():
            return f"show columns of {plan.table}"
        case DeclareCursor():
            return f"declare {plan.name}\n{_plan(plan.plan)}"
        case PrepareStatement():
            return f"prepare {plan.name}\n{_plan(plan.plan)}"
        case ExplainRoute():
            return "\n".join(
                str(line) for (line,) in route(plan, EMPTY, "linearizable", snapshot=True)
            )
        case FetchRows() | CloseCursor() | ExecuteStatement() | Deallocate() | SetConstraints():
            return str(plan)
    if isinstance(plan, OneShard | Scatter | RowsWrite) and plan.bounds:
        bounds = [f"{name.lower()} {operand_shown(bound)}" for name, bound in plan.bounds]
        lines.append(" ".join(bounds))
    if plan.columns:
        lines.append("columns: " + _columns(plan.columns))
    if plan.parameter_oids:
        lines.append("parameters: " + " ".join(map(str, plan.parameter_oids)))
    return "\n".join(lines)
