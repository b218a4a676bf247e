"""A small side of a join, sent to the shards that have the other one (docs/distributed.md).

A join that is not local is, if the rows of one side are on every shard. So the side is fetched; if
it has few rows they go to the shards as one parameter, and the table's name in the fragments is
that of a query which takes them apart. What may be pushed is then decided as for a reference table
(`shardrouter.locality`).

The rows are a JSON array of rows, each a text of its own, as those of LATERAL: numbers and texts
come out as they went in, and the columns have affinity and collation of the table's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from nodes.protocol import Value
from shardrouter import types
from shardrouter.planned import Fragment
from shardrouter.tables import Column
from shardrouter.typed import quote

__all__ = ["BYTES_MAX", "rows_sent", "sent_as", "small_part"]

BYTES_MAX: Final = 128 * 1024
"""Of the rows that are sent."""


def sent_as(number: int, columns: Sequence[Column], parameter: int) -> str:
    """What source `number` is called in the fragments, whose rows are in a parameter."""
    listed = ", ".join(_column(at, column) for at, column in enumerate(columns)) or '1 AS "_"'
    rows = f"SELECT {listed} FROM json_each(?{parameter})"  # noqa: S608 -- quoted names
    # Materialized, SQLite may have an index on them while it joins.
    return f"(WITH s{number} AS MATERIALIZED ({rows}) SELECT * FROM s{number})"  # noqa: S608 -- our own name


def _column(at: int, column: Column) -> str:
    kind, _, collation = types.of_column(column.type).column.partition(" COLLATE ")
    taken = f"pg_cellbytes(value, {at})" if kind == "BLOB" else f"pg_cell(value, {at})"
    if kind != "ANY":  # as in the table: a float is without affinity
        taken = f"CAST({taken} AS {kind})"
    if collation:
        taken += f" COLLATE {collation}"
    return f"{taken} AS {quote(column.name)}"


def small_part(fragment: Fragment, parameter: int) -> Fragment:
    """Of a side: no more of a shard's rows than `parameter` says."""
    sql = f"{fragment.sql} LIMIT ?{len(fragment.parameters) + 1}"
    parameters = (*fragment.parameters, parameter)
    return replace(fragment, sql=sql, parameters=parameters, why="a side of a join, if it is small")


def rows_sent(rows: Sequence[Sequence[Value]]) -> str | None:
    """What the parameter is; None if it would be too large."""
    texts = []
    size = 0
    for row in rows:
        texts.append(json.dumps([v.hex() if type(v) is bytes else v for v in row]))
        size += len(texts[-1])
        if size > BYTES_MAX:
            return None
    return json.dumps(texts)
