"""What carrying out a change of the schema needs of the catalog: to read it, and to write it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from nodes.protocol import Stale
from shardrouter.catalog import Catalog, Parts
from shardrouter.shards import Shards
from shardrouter.tasks import Tasks

__all__ = ["SchemaHost"]


class SchemaHost(Protocol):
    """`shardrouter.schema.Schema` is one."""

    shards: Shards
    tasks: Tasks
    changing: asyncio.Lock
    """Held by the change of the schema that this router makes."""

    async def refresh(self, deadline: float) -> Catalog:
        """The catalog, read at some time after this call."""

    async def settled(self, deadline: float) -> Catalog:
        """The catalog without pending changes, as far as other routers let it be."""

    async def write(self, group: str, parts: Parts, deadline: float) -> Stale | None:
        """None when it is applied. Raises RouterError."""
