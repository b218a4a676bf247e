"""Gates: how the leaders of several groups come to show one instant (docs/distributed.md, "Snapshot
over shards").

Of one group, while its replica leads. A gate keeps entries out of the log that begin something:
writes and PREPAREs. What ends something passes, or nothing would ever be ready: a COMMIT too, which
others may wait for that hold what the same snapshot reads elsewhere. It is applied before the pin,
or makes a pin of what it writes void. Behind a closed gate the leader waits until the last entry of
that moment is applied and nothing prepared touches what is to be read; from then on what is to be
read stays as it is, for as long as the gate does, and the leader pins a read transaction.

    group a   close ..... pin ---------- confirm, open
    group b     close ........ pin ----- confirm, open
                                    ^ one instant

When all groups have pinned there is an instant at which all pins are what is current, if each gate
was never open in between: that is what `confirms` says of this leader's word, and a quorum round
sent after the last pin says that its word counts. A gate may open as soon as it has confirmed: the
instant is over. One that nobody opens ends by itself, and then confirms nothing.

Snapshots share a gate: none of them changes anything, so they need not wait for each other, and the
groups may be asked in any order, all at once. Once it keeps something out it ends when its time is
over, whoever shares it; a snapshot that comes in the second half of that waits for the next one,
and what was kept out goes first. One that keeps nobody out may stay closed: it opens for the first
that comes when its time is over.

Pure: time comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from nodes.protocol import Commit, EntryBody, Prepare, TransactionId, Write
from nodes.two_phase import Touched, touched_by

__all__ = ["GATE_S_MAX", "Gates"]

GATE_S_MAX: Final = 0.02
"""How long a gate may keep others waiting."""

Holder = Callable[[Touched], TransactionId | None]
"""`TwoPhase.holder`: who keeps out whoever touches this."""


class _Gate(NamedTuple):
    """Of one snapshot."""

    touched: Touched  # what it reads
    last: int | None  # of the log, when it came; None: to be asked for again
    is_pinned: bool = False
    is_void: bool = False  # what it pinned is no more


class Gates:
    """Of one group, while its replica leads; another office begins with a new one.

    gates.close(id, touched, last, now)      last: of the log, with all that was let in
    gates.may_pin(id, applied, holder)       asked after every apply; then pin, and gates.pinned(id)
    gates.confirms(id)                       when all groups have pinned
    gates.open(id)                           if it was the last: let in what waited, first of all
    """

    def __init__(self, lasts_s: float = GATE_S_MAX) -> None:
        self.is_closed = False
        """Whether somebody has a gate here."""
        self._lasts_s = lasts_s
        self._gates: dict[bytes, _Gate] = {}  # by the id of the snapshot
        self._ends = 0.0
        self._keeps = False  # somebody out

    @property
    def ends(self) -> float:
        """When the gate that is closed opens by itself, if it keeps somebody out."""
        return self._ends

    def keeps_out(self, body: EntryBody | None) -> bool:
        """Whether an entry has to wait. What is applied changes nothing that anybody reads, or
        ends something: those pass."""
        if not self.is_closed or not isinstance(body, Write | Prepare | Commit):
            return False
        if isinstance(body, Commit):
            self._pass(body)
            return False
        self._keeps = True
        return True

    def _pass(self, commit: Commit) -> None:
        """It enters the log now."""
        touched = touched_by(commit.write.guards, commit.write.sets, commit.tied)
        for id, gate in self._gates.items():
            if not gate.touched.meets(touched):
                continue
            if gate.is_pinned:
                self._gates[id] = gate._replace(is_void=True)
            else:
                self._gates[id] = gate._replace(last=None)

    def is_late(self, id: bytes) -> bool:
        """Whether something has passed that it has to wait for."""
        gate = self._gates.get(id)
        return gate is not None and gate.last is None

    def wait_for(self, id: bytes, last: int) -> None:
        """That is this entry, or one before it."""
        self._gates[id] = self._gates[id]._replace(last=last)

    def close(self, id: bytes, touched: Touched, last: int, now: float) -> bool:
        """For a snapshot that reads what is touched; False if it has to wait for others."""
        if id in self._gates:
            return False
        if not self._keeps:
            self.is_closed = True
            self._ends = now + self._lasts_s
        elif now > self._ends - self._lasts_s / 2:
            return False
        self._gates[id] = _Gate(touched, last)
        return True

    def may_pin(self, id: bytes, applied: int, holder: Holder) -> bool:
        """Whether the state is the one to read."""
        gate = self._gates.get(id)
        if gate is None or gate.last is None or applied < gate.last:
            return False
        return holder(gate.touched) is None

    def pinned(self, id: bytes) -> None:
        """A read transaction is open, begun in such a state."""
        self._gates[id] = self._gates[id]._replace(is_pinned=True)

    def confirms(self, id: bytes) -> bool:
        """Whether nothing was let in since it was pinned that touches what it reads, as far as this
        leader knows."""
        gate = self._gates.get(id)
        return gate is not None and gate.is_pinned and not gate.is_void

    def open(self, id: bytes) -> bool:
        """Its snapshot needs it no more; whether that opens the gate."""
        if self._gates.pop(id, None) is None:
            return False
        if not self._gates:
            self._open()
        return not self.is_closed

    def expire(self, now: float) -> bool:
        """Whether the gate has just opened by itself, if it is asked for somebody to pass."""
        if not self.is_closed or now < self._ends:
            return False
        self._open()
        return True

    def look(self, now: float) -> bool:
        """The same, if it is asked because time passes."""
        return self._keeps and self.expire(now)

    def _open(self) -> None:
        self.is_closed = self._keeps = False
        self._gates.clear()
