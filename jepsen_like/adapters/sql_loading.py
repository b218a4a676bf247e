"""How a workload's table and keys get into a database that speaks the PostgreSQL wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from jepsen_like.clients import SqlClient
from jepsen_like.workloads.workload import SqlCall, Workload

__all__ = ["LOADERS", "LOAD_DEADLINE_S", "load"]

LOADERS: Final = 8
"""Clients that load side by side, so that one fsync serves several."""

LOAD_DEADLINE_S: Final = 10.0


async def load(clients: Sequence[SqlClient], workload: Workload, keys: Sequence[int]) -> None:
    """Create what the workload needs, and load its keys. Raises ClientError."""
    await clients[0].load(SqlCall(workload.create_sql(), (), "done"))
    rows: list[SqlCall] = []
    for found in map(workload.load_sql, keys):
        if found is not None:
            rows += found if isinstance(found, tuple) else (found,)
    shares = (_load(client, rows[n :: len(clients)]) for n, client in enumerate(clients))
    for result in await asyncio.gather(*shares, return_exceptions=True):
        if result is not None:
            raise result


async def _load(client: SqlClient, statements: Sequence[SqlCall]) -> None:
    for statement in statements:
        await client.load(statement)
