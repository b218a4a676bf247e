"""RETURNING of INSERT, UPDATE and DELETE."""

from __future__ import annotations

from dataclasses import replace

from shardrouter import syntax
from shardrouter.catalog import Table
from shardrouter.conflicts import reads
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import ResultColumn
from shardrouter.query import listed
from shardrouter.relations import Relation, Statement, relation_of
from shardrouter.translate import Scope
from shardrouter.typed import Typed, quote

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
    relation, bare = _as_nullable(relation_of(table, name.alias, 0, prefix=f"{quote(table.name)}."))
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
    return f" RETURNING {', '.join(bare.get(value.sql, value.sql) for value in typed)}", columns


def _as_nullable(relation: Relation) -> tuple[Relation, dict[str, str]]:
    """The relation, each column that may be NULL in a function of it, and which column each of
    these texts is.

    In RETURNING SQLite 3.40 asks of the table's first column whether a column can be NULL:
    if that is NOT NULL, `c IS NULL` is false and `c IN (1, 2, NULL)` true of any other too."""
    bare: dict[str, str] = {}
    fields: list[tuple[str, Typed]] = []
    assert relation.table is not None
    for (label, field), column in zip(relation.fields, relation.table.columns, strict=True):
        if not column.not_null:
            text = f"coalesce({field.sql}, NULL)"
            bare[text] = field.sql
            field = replace(field, sql=text)
        fields.append((label, field))
    return replace(relation, fields=tuple(fields)), bare
