"""What kinds of runs there are: a seed decides which one it is, for each engine."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.sim.raft_cluster import Options, Simulation
from tests.sim.raft_faults import ALL_FAULTS
from tests.sim.raft_pysyncobj import PysyncobjCore
from tests.sim.raft_shapes import shape
from tests.sim.raft_stock_cluster import FAULTS_OF_STOCK, StockSimulation

__all__ = ["ENGINES", "Engine"]


_FAULTS_OF_PYSYNCOBJ = tuple(
    fault
    for fault in ALL_FAULTS
    if fault not in ("transfer", "add replica", "promote", "remove replica", "corrupt chunks")
)


def shape_of_pysyncobj(rng: random.Random, base: Options) -> Options:
    """The same weather, adversary and duels, for what this engine does."""
    options = dataclasses.replace(
        base,
        core=PysyncobjCore,
        faults=_FAULTS_OF_PYSYNCOBJ,
        replicas=rng.choice([3, 3, 4, 5, 7]),
        fault_ticks=rng.choice([6, 12, 30]),
        tail_entries_max=rng.choice([4, 4096]),
        delay=rng.choice([3.0, 3.0, 10.0]),
        compact_ticks=0,
        late=rng.choice([0.0, 0.01]),
        overtakes=False,
        has_ready_is_exact=False,
        progress_ticks=10 * base.progress_ticks,
    )
    match rng.choice(["weather", "strikes", "duels"]):
        case "strikes":
            return dataclasses.replace(
                options, replicas=5, fault_ticks=30, delay=3.0, strike=rng.choice([0.3, 1.0])
            )
        case "duels":
            faults = (*options.faults, *["duel"] * len(options.faults))
            return dataclasses.replace(options, fault_ticks=3, faults=faults, vote_crash=0.5)
    return options


def shape_of_stock(rng: random.Random, base: Options) -> Options:
    """Partitions, crashes and pauses around snapshots; `tail_entries_max` is
    logCompactionMinEntries, which is 5 000 by default."""
    return dataclasses.replace(
        base,
        faults=FAULTS_OF_STOCK,
        replicas=rng.choice([3, 3, 5]),
        fault_ticks=rng.choice([6, 12, 30]),
        delay=rng.choice([1.0, 3.0]),
        tail_entries_max=rng.choice([10, 30, 100]),
        compact_ticks=0,
    )


@dataclass(frozen=True)
class Engine:
    """One of those that can be simulated."""

    shape: Callable[[random.Random, Options], Options]
    must_happen: tuple[str, ...]
    """A run over many seeds in which one of these never happened has proven too little."""
    simulation: type[Simulation] = Simulation
    off: tuple[str, ...] = ()
    """Checks and faults that are left out, and why."""


ENGINES: dict[str, Engine] = {
    "core": Engine(
        shape,
        (
            *dict.fromkeys(ALL_FAULTS),
            *("slow answers", "many changes", "migrate leader", "crash loop"),
            "strand leader",
            *("strikes", "elections", "truncations", "crashes", "compactions", "snapshots made"),
            *("snapshots installed", "snapshots refused", "chunks corrupted"),
            *("membership changes", "changes refused", "changes asked for at once"),
            *("transfers begun", "writes", "commands repeated", "reads", "lease reads"),
            *("follower reads", "reads failed", "woken by a node's silence"),
        ),
    ),
    "pysyncobj": Engine(
        shape_of_pysyncobj,
        (
            *dict.fromkeys(_FAULTS_OF_PYSYNCOBJ),
            *("strikes", "elections", "truncations", "crashes", "writes", "commands repeated"),
            *("reads", "reads failed"),
        ),
        off=(
            "membership changes, transfer, leases, reads at followers, quiescence: not offered",
            "compaction and snapshots, corrupt chunks: its log is never cut",
            "has_ready is not exact: it may announce a turn with nothing to do",
            "overtaking: its messages travel in TCP connections; one that comes late is asked for",
            "progress is demanded within ten times the ticks: one entry back per refusal",
        ),
    ),
    "pysyncobj-stock": Engine(
        shape_of_stock,
        (
            *dict.fromkeys(FAULTS_OF_STOCK),
            *("killed while it wrote", "elections", "crashes", "writes"),
        ),
        StockSimulation,
        off=(
            "reads: local, never linearizable; exactly once: commands have no sessions",
            "loss, repetition, overtaking: its messages travel in TCP connections",
            "lost unsynced writes, slow disks: it is only ever killed, and nothing is synced",
            "clock jumps, duels: its clock is monotonic",
            "membership changes, transfer: off by default",
            "progress after healing: the runs show what is lost, not what is late",
            "dumps are written without a fork (useFork=False): a run has one process",
        ),
    ),
}
