"""Replicated register stores in the four corners of PACELC, simulated event by event.

For teaching, and to prove the rule that labels real ones: what these do is known. Three nodes; n1
leads, is cut off for a while, and n2 leads from half a second later on. What the corners do is as
in a textbook: PC writes and EC reads take a leader and a majority; EL reads look at the local copy;
PA/EL writes are local and spread later, the last writer wins; PA/EC is a quorum (with write-back,
after Attiya, Bar-Noy and Dolev 1995) that falls back to the local copy. Every store has local reads
too, the positive control.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from jepsen_like.checks.corners import ExperimentRun, OperationClass, control_of
from jepsen_like.checks.pacelc import label
from jepsen_like.history import Operation
from jepsen_like.result import ClassLabel, FaultRecord

__all__ = ["CORNERS", "Store", "corner_labels", "faults"]

NODES = ("n1", "n2", "n3")
LOCAL = "read local"
MS = 1_000_000
SECOND = 1_000 * MS
DEADLINE = SECOND // 2
FAILOVER = SECOND // 2
FALLBACK = SECOND // 10
HEALTHY = 2 * SECOND
CUT = (HEALTHY, HEALTHY + 12 * SECOND)
SWEEP = tuple(
    (rtt * MS, (16 + 8 * n) * SECOND, (24 + 8 * n) * SECOND) for n, rtt in enumerate((5, 20, 40))
)
END = SWEEP[-1][2]
Version = tuple[int, int]

CORNERS: Final = {
    "PC/EC": ("PC/EC", "PC/EC"),
    "PC/EL": ("PA/EL", ""),
    "PA/EC": ("PA/EC", "PA/EC"),
    "PA/EL": ("PA/EL", "PA/EL"),
}
"""Where the reads and the writes of each store stand. In PC/EL reads look at the local copy, which
answers also in a cut; and reads that may be stale are no witness of what became of a write."""


@dataclass
class Store:
    corner: str
    seed: int = 1
    rate: float = 600.0
    keys: int = 4
    is_cut_real: bool = True
    now: int = 0
    history: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.values = itertools.count(1)
        self.process = itertools.count()
        self.data: dict[str, dict[int, tuple[Version, int]]] = {node: {} for node in NODES}

    # ---- the network

    def at(self, time: int, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (time, next(self.order), what))

    def one_way(self) -> int:
        for rtt, start, end in SWEEP:
            if start <= self.now < end:
                return rtt // 2
        return MS

    def is_cut(self, a: str, b: str, at: int) -> bool:
        return self.is_cut_real and a != b and "n1" in (a, b) and CUT[0] <= at < CUT[1]

    def send(self, a: str, b: str, what: Callable[[], None]) -> None:
        """Held by a cut until the heal."""
        delay = 0 if a == b else self.one_way()
        self.at((CUT[1] if self.is_cut(a, b, self.now) else self.now) + delay, what)

    def leader(self, node: str) -> str:
        if self.now < CUT[0] + FAILOVER:
            return "n1"
        return "n1" if self.is_cut(node, "n2", self.now) else "n2"

    def has_majority(self, node: str) -> bool:
        return sum(not self.is_cut(node, other, self.now) for other in NODES) >= 2

    # ---- replicas

    def put(self, node: str, key: int, version: Version, value: int) -> None:
        if self.data[node].get(key, ((-1, 0), 0))[0] < version:
            self.data[node][key] = (version, value)

    def get(self, node: str, key: int) -> tuple[Version, int]:
        return self.data[node].get(key, ((-1, 0), 0))

    def spread(self, node: str, key: int, version: Version, value: int) -> None:
        for other in NODES:
            self.send(node, other, partial(self.put, other, key, version, value))

    def peer(self, node: str) -> str:
        return next(n for n in reversed(NODES) if n != node and not self.is_cut(n, node, self.now))

    # ---- operations

    def read(self, node: str, key: int, done: Callable[[Any], None], *, local: bool) -> None:
        if local or self.corner.endswith("EL"):
            done(self.get(node, key)[1])
        elif self.corner == "PC/EC":
            leader = self.leader(node)

            def confirm() -> None:
                if self.has_majority(leader):
                    self.at(self.now + 2 * self.one_way(), answer)

            def answer() -> None:
                value = self.get(leader, key)[1]
                self.send(leader, node, lambda: done(value))

            self.send(node, leader, confirm)
        elif self.has_majority(node):
            peer = self.peer(node)

            def ask() -> None:
                found = max(self.get(node, key), self.get(peer, key))
                self.put(peer, key, *found)

                def write_back() -> None:
                    self.put(node, key, *found)
                    self.at(self.now + 2 * self.one_way(), lambda: done(found[1]))

                self.at(self.now + self.one_way(), write_back)

            self.at(self.now + self.one_way(), ask)
        else:
            self.at(self.now + FALLBACK, lambda: done(self.get(node, key)[1]))

    def write(self, node: str, key: int, value: int, done: Callable[[Any], None]) -> None:
        if self.corner.startswith("PC"):
            leader = self.leader(node)

            def replicate() -> None:
                if self.has_majority(leader):
                    self.at(self.now + 2 * self.one_way(), commit)

            def commit() -> None:
                version = (self.now, next(self.order))
                for member in {leader, "n2"}:  # who will lead next is in every majority
                    self.put(member, key, version, value)
                self.spread(leader, key, version, value)
                self.send(leader, node, lambda: done(None))

            self.send(node, leader, replicate)
            return
        version = (self.now, next(self.order))
        self.put(node, key, version, value)
        self.spread(node, key, version, value)
        wait = 0
        if self.corner == "PA/EC":
            wait = 2 * self.one_way() if self.has_majority(node) else FALLBACK
        self.at(self.now + wait, lambda: done(None))

    # ---- clients

    def call(self, f: str, node: str, key: int) -> None:
        sent, process = self.now, next(self.process)
        value = next(self.values) if f == "write" else None
        ended: list[bool] = []

        def end(outcome: Any, output: Any = None) -> None:
            if not ended:
                ended.append(True)
                self.history.append(
                    Operation(process, f, key, value, outcome, output, sent, sent, self.now, node)
                )

        self.at(sent + DEADLINE, lambda: end("info" if f == "write" else "fail"))
        if value is None:
            self.read(node, key, lambda output: end("ok", output), local=f == LOCAL)
        else:
            self.write(node, key, value, lambda _: end("ok"))

    def run(self) -> list[Operation]:
        time = 0
        while time < END:
            time += round(self.rng.expovariate(self.rate) * 1e9)
            f = self.rng.choices(["read", LOCAL, "write"], [5, 3, 2])[0]
            node, key = self.rng.choice(NODES), self.rng.randrange(self.keys)
            self.at(time, partial(self.call, f, node, key))
        while self.events:
            self.now, _, what = heapq.heappop(self.events)
            what()
        return sorted(self.history, key=lambda o: o.returned_ns)


def faults() -> tuple[FaultRecord, ...]:
    """The ledger of such a run."""
    cut = FaultRecord(
        "partition isolate(leader of registers)",
        "partition",
        "n1",
        "leader of registers",
        "follower",
        *CUT,
        sides=(("n1",), ("n2", "n3")),
        verified_start=True,
        verified_end=True,
    )
    steps = (
        FaultRecord(
            f"slow links {rtt}",
            "slow",
            "all links",
            "",
            "",
            start,
            end,
            rtt_ns=rtt,
            verified_start=True,
            verified_end=True,
        )
        for rtt, start, end in SWEEP
    )
    return (cut, *steps)


def corner_labels(seed: int) -> tuple[ClassLabel, ...]:
    """What the rule says of reads and writes of the four stores; the same for the same seed."""
    found: list[ClassLabel] = []
    for corner, (reads, writes) in CORNERS.items():
        level = f"store {corner}"
        classes = (
            OperationClass("read", level, reads),
            OperationClass("write", level, writes, witness="read"),
            OperationClass(LOCAL, level, ""),
        )
        run = ExperimentRun(Store(corner, seed).run(), (), faults(), 0)
        rng = random.Random(f"{seed}/{corner}")
        figures = [run.figures(one, _held_by, rng) for one in classes]
        control = control_of(figures, LOCAL)
        found += [label(one, control) for one in figures[:2]]
    return tuple(found)


def _held_by(_operation: Operation) -> str:
    return "registers"
