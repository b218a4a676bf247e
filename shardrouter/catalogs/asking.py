"""Queries of the catalogs on their way: the world is looked at, then a thread runs the query.

One query runs at a time: they are short, and all share what the database holds. A query ends with
its deadline, or when nobody waits for it any longer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nodes.protocol import Value
from shardrouter.catalog import Catalog
from shardrouter.catalogs.database import Answered, CatalogDatabase
from shardrouter.catalogs.world import World
from shardrouter.errors import DeadlineExceeded, StatementError
from shardrouter.identity import DATABASE
from shardrouter.planned import CatalogQuery
from shardrouter.role_store import RoleStore
from shardrouter.roles import Role
from shardrouter.schema import Schema
from shardrouter.settings import Settings

__all__ = ["Asker", "Catalogs"]


@dataclass(frozen=True)
class Asker:
    """The session that asks."""

    role: Role
    settings: Settings
    pid: int


class Catalogs:
    """Used from one event loop."""

    def __init__(self, schema: Schema, roles: RoleStore) -> None:
        self._schema = schema
        self._roles = roles
        self._database: CatalogDatabase | None = None
        self._turn = asyncio.Lock()

    def close(self) -> None:
        """No query runs any more."""
        if self._database is not None:
            self._database.close()
            self._database = None

    async def _known_roles(self, deadline: float) -> Sequence[Role]:
        """Those of the cluster; none if it was never given any."""
        try:
            return await self._roles.all(deadline)
        except StatementError:
            return ()

    async def run(
        self,
        query: CatalogQuery,
        arguments: Sequence[Value],
        asker: Asker,
        formats: Sequence[bool] | None,
        deadline: float,
        drafted: Catalog | None = None,
    ) -> Answered:
        """The answer; out of a transaction that has changed the catalog, of what it made of it, as
        its other statements see it. Raises RouterError."""
        roles: Sequence[Role] = ()
        catalog = drafted or self._schema.catalog
        if query.asks_meta:
            if drafted is None:
                catalog = await self._schema.refresh(deadline)
            roles = await self._known_roles(deadline)
        world = World(
            catalog.searched(asker.settings.search_path),
            DATABASE,
            asker.role.name,
            tuple(roles),
            asker.settings.all(),
            backend=asker.pid,
            application=asker.settings.get("application_name"),
        )
        loop = asyncio.get_running_loop()
        given_up = threading.Event()

        def is_over() -> bool:
            return given_up.is_set() or loop.time() >= deadline

        def run() -> Answered:
            if self._database is None:
                self._database = CatalogDatabase()
            return self._database.run(
                query, arguments, world, asker.settings, formats, time.time_ns() // 1000, is_over
            )

        async with self._turn:
            if loop.time() >= deadline:
                raise DeadlineExceeded("canceling statement due to statement timeout")
            running = asyncio.ensure_future(asyncio.to_thread(run))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                given_up.set()
                await asyncio.wait([running])  # it holds the database until then
                raise
