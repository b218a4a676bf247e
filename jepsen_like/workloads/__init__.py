"""What clients do, and the model that says what they may see."""

from jepsen_like.workloads.register import Register, register
from jepsen_like.workloads.workload import SqlCall, Workload

__all__ = ["SqlCall", "Workload", "Register", "register"]
