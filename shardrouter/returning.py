"""RETURNING of INSERT, UPDATE and DELETE."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.catalog import Table
from shardrouter.conflicts import reads
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import ResultColumn
from shardrouter.query import listed
from shardrouter.relations import Statement, relation_of
from shardrouter.translate import Scope
from shardrouter.typed import quote

__all__ = ["returning_clause"]


def _only_the_target(name: syntax.TableName) -> NotSupported:
    return NotSupported(
        "RETURNING of columns of FROM or USING is not supported",
        hint=f"Write {name.alias}.*, or columns of it.",
    )


def returning_clause(
    items: tuple[syntax.SelectItem | syntax.Star, ...],
    table: Table,
    name: syntax.TableName,
    statement: Statement,
    *,
    has_sources: bool = False,
) -> tuple[str, tuple[ResultColumn, ...]]:
    """The clause, which sees the changed table alone, by its own name; and its columns."""
    if not items:
        return "", ()
    inner = len(statement.scopes) + 1
    scope = Scope(statement)
    relation = relation_of(table, name.alias, 0, prefix=f"{quote(table.name)}.")
    scope.show(relation, 0)
    scope.shown = list(relation.fields)
    scope.clause = "RETURNING"
    if has_sources and any(isinstance(i, syntax.Star) and i.table is None for i in items):
        raise _only_the_target(name)
    try:
        found = listed(items, scope)
    except StatementError as exc:
        if has_sources and exc.sqlstate in ("42P01", "42703"):  # perhaps a column of FROM
            raise _only_the_target(name) from exc
        raise
    typed = [item.taken(None) for item in found]
    if len(statement.scopes) > inner and reads(statement.scopes, table):
        raise NotSupported(
            "a query in RETURNING of what the statement changes is not supported",
            hint="Send it before: it shows what was there then, as in PostgreSQL.",
        )
    columns = tuple(
        ResultColumn(item.name, value.type.oid, value.modifier)
        for item, value in zip(found, typed, strict=True)
    )
    return f" RETURNING {', '.join(value.sql for value in typed)}", columns
