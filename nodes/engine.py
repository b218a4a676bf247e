"""The two interfaces of replication: what replicates commands, and what they are applied to.

Threading: both are used from the node's event loop only. A `StateMachine` may be handed to
one worker thread for one `apply` at a time; the caller waits for it before the next call.
Failure: an exception out of `apply` means that nothing of the batch was applied and that
this replica must stop (DESIGN section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from nodes.protocol import (
    ChangeReplicas,
    Commit,
    Consistency,
    Entry,
    EntryBody,
    MoveLeadership,
    Prepare,
    ReplicaStatus,
    ResponseBody,
    TransactionOutcome,
    Write,
)
from nodes.two_phase import Touched

__all__ = [
    "HALTED_HINT",
    "Answers",
    "Barrier",
    "Committed",
    "Engine",
    "Proposed",
    "Refuse",
    "StateMachine",
    "executes",
]

Committed: TypeAlias = tuple[int, int, Entry | None]
"""(index, term, entry) of one committed entry; None for what is a no-op to the state machine."""

Answers: TypeAlias = Sequence[ResponseBody]
"""What the bodies of one entry are answered, in their order; empty for a no-op."""

Proposed: TypeAlias = Callable[[ResponseBody], None]
"""Called exactly once with the outcome of a proposal: the state machine's answer, NotLeader or
Busy (never entered the log), or UnknownOutcome (entered it, fate unknown)."""

Barrier: TypeAlias = Callable[[ResponseBody | None], None]
"""Called exactly once: None lets a read go ahead, anything else refuses it."""

Refuse: TypeAlias = Callable[[], ResponseBody | None]
"""Asked right before a command is proposed, at a leader that has applied all that was committed
before its office: an answer refuses the command, definitely (its time is over, or its SQL cannot
be compiled)."""


class Engine(Protocol):
    """Replicates one group's commands and tells when a read is linearizable."""

    def propose(
        self,
        body: bytes | msgspec.Raw,
        done: Proposed,
        *,
        command: EntryBody | None = None,
        refuse: Refuse | None = None,
    ) -> None:
        """Replicate an encoded EntryBody; the engine stamps time and seed. `command` is what the
        body decodes to, from a caller that knows."""

    def read_barrier(
        self, consistency: Consistency, done: Barrier, *, at_follower: bool = False
    ) -> None:
        """Call `done(None)` once the state machine's state is one that such a read may see; else
        with NotLeader, Behind or Busy, and the read has to be asked elsewhere, or later.

        linearizable: it has applied everything committed before this call, as a quorum confirmed
        after it (ReadIndex); `at_follower` lets a follower ask its leader, if the consensus can.
        lease: the same, without asking while the leader's lease holds.
        Bounded, AtLeast: as they say, whoever leads.
        any: at once, whoever leads."""

    def close_gate(
        self, id: bytes, touched: Touched, pin: Callable[[], None], done: Barrier
    ) -> None:
        """For a snapshot over several groups (`nodes.gates`): call `pin` behind a closed gate, when
        the state is the one to read, and then `done(None)`; else with why it did not come to
        that: NotLeader, Busy, NotPinned."""

    def confirm_gate(self, id: bytes, done: Barrier) -> None:
        """`done(None)` if the gate was never open before this call, and a quorum confirmed after
        it that this replica leads; it is open from now on."""

    def open_gate(self, id: bytes) -> None:
        """The snapshot is given up."""

    def look_at_gates(self) -> float | None:
        """Open what is over its time; in how many seconds to ask again, if a gate is closed."""

    def change(self, request: ChangeReplicas | MoveLeadership, done: Proposed) -> None:
        """Change the group's members or its leader; `done` gets what `nodes.protocol` says."""

    def status(self) -> ReplicaStatus:
        """This replica as it sees itself."""

    turned: Callable[[], None]
    """Called after each turn in which something may have been applied; to be set by one."""

    @property
    def leads(self) -> bool:
        """Whether this replica is the leader, as far as it knows."""

    def hold_proposals(self) -> None:
        """Propose nothing before `release_proposals`; what comes waits, up to the usual limits."""

    def release_proposals(self) -> None:
        """Propose what was held, in its order."""

    async def borrow_file(self, stop: Callable[[], None]) -> bool:
        """Wait until nothing is to be applied, and apply nothing before `return_file`. `stop` is
        called once when something is. False if nothing will ever be applied again here."""

    def borrow_file_now(self, stop: Callable[[], None]) -> bool:
        """The same without waiting; False if it would have to."""

    def return_file(self) -> None:
        """The state machine's file is free."""


HALTED_HINT: Final = (
    "Nodes of one group have to run the same release. When they do, run `shardrouter upgrade`."
)
"""What to do about a group that is `StateMachine.halted` everywhere."""


def executes(body: EntryBody) -> bool:
    """Whether applying it may run statements: then only a process may that executes them as the
    others do (`StateMachine.halted`). An abort runs nothing."""
    if isinstance(body, TransactionOutcome):
        return body.commit
    return isinstance(body, Write | Prepare | Commit)


class StateMachine(Protocol):
    """Applies committed entries, in order, each exactly once."""

    @property
    def applied(self) -> int:
        """Index of the last entry whose effect is in the committed state."""

    def is_quick(self, body: EntryBody) -> bool:
        """Whether applying it is bounded work that may run on the event loop."""

    @property
    def halted(self) -> str:
        """Why nothing may be applied that `executes`, a full sentence; empty if it may. It changes
        with a `SwitchFingerprint` that is applied, and with the state of a snapshot."""

    def apply(self, batch: Sequence[Committed]) -> list[Answers]:
        """Apply a batch in one transaction; what it answers to each entry."""
