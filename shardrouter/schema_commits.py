"""COMMIT of a transaction that changes the schema: a two-phase commit whose anchor is `meta`, also
if all its tables are on one shard (docs/transactions.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from nodes.config import META_GROUP
from nodes.protocol import Stale
from shardrouter import schema_change
from shardrouter.block import serialization_failure
from shardrouter.coordination import Part
from shardrouter.coordinator import Committed
from shardrouter.draft import Draft, committed
from shardrouter.errors import RouterError
from shardrouter.patience import Turn
from shardrouter.schema_host import SchemaHost

__all__ = ["SchemaCommits"]

Commit: TypeAlias = Callable[[Mapping[str, Part], str, float], Awaitable[Committed | Stale]]
"""Carries out what a transaction does in each group, with that anchor, until a deadline. Raises
RouterError."""

log = logging.getLogger(__name__)

READ_S: Final = 2.0
"""For the catalog, when the transaction has committed, however little time its client had given
it."""


class SchemaCommits:
    """Used from one event loop."""

    def __init__(self, host: SchemaHost) -> None:
        self._loop = asyncio.get_running_loop()
        self._host = host

    async def commit(
        self,
        draft: Draft,
        parts: Mapping[str, Part],
        commit: Commit,
        numbers: tuple[tuple[str, int, bool], ...],
        deadline: float,
    ) -> None:
        """`parts` are its steps on the shards, `numbers` those of the sequences that it makes.
        Raises RouterError: 40001 if its statements mean something else by now."""
        async with Turn(self._host.changing, deadline):
            while True:
                catalog = await self._host.settled(deadline)
                changes = committed(draft, catalog)
                if changes is None:
                    raise serialization_failure("a concurrent schema change")
                made = schema_change.publication(catalog, changes, numbers)
                whole = {META_GROUP: Part(made.statements, made.guards, made.sets)}
                for shard, part in parts.items():
                    sets = schema_change.versions_on(catalog, changes, shard)
                    whole[shard] = part._replace(sets=sets or part.sets)
                answer = await commit(whole, META_GROUP, deadline)
                if not isinstance(answer, Stale):
                    break
                is_repeatable = all(part.is_repeatable for part in parts.values())
                if answer.object != "catalog" or not is_repeatable:
                    raise serialization_failure("a concurrent schema change")
            await self._read_again(max(deadline, self._loop.time() + READ_S))

    async def _read_again(self, deadline: float) -> None:
        """The catalog, when the transaction has committed: whatever becomes of that, and also if
        it is cancelled now."""
        reading = asyncio.ensure_future(self._host.refresh(deadline))
        while not reading.done():
            try:
                await asyncio.wait([reading])
            except asyncio.CancelledError:
                continue
        if isinstance(reading.exception(), RouterError):
            log.warning("the catalog is read again by who next needs it")
