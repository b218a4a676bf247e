"""Run the simulated Raft group over many seeds.

    python -m tests.sim.raft_sim --seeds 3000 --jobs 2 [--seed FIRST] [--ticks 1200] [--mutant NAME]
    python -m tests.sim.raft_sim --mutants          # the table: who is convicted after how many

A seed decides everything, the shape of the group included. A violation prints the seed, the
shortest schedule of faults that was found to break the same run, and the command that replays
it; the exit code is 1, also if some kind of fault never happened.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nodes.raft import log, progress, read_queue, snapshots
from tests.sim.raft_checker import Violation
from tests.sim.raft_cluster import Options, Simulation
from tests.sim.raft_faults import ALL_FAULTS, FAULTS_OF_CLOCKS
from tests.sim.raft_mutants import MUTANTS, Mutant

__all__ = ["MUST_HAPPEN", "find_violation", "run_seed", "shape", "simulation"]

TICK_S = 0.05
"""A tick in the nodes' default configuration."""

CONVICTION_SEEDS = 3000
SHRINK_RUNS_MAX = 60

MUST_HAPPEN = (
    *dict.fromkeys(ALL_FAULTS),
    *("strikes", "elections", "truncations", "crashes", "compactions", "snapshots made"),
    *("snapshots installed", "snapshots refused", "chunks corrupted", "membership changes"),
    *("changes refused", "transfers begun", "writes", "commands repeated", "reads", "lease reads"),
    *("changes asked for at once", "follower reads", "reads failed", "woken by a node's silence"),
)
"""A run over many seeds in which one of these never happened has proven too little."""

_SMALL_LIMITS = (
    (log, "MESSAGE_ENTRIES_MAX", 2),
    (log, "MESSAGE_BYTES_MAX", 8),
    (log, "_READ_ENTRIES", 2),
    (progress, "WINDOW_MESSAGES_MAX", 2),
    (read_queue, "ROUNDS_MAX", 2),
    (snapshots, "CHUNKS_MAX", 2),
)


