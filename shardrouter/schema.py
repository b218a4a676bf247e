"""The router's catalog, and its changes: reads `meta`, makes a new cluster, changes the schema.

One `Schema` serves all sessions of a router. It holds one immutable `Catalog` and replaces it;
what the catalog's rows are and which writes change them is `shardrouter.catalog` and
`shardrouter.schema_change`, which are pure. This module carries those writes and repeats them:
any number of routers may do the same at once, and one may die in the middle. Nothing here is
locked in the cluster; every write is guarded by versions, and whoever finds a change that is
marked in `meta` and not published finishes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from nodes.config import META_GROUP
from nodes.protocol import Done, Stale
from shardrouter import schema_change
from shardrouter.catalog import (
    CATALOG_FORMAT,
    LOAD_GUARDS,
    LOAD_STATEMENTS,
    OLDEST_FORMAT,
    Catalog,
    CatalogError,
    Change,
    Parts,
    bootstrap,
    decode,
    ownership,
    upgrade,
)
from shardrouter.definition_changes import NoWayBack, begin
from shardrouter.definitions import Definition
from shardrouter.draft import DRAFTED
from shardrouter.errors import (
    DeadlineExceeded,
    IndefiniteError,
    OutcomeUnknown,
    RouterError,
    StatementError,
    Unavailable,
)
from shardrouter.execution import Notice
from shardrouter.explained import explain_change
from shardrouter.patience import Turn, all_of, while_served
from shardrouter.placement import assign_slots
from shardrouter.relocator import Relocator
from shardrouter.schema_commits import SchemaCommits
from shardrouter.sequence_cache import SequenceCache
from shardrouter.shards import Shards
from shardrouter.tables import PUBLIC, Placement
from shardrouter.tasks import Tasks
from shardrouter.temporary_schemas import TemporarySchemas

__all__ = ["Schema"]

log = logging.getLogger(__name__)

OPEN_STEP_S: Final = 2.0
"""While a cluster gets its first leaders, one try takes at most this long; then what is missing
is reported and it is tried again."""

CATCH_UP_PAUSE_S: Final = 0.01
"""First pause when a shard stays ahead of `meta`: somebody is changing the schema. Doubled up
to eight times; after the first one this router finishes the change itself."""


class Schema:
    """Used from one event loop. `open` comes first."""

    catalog: Catalog
    """As last read."""

    def __init__(self, shards: Shards, shard_names: tuple[str, ...], tasks: Tasks) -> None:
        self._loop = asyncio.get_running_loop()
        self.shards = shards
        self._shard_names = shard_names
        self.tasks = tasks
        self._begun = 0  # reads of meta that were begun
        self._read = 0  # number of the last one that succeeded
        self._reading: asyncio.Future[RouterError | None] | None = None
        self.changing = asyncio.Lock()
        self._awaited: Counter[str] = Counter()  # groups, by what is under way to them
        self._drafts = count(DRAFTED)
        self._relocator = Relocator(self)
        self.commit = SchemaCommits(self).commit
        self.sequences = SequenceCache(
            self._write_meta,
            lambda guards, deadline: self.shards.read(META_GROUP, (), guards, deadline=deadline),
            lambda definition, deadline: self.change(definition, "home", deadline),
        )
        self.temporary = TemporarySchemas(
            lambda definition, deadline: self.change(definition, "home", deadline),
            lambda: self.catalog,
            tasks,
        )

    # ------------------------------------------------------------------ opening

    async def open(self, deadline: float, progress: Callable[[str], None]) -> None:
        """Load the catalog; make it if the cluster is new.

        Waits for the cluster's first leaders, saying every OPEN_STEP_S what is missing. Raises
        Unavailable when `deadline` is over.
        """
        while True:
            step = min(deadline, self._loop.time() + OPEN_STEP_S)
            try:
                if await self._load(step):
                    return
                await self._make(step)
            except (DeadlineExceeded, OutcomeUnknown) as exc:
                reason = exc.detail or exc.message
                if self._loop.time() >= deadline:
                    raise Unavailable(
                        "the cluster does not answer",
                        detail=reason,
                        hint=(exc.hint if isinstance(exc, DeadlineExceeded) else "")
                        or "A majority of the replicas of each group has to run; "
                        "`shardrouter status` shows which do.",
                    ) from exc
                progress(f"waiting for the cluster: {reason}")

    async def _make(self, deadline: float) -> None:
        """Give every shard its slots, then make the catalog. Each step may have been done by
        another router, or by this one when it did not hear the answer."""
        slots = assign_slots(self._shard_names)
        owners = [(name, ownership(name, self._shard_names, slots)) for name in self._shard_names]
        await all_of(
            *(self.write(name, parts, deadline) for name, parts in owners if parts is not None)
        )
        await self.write(META_GROUP, bootstrap(self._shard_names, slots), deadline)

    async def _load(self, deadline: float) -> bool:
        """Read the catalog; False if there is none yet."""
        with self._awaiting(META_GROUP):
            answer = await self.shards.read(
                META_GROUP, LOAD_STATEMENTS, LOAD_GUARDS, deadline=deadline
            )
        if isinstance(answer, Stale):
            if answer.have == 0:
                return False
            if OLDEST_FORMAT <= answer.have < CATALOG_FORMAT:
                await self.write(META_GROUP, upgrade(answer.have), deadline)
                return await self._load(deadline)
            raise Unavailable(
                f"the catalog has format {answer.have}, this router reads {CATALOG_FORMAT}",
                hint="Use a newer release: that of the router which has upgraded the catalog."
                if answer.have > CATALOG_FORMAT
                else "Start a router of a release in between first: it upgrades the catalog.",
            )
        try:
            catalog = decode(answer.results)
        except CatalogError as exc:
            raise StatementError(str(exc), sqlstate="XX001") from exc
        if catalog.shards != self._shard_names:
            # Where rows live depends on it: answers would be wrong, not just missing.
            raise Unavailable(
                f"cluster.toml names the shards {', '.join(self._shard_names)}, but the cluster "
                f"was made with {', '.join(catalog.shards)}",
                hint="Use the cluster.toml that the cluster was made with.",
            )
        self.catalog = catalog
        return True

    # ------------------------------------------------------------------ keeping up

    async def refresh(self, deadline: float) -> Catalog:
        """The catalog, read at some time after this call. Callers share reads: those that come
        while one is under way wait for the next, for that one may have begun too early."""
        wanted = self._begun + 1
        while self._read < wanted:
            if self._reading is None:
                self._begun += 1
                self._reading = self._loop.create_future()
                self.tasks.start(self._read_meta(self._begun, self._reading, deadline))
            try:
                async with asyncio.timeout_at(deadline):
                    error = await asyncio.shield(self._reading)
            except TimeoutError as exc:
                raise _too_late("the catalog was not read in time") from exc
            if error is not None and (
                # Its time may have been shorter than this caller's.
                not isinstance(error, DeadlineExceeded) or self._loop.time() >= deadline
            ):
                raise error
        return self.catalog

    async def _read_meta(
        self, number: int, reading: asyncio.Future[RouterError | None], deadline: float
    ) -> None:
        error: RouterError | None = None
        try:
            if await self._load(deadline):
                self._read = number
            else:
                error = Unavailable("the catalog is gone from meta")
        except RouterError as exc:
            error = exc
        finally:
            self._reading = None
            reading.set_result(error)

    async def catch_up(self, deadline: float, attempt: int) -> None:
        """A shard knows better than this catalog: read it again. If that did not help (any but
        the first attempt), a schema change is under way or its router has died: finish it."""
        catalog = await self.refresh(deadline)
        if attempt == 0:
            return
        if attempt > 1 and catalog.pending:
            await self._finish_for_others(catalog, deadline)
        else:
            await asyncio.sleep(CATCH_UP_PAUSE_S * 2 ** min(attempt, 3))
            await self.refresh(deadline)

    def new_draft_version(self) -> int:
        """A version for the catalog of a transaction, which no other has or gets."""
        return next(self._drafts)

    # ------------------------------------------------------------------ changing

    async def change(
        self,
        definition: Definition,
        default: Placement,
        deadline: float,
        path: tuple[str, ...] = (PUBLIC,),
    ) -> tuple[Notice, ...]:
        """Make it on every shard that it concerns; returns notices. `default` is the placement of
        tables that say nothing, `path` where names without a schema are looked for. It may take
        until `deadline`, as long as the groups that it waits for are led. Raises RouterError, and
        NoWayBack, when nothing has been done."""
        work = self._change_in_turn(definition, default, deadline, path)
        return await while_served(work, self.shards, self._awaited.keys)

    async def _change_in_turn(
        self,
        definition: Definition,
        default: Placement,
        deadline: float,
        path: tuple[str, ...],
    ) -> tuple[Notice, ...]:
        async with Turn(self.changing, deadline):
            while True:
                catalog = await self.settled(deadline)
                begun = begin(catalog.searched(path), definition, default)
                if begun.has_no_way_back:
                    raise NoWayBack
                if begun.change is None or await self._change(catalog, begun.change, deadline):
                    return begun.notices

    async def settled(self, deadline: float) -> Catalog:
        """The catalog without pending changes, as far as other routers let it be."""
        catalog = await self.refresh(deadline)
        if catalog.pending:
            await self._finish_for_others(catalog, deadline)
        return self.catalog

    async def _finish_for_others(self, catalog: Catalog, deadline: float) -> None:
        """Finish changes that the statement at hand did not ask for: whatever becomes of them,
        that statement has had no effect yet."""
        try:
            if catalog.pending is not None and catalog.pending.relocated:
                catalog = await self._relocator.wait(catalog, deadline)
            if catalog.pending:
                await self._finish(catalog, deadline)
        except StatementError:
            return  # the shards refused the other change, and it was taken back
        except IndefiniteError as exc:
            raise Unavailable(
                "another schema change could not be finished", detail=exc.detail or exc.message
            ) from exc

    async def _change(self, catalog: Catalog, change: Change, deadline: float) -> bool:
        """Mark, apply, publish; False if another router changed the catalog first."""
        parts = schema_change.mark(catalog, change)
        if await self.write(META_GROUP, parts, deadline) is not None:
            return False
        marked = schema_change.marked(catalog, change)
        if change.relocated:
            await self._relocator.run(marked, deadline)
            return True
        try:
            await self._finish(marked, deadline)
        except StatementError as exc:
            raise explain_change(exc, change) from exc  # refused by the shards, and taken back
        except (RouterError, asyncio.CancelledError) as exc:
            # The mark stays: the next router that finds it will finish the change.
            said = (exc.detail or exc.message) if isinstance(exc, RouterError) else "canceled"
            raise OutcomeUnknown(
                "the schema change is marked but not finished",
                detail=said,
                hint="It is finished when a router next changes or reads these tables.",
            ) from exc
        return True

    async def _finish(self, catalog: Catalog, deadline: float) -> None:
        """Apply what pends in `catalog` to every shard, publish it, and read the result. Raises
        StatementError if a shard refused it, when it has been taken back everywhere."""
        change = catalog.pending
        assert change is not None
        if change.relocated:
            await self._relocator.finish(catalog, deadline)
            return
        if change.undone:
            await self._undo(catalog, deadline)
            return
        shards = schema_change.shards_of(catalog, change)
        try:
            await all_of(*(self._apply(catalog, shard, change, deadline) for shard in shards))
        except StatementError:
            if all(
                moved.after is not None for moved in change.tables
            ):  # what exists can be dropped
                parts, undone = schema_change.take_back(catalog)
                if await self.write(META_GROUP, parts, deadline) is None:
                    await self._undo(undone, deadline)
                else:
                    await self.refresh(deadline)
            raise
        await self.write(META_GROUP, schema_change.publish(catalog), deadline)
        # Stale or not: if another router was faster, what is now in meta says so.
        await self.refresh(deadline)

    async def _apply(self, catalog: Catalog, shard: str, change: Change, deadline: float) -> None:
        parts = schema_change.shard_parts(catalog, change, shard)
        try:
            stale = await self.write(shard, parts, deadline)
        except StatementError as exc:
            if exc.sqlstate != "55P03":
                raise
            # A transaction over several shards that is not decided: no refusal of the change.
            raise Unavailable(
                exc.message, sqlstate=exc.sqlstate, detail=exc.detail, hint=exc.hint
            ) from exc
        if stale is not None and stale.have == change.version + 1:  # see `schema_change.take_back`
            raise StatementError(
                "a shard has refused the schema change, and another router has taken it back",
                sqlstate="40001",
                hint="Repeat it, to hear why.",
            )
        if stale is not None and stale.have < change.version:
            raise Unavailable(
                f"{shard} has {stale.object} at version {stale.have}, not {stale.want}",
                hint="Repeat the statement.",
            )

    async def _undo(self, catalog: Catalog, deadline: float) -> None:
        """Take back on every shard what pends in `catalog`, and publish the tables as they were."""
        change = catalog.pending
        assert isinstance(change, Change)
        shards = schema_change.shards_of(catalog, change)
        await all_of(*(self._undo_on(catalog, shard, change, deadline) for shard in shards))
        await self.write(META_GROUP, schema_change.publish(catalog), deadline)
        await self.refresh(deadline)

    async def _undo_on(self, catalog: Catalog, shard: str, change: Change, deadline: float) -> None:
        """A shard has made the change, or has not, or has undone it already."""
        for made in (True, False):
            parts = schema_change.undo_parts(catalog, change, shard, made=made)
            stale = await self.write(shard, parts, deadline)
            if stale is None or stale.have >= change.undone:
                return
        raise Unavailable(f"{shard} is being changed", hint="Repeat the statement.")

    # ------------------------------------------------------------------ carrying

    async def _write_meta(self, parts: Parts, deadline: float) -> Done | Stale:
        return await self.shards.write(
            META_GROUP, parts.statements, parts.guards, parts.sets, deadline=deadline
        )

    async def write(self, group: str, parts: Parts, deadline: float) -> Stale | None:
        with self._awaiting(group):
            answer = await self.shards.write(
                group, parts.statements, parts.guards, parts.sets, deadline=deadline
            )
        return None if isinstance(answer, Done) else answer

    @contextmanager
    def _awaiting(self, group: str) -> Iterator[None]:
        self._awaited[group] += 1
        try:
            yield
        finally:
            self._awaited[group] -= 1
            if not self._awaited[group]:
                del self._awaited[group]


def _too_late(detail: str) -> DeadlineExceeded:
    return DeadlineExceeded("canceling statement due to statement timeout", detail=detail)
