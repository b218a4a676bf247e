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

from nodes.raft.core import Role
from nodes.raft.messages import RaftMessage
from nodes.raft.ready import Ready

__all__ = ["Consensus"]


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
    def commit(self) -> int:
        """Index of the last entry known to be committed."""

    def step(self, message: RaftMessage) -> None:
        """A message has arrived. One of another engine changes nothing."""

    def tick(self) -> None:
        """One unit of time has passed."""

    def propose(self, data: bytes) -> int | None:
        """Append an entry of the present term; its index, or None if it was not taken."""

    def read_index(self, context: object) -> bool:
        """Ask for a linearizable read; False if this replica does not lead. `context` comes
        back exactly once, in `Ready.reads` or `Ready.reads_failed`."""

    def has_ready(self) -> bool:
        """Whether `ready` would give the driver anything to do."""

    def ready(self) -> Ready:
        """Take what is to be done; `persisted` must follow before the next one."""

    def persisted(self, ready: Ready) -> None:
        """Hard state and entries of `ready` are durable."""