@contextmanager
def _replaced(are_small: bool, mutant: Mutant) -> Iterator[None]:
    """Limits that a short run meets all the time, and what the mutant replaces."""
    changes = [(snapshots, "CHUNK_BYTES", 4), *mutant.names]
    if are_small:
        changes += _SMALL_LIMITS
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


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
            often = ("isolate leader", "one way", "transfer", "crash some", "pause leader", "heal")
            if rng.random() < 0.5:
                often = ("estrange", "abandon", "transfer", "transfer", "deafen leader", "heal")
            return dataclasses.replace(
                options,
                replicas=3,
                fault_ticks=rng.choice([1.5, 3, 6, 12]),
                delay=rng.choice([1.0, 3.0, 10.0, 20.0]),
                faults=often * 2 + ("heal", "heal", "promote", "remove replica"),
                leases=True,
                drift=rng.choice([0.0, 0.2, 1.0, 3.0]),
                quiesce_ticks=0,
                idle=0.0,
                late=rng.choice([0.0, 0.1, 0.3]),
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
    return options


def simulation(seed: int, base: Options, mutant: Mutant | None = None) -> Simulation:
    """The run that `seed` stands for, not begun."""
    options = shape(random.Random(f"shape {seed}"), base)
    return Simulation(seed, dataclasses.replace(options, **(mutant.options if mutant else {})))


def run(seed: int, made: Simulation, mutant: Mutant | None = None) -> Counter[str]:
    """Raises Violation; a core that breaks is one too."""
    gc.disable()  # a run makes few cycles and much that lives to its end: a fifth of its time
    try:
        with _replaced(random.Random(f"limits {seed}").random() < 0.6, mutant or Mutant()):
            return made.run()
    except (AssertionError, LookupError) as exc:
        raise Violation(f"{type(exc).__name__}: {exc}") from exc
    finally:
        gc.enable()


def run_seed(seed: int, base: Options, mutant: Mutant | None = None) -> Counter[str]:
    return run(seed, simulation(seed, base, mutant), mutant)


def find_violation(
    seeds: Iterable[int], options: Options, mutant: Mutant | None = None
) -> tuple[int, Violation] | None:
    """The first seed that breaks a promise."""
    for seed in seeds:
        try:
            run_seed(seed, options, mutant)
        except Violation as violation:
            return seed, violation
    return None


# ---------------------------------------------------------------- one violation, made small


@dataclass(frozen=True)
class Found:
    """A run that breaks a promise."""

    seed: int
    ticks: int
    skip: tuple[int, ...]
    what: str
    schedule: tuple[str, ...]

    def report(self, mutant: str) -> str:
        lines = [f"seed {self.seed}: {self.what}", *(f"  {line}" for line in self.schedule)]
        command = f"python -m tests.sim.raft_sim --seeds 1 --seed {self.seed} --ticks {self.ticks}"
        if self.skip:
            command += f" --skip {','.join(map(str, self.skip))}"
        return "\n".join([*lines, f"replay: {command}{mutant and f' --mutant {mutant}'}"])


def _try(seed: int, options: Options, mutant: Mutant) -> Found | None:
    made = simulation(seed, options, mutant)
    try:
        run(seed, made, mutant)
    except Violation as exc:
        schedule = tuple(made.faults.schedule)
        return Found(seed, options.ticks, tuple(sorted(options.skip)), str(exc), schedule)
    return None


def shrink(found: Found, options: Options, mutant: Mutant) -> Found:
    """Leave out faults, many at once and then fewer, as long as a promise is broken. What the
    rest does may change with what is left out; so the result is small, not the smallest."""
    runs = 0
    size = max(1, len(found.schedule) // 2)
    while size and runs < SHRINK_RUNS_MAX:
        position = 0
        while position < len(found.schedule) and runs < SHRINK_RUNS_MAX:
            numbers = [int(line.split()[2]) for line in found.schedule]
            skip = options.skip | {*found.skip, *numbers[position : position + size]}
            runs += 1
            smaller = _try(found.seed, dataclasses.replace(options, skip=skip), mutant)
            if smaller is not None and len(smaller.schedule) < len(found.schedule):
                found = smaller
            else:
                position += size
        size //= 2
    return found


# ---------------------------------------------------------------- many seeds


@dataclass(frozen=True)
class _Batch:
    seeds: range
    options: Options
    mutant: str


def _run_batch(batch: _Batch) -> tuple[Counter[str], list[Found]]:
    """In a process of its own."""
    totals: Counter[str] = Counter()
    found: list[Found] = []
    mutant = MUTANTS[batch.mutant] if batch.mutant else Mutant()
    for seed in batch.seeds:
        try:
            totals.update(run_seed(seed, batch.options, mutant))
        except Violation:
            first = _try(seed, batch.options, mutant)
            assert first is not None, f"seed {seed} is not repeatable"
            found.append(shrink(first, batch.options, mutant))
    return totals, found


def _run_all(batches: list[_Batch], jobs: int) -> Iterator[tuple[Counter[str], list[Found]]]:
    if jobs == 1:
        yield from map(_run_batch, batches)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_run_batch, batches)


def _mutant_table(names: list[str], options: Options) -> int:
    """Who is convicted, by what, after how many seeds of the ordinary search."""
    escaped = 0
    for name in names:
        mutant = MUTANTS[name]
        mutant.check()
        found = find_violation(range(CONVICTION_SEEDS), options, mutant)
        if found is None:
            escaped += 1
            print(f"{name:<36} escaped {CONVICTION_SEEDS} seeds", flush=True)
        else:
            print(f"{name:<36} {found[0] + 1:>4}  {found[1]}", flush=True)
    return int(escaped > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate a Raft group over many seeds.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--ticks", type=int, default=1200, help="ticks with faults per seed")
    parser.add_argument("--skip", default="", help="numbers of faults to leave out, 1,2,...")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break a rule on purpose")
    parser.add_argument("--mutants", nargs="*", help="the table of broken rules, all or some")
    arguments = parser.parse_args()
    skip = frozenset(int(number) for number in arguments.skip.split(",") if number)
    options = Options(ticks=arguments.ticks, skip=skip)
    if arguments.mutants is not None:
        names = arguments.mutants or list(MUTANTS)
        return _mutant_table(names, dataclasses.replace(options, ticks=150))
    last = arguments.seed + arguments.seeds
    size = max(1, min(10, arguments.seeds // arguments.jobs // 4))
    batches = [
        _Batch(range(first, min(first + size, last)), options, arguments.mutant or "")
        for first in range(arguments.seed, last, size)
    ]
    totals: Counter[str] = Counter()
    violations: list[Found] = []
    started = time.monotonic()
    console = Console(stderr=True)
    columns = (TextColumn("seeds"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("seeds", total=arguments.seeds)
        for batch, (counts, found) in zip(batches, _run_all(batches, arguments.jobs), strict=True):
            totals.update(counts)
            violations += found
            bar.advance(task, len(batch.seeds))
    return _close(arguments.seeds, violations, totals, time.monotonic() - started, arguments)


def _close(
    seeds: int,
    violations: list[Found],
    totals: Counter[str],
    elapsed: float,
    arguments: argparse.Namespace,
) -> int:
    for found in violations[:5]:
        print(found.report(arguments.mutant or ""))
    print(", ".join(f"{name} {count}" for name, count in sorted(totals.items())))
    never = [name for name in MUST_HAPPEN if not totals[name]]
    if never and seeds >= 100:
        print(f"never happened: {', '.join(never)}")
    rate = totals["ticks"] * TICK_S / elapsed
    print(f"{seeds} seeds, {len(violations)} violations, {rate:.0f} simulated seconds per second")
    return int(bool(violations) or (bool(never) and seeds >= 100))


if __name__ == "__main__":
    sys.exit(main())
