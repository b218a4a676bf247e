"""Transactions: which isolation a history of them contradicts, and the cycle that shows it.

After Adya (1999) and Elle (Kingsbury and Alvaro 2020): what clients read tells in which order
versions came, that tells which transaction must have come before which, and a cycle of these is
an anomaly, named by the kinds of its edges.
"""

from jepsen_like.checks.transactions.check import CONSISTENCIES, WRITE_SKEW, check
from jepsen_like.checks.transactions.visibility import (
    CAUSAL_REVERSE,
    LONG_FORK,
    causal_reverse,
    long_fork,
)

__all__ = [
    "CONSISTENCIES", "WRITE_SKEW", "LONG_FORK", "CAUSAL_REVERSE",
    "check", "long_fork", "causal_reverse",
]  # fmt: skip
