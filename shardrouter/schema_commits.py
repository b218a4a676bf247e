"""Transactions that change the schema: their COMMIT, and what becomes of one whose router is silent
(docs/transactions.md). `shardrouter.schema_change` has the writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final, TypeAlias

from nodes.config import META_GROUP
from nodes.protocol import Guard, Stale, Transaction
from shardrouter import schema_change
from shardrouter.block import serialization_failure
from shardrouter.catalog import Catalog, Parts
from shardrouter.coordination import Part
from shardrouter.coordinator import Committed
from shardrouter.draft import Draft, committed
from shardrouter.errors import IndefiniteError, RouterError, Unavailable
from shardrouter.patience import Turn
from shardrouter.schema_host import SchemaHost
from shardrouter.tables import TransactionChange

__all__ = ["SchemaCommits"]

Commit: TypeAlias = Callable[[Mapping[str, Part], str, float], Awaitable[Committed | Stale]]
"""Carries out what a transaction does in each group, with that anchor, until a deadline. Raises
RouterError."""

log = logging.getLogger(__name__)

COMMIT_WAIT_S: Final = 1.0
"""How long a transaction that has marked its schema changes is left alone by others before they
fence its COMMIT off: it is on its way, unless its router has died."""

COMMIT_LOOK_S: Final = 0.05
"""How often it is looked whether that is done."""

CLEAN_UP_S: Final = 2.0
"""For what is left to do when it is known whether a transaction has committed, however little time
its client had given it."""


class SchemaCommits:
    """Used from one event loop."""

    def __init__(self, host: SchemaHost) -> None:
        self._loop = asyncio.get_running_loop()
        self._host = host

    async def commit(
        self,
        draft: Draft,
        transaction: Transaction,
        guards: tuple[Guard, ...],
        numbers: tuple[tuple[str, int, bool], ...],
        deadline: float,
    ) -> None:
        """COMMIT of a transaction that changes the schema: mark it, commit it on the home shard,
        publish it. `numbers` are those of the sequences that it makes. Raises RouterError."""
        await self._to_its_end(
            self._commit(draft, transaction, guards, numbers, deadline), deadline
        )

    async def commit_over(
        self,
        draft: Draft,
        parts: Mapping[str, Part],
        commit: Commit,
        numbers: tuple[tuple[str, int, bool], ...],
        deadline: float,
    ) -> None:
        """The same over several shards, by a two-phase commit whose anchor is `meta`: `commit`
        carries it out. `parts` are its steps on the shards. Raises RouterError."""
        work = self._commit_over(draft, parts, commit, numbers, deadline)
        await self._to_its_end(work, deadline)

    async def _to_its_end(self, commit: Coroutine[None, None, None], deadline: float) -> None:
        """As a change of this router's. It goes on when its caller is cancelled, for what it has
        begun only its end tells."""
        outcome: asyncio.Future[RouterError | None] = self._loop.create_future()

        async def work() -> None:
            error: RouterError | None = None
            try:
                async with Turn(self._host.changing, deadline):
                    await commit
            except RouterError as exc:
                error = exc
            finally:
                commit.close()  # if it has not begun
                outcome.set_result(error)

        self._host.tasks.start(work())
        while not outcome.done():
            try:
                await asyncio.shield(outcome)
            except asyncio.CancelledError:
                continue
        error = outcome.result()
        if error is not None:
            raise error

    async def _commit(
        self,
        draft: Draft,
        transaction: Transaction,
        guards: tuple[Guard, ...],
        numbers: tuple[tuple[str, int, bool], ...],
        deadline: float,
    ) -> None:
        marked = await self._mark(draft, numbers, deadline)
        change = marked.pending
        assert isinstance(change, TransactionChange)
        parts = schema_change.commit_parts(change)
        try:
            answer = await self._host.shards.write(
                change.shard,
                (),
                (*guards, *parts.guards),
                parts.sets,
                deadline=deadline,
                transaction=transaction,
            )
        except IndefiniteError:
            raise  # the mark stays: whoever finds it asks the log
        except RouterError:
            await self._clean_up(schema_change.withdraw(marked), deadline)
            raise
        if isinstance(answer, Stale):
            await self._clean_up(schema_change.withdraw(marked), deadline)
            raise serialization_failure("a concurrent schema change")
        await self._clean_up(schema_change.publish(marked), deadline)

    async def _commit_over(
        self,
        draft: Draft,
        parts: Mapping[str, Part],
        commit: Commit,
        numbers: tuple[tuple[str, int, bool], ...],
        deadline: float,
    ) -> None:
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
        try:
            await self._host.refresh(max(deadline, self._loop.time() + CLEAN_UP_S))
        except RouterError:
            log.warning("the catalog is read again by who next needs it")

    async def _mark(
        self, draft: Draft, numbers: tuple[tuple[str, int, bool], ...], deadline: float
    ) -> Catalog:
        """The catalog with the mark of the transaction. Raises StatementError 40001 if its
        statements mean something else by now."""
        while True:
            catalog = await self._host.settled(deadline)
            changes = committed(draft, catalog)
            if changes is None:
                raise serialization_failure("a concurrent schema change")
            previous = await self._schema_version(catalog.home, deadline)
            change = TransactionChange(
                catalog.version + 1, catalog.home, previous, changes, numbers
            )
            try:
                stale = await self._host.write(
                    META_GROUP, schema_change.mark(catalog, change), deadline
                )
            except IndefiniteError as exc:  # a mark without a COMMIT, which nobody sends any more
                raise Unavailable(
                    "the schema changes of the transaction could not be marked",
                    detail=exc.detail or exc.message,
                    hint="Repeat the transaction.",
                ) from exc
            if stale is None:
                return schema_change.marked(catalog, change)

    async def _schema_version(self, shard: str, deadline: float) -> int:
        """The version of `schema` on a shard."""
        answer = await self._host.shards.read(
            shard, (), (Guard(schema_change.SCHEMA, 0),), deadline=deadline
        )
        return answer.have if isinstance(answer, Stale) else 0

    async def _clean_up(self, parts: Parts, deadline: float) -> None:
        """Whether the transaction has committed is known, and its mark says less than that: put
        that right. What fails here others do, who find the mark."""
        deadline = max(deadline, self._loop.time() + CLEAN_UP_S)
        try:
            await self._host.write(META_GROUP, parts, deadline)
            await self._host.refresh(deadline)
        except RouterError:
            log.warning("a transaction's schema changes stay marked until somebody needs them")

    async def wait(self, catalog: Catalog, deadline: float) -> Catalog:
        """The router of a transaction is about to finish it: let it. Returns the catalog after
        that, or with the mark if it was not heard of for COMMIT_WAIT_S."""
        change = catalog.pending
        until = min(deadline, self._loop.time() + COMMIT_WAIT_S)
        while catalog.pending == change and self._loop.time() < until:
            await asyncio.sleep(COMMIT_LOOK_S)
            catalog = await self._host.refresh(deadline)
        return catalog

    async def decide(self, catalog: Catalog, change: TransactionChange, deadline: float) -> None:
        """Find out what became of a transaction, or see to it that it becomes nothing; publish it
        or withdraw it."""
        stale = await self._host.write(change.shard, schema_change.fence(change), deadline)
        if stale is None or stale.have == change.version + 1:
            parts = schema_change.withdraw(catalog)
        else:
            parts = schema_change.publish(catalog)  # Stale itself if all of it is long done
        await self._host.write(META_GROUP, parts, deadline)
        await self._host.refresh(deadline)
