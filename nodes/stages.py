"""The stages of one replica: what was sent ahead of the writes that will name it (docs/bulk.md).

They are rows of a table of the machine, written and removed in the transactions of the entries
that do so; nothing else sees them. What is kept in memory beside the table is their sizes, for
the leader, who takes no more than there is room for, and when they were last added to, for the
leader as well, who proposes to forget those that nobody goes on with.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

from nodes.data_file import READ_STAGES, REMOVE_STAGE, WRITE_CHUNK
from nodes.protocol import SessionId, SqlFailure, Stage

__all__ = ["GROUP_SHARE", "Stages", "too_large"]

GROUP_SHARE: Final = 4
"""All stages of a group together may be so many times as large as one."""


class _Size:
    __slots__ = ("bytes", "last_used")

    def __init__(self, size: int, last_used: int) -> None:
        self.bytes = size
        self.last_used = last_used  # log index; of this process only, see Stages.idle


class Stages:
    """Used by whoever applies; `refusal` and `idle` by the event loop of the leader."""

    def __init__(self, raw: sqlite3.Connection, applied: int) -> None:
        self._raw = raw
        self._sizes = {
            (session, stage): _Size(size, applied)
            for session, stage, size in raw.execute(READ_STAGES)
        }

    def add(self, piece: Stage, index: int) -> None:
        """Keep a chunk that the entry at `index` brings."""
        key = piece.session.index, piece.stage
        self._raw.execute(WRITE_CHUNK, (*key, piece.chunk, piece.data))
        size = self._sizes.setdefault(key, _Size(0, index))
        size.bytes += len(piece.data)
        size.last_used = index

    def remove(self, stages: Iterable[tuple[SessionId, int]]) -> None:
        """Forget stages; those that are not there are forgotten already."""
        for session, stage in stages:
            if self._sizes.pop((session.index, stage), None) is not None:
                self._raw.execute(REMOVE_STAGE, (session.index, stage))

    def remove_of(self, sessions: Iterable[SessionId]) -> None:
        """Forget all stages of these sessions."""
        ended = {session.index for session in sessions}
        self._remove([key for key in self._sizes if key[0] in ended])

    def remove_all_but(self, named: Collection[tuple[int, int]]) -> None:
        """Forget all stages but these, each (session index, stage)."""
        self._remove([key for key in self._sizes if key not in named])

    def _remove(self, keys: Iterable[tuple[int, int]]) -> None:
        for key in keys:
            del self._sizes[key]
            self._raw.execute(REMOVE_STAGE, key)

    def refusal(self, piece: Stage, bytes_max: int) -> SqlFailure | None:
        """Why a leader does not take a chunk: there would be too much."""
        sizes = [*self._sizes.items()]  # the thread that applies may be adding to them
        own = sum(size.bytes for key, size in sizes if key == (piece.session.index, piece.stage))
        if own + len(piece.data) > bytes_max:
            return too_large(bytes_max)
        if sum(size.bytes for _, size in sizes) + len(piece.data) > GROUP_SHARE * bytes_max:
            return SqlFailure(
                "53400",
                f"large transactions that are not finished have {GROUP_SHARE * bytes_max} bytes "
                "on this shard",
                detail="Repeat it when some of them have ended.",
            )
        return None

    def idle(self, since: int) -> tuple[tuple[int, int], ...]:
        """(session index, stage) of those that no entry after `since` has added to."""
        return tuple(key for key, size in self._sizes.items() if size.last_used <= since)


def too_large(bytes_max: int) -> SqlFailure:
    """What was sent ahead is more than the cluster allows to one transaction."""
    return SqlFailure(
        "54000",
        f"the transaction is larger than {bytes_max} bytes",
        detail="Write less at a time, or raise transaction_bytes_max in [limits] of cluster.toml.",
    )
