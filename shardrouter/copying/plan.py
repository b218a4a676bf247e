"""The plans of COPY: the INSERT whose rows are sent, the SELECT whose rows are.

Nothing is said here of columns, casts, defaults and places that INSERT and SELECT do not say by
themselves: COPY is planned as the statement that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from shardrouter.catalog import Catalog, Table
from shardrouter.copying.columns import CopyColumn
from shardrouter.copying.grammar import CopyStatement
from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.planned import Answer, CopyFrom, CopyTo, OneShard, Plan, Scatter

__all__ = ["copy_plan"]

MakePlan: TypeAlias = Callable[[str, Catalog], Plan]


def copy_plan(
    statement: CopyStatement, catalog: Catalog, table: Table | None, make_plan: MakePlan
) -> CopyFrom | CopyTo:
    """`table` is the one that the statement names. Raises StatementError, NotSupported."""
    if table is not None:
        _check_table(statement, table)
        names = _names(statement, table)
        _check_forced(statement, names)
        if statement.is_from:
            return _copy_from(statement, catalog, table, names, make_plan)
        columns = ", ".join(map(_quote, names))
        query, start = f"SELECT {columns} FROM {_written(table)}", -1  # noqa: S608 -- quoted names
    else:
        query, start = statement.query, statement.query_start
    plan = _planned(query, catalog, make_plan, start)
    if not isinstance(plan, OneShard | Scatter | Answer) or not plan.columns:
        raise NotSupported(
            "COPY of this query is not supported", hint="Write a SELECT between the parentheses."
        )
    if plan.parameter_oids:
        raise StatementError("there is no parameter $1", sqlstate="42P02")
    if table is None:
        _check_forced(statement, tuple(column.name for column in plan.columns))
    return CopyTo(query, plan, statement.options)


def _check_table(statement: CopyStatement, table: Table) -> None:
    if table.view is not None:
        raise StatementError(
            f'cannot copy {"to" if statement.is_from else "from"} view "{table.relname}"',
            sqlstate="42809",
            hint="To enable copying to a view, provide an INSTEAD OF INSERT trigger."
            if statement.is_from
            else "Try the COPY (SELECT ...) TO variant.",
        )


def _names(statement: CopyStatement, table: Table) -> tuple[str, ...]:
    names = tuple(name for name, _ in statement.columns)
    for at, (name, position) in enumerate(statement.columns):
        if table.column(name) is None:
            raise StatementError(
                f'column "{name}" of relation "{table.relname}" does not exist',
                sqlstate="42703",
                position=position,
            )
        if name in names[:at]:
            raise StatementError(
                f'column "{name}" specified more than once', sqlstate="42701", position=position
            )
    for name in names:
        column = table.column(name)
        if column is not None and column.is_generated:
            raise StatementError(
                f'column "{name}" is a generated column',
                sqlstate="42P10",
                detail="Generated columns cannot be used in COPY.",
            )
    return names or tuple(c.name for c in table.columns if not c.is_generated)


def _check_forced(statement: CopyStatement, names: tuple[str, ...]) -> None:
    options = statement.options
    for what, forced in (
        ("FORCE_QUOTE", options.force_quote or ()),
        ("FORCE_NOT_NULL", options.force_not_null),
        ("FORCE_NULL", options.force_null),
    ):
        for name in forced:
            if name not in names:
                raise StatementError(
                    f'{what} column "{name}" not referenced by COPY', sqlstate="42P10"
                )


def _copy_from(
    statement: CopyStatement,
    catalog: Catalog,
    table: Table,
    names: tuple[str, ...],
    make_plan: MakePlan,
) -> CopyFrom:
    columns = ", ".join(map(_quote, names))
    values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    # As in PostgreSQL, what is copied into an identity column stands.
    text = f"INSERT INTO {_written(table)} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})"  # noqa: S608 -- quoted names
    insert = _planned(text, catalog, make_plan, -1)
    assert isinstance(insert, OneShard)
    shards: tuple[str, ...] = ()
    if table.placement == "home":
        shards = (catalog.home,)
    elif table.placement == "reference" or len(catalog.shards) == 1:
        shards = tuple(catalog.shards)
    filled = tuple(map(CopyColumn, names, insert.parameter_oids))
    return CopyFrom(table.relname, filled, insert, shards, statement.options)


def _planned(text: str, catalog: Catalog, make_plan: MakePlan, start: int) -> Plan:
    """Positions in the errors are those of the COPY; there are none in a text that is ours."""
    try:
        return make_plan(text, catalog)
    except RouterError as exc:
        exc.position = exc.position + start if exc.position and start >= 0 else 0
        raise


def _written(table: Table) -> str:
    return f"{_quote(table.schema)}.{_quote(table.relname)}"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
