"""Our engine around pysyncobj (`nodes.pysyncobj_engine`), as the simulator drives a core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodes.pysyncobj_engine import PysyncobjConsensus
from nodes.raft.messages import Membership

__all__ = ["PysyncobjCore"]


class PysyncobjCore(PysyncobjConsensus):
    """Takes the arguments of RaftCore; those for what this engine does not do say so."""

    is_quiescent = False

    def __init__(
        self,
        *,
        memberships: Sequence[tuple[int, Membership]],
        lease_rule: None = None,
        quiesce_ticks: int = 0,
        **arguments: Any,
    ) -> None:
        assert lease_rule is None, "no leases"
        assert not quiesce_ticks, "no quiescence"
        super().__init__(membership=memberships[-1][1], **arguments)
