"""What a router counts of the statements that its clients send: how many, how long, what became.

Pure: times come in. The hot path counts by itself what went well (`nodes.metrics.Latencies`); all
else comes here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from nodes.metrics import Latencies
from shardrouter.errors import RouterError
from shardrouter.execution import Execution
from shardrouter.planned import (
    CopyFrom,
    CopyTo,
    OneShard,
    Plan,
    RowsWrite,
    Scatter,
    SchemaChange,
    TransactionControl,
)

__all__ = ["KINDS", "SQLSTATES_SHOWN", "Meter", "kind_of"]

KINDS: Final = (
    "read",  # of one shard
    "write",
    "several",  # shards are read
    "schema",
    "transaction",  # BEGIN, COMMIT, SAVEPOINT and the like
    "copy",
    "other",  # settings, constants, catalogs
    "unplanned",  # could not be prepared
)

SQLSTATES_SHOWN: Final = ("40001", "08007", "53300", "55P03", "57014", "57P03")
"""Shown from the start, so that an alarm has something to look at: a conflict, an unknown outcome,
too much work, locked by another transaction, out of time, unavailable."""

SQLSTATES_MAX: Final = 256
"""Of which failures are told apart; PostgreSQL has about as many."""


class Meter:
    """Of one router."""

    def __init__(self) -> None:
        self.took: dict[str, Latencies] = {kind: Latencies() for kind in KINDS}
        """All of them, however they ended."""
        self.reads = self.took["read"]
        self.writes = self.took["write"]
        self.failed: defaultdict[str, int] = defaultdict(int)
        """Of these: definitely without effect."""
        self.unknown: defaultdict[str, int] = defaultdict(int)
        """Of these: nobody knows (08007)."""
        self.sqlstates: Counter[str] = Counter(dict.fromkeys(SQLSTATES_SHOWN, 0))

    def ended(self, unit: Sequence[Execution], error: RouterError | None, seconds: float) -> None:
        """A unit of commit was answered; each of its statements then."""
        for execution in unit:
            self.note(kind_of(execution.prepared.plan), error, seconds)
        if error is not None:
            self.error(error)

    def note(self, kind: str, error: RouterError | None, seconds: float) -> None:
        took = self.took[kind]
        took.counts[int(seconds * 1e6).bit_length()] += 1
        took.seconds += seconds
        if error is not None:
            (self.failed if error.definite else self.unknown)[kind] += 1

    def refused(self, error: RouterError) -> None:
        """A statement could not be prepared."""
        self.note("unplanned", error, 0.0)
        self.error(error)

    def error(self, error: RouterError) -> None:
        known = error.sqlstate in self.sqlstates or len(self.sqlstates) < SQLSTATES_MAX
        self.sqlstates[error.sqlstate if known else "other"] += 1


def kind_of(plan: Plan) -> str:
    if isinstance(plan, OneShard):
        return "write" if plan.is_write else "read"
    if isinstance(plan, RowsWrite):
        return "write"
    if isinstance(plan, Scatter):
        return "several"
    if isinstance(plan, SchemaChange):
        return "schema"
    if isinstance(plan, TransactionControl):
        return "transaction"
    return "copy" if isinstance(plan, CopyFrom | CopyTo) else "other"
