"""Transactions: which isolation a history of them contradicts, and the cycle that shows it.

After Adya (1999) and Elle (Kingsbury and Alvaro 2020): what clients read tells in which order
versions came, that tells which transaction must have come before which, and a cycle of these is
an anomaly, named by the kinds of its edges.
"""

from jepsen_like.checks.transactions.check import CONSISTENCIES, check

__all__ = ["CONSISTENCIES", "check"]
