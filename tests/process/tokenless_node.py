"""A node that takes every read of a session for one that has seen nothing: as if the session's
token had been lost on the way. Started in the place of a node; a mutant that must be convicted."""

from __future__ import annotations

import sys

from nodes.__main__ import main
from nodes.engine import Barrier
from nodes.protocol import AtLeast, Consistency
from nodes.raft_engine import RaftEngine

_with_token = RaftEngine.read_barrier


def read_barrier(
    self: RaftEngine, consistency: Consistency, done: Barrier, *, at_follower: bool = False
) -> None:
    if isinstance(consistency, AtLeast):
        consistency = "any"
    _with_token(self, consistency, done, at_follower=at_follower)


if __name__ == "__main__":
    RaftEngine.read_barrier = read_barrier  # type: ignore[method-assign]
    sys.exit(main())
