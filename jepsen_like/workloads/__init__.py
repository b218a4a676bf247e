"""What clients do, and the checks that say what they may see: docs/workloads.md lists them."""

from jepsen_like.workloads.register import Register, RegisterMix, cas_register, register
from jepsen_like.workloads.workload import SqlCall, Workload

__all__ = ["SqlCall", "Workload", "Register", "RegisterMix", "register", "cas_register"]
