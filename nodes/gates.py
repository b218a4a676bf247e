"""Gates: how the leaders of several groups come to show one instant (docs/distributed.md, "Snapshot
over shards").

Of one group, while its replica leads. A gate keeps entries out of the log that begin something:
writes and PREPAREs. What ends something passes, or nothing would ever be ready. Behind a closed
gate the leader waits until the last entry of that moment is applied and nothing prepared touches
what is to be read; from then on what is to be read stays as it is, for as long as the gate does,
and the leader pins a read transaction.

    group a   close ..... pin ------------------------ confirm  open
    group b                     close .... pin ------- confirm    open
                                              ^ one instant

When all groups have pinned there is an instant at which all pins are what is current, if each gate
was never open in between: that is what `confirms` says of this leader's word, and a quorum round
sent after the last pin says that its word counts. The order in which groups are asked is the same
for all snapshots, so that two of them do not wait for each other; a gate that nobody opens ends by
itself, and then confirms nothing.

One gate at a time: who finds another one asks again, and what that one kept out has gone first.

Pure: time comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nodes.protocol import EntryBody, Prepare, TransactionId, Write
from nodes.two_phase import Touched

__all__ = ["GATE_S_MAX", "Gates"]

GATE_S_MAX: Final = 0.02
"""How long a gate may keep others waiting."""

Holder = Callable[[Touched], TransactionId | None]
"""`TwoPhase.holder`: who keeps out whoever touches this."""


class Gates:
    """Of one group, while its replica leads; another office begins with a new one.

    gates.close(id, touched, last, now)      last: of the log, with all that was let in
    gates.may_pin(id, applied, holder)       asked after every apply; then pin, and gates.pinned(id)
    gates.confirms(id)                       when all groups have pinned
    gates.open(id)                           let in what waited, before anything else
    """

    def __init__(self, lasts_s: float = GATE_S_MAX) -> None:
        self._lasts_s = lasts_s
        self._id = b""  # of the snapshot whose gate is closed
        self._touched = Touched(frozenset(), frozenset())
        self._last = 0
        self._ends = 0.0
        self._is_pinned = False

    @property
    def is_closed(self) -> bool:
        """Whether somebody has a gate here."""
        return bool(self._id)

    @property
    def ends(self) -> float:
        """When the gate that is closed opens by itself."""
        return self._ends

    def keeps_out(self, body: EntryBody) -> bool:
        """Whether an entry has to wait. What is applied changes nothing that anybody reads, or
        ends something: those pass."""
        return bool(self._id) and isinstance(body, Write | Prepare)

    def close(self, id: bytes, touched: Touched, last: int, now: float) -> bool:
        """For a snapshot that reads what is touched; False if another one has a gate here."""
        if self._id:
            return False
        self._id, self._touched, self._last = id, touched, last
        self._ends = now + self._lasts_s
        self._is_pinned = False
        return True

    def may_pin(self, id: bytes, applied: int, holder: Holder) -> bool:
        """Whether the state is the one to read."""
        return id == self._id and applied >= self._last and holder(self._touched) is None

    def pinned(self, id: bytes) -> None:
        """A read transaction is open, begun in such a state."""
        assert id == self._id, "the gate has ended"
        self._is_pinned = True

    def confirms(self, id: bytes) -> bool:
        """Whether nothing was let in since it was pinned, as far as this leader knows."""
        return id == self._id and self._is_pinned

    def open(self, id: bytes) -> bool:
        """Its snapshot needs it no more; False if it has ended before."""
        if id != self._id:
            return False
        self._id = b""
        return True

    def expire(self, now: float) -> bool:
        """Whether the gate has just opened by itself."""
        if not self._id or now < self._ends:
            return False
        self._id = b""
        return True
