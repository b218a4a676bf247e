"""Run the simulated Raft group over many seeds.

    python -m tests.sim.raft_sim --seeds 1000 [--seed FIRST] [--ticks 150] [--mutant NAME]

A seed decides everything, the shape of the group included. A violation prints the seed and
the command that replays it; the exit code is 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nodes.raft import log, progress, read_queue
from tests.sim.raft_checker import Violation
from tests.sim.raft_cluster import ALL_FAULTS, Options, Simulation
from tests.sim.raft_mutants import MUTANTS

__all__ = ["find_violation", "run_seed", "shape"]

_SMALL_LIMITS = (
    (log, "MESSAGE_ENTRIES_MAX", 2),
    (log, "MESSAGE_BYTES_MAX", 8),
    (log, "_READ_ENTRIES", 2),
    (progress, "WINDOW_MESSAGES_MAX", 2),
    (read_queue, "ROUNDS_MAX", 2),
)


@contextmanager
def _limits(are_small: bool) -> Iterator[None]:
    """Limits that a short run meets all the time."""
    before = [(module, name, getattr(module, name)) for module, name, _ in _SMALL_LIMITS]
    try:
        if are_small:
            for module, name, value in _SMALL_LIMITS:
                setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def shape(rng: random.Random, base: Options) -> Options:
    """What kind of run a seed is. Three hunt different rules: bad weather finds most; an
    adversary who strikes at elections and commits finds figure 3.7; duels of candidates whose
    voters crash find votes given twice."""
    options = dataclasses.replace(
        base,
        replicas=rng.choice([3, 5]),
        fault_ticks=rng.choice([6, 12, 30]),
        tail_entries_max=rng.choice([4, 4096]),
        delay=rng.choice([3.0, 3.0, 10.0, 30.0]),
    )
    match rng.choice(["weather", "strikes", "duels"]):
        case "strikes":
            return dataclasses.replace(
                options, replicas=5, fault_ticks=30, delay=3.0, strike=rng.choice([0.3, 1.0])
            )
        case "duels":
            return dataclasses.replace(
                options,
                fault_ticks=3,
                delay=rng.choice([3.0, 10.0]),
                faults=(*ALL_FAULTS, *["duel"] * len(ALL_FAULTS)),
                vote_crash=0.5,
            )
    return options


def run_seed(seed: int, base: Options) -> Counter[str]:
    """One run. Raises Violation; a failed assertion of the core is one too."""
    rng = random.Random(f"shape {seed}")
    options = shape(rng, base)
    with _limits(are_small=rng.random() < 0.6):
        try:
            return Simulation(seed, options).run()
        except AssertionError as exc:
            raise Violation(f"assertion: {exc}") from exc


def find_violation(seeds: Iterable[int], options: Options) -> tuple[int, Violation] | None:
    """The first seed that breaks a promise."""
    for seed in seeds:
        try:
            run_seed(seed, options)
        except Violation as violation:
            return seed, violation
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate a Raft group over many seeds.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--ticks", type=int, default=150, help="ticks with faults per seed")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break a rule on purpose")
    arguments = parser.parse_args()
    options = Options(ticks=arguments.ticks)
    replay = f"python -m tests.sim.raft_sim --seeds 1 --ticks {arguments.ticks}"
    if arguments.mutant:
        options = dataclasses.replace(options, **MUTANTS[arguments.mutant])
        replay += f" --mutant {arguments.mutant}"
    totals: Counter[str] = Counter()
    started = time.monotonic()
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        try:
            totals.update(run_seed(seed, options))
        except Violation as violation:
            print(f"seed {seed}: {violation}\nreplay: {replay} --seed {seed}")
            return 1
    print(f"{arguments.seeds} seeds, no violation, {time.monotonic() - started:.1f} s")
    print(", ".join(f"{name} {count}" for name, count in sorted(totals.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
