"""Transcripts: a statement, `----`, and the plan it gets, in text files that a person can read.

Cases are separated by empty lines; a line that begins with # is a comment. A statement that
creates a table adds it to the catalog of the rest of its file. `REWRITE=1 pytest ...` writes
what the code says now into the files; read the difference before you commit it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from shardrouter.catalog import Catalog
from shardrouter.errors import RouterError
from shardrouter.plan import make_plan
from shardrouter.planned import (
    Answer,
    Begin,
    Constant,
    CopyFrom,
    CopyTo,
    CreateTable,
    DropTable,
    EndBlock,
    OneShard,
    Operand,
    Plan,
    ResultColumn,
    SavepointStep,
    Scatter,
    SetModes,
    SetSetting,
    ShowColumns,
    ShowSetting,
    ShowTables,
)

__all__ = ["replay"]


def replay(path: Path) -> tuple[str, str]:
    """The file as it is, and as it would be if it said what the code does now."""
    expected = path.read_text(encoding="utf-8")
    catalog = Catalog(1, {}, ("s1",), (0,) * 16384, (1,) * 16384)
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
            plan = make_plan(sql, catalog)
        except RouterError as error:
            said = _error(error)
        else:
            said = _plan(plan)
            catalog = _with(catalog, plan)
        blocks.append("\n".join([*comments, sql, "----", said]))
    return expected, "\n\n".join(blocks) + "\n"


def _with(catalog: Catalog, plan: Plan) -> Catalog:
    if not isinstance(plan, CreateTable):
        return catalog
    table = dataclasses.replace(plan.table, version=catalog.version)
    return dataclasses.replace(
        catalog, version=catalog.version + 1, tables={**catalog.tables, table.name: table}
    )


def _error(error: RouterError) -> str:
    where = f" at {error.position}" if error.position else ""
    lines = [f"error {error.sqlstate}{where}: {error.message}"]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def _operand(operand: Operand) -> str:
    return repr(operand.value) if isinstance(operand, Constant) else f"${operand.number}"


def _tables(plan: OneShard | Scatter) -> str:
    return ", ".join(name for name, _ in plan.tables)


def _columns(columns: tuple[ResultColumn, ...]) -> str:
    return ", ".join(f"{column.name}:{column.oid}" for column in columns)


def _plan(plan: Plan) -> str:
    match plan:
        case OneShard():
            lines = [f"one shard {plan.tag} {_tables(plan)}{' quick' if plan.quick else ''}"]
            lines += ["sql: " + plan.sql]
            keys = f"keys: {plan.key_type} " + ", ".join(map(_operand, plan.keys))
            lines.append(keys if plan.keys else "home")
        case Scatter():
            lines = [f"scatter {_tables(plan)}{' count' if plan.count else ''}", "sql: " + plan.sql]
            if plan.keys:
                lines.append(f"keys: {plan.key_type} " + ", ".join(map(_operand, plan.keys)))
            if plan.order:
                order = [
                    f"{key.index}{' desc' if key.descending else ''}"
                    f"{' nulls first' if key.nulls_first else ''}"
                    for key in plan.order
                ]
                lines.append(f"order: {', '.join(order)}; hidden {plan.hidden}")
        case CreateTable():
            table = plan.table
            lines = [f"create table {table.name}{' if not exists' if plan.if_not_exists else ''}"]
            lines.append("sqlite: " + plan.sqlite)
            placed = f"shard key: {table.shard_key}" if table.shard_key else table.placement
            lines.append(f"primary key: {', '.join(table.primary_key) or 'none'}; {placed}")
            return "\n".join(lines)
        case DropTable():
            return f"drop table {', '.join(plan.names)}{' if exists' if plan.if_exists else ''}"
        case Answer():
            lines = [f"answer {plan.tag}", *map(repr, plan.rows)]
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
        case ShowColumns():
            return f"show columns of {plan.table}"
    if isinstance(plan, OneShard | Scatter) and (plan.limit or plan.offset):
        bounds = [
            f"{name} {_operand(bound)}"
            for name, bound in (("limit", plan.limit), ("offset", plan.offset))
            if bound is not None
        ]
        lines.append(" ".join(bounds))
    if plan.columns:
        lines.append("columns: " + _columns(plan.columns))
    if plan.parameter_oids:
        lines.append("parameters: " + " ".join(map(str, plan.parameter_oids)))
    return "\n".join(lines)
