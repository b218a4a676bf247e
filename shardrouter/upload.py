"""What is on its way to one shard, ahead of the write that will name it (docs/bulk.md).

A few chunks are under way at a time; who adds more waits while there are that many, and so does
the client behind him. Nothing of it is visible, so no failure here leaves a doubt: whatever became
of a chunk, the write that would have named it is never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from nodes.protocol import FRAME_BYTES_MAX, Done, ProtocolError, Staged, Statement, Step, Value
from nodes.stage_content import StageWriter, apply_s
from shardrouter.errors import OutcomeUnknown, RouterError, StatementError, Unavailable
from shardrouter.shards import Outcome, Shards

__all__ = ["CHUNKS_MAX", "Upload"]

CHUNKS_MAX: Final = 4
"""Chunks under way: enough to keep a leader's disk and its followers busy."""

Items = Sequence[Sequence[Value]] | Sequence[Statement] | Sequence[Step]


class Upload:
    """One stage, from its first item to its name; `item` is what an error calls one of them.

    Each chunk has `timeout_s` to be taken."""

    def __init__(
        self,
        shards: Shards,
        group: str,
        timeout_s: float,
        *,
        item: str = "row",
        item_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._shards = shards
        self._timeout_s = timeout_s
        self._item = item
        self._stage = shards.new_stage(group)
        self._writer = StageWriter(item_bytes_max)
        self._next = 0  # number of the next chunk
        self._under_way = 0
        self._error: RouterError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_abandoned = False

    @property
    def is_full(self) -> bool:
        """Whether who adds items should wait for `room` first."""
        return self._under_way >= CHUNKS_MAX

    def add(self, items: Items) -> None:
        """Some items more. Raises RouterError if they are too large, or an earlier chunk failed."""
        self._raise_error()
        try:
            chunks = self._writer.add(items)
        except ProtocolError as exc:
            if len(items) > 1:
                self.add(items[: len(items) // 2])
                self.add(items[len(items) // 2 :])
                return
            raise StatementError(
                f"a {self._item} is too large", sqlstate="54000", detail=str(exc)
            ) from exc
        self._send(chunks)

    @property
    def size(self) -> int:
        """Bytes of the chunks so far."""
        return self._writer.size

    @property
    def apply_s(self) -> float:
        """How long replicas may take to apply what was added, at the most."""
        return apply_s(self._writer.size, self._writer.rows)

    async def room(self) -> None:
        """Return when chunks may be added. Raises RouterError if one failed."""
        while self.is_full and self._error is None:
            await self._a_chunk()
        self._raise_error()

    async def finish(self) -> Staged | None:
        """All items are added: return when all of them are kept, with their name; None if there
        was none. There may be more afterwards, under another name. Raises RouterError."""
        self._send(self._writer.finish())
        while self._under_way and self._error is None:
            await self._a_chunk()
        self._raise_error()
        if self._stage.session is None:
            return None
        return self._writer.staged(self._stage.session, self._stage.number)

    def abandon(self) -> None:
        """No write will name it."""
        if not self._is_abandoned:
            self._is_abandoned = True
            if not self._under_way:
                self._forget()

    # ------------------------------------------------------------------ chunks

    def _send(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self._under_way += 1
            deadline = self._loop.time() + self._timeout_s
            self._shards.submit_chunk(self._stage, self._next, chunk, deadline, self._settled)
            self._next += 1

    def _settled(self, outcome: Outcome) -> None:
        self._under_way -= 1
        if self._error is None and not isinstance(outcome, Done):
            self._error = _definite(outcome)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        # Not before: a copy that comes behind it would bring the stage back.
        if self._is_abandoned and not self._under_way:
            self._forget()

    async def _a_chunk(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _forget(self) -> None:
        self._shards.forget_stage(self._stage, self._loop.time() + self._timeout_s)


def _definite(outcome: Outcome) -> RouterError:
    """Why a chunk failed. It may be kept all the same, but nothing will name it."""
    if isinstance(outcome, OutcomeUnknown):
        return Unavailable(
            "what was to be written could not be sent to its shard, and nothing is written",
            detail=outcome.detail,
            hint="Repeat it.",
        )
    assert isinstance(outcome, RouterError), "a chunk has no guards"
    return outcome
