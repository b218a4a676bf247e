"""Rows that were read for a write, and what is sent for them: some at a time, each to the shard of
its key.

Pure. What is made here is a write like any other with its values in it (`shardrouter.spreading`
has its commands); several of them, one after the other in a transaction, write any number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from nodes.protocol import Value
from shardrouter import changes
from shardrouter.errors import StatementError
from shardrouter.planned import (
    Constant,
    OneShard,
    Parameter,
    RowsStatement,
    RowsWrite,
    SplitRows,
)
from shardrouter.tables import Table

__all__ = ["batches", "is_staged", "once_each", "parts_of", "row_insert"]

Row: TypeAlias = tuple[Value, ...]

PARAMETERS_MAX: Final = 16_000
"""Of one statement: half of what SQLite takes."""

BYTES_MAX: Final = 512 * 1024
"""Of the values of one statement, unless a single row has more."""


def once_each(plan: RowsWrite, rows: Sequence[Row]) -> Sequence[Row]:
    """Each row of the table once. Raises StatementError 21000 if that leaves open what becomes
    of it."""
    if not plan.identity:
        return rows
    found: dict[Row, Row] = {}
    for row in rows:
        found.setdefault(tuple(row[i] for i in plan.identity), row)
    if plan.is_once and len(found) < len(rows):
        raise StatementError(
            "more than one row returned by a subquery used as an expression", sqlstate="21000"
        )
    return list(found.values())


def parts_of(plan: RowsWrite, rows: Sequence[Row]) -> list[tuple[RowsStatement, Sequence[Row]]]:
    """What is done with which rows, in this order."""
    if not plan.moves:
        return [(plan.write, rows)]
    before, after = plan.moves[0].key, plan.moves[-1].key
    kept = [row for row in rows if row[before] == row[after]]
    moved = [row for row in rows if row[before] != row[after]]
    first, *others = plan.moves
    return [(first, moved), (plan.write, kept), *((other, moved) for other in others)]


def batches(
    plan: RowsWrite, write: RowsStatement, rows: Iterable[Row], own: int
) -> Iterator[tuple[OneShard, tuple[Value, ...]]]:
    """A statement for some rows after the other, and its values, which come behind the `own`
    arguments of the client."""
    width = len(write.fields)
    count_max = max(PARAMETERS_MAX // max(width, 1), 1)
    some: list[Row] = []
    held = 0
    for row in rows:
        size = sum(map(_size, row))
        if some and (len(some) >= count_max or held + size > BYTES_MAX):
            yield _batch(plan, write, some, own)
            some, held = [], 0
        some.append(row)
        held += size
    if some:
        yield _batch(plan, write, some, own)


def is_staged(plan: RowsWrite, write: RowsStatement, rows: Sequence[Row], table: Table) -> bool:
    """Whether the rows are so many that they are sent ahead, into a stage of each shard, and
    written there one by one: rows of an INSERT, of which nothing is told, and none of which may
    refer to one behind it."""
    if write.tag != "INSERT" or write.tail or plan.columns:
        return False
    if any(key.table == table.name for key in table.foreign_keys):
        return False
    count_max = max(PARAMETERS_MAX // max(len(write.fields), 1), 1)
    return len(rows) > count_max or sum(_size(v) for row in rows for v in row) > BYTES_MAX


def row_insert(plan: RowsWrite, write: RowsStatement) -> OneShard:
    """What writes one of these rows, whose parameters are the values that `write` takes."""
    places = ", ".join(f"?{number}" for number in range(1, len(write.fields) + 1))
    keys = (Parameter(write.fields.index(write.key) + 1),) if write.key >= 0 else ()
    return OneShard(
        tag="INSERT",
        tables=plan.writes,
        sql=f"{write.head}({places})",
        key_type=plan.key_type,
        keys=keys,
        quick=True,
        key=plan.key_name,
        spread=write.spread,
    )


def _batch(
    plan: RowsWrite, write: RowsStatement, rows: Sequence[Row], own: int
) -> tuple[OneShard, tuple[Value, ...]]:
    width = len(write.fields)
    texts = [
        f"({', '.join(f'?{number}' for number in range(first, first + width))})"
        for first in range(own + 1, own + 1 + width * len(rows), width)
    ]
    keys: dict[Value, int] = {}
    split: SplitRows | None = None
    if write.key >= 0:
        places = []
        for row in rows:
            key = row[write.key]
            if key is None:
                raise _no_key(plan)
            places.append(keys.setdefault(key, len(keys)))
        listed = tuple(zip(places, texts, strict=True))
        split = SplitRows(write.head, listed, write.tail, write.returned_key)
    made = OneShard(
        tag=write.tag,
        tables=plan.writes,
        sql=f"{write.head}{', '.join(texts)}{write.tail}",
        key_type=plan.key_type,
        keys=tuple(map(Constant, keys)),
        quick=False,
        columns=plan.columns if write.is_told else (),
        parameter_oids=plan.parameter_oids,
        spread=write.spread,
        split=split,
    )
    return made, tuple(row[i] for row in rows for i in write.fields)


def _size(value: Value) -> int:
    return len(value) if isinstance(value, str | bytes) else 0


def _no_key(plan: RowsWrite) -> StatementError:
    return changes.null_key(plan.key_name, plan.tables[0][0])
