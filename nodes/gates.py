"""Gates: how the leaders of several groups come to show one instant (docs/distributed.md, "Snapshot
over shards").

Of one group, while its replica leads. A gate keeps entries out of the log that begin something:
writes and PREPAREs. What ends something passes, or nothing would ever be ready. Behind a closed
gate the leader waits until the last entry of that moment is applied and nothing prepared touches
what is to be read; from then on what is to be read stays as it is, for as long as the gate does,
and the leader pins a read transaction.

    group a   close ..... pin ---------- confirm, open
    group b     close ........ pin ----- confirm, open
                                    ^ one instant

When all groups have pinned there is an instant at which all pins are what is current, if each gate
was never open in between: that is what `confirms` says of this leader's word, and a quorum round
sent after the last pin says that its word counts. A gate may open as soon as it has confirmed: the
instant is over. One that nobody opens ends by itself, and then confirms nothing.

Snapshots share a gate: none of them changes anything, so they need not wait for each other, and the
groups may be asked in any order, all at once. It ends when the first of them is over its time;
who comes in the second half of it asks again, and what it kept out has gone first.

Pure: time comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from nodes.protocol import EntryBody, Prepare, TransactionId, Write
from nodes.two_phase import Touched

__all__ = ["GATE_S_MAX", "Gates"]

GATE_S_MAX: Final = 0.02
"""How long a gate may keep others waiting."""

Holder = Callable[[Touched], TransactionId | None]
"""`TwoPhase.holder`: who keeps out whoever touches this."""


class _Gate(NamedTuple):
    """Of one snapshot."""

    touched: Touched  # what it reads
    last: int  # of the log, when it came
    is_pinned: bool = False


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

    @property
    def ends(self) -> float:
        """When the gate that is closed opens by itself."""
        return self._ends

    def keeps_out(self, body: EntryBody | None) -> bool:
        """Whether an entry has to wait. What is applied changes nothing that anybody reads, or
        ends something: those pass."""
        return self.is_closed and isinstance(body, Write | Prepare)

    def close(self, id: bytes, touched: Touched, last: int, now: float) -> bool:
        """For a snapshot that reads what is touched; False if it has to wait for others."""
        if not self.is_closed:
            self.is_closed = True
            self._ends = now + self._lasts_s
        elif id in self._gates or now > self._ends - self._lasts_s / 2:
            return False
        self._gates[id] = _Gate(touched, last)
        return True

    def may_pin(self, id: bytes, applied: int, holder: Holder) -> bool:
        """Whether the state is the one to read."""
        gate = self._gates.get(id)
        return gate is not None and applied >= gate.last and holder(gate.touched) is None

    def pinned(self, id: bytes) -> None:
        """A read transaction is open, begun in such a state."""
        self._gates[id] = self._gates[id]._replace(is_pinned=True)

    def confirms(self, id: bytes) -> bool:
        """Whether nothing was let in since it was pinned, as far as this leader knows."""
        gate = self._gates.get(id)
        return gate is not None and gate.is_pinned

    def open(self, id: bytes) -> bool:
        """Its snapshot needs it no more; whether that opens the gate."""
        if self._gates.pop(id, None) is None:
            return False
        self.is_closed = bool(self._gates)
        return not self.is_closed

    def expire(self, now: float) -> bool:
        """Whether the gate has just opened by itself."""
        if not self.is_closed or now < self._ends:
            return False
        self.is_closed = False
        self._gates.clear()
        return True
