"""What kinds of runs there are: a seed decides which one it is, for each engine."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.sim.raft_cluster import Options, Simulation
from tests.sim.raft_faults import ALL_FAULTS, FAULTS_OF_CLOCKS
from tests.sim.raft_pysyncobj import PysyncobjCore
from tests.sim.raft_stock_cluster import FAULTS_OF_STOCK, StockSimulation

__all__ = ["ENGINES", "Engine"]


def shape(rng: random.Random, base: Options) -> Options:
    """What kind of run a seed is. They hunt different rules: bad weather finds most; an
    adversary who strikes at elections and commits finds figure 3.7; duels of candidates whose
    voters crash find votes given twice; a busy administrator, and one who cannot wait, find
    wrong majorities; clocks of which one runs much faster find leases that last too long;
    replicas that are away while logs are cut find snapshots that say the wrong thing."""
    options = dataclasses.replace(
        base,
        replicas=rng.choice([3, 3, 4, 5, 7]),
        fault_ticks=rng.choice([6, 12, 30]),
        tail_entries_max=rng.choice([4, 4096]),
        delay=rng.choice([3.0, 3.0, 10.0, 30.0]),
        compact_ticks=rng.choice([0, 3, 20]),
        leases=rng.random() < 0.4,
        quiesce_ticks=rng.choice([0, 0, 2]),
        late=rng.choice([0.03, 0.03, 0.15]),
    )
    options = dataclasses.replace(options, idle=0.6 if options.quiesce_ticks else 0.0)
    if options.leases:
        faults = tuple(fault for fault in options.faults if fault not in FAULTS_OF_CLOCKS)
        options = dataclasses.replace(options, faults=faults)
    kinds = ["weather", "strikes", "duels", "members", "haste", "leases", "leases", "snapshots"]
    kinds += ["impatience", "restarts"]
    match rng.choice(kinds):
        case "strikes":
            return dataclasses.replace(
                options, replicas=5, fault_ticks=30, delay=3.0, strike=rng.choice([0.3, 1.0])
            )
        case "duels" if not options.leases:
            return dataclasses.replace(
                options,
                fault_ticks=3,
                delay=rng.choice([3.0, 10.0]),
                faults=(*options.faults, *["duel"] * len(options.faults)),
                vote_crash=0.5,
                late=rng.choice([0.03, 0.2]),
            )
        case "members":
            changes = ("add replica", "promote", "remove replica", "transfer", "isolate leader")
            return dataclasses.replace(
                options,
                replicas=rng.choice([2, 3, 4]),
                fault_ticks=rng.choice([1.5, 4]),
                delay=rng.choice([3.0, 10.0]),
                faults=(*options.faults, *changes * 5, *["heal"] * 6),
                strike=rng.choice([0.0, 0.3]),
            )
        case "leases":
            often: tuple[str, ...] = ("isolate leader", "one way", "transfer", "crash some")
            often += ("pause leader", "heal", "heal", "promote", "remove replica")
            if rng.random() < 0.6:
                often = ("estrange", "abandon", "mute leader", "slow answers") * 2
                often += ("transfer", "transfer", "heal", "heal", "deafen leader")
            return dataclasses.replace(
                options,
                replicas=3,
                fault_ticks=rng.choice([1.5, 3, 6, 12]),
                delay=rng.choice([1.0, 3.0, 10.0, 20.0]),
                faults=often,
                leases=True,
                drift=rng.choice([0.0, 0.2, 1.0, 3.0]),
                quiesce_ticks=0,
                idle=0.0,
                late=rng.choice([0.0, 0.1]),
                writes=rng.choice([0.5, 0.02]),
            )
        case "snapshots":
            away = ("isolate", "crash", "crash some", "slow disk", "corrupt chunks", "heal", "heal")
            return dataclasses.replace(
                options,
                replicas=rng.choice([3, 3, 5]),
                fault_ticks=rng.choice([3, 6]),
                delay=rng.choice([1.0, 3.0, 10.0]),
                faults=options.faults + away * 4,
                compact_ticks=rng.choice([1, 3]),
            )
        case "haste":
            return dataclasses.replace(
                options,
                replicas=4,
                fault_ticks=30,
                delay=3.0,
                faults=(*options.faults, *["promote", "add replica"] * 5),
                hasty=rng.choice([0.5, 1.0]),
            )
        case "impatience":
            return dataclasses.replace(
                options,
                replicas=rng.choice([4, 5]),
                fault_ticks=rng.choice([3, 6]),
                delay=3.0,
                faults=("many changes", "heal", "heal", "split", "isolate leader", "crash"),
            )
        case "restarts":
            # Whoever lost the leader has the whole log if nobody wrote meanwhile, and what is
            # read of the old one is stale as soon as the new one has served who waited for it.
            return dataclasses.replace(
                options,
                replicas=3,
                fault_ticks=rng.choice([3, 6]),
                delay=rng.choice([1.0, 3.0]),
                faults=("estrange", "abandon", "heal"),
                leases=True,
                drift=rng.choice([0.0, 0.2]),
                quiesce_ticks=0,
                idle=0.0,
                late=0.0,
                writes=0.02,
                pent_up=True,
            )
    return options


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
            *("slow answers", "many changes"),
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
