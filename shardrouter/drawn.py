"""INSERT into tables with serial and identity columns: numbers of sequences become parameters.

Before a statement is analysed, what it leaves to a sequence is written out: a column that is not
named is named, DEFAULT and nextval('s') become parameters behind the client's own. Their values are
drawn when the statement is executed (`shardrouter.session_sequences`), so that the shard gets
values, and the router knows the shard key that one of them may be. What an INSERT from a query
leaves to a sequence are as many numbers as the query has rows: if its text does not tell how many
at most, they are counted first, and the shard refuses the INSERT (40001) if there are more by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from shardrouter import syntax
from shardrouter.catalog import Catalog
from shardrouter.errors import NotSupported, StatementError
from shardrouter.listed_rows import lists_rows
from shardrouter.made_keys import (
    RANDOM_UUID,
    drawn_default,
    is_made,
    is_made_here,
    made_as,
    made_by,
)
from shardrouter.sequence_calls import sequence_named, stored_sequence
from shardrouter.tables import Column, Table

__all__ = ["Drawn", "check_selected", "check_update", "rows_at_most", "write_out"]


@dataclass(frozen=True)
class Drawn:
    """The statement with a parameter for each of `draws`, behind those of the client."""

    node: syntax.Insert
    draws: tuple[str, ...]


def write_out(node: syntax.Insert, table: Table, parameters: int, catalog: Catalog) -> Drawn:
    """`parameters` is how many the client has. Raises 428C9 for a value of a column that is
    GENERATED ALWAYS."""
    writer = _Writer(parameters, node.overriding, catalog, table)
    columns = {column.name: column for column in table.columns}
    drawing = [column for column in table.columns if writer.default_of(column)]
    named = [name.text for name in node.columns] if node.columns is not None else None
    if not node.rows:
        return Drawn(node, ())  # how many rows a query has is known later: `row_numbers`
    width = len(node.rows[0])
    if named is None:
        named = [column.name for column in table.columns][:width]
    targets = [columns.get(name) for name in named]
    missing = [column for column in drawing if column.name not in named]
    if len(named) < width or any(len(row) != width for row in node.rows):
        return Drawn(node, ())  # an error, which the analysis tells
    rows = []
    for row in node.rows:
        values = [writer.value(v, c) for v, c in zip(row, targets, strict=False)]
        values += [writer.draw(writer.default_of(column)) for column in missing]
        rows.append(tuple(values))
    if not writer.draws:
        return Drawn(node, ())
    names = node.columns if node.columns is not None else tuple(map(syntax.Name, named))
    names += tuple(syntax.Name(column.name) for column in missing)
    return Drawn(replace(node, columns=names, rows=tuple(rows)), tuple(writer.draws))


def rows_at_most(query: syntax.Query) -> int | None:
    """How many rows a query has at most, if its text tells that."""
    if isinstance(query, syntax.Values):
        return len(query.rows)
    if not isinstance(query, syntax.Select) or lists_rows(query) or query.group:
        return None  # a row may be in several groups
    match query.sources:
        case ():
            return 1
        case (syntax.FromQuery(query=source),):
            return rows_at_most(source)
    return None


def check_selected(node: syntax.Insert, columns: Sequence[Column]) -> None:
    """What a query may not give to an identity column. Raises 428C9, NotSupported."""
    for column in columns:
        if column.identity and node.overriding == "user":
            raise NotSupported(
                "OVERRIDING USER VALUE of an INSERT from a query is not supported",
                position=node.table.position,
                hint=f'Leave "{column.name}" out of the columns and of the query.',
            )
        if column.identity == "always" and node.overriding != "system":
            raise _always(column)


def _sequence(column: Column) -> str:
    assert column.default is not None
    return column.default.sequence


class _Writer:
    """Replaces what is drawn by parameters, and remembers the sequences."""

    def __init__(self, parameters: int, overriding: str, catalog: Catalog, table: Table) -> None:
        self._parameters = parameters
        self._overriding = overriding
        self._catalog = catalog
        self._table = table
        self.draws: list[str] = []

    def default_of(self, column: Column) -> str:
        """What a row draws that has no value for it; empty: nothing."""
        return drawn_default(column, self._table)

    def draw(self, sequence: str) -> syntax.ParameterReference:
        self.draws.append(sequence)
        return syntax.ParameterReference(self._parameters + len(self.draws))

    def value(
        self, node: syntax.Expression | syntax.DefaultValue, column: Column | None
    ) -> syntax.Expression | syntax.DefaultValue:
        """The value for a column; None: there is no such column."""
        if isinstance(node, syntax.DefaultValue):
            drawn = "" if column is None else self.default_of(column)
            return self.draw(drawn) if drawn else node
        if column is not None and column.identity and self._overriding == "user":
            return self.draw(_sequence(column))
        if column is not None and column.identity == "always" and self._overriding != "system":
            raise _always(column)
        if isinstance(node, syntax.Call) and not node.arguments and column is not None:
            drawn = made_by(node.name)
            if drawn == RANDOM_UUID and is_made_here(column, self._table):
                return self.draw(drawn)
        written: syntax.Expression = self._written(node)
        return written

    def _written(self, node: Any) -> Any:
        """The expression, with each nextval('s') in it drawn."""
        if isinstance(node, syntax.Call) and node.name == "nextval" and len(node.arguments) == 1:
            name = sequence_named(node.arguments[0])
            return node if name is None else self.draw(stored_sequence(name, self._catalog))
        if isinstance(node, syntax.Call) and not node.arguments:
            drawn = made_by(node.name)
            return self.draw(drawn) if drawn and drawn != RANDOM_UUID else node
        if isinstance(node, tuple):
            return tuple(map(self._written, node))
        if is_dataclass(node) and not isinstance(node, type):
            parts = {f.name: getattr(node, f.name) for f in fields(node)}
            written = {name: self._written(part) for name, part in parts.items()}
            return node if written == parts else replace(node, **written)
        return node


def _always(column: Column) -> StatementError:
    return StatementError(
        f'cannot insert a non-DEFAULT value into column "{column.name}"',
        sqlstate="428C9",
        detail=f'Column "{column.name}" is an identity column defined as GENERATED ALWAYS.',
        hint="Use OVERRIDING SYSTEM VALUE to override.",
    )


def check_update(
    assignments: Sequence[syntax.Assignment], table: Table
) -> tuple[syntax.Assignment, ...]:
    """What an UPDATE assigns, where DEFAULT is a key that is made with the call that makes it.
    Raises 428C9, NotSupported for what it may not."""
    found = []
    for assignment in assignments:
        found.append(assignment)
        column = table.column(assignment.column.text)
        is_default = isinstance(assignment.value, syntax.DefaultValue)
        if column is None:
            continue
        if column.identity == "always" and not is_default:
            raise StatementError(
                f'column "{column.name}" can only be updated to DEFAULT',
                sqlstate="428C9",
                position=assignment.column.position,
                detail=f'Column "{column.name}" is an identity column defined as GENERATED ALWAYS.',
            )
        drawn = column.default.sequence if is_default and column.default is not None else ""
        if is_made(drawn):
            called = syntax.Call(made_as(drawn), position=assignment.column.position)
            found[-1] = replace(assignment, value=called)
        elif drawn:
            raise NotSupported(
                f'setting "{column.name}" to the next number of its sequence is not supported',
                position=assignment.column.position,
                hint="SELECT nextval() first, and assign that.",
            )
    return tuple(found)
