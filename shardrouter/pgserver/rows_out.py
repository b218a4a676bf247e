"""The rows of a portal on their way to the client: those that are at hand, and those that follow.

They are DataRow messages, as a shard encoded them; for COPY TO STDOUT they become CopyData.
"""

from __future__ import annotations

from nodes.protocol import StatementResult
from shardrouter.copying.output import CopyWriter
from shardrouter.execution import Outcome
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.portals import cut_rows
from shardrouter.planned import CopyTo, Plan

__all__ = ["RowsOut"]


class RowsOut:
    """For one outcome. Each Execute of its portal:

    rows.begin(limit)
    send(rows.take())
    while rows.needs_more:
        rows.add(await rows.more.next())
        send(rows.take())
    """

    __slots__ = (
        "_answered",
        "_at",
        "_held",
        "_is_binary",
        "_limit",
        "_rows",
        "_tag",
        "_writer",
        "count",
        "more",
    )

    def __init__(self, plan: Plan, outcome: Outcome) -> None:
        self.more = outcome.more
        self.count = 0  # rows that this Execute has sent
        self._rows = outcome.rows
        self._at = 0  # bytes of them that were sent
        self._held = outcome.row_count  # rows of them that were not
        self._limit = 0
        self._tag = outcome.tag
        self._answered = outcome.row_count  # what the tag says
        self._writer: CopyWriter | None = None
        if isinstance(plan, CopyTo):
            names = [column.name for column in plan.plan.columns]
            self._writer = CopyWriter(names, plan.options)
            self._is_binary = plan.options.format == "binary"

    def begin(self, limit: int) -> None:
        """Another Execute, of at most `limit` rows; 0: all."""
        self.count = 0
        self._limit = max(0, limit)

    @property
    def is_suspended(self) -> bool:
        """This Execute has all the rows it may have: also if they were the last, which PostgreSQL
        finds out with the next one."""
        return 0 < self._limit <= self.count

    @property
    def needs_more(self) -> bool:
        """What is at hand was sent, and there is more."""
        return self.more is not None and self._at == len(self._rows) and not self.is_suspended

    def add(self, piece: StatementResult | None) -> None:
        """What came from `more`."""
        if piece is None:
            self.more = None
        else:
            self._rows, self._at, self._held = piece.rows, 0, piece.row_count

    def take(self) -> bytes:
        """Rows to send now."""
        if self._limit:
            end, count = cut_rows(self._rows, self._at, self._limit - self.count)
        else:
            end, count = len(self._rows), self._held
        rows = self._rows[self._at : end] if self._at or end < len(self._rows) else self._rows
        self._at = end
        self._held -= count
        self.count += count
        return rows if self._writer is None else self._writer.rows(rows)

    @property
    def is_copy(self) -> bool:
        """They go out as CopyData, between a head and a foot."""
        return self._writer is not None

    def head(self) -> bytes:
        """Before the rows, for COPY."""
        assert self._writer is not None
        formats = (int(self._is_binary),) * self._writer.width
        response = m.CopyOutResponse(int(self._is_binary), formats)
        return m.encode(response) + self._writer.begin()

    def foot(self) -> bytes:
        """Behind the last row, for COPY."""
        assert self._writer is not None
        return self._writer.end() + m.encode(m.CopyDone())

    @property
    def tag(self) -> str:
        """Of what this Execute did, when no row is left."""
        if self._writer is not None:
            return f"COPY {self.count}"
        if self.count != self._answered and self._tag.startswith(("SELECT ", "FETCH ")):
            return f"{self._tag.partition(' ')[0]} {self.count}"
        return self._tag
