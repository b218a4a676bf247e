"""Whether every shard would do the same to its copy of a reference table, asked to do so; and
whether any could do what it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from nodes.functions import RANDOM, RANDOM_UUID, UUID_V7
from shardrouter.catalog import Catalog, Column, Table
from shardrouter.errors import NotSupported
from shardrouter.relations import Statement
from shardrouter.sqlite_text import words

__all__ = ["has_random_default", "is_random", "made_here", "random_refused", "unlike"]


def unlike(
    statement: Statement, catalog: Catalog, table: Table, text: str, left_out: Sequence[Column] = ()
) -> NotSupported | None:
    """Why they might not, of a change in these words that gives no value to some columns; None if
    they will, or if it is no such table."""
    if table.placement != "reference" or len(catalog.shards) == 1:
        return None
    others = [each.relname for each in statement.tables.values() if each.placement != "reference"]
    if others:
        return NotSupported(
            f'a change of the reference table "{table.relname}" by a statement that reads '
            f'"{others[0]}" is not supported',
            detail="Every shard carries out the change, and not every one has that table's rows.",
            hint="Read the rows first, and send them as VALUES in the same transaction.",
        )
    if statement.is_volatile or is_random(text) or any(map(has_random_default, left_out)):
        return random_refused(table)
    return None


def made_here(statement: Statement) -> NotSupported | None:
    """Why no shard can carry out a change that has `unique_id()` in an expression, for which this
    is the error if its rows cannot be read first."""
    if not statement.makes_keys:
        return None
    return NotSupported(
        "unique_id() in ON CONFLICT or RETURNING is not supported",
        detail="The router makes it, and does not know the rows.",
        hint="SELECT unique_id() first, and send it as a parameter.",
    )


def random_refused(table: Table) -> NotSupported:
    return NotSupported(
        f'a random value in a change of the reference table "{table.relname}" is not supported',
        detail="Every shard carries out the change, and would draw a value of its own.",
        hint="Draw it in the application, and send it as a parameter.",
    )


def has_random_default(column: Column) -> bool:
    """Whether a shard that is given no value for it draws one at random."""
    return column.default is not None and is_random(column.default.sql)


def is_random(text: str) -> bool:
    """Whether a node that computes it draws a value at random."""
    return not words(text).isdisjoint((RANDOM, RANDOM_UUID, UUID_V7))
