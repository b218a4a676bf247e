"""What an engine asks of its consensus: the same inputs and the one output, whoever decides.

Three implementations: `nodes.raft.core` (ours), `nodes.local_engine` (one replica, nobody to
agree with) and `nodes.pysyncobj_engine` (that library). `nodes.raft_engine.RaftEngine` drives
any of them, so that admission of proposals, answers, reads, sessions, stopping and closing are
written once and mean the same everywhere.

The driver's contract is the loop in the docstring of `nodes.raft.core`: one `Ready` at a time,
and nothing that depends on a record is in `Ready.messages` before the record is durable.
"""

from __future__ import annotations

from typing import Protocol

from nodes.raft.core import NO_REPLICA, Role
from nodes.raft.log import RaftLog
from nodes.raft.membership import ChangeRefused
from nodes.raft.messages import LogBase, Membership, RaftMessage, Snapshot
from nodes.raft.ready import Ready

__all__ = ["Consensus", "EngineRefused", "FixedGroup"]


class EngineRefused(Exception):
    """An engine cannot go on from this replica's files; the message is a sentence that says
    what to do."""


class Consensus(Protocol):
    """One replica's part in deciding its group's log. Inputs only note; `ready` tells."""

    @property
    def replica(self) -> int:
        """This replica's id."""

    @property
    def role(self) -> Role:
        """As this replica believes."""

    @property
    def term(self) -> int:
        """Never falls, and rises whenever the office changes hands."""

    @property
    def leader(self) -> int:
        """Replica id of the leader that is believed in, NO_REPLICA if there is none."""

    @property
    def successor(self) -> int:
        """Replica id to which the office is being handed over, NO_REPLICA if it is not."""

    @property
    def has_asked_successor(self) -> bool:
        """It was told to stand: it may win at any time, also after the office is not being
        handed over any more."""

    @property
    def log(self) -> RaftLog:
        """The log that is decided."""

    @property
    def commit(self) -> int:
        """Index of the last entry known to be committed."""

    def step(self, message: RaftMessage) -> None:
        """A message has arrived. One of another engine changes nothing."""

    def tick(self, now: float) -> None:
        """One unit of time has passed; `now` is by the clock that leases count by."""

    @property
    def is_quiescent(self) -> bool:
        """Ticks do nothing here, before the next input or `wake`."""

    def wake(self) -> None:
        """Let time pass again: the driver has lost a node with a member of the group, or this
        replica is asked for something by somebody."""

    def propose(self, data: bytes) -> int | None:
        """Append an entry of the present term; its index, or None if it was not taken."""

    def read_index(self, context: object) -> bool:
        """Ask for a linearizable read; False if this replica neither leads nor can ask who does.
        `context` comes back exactly once, in `Ready.reads` or `Ready.reads_failed`."""

    def lease_read(self, now: float) -> int | None:
        """The index that a linearizable read must see, if this replica leads and a lease holds;
        None: ask `read_index`. `now` is read after the request has come."""

    def has_ready(self) -> bool:
        """Whether `ready` would give the driver anything to do."""

    def ready(self) -> Ready:
        """Take what is to be done; `persisted` must follow before the next one."""

    def persisted(self, ready: Ready) -> None:
        """Hard state and entries of `ready` are durable."""

    # Members and the office, as the docstring of `nodes.raft.core` tells.

    @property
    def membership(self) -> Membership:
        """Who belongs to the group, as far as this replica's log tells, committed or not."""

    @property
    def committed_membership(self) -> Membership:
        """The newest that is known to be committed."""

    @property
    def is_changing(self) -> bool:
        """`membership` is not handed out as committed yet: the next change has to wait."""

    def change_membership(self, membership: Membership) -> int:
        """Propose the next one; the index of its entry. Raises ChangeRefused."""

    def transfer(self, successor: int) -> bool:
        """Begin to hand the office over to a voter; False if this replica cannot now. Raises
        ChangeRefused if it never can."""

    def progress(self) -> dict[int, tuple[int, bool]]:
        """Of every member, as the leader knows it: the last index that it has durably, and
        whether it has answered lately. Empty on others."""

    # Compaction and snapshots, as the docstring of `nodes.raft.core` tells.

    @property
    def compaction_limit(self) -> int:
        """Entries behind it have to stay in the log."""

    def base(self, index: int) -> LogBase:
        """What stands for the entries up to `index`, if they are given up."""

    def compact(self, index: int) -> LogBase:
        """Give up the entries up to `index`, whose effect the state machine holds durably."""

    def offer_snapshot(self, snapshot: Snapshot) -> None:
        """What `Ready.wants_snapshot` asked for."""

    def forget_snapshot(self, snapshot: Snapshot) -> bool:
        """Whether its file may be deleted."""

    def snapshot_received(self, *, intact: bool) -> None:
        """The file that came in with `Ready.chunks` is complete."""

    def forget_chunks(self) -> None:
        """What came in with them was not kept: it has to come again, from its beginning."""


class FixedGroup:
    """The part of a consensus whose group stays as it is: no snapshots, no change of members, no
    handing over of the office."""

    successor = NO_REPLICA
    is_quiescent = False
    has_asked_successor = False
    is_changing = False

    def __init__(self, engine: str, membership: Membership) -> None:
        self._engine = engine
        self.membership = membership
        self.committed_membership = membership

    def change_membership(self, membership: Membership) -> int:
        raise ChangeRefused(
            f"The engine {self._engine!r} changes no members; docs/engines.md says how a cluster "
            'gets the engine "core".'
        )

    def transfer(self, successor: int) -> bool:
        raise ChangeRefused(
            f"The engine {self._engine!r} hands no leadership over; docs/engines.md says how a "
            'cluster gets the engine "core".'
        )

    def progress(self) -> dict[int, tuple[int, bool]]:
        return {}

    def lease_read(self, now: float) -> int | None:
        return None

    def wake(self) -> None:
        """Such a group is always awake."""

    @property
    def compaction_limit(self) -> int:
        return 0

    def base(self, index: int) -> LogBase:
        raise AssertionError("this log is not compacted")

    def compact(self, index: int) -> LogBase:
        raise AssertionError("this log is not compacted")

    def offer_snapshot(self, snapshot: Snapshot) -> None:
        raise AssertionError("no snapshot was asked for")

    def forget_snapshot(self, snapshot: Snapshot) -> bool:
        return True

    def snapshot_received(self, *, intact: bool) -> None:
        raise AssertionError("no snapshot comes in")

    def forget_chunks(self) -> None:
        raise AssertionError("no snapshot comes in")
