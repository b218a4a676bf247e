"""What clients do, and the checks that say what they may see: docs/workloads.md lists them."""

from typing import Any

from jepsen_like.workloads.append import append, write_skew
from jepsen_like.workloads.bank import bank
from jepsen_like.workloads.chains import sequential
from jepsen_like.workloads.counter import counter
from jepsen_like.workloads.crash_replay import crash_replay
from jepsen_like.workloads.lease import lease
from jepsen_like.workloads.numbers import monotonic, single_writer
from jepsen_like.workloads.register import (
    Register,
    RegisterMix,
    cas_register,
    register,
    sessions,
)
from jepsen_like.workloads.rw_register import rw_register
from jepsen_like.workloads.schema_change import schema_change
from jepsen_like.workloads.sets import sets as set
from jepsen_like.workloads.unique_ids import unique_ids
from jepsen_like.workloads.visibility import causal_reverse, long_fork
from jepsen_like.workloads.workload import SqlCall, SqlTransaction, Workload

__all__ = [
    "Register",
    "RegisterMix",
    "SqlCall",
    "SqlTransaction",
    "Workload",
    "append",
    "bank",
    "cas_register",
    "causal_reverse",
    "counter",
    "crash_replay",
    "lease",
    "long_fork",
    "monotonic",
    "register",
    "rw_register",
    "schema_change",
    "sequential",
    "sessions",
    "set",
    "single_writer",
    "unique_ids",
    "write_skew",
]


def __getattr__(name: str) -> Any:
    made = [known for known in __all__ if known[0].islower()]
    raise AttributeError(f"there is no workload {name}; there are {', '.join(made)}")
