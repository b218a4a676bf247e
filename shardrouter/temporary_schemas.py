"""The temporary schemas of one router's sessions: held as long as the router is there.

What a session leaves is dropped in the background; what could not be dropped is tried again when
the router's number is held for longer. A router that is killed lets its number run out, and another
one takes it, with what is left in it, when it next has to do with temporary tables.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from shardrouter.catalog import Catalog
from shardrouter.definitions import Definition, DropTemporary, HoldTemporary
from shardrouter.errors import RouterError, StatementError
from shardrouter.tasks import Tasks
from shardrouter.temporary import held, session_schema

__all__ = ["TemporarySchemas"]

log = logging.getLogger(__name__)

HELD_S: Final = 3600.0
"""How long a number is held without a word. Clocks of routers may differ by much of it."""

HOLD_AGAIN_S: Final = 600.0

STEP_S: Final = 30.0
"""For what is done in the background."""

CLOSE_S: Final = 2.0
"""For the last step of a router."""


class TemporarySchemas:
    """Of one router. Used from one event loop."""

    def __init__(
        self,
        change: Callable[[Definition, float], Awaitable[object]],
        catalog: Callable[[], Catalog],
        tasks: Tasks,
    ) -> None:
        self._change = change
        self._catalog = catalog
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._holder = secrets.token_hex(8)
        self._used: set[str] = set()  # by sessions, or not emptied yet
        self._left: set[str] = set()  # by sessions that are gone
        self._timer: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False

    def is_held(self, schema: str) -> bool:
        """Whether a session's schema is still its own, as this catalog knows it."""
        router = held(self._catalog(), self._holder)
        return bool(router) and schema.startswith(f"{router}_")

    async def take(self, deadline: float) -> str:
        """A schema for a session. Raises RouterError."""
        async with self._turn:
            if not held(self._catalog(), self._holder):
                await self._hold(deadline)
        router = held(self._catalog(), self._holder)
        there = {table.schema for table in self._catalog().tables.values()}
        schemas = (session_schema(router, number) for number in count(1))
        schema = next(name for name in schemas if name not in self._used | there)
        self._used.add(schema)
        return schema

    async def empty(self, schema: str, deadline: float) -> None:
        """The session goes on without what it has there. Raises RouterError."""
        await self._change(DropTemporary(self._holder, (schema,)), deadline)

    def leave(self, schema: str) -> None:
        """The session is gone."""
        self._left.add(schema)
        self._tasks.start(self._empty())

    async def close(self) -> None:
        """The router ends, and with it all its sessions. If the cluster does not answer, what is
        left goes when another router takes the number."""
        if self._timer is None:
            return
        self._timer.cancel()
        async with self._turn:
            self._is_closed = True
            try:
                await self._change(DropTemporary(self._holder, None), self._loop.time() + CLOSE_S)
            except RouterError as exc:
                log.info("temporary tables are dropped later: %s", exc.message)

    async def _hold(self, deadline: float) -> None:
        now = time.time_ns() // 1000
        await self._change(HoldTemporary(self._holder, now, now + int(HELD_S * 1e6)), deadline)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(HOLD_AGAIN_S, self._due)

    def _due(self) -> None:
        self._timer = self._loop.call_later(HOLD_AGAIN_S, self._due)
        self._tasks.start(self._hold_again())

    async def _hold_again(self) -> None:
        try:
            await self._hold(self._loop.time() + STEP_S)
        except RouterError as exc:
            log.warning("temporary tables are held no longer than before: %s", exc.message)
        await self._empty()

    async def _empty(self) -> None:
        async with self._turn:
            schemas = tuple(sorted(self._left))
            if not schemas or self._is_closed:
                return
            try:
                await self._change(DropTemporary(self._holder, schemas), self._loop.time() + STEP_S)
            except RouterError as exc:
                log.warning("temporary tables are dropped later: %s", exc.message)
                return
            self._left.difference_update(schemas)
            self._used.difference_update(schemas)


def lost() -> StatementError:
    """For a session whose schema is another's now."""
    return StatementError(
        "the temporary tables of this session are gone",
        sqlstate="57P05",
        detail="The router could not say for an hour that it is there.",
        hint="Connect again.",
    )
