"""Carries the move of a table's rows to other shards (`shardrouter.relocation` has its steps).

One router moves them, the one whose client asked for it, and says in `meta` from time to time that
it does. Others that need the table wait as long as they hear of it; whoever hears nothing any more
takes the move back, if the rows were not taken yet, or carries it to its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

from nodes.config import META_GROUP
from nodes.protocol import Staged, Stale
from shardrouter import relocation, schema_change
from shardrouter.catalog import Catalog
from shardrouter.errors import (
    IndefiniteError,
    OutcomeUnknown,
    RouterError,
    StatementError,
    Unavailable,
)
from shardrouter.patience import all_of
from shardrouter.schema_host import SchemaHost
from shardrouter.shards import Streamed
from shardrouter.sqlite_schema import PLACED
from shardrouter.tables import Change
from shardrouter.upload import Upload
from shardrouter.verdicts import canceled, time_over

__all__ = ["Relocator"]

log = logging.getLogger(__name__)

BEAT_S: Final = 0.5
"""How often the router that moves rows says so."""

SILENCE_S: Final = 3.0
"""Without a word of it, after which others think that it is gone."""

LOOK_S: Final = 0.1
"""How often it is looked whether it is done."""

CHUNK_S: Final = 10.0
"""For a chunk of rows to be taken by its shard, and for a piece of them to be read."""

CLEAN_UP_S: Final = 2.0
"""For taking a move back, however little time its client had given it."""


class Relocator:
    """Used from one event loop."""

    def __init__(self, host: SchemaHost) -> None:
        self._loop = asyncio.get_running_loop()
        self._host = host

    # ------------------------------------------------------------------ by the router itself

    async def run(self, catalog: Catalog, deadline: float) -> None:
        """Move the rows of the change that this router has marked in `catalog`. Raises RouterError:
        a definite one says that they are where they were."""
        change = _change(catalog)
        try:
            async with self._beating(catalog):
                await self._lay_beside(catalog, change, deadline)
            parts, taken = relocation.take(catalog)
            if await self._host.write(META_GROUP, parts, deadline) is not None:
                raise _taken_back()
        except (RouterError, asyncio.CancelledError) as exc:
            await self._give_up(catalog)
            if isinstance(exc, IndefiniteError):
                raise Unavailable(
                    "the rows could not be moved, and are where they were",
                    detail=exc.detail or exc.message,
                    hint="Repeat the statement.",
                ) from exc
            raise (exc if isinstance(exc, RouterError) else canceled()) from exc
        try:
            await self.finish(taken, deadline)
        except (RouterError, asyncio.CancelledError) as exc:
            raise _unfinished(exc, "It is finished when a router next needs the table.") from exc

    async def _give_up(self, catalog: Catalog) -> None:
        """Take it back. What cannot be done now on the shards is done by whoever needs the table.

        Raises OutcomeUnknown if it is taken all the same, or cannot be taken back."""
        change, deadline = _change(catalog), self._loop.time() + CLEAN_UP_S
        parts, undone = schema_change.take_back(catalog)
        hint = "Whoever next needs the table finishes it, or takes it back."
        try:
            if await self._host.write(META_GROUP, parts, deadline) is not None:
                now = await self._host.refresh(deadline)
                table, pending = now.tables.get(change.relocated), now.pending
                is_taken = isinstance(pending, Change) and bool(pending.taken)
                if is_taken or (table is not None and table.version == change.version + 2):
                    raise _unfinished(None, hint)
                return
        except RouterError as exc:
            raise _unfinished(exc, hint) from exc
        try:
            await self.finish(undone, deadline)
        except RouterError as exc:
            log.warning("the move of %s is not taken back everywhere: %s", change.relocated, exc)

    @asynccontextmanager
    async def _beating(self, catalog: Catalog) -> AsyncIterator[None]:
        ended = asyncio.Event()
        task = asyncio.ensure_future(self._beat(catalog, ended))
        try:
            yield
        finally:
            ended.set()  # a write that is cancelled goes on to its outcome, and does not say so
            task.cancel()
            await asyncio.wait({task})

    async def _beat(self, catalog: Catalog, ended: asyncio.Event) -> None:
        """Until it is ended, or somebody has decided."""
        for beat in count(1):
            await asyncio.sleep(BEAT_S)
            parts = relocation.with_beat(catalog, beat)
            try:
                if await self._host.write(META_GROUP, parts, self._loop.time() + SILENCE_S):
                    return
            except RouterError:
                pass  # meta has no leader now: others do not hear of anything else either
            if ended.is_set():
                return

    # ------------------------------------------------------------------ the rows

    async def _lay_beside(self, catalog: Catalog, change: Change, deadline: float) -> None:
        host = self._host

        async def stop(shard: str) -> None:
            parts = relocation.stand_still(catalog, change, shard)
            if parts is not None and await host.write(shard, parts, deadline) is not None:
                raise _taken_back()

        async def lay(shard: str, staged: Staged | None) -> None:
            parts = relocation.laid(catalog, change, shard, staged)
            if await host.write(shard, parts, deadline) is not None:
                raise _taken_back()

        await all_of(*map(stop, catalog.shards))
        uploads = {shard: Upload(host.shards, shard, CHUNK_S) for shard in catalog.shards}
        try:
            for source in relocation.sources(catalog, change):
                await self._send(catalog, change, source, uploads, deadline)
            staged = {}
            for shard, upload in uploads.items():
                staged[shard] = await upload.finish()
                self._check_size(shard, upload)
            await all_of(*(lay(shard, staged[shard]) for shard in catalog.shards))
        except StatementError as exc:
            raise _explained(exc, change) from exc
        finally:
            for upload in uploads.values():
                upload.abandon()

    async def _send(
        self,
        catalog: Catalog,
        change: Change,
        source: str,
        uploads: dict[str, Upload],
        deadline: float,
    ) -> None:
        """The rows of one shard to all that are to have them."""
        divided = relocation.divider(catalog, change)

        async def send(rows: relocation.Rows) -> None:
            for shard, some in divided(rows).items():
                upload = uploads[shard]
                upload.add(some)
                self._check_size(shard, upload)
                await upload.room()

        guards = (relocation.still_guard(change),)
        piece_deadline = min(deadline, self._loop.time() + CHUNK_S)
        answer = await self._host.shards.stream(
            source, relocation.query(change), guards, piece_deadline
        )
        if isinstance(answer, Stale):
            raise _taken_back()
        if not isinstance(answer, Streamed):
            await send(answer.results[0].values)
            return
        try:
            await send(answer.result.values)
            while (piece := await answer.stream.next()) is not None:
                await send(piece.values)
        finally:
            answer.stream.close()

    def _check_size(self, shard: str, upload: Upload) -> None:
        size_max = self._host.shards.transaction_bytes_max
        if upload.size > size_max:
            raise StatementError(
                f"the rows for {shard} are larger than transaction_bytes_max ({size_max} bytes)",
                sqlstate="54000",
                hint="Raise it in [limits] of cluster.toml; or create a table anew, where it is to "
                "be, and copy the rows into it in parts.",
            )

    # ------------------------------------------------------------------ by whoever finds it

    async def wait(self, catalog: Catalog, deadline: float) -> Catalog:
        """Let the router that moves the rows do so. Returns the catalog after that, or with the
        move if it was not heard of for SILENCE_S. Raises DeadlineExceeded."""
        change = _change(catalog)
        beat, heard_at = change.beat, self._loop.time()
        while not (change.taken or change.undone):
            now = self._loop.time()
            if now >= deadline:
                raise time_over(META_GROUP, f'the rows of "{change.relocated}" are being moved')
            if now - heard_at >= SILENCE_S:
                break
            await asyncio.sleep(LOOK_S)
            catalog = await self._host.refresh(deadline)
            pending = catalog.pending
            if not isinstance(pending, Change) or pending.version != change.version:
                break
            if pending.beat != beat:
                beat, heard_at = pending.beat, self._loop.time()
            change = pending
        return catalog

    async def finish(self, catalog: Catalog, deadline: float) -> None:
        """Carry to its end what pends in `catalog`: taken or undone, or begun by a router that is
        gone. Raises RouterError."""
        change = _change(catalog)
        if not (change.taken or change.undone):
            parts, undone = schema_change.take_back(catalog)
            if await self._host.write(META_GROUP, parts, deadline) is not None:
                await self._host.refresh(deadline)
                return
            catalog, change = undone, _change(undone)
        step = self._retreat_on if change.undone else self._put_on
        await all_of(*(step(catalog, change, shard, deadline) for shard in catalog.shards))
        await self._host.write(META_GROUP, schema_change.publish(catalog), deadline)
        await self._host.refresh(deadline)

    async def _put_on(self, catalog: Catalog, change: Change, shard: str, deadline: float) -> None:
        parts = relocation.put(catalog, change, shard)
        stale = await self._host.write(shard, parts, deadline)
        if stale is not None and stale.have < change.taken:
            raise Unavailable(f"{shard} is being changed", hint="Repeat the statement.")

    async def _retreat_on(
        self, catalog: Catalog, change: Change, shard: str, deadline: float
    ) -> None:
        """Each time it is refused, the shard says where it is."""
        have = change.version + 1
        while (parts := relocation.retreat(catalog, change, shard, have)) is not None:
            stale = await self._host.write(shard, parts, deadline)
            if stale is None:
                return
            have = stale.have


def _change(catalog: Catalog) -> Change:
    assert isinstance(catalog.pending, Change)
    return catalog.pending


def _unfinished(error: BaseException | None, hint: str) -> OutcomeUnknown:
    said = (error.detail or error.message) if isinstance(error, RouterError) else ""
    return OutcomeUnknown("the move of the rows is marked but not finished", detail=said, hint=hint)


def _taken_back() -> Unavailable:
    return Unavailable(
        "another router has taken back the move of the rows, which are where they were",
        detail=f"It had not heard of this one for {SILENCE_S:g} s.",
        hint="Repeat the statement.",
    )


def _explained(error: StatementError, change: Change) -> StatementError:
    """In the words of the table whose rows a shard refuses."""
    table = next(m.after for m in change.tables if m.name == change.relocated)
    assert table is not None
    error.message = error.message.replace(f'"{PLACED}"', f'"{table.relname}"')
    error.args = (error.message,)
    error.table = table.relname
    return error
