"""Which consensus a replica runs: the word `engine` of cluster.toml, made into an object.

The one place that knows all of them (docs/engines.md says when to use which).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from nodes.consensus import Consensus, EngineRefused
from nodes.local_engine import LocalConsensus
from nodes.pysyncobj_engine import PysyncobjConsensus
from nodes.raft.core import RaftCore
from nodes.raft.lease import LeaseRule
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, Membership

__all__ = ["new_consensus"]


def new_consensus(
    engine: str,
    *,
    replica: int,
    memberships: Sequence[tuple[int, Membership]],
    rng: random.Random,
    election_ticks: int,
    hard_state: HardState,
    log: RaftLog,
    applied: int = 0,
    first_timeout_ticks: int | None = None,
    lease_rule: LeaseRule | None = None,
) -> Consensus:
    """One of `config.ENGINES`. The arguments mean what they mean to `RaftCore`; a local replica
    needs no chance and no time. Only the core can change who belongs to a group, the others take
    the last change for granted. Raises EngineRefused."""
    membership = memberships[-1][1]
    if engine != "core" and (membership.learners or replica not in membership.voters):
        raise EngineRefused(f'engine is {engine!r}, which knows voters only; use engine = "core".')
    if engine == "local":
        if len(membership.voters) > 1:
            raise EngineRefused(
                f"engine is 'local', but the group has {len(membership.voters)} replicas; "
                'use engine = "core".'
            )
        return LocalConsensus(
            replica=replica,
            membership=membership,
            hard_state=hard_state,
            log=log,
            applied=applied,
        )
    if engine == "pysyncobj":
        return PysyncobjConsensus(
            replica=replica,
            membership=membership,
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
        memberships=memberships,
        rng=rng,
        election_ticks=election_ticks,
        hard_state=hard_state,
        log=log,
        applied=applied,
        first_timeout_ticks=first_timeout_ticks,
        lease_rule=lease_rule,
        quiesce_ticks=election_ticks,
    )
