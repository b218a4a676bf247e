"""The rows of a query over several shards on their way to the client, a piece at a time
(`execution.MoreRows`): no more is held of a shard than the piece that is merged and the next one,
which is asked for ahead (`shardrouter.row_stream`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from nodes.protocol import StatementResult, Value
from shardrouter.asking import Part
from shardrouter.merge import Merger
from shardrouter.row_stream import RowStream
from shardrouter.verdicts import canceled

__all__ = ["MergedRows", "PassedRows"]


class PassedRows:
    """All rows of all shards as they come, a piece of each in turn."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._first = deque(part.result for part in parts)
        self._streams = deque(part.stream for part in parts if part.stream is not None)
        self._is_cancelled = False

    async def next(self) -> StatementResult | None:
        """Some rows more; None if there are none. Raises RouterError."""
        if self._is_cancelled:
            raise canceled()
        while self._first:
            piece = self._first.popleft()
            if piece.row_count:
                return piece
        while self._streams:
            stream = self._streams[0]
            try:
                piece_or_none = await stream.next()
            except BaseException:
                self.close()
                raise
            if piece_or_none is not None:
                self._streams.rotate(-1)
                return piece_or_none
            self._streams.popleft()
        return None

    def cancel(self) -> None:
        """Who waits for `next`, or asks for it later, gets 57014."""
        self._is_cancelled = True
        for stream in self._streams:
            stream.cancel()

    def close(self) -> None:
        """Nobody wants more of it. May be called again."""
        self._first.clear()
        for stream in self._streams:
            stream.close()


class MergedRows:
    """Those that a `Merger` makes of them; `encode` makes of rows what the client is to have."""

    def __init__(
        self,
        parts: Sequence[Part],
        merger: Merger,
        encode: Callable[[Sequence[tuple[Value, ...]]], StatementResult],
    ) -> None:
        self._merger = merger
        self._encode = encode
        self._streams: dict[int, RowStream] = {}
        self._is_cancelled = False
        for source, part in enumerate(parts):
            merger.feed(source, part.result.values, is_over=part.stream is None)
            if part.stream is not None:
                self._streams[source] = part.stream

    async def next(self) -> StatementResult | None:
        """Some rows more; None if there are none. Raises RouterError."""
        if self._is_cancelled:
            raise canceled()
        try:
            while not self._merger.is_over:
                for source in self._merger.wanted():
                    await self._feed(source)
                if rows := self._merger.take():
                    return self._encode(rows)
        except BaseException:
            self.close()
            raise
        self.close()
        return None

    async def _feed(self, source: int) -> None:
        piece = await self._streams[source].next()
        if piece is None:
            del self._streams[source]
            self._merger.feed(source, (), is_over=True)
        else:
            self._merger.feed(source, piece.values, is_over=False)

    def cancel(self) -> None:
        """Who waits for `next`, or asks for it later, gets 57014."""
        self._is_cancelled = True
        for stream in self._streams.values():
            stream.cancel()

    def close(self) -> None:
        """Nobody wants more of it. May be called again."""
        for stream in self._streams.values():
            stream.close()
