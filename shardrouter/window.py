"""The sequence numbers of one exactly-once session: which are open, and the watermark.

Pure. A seq is open from its first copy until its outcome is settled; the watermark is the
highest seq such that it and all below are settled, and is carried in every command so that
the replicas can forget what they remember of them. The replicas keep at most `limit` seqs
above the watermark, so no seq further ahead is handed out.
"""

from __future__ import annotations

from nodes.protocol import OPEN_SEQS_MAX

__all__ = ["SeqWindow"]


class SeqWindow:
    """Hands out seqs from 1, in order; takes them back in any order."""

    __slots__ = ("_last", "_limit", "_settled", "watermark")

    def __init__(self, limit: int = OPEN_SEQS_MAX) -> None:
        self.watermark = 0
        self._last = 0
        self._limit = limit
        self._settled: set[int] = set()  # settled seqs above the watermark

    def open(self) -> int | None:
        """The next seq, or None if it would be more than `limit` above the watermark."""
        if self._last - self.watermark >= self._limit:
            return None
        self._last += 1
        return self._last

    def settle(self, seq: int) -> None:
        """`seq` will never be sent again."""
        assert self.watermark < seq <= self._last, "a seq is settled once, after it was opened"
        if seq != self.watermark + 1:
            assert seq not in self._settled, "a seq is settled once"
            self._settled.add(seq)
            return
        self.watermark = seq
        while self.watermark + 1 in self._settled:
            self.watermark += 1
            self._settled.remove(self.watermark)
