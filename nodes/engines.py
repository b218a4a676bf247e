"""Which consensus a replica runs: the word `engine` of cluster.toml, made into an object.

The one place that knows all of them (docs/engines.md says when to use which).
"""

from __future__ import annotations

import random
from collections.abc import Collection

from nodes.consensus import Consensus
from nodes.local_engine import LocalConsensus
from nodes.pysyncobj_engine import PysyncobjConsensus
from nodes.raft.core import RaftCore
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState

__all__ = ["new_consensus"]


def new_consensus(
    engine: str,
    *,
    replica: int,
    voters: Collection[int],
    rng: random.Random,
    election_ticks: int,
    hard_state: HardState,
    log: RaftLog,
    applied: int = 0,
    first_timeout_ticks: int | None = None,
) -> Consensus:
    """One of `config.ENGINES`. The arguments mean what they mean to `RaftCore`; a local replica
    needs no chance and no time."""
    if engine == "local":
        return LocalConsensus(
            replica=replica, voters=voters, hard_state=hard_state, log=log, applied=applied
        )
    if engine == "pysyncobj":
        return PysyncobjConsensus(
            replica=replica,
            voters=voters,
            rng=rng,
            election_ticks=election_ticks,
            hard_state=hard_state,
            log=log,
            applied=applied,
            first_timeout_ticks=first_timeout_ticks,
        )
    assert engine == "core", f"there is no engine {engine!r}"
    return RaftCore(
        replica=replica,
        voters=voters,
        rng=rng,
        election_ticks=election_ticks,
        hard_state=hard_state,
        log=log,
        applied=applied,
        first_timeout_ticks=first_timeout_ticks,
    )
