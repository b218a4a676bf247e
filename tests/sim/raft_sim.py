"""Run the simulated Raft group over many seeds.

    python -m tests.sim.raft_sim --seeds 3000 --jobs 2 [--seed FIRST] [--engine pysyncobj]
    python -m tests.sim.raft_sim --seeds 20 --trace     # digests, to compare two Pythons

A seed decides everything, the shape of the group included. A violation prints the seed, the
shortest schedule of faults that was found to break the same run, and the command that replays
it; the exit code is 1, also if some kind of fault never happened.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nodes.raft import log, progress, read_queue, snapshots
from tests.sim.raft_checker import Violation
from tests.sim.raft_cluster import Options, Simulation
from tests.sim.raft_engines import ENGINES
from tests.sim.raft_mutants import MUTANTS, Mutant

__all__ = [
    "Found",
    "attempt",
    "digest_of_code",
    "find_violation",
    "run",
    "run_seed",
    "shrink",
    "simulation",
]

TICK_S = 0.05
"""A tick in the nodes' default configuration."""

SHRINK_RUNS_MAX = 60

TICKS_OF_A_BATCH = 3000
"""Some seconds: what a run that is broken off loses, and how often progress is seen."""

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


def simulation(
    seed: int, base: Options, mutant: Mutant | None = None, engine: str = "core"
) -> Simulation:
    """The run that `seed` stands for, not begun."""
    chosen = ENGINES[engine]
    options = chosen.shape(random.Random(f"shape {seed}"), base)
    options = dataclasses.replace(options, **(mutant.options if mutant else {}))
    return chosen.simulation(seed, options)


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


def run_seed(
    seed: int, base: Options, mutant: Mutant | None = None, engine: str = "core"
) -> Counter[str]:
    return run(seed, simulation(seed, base, mutant, engine), mutant)


def find_violation(
    seeds: Iterable[int], options: Options, mutant: Mutant | None = None, engine: str = "core"
) -> tuple[int, Violation] | None:
    """The first seed that breaks a promise."""
    for seed in seeds:
        try:
            run_seed(seed, options, mutant, engine)
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
    mutant: str = ""
    engine: str = "core"

    @property
    def numbers(self) -> list[int]:
        """Of the faults that are left."""
        return [int(line.split()[2]) for line in self.schedule]

    def report(self) -> str:
        lines = [f"seed {self.seed}: {self.what}", *(f"  {line}" for line in self.schedule)]
        command = f"python -m tests.sim.raft_sim --seeds 1 --seed {self.seed} --ticks {self.ticks}"
        if self.engine != "core":
            command += f" --engine {self.engine}"
        if self.mutant:
            command += f" --mutant {self.mutant}"
        if self.skip:
            command += f" --keep {','.join(map(str, self.numbers)) or 'none'}"
        return "\n".join([*lines, f"replay: {command}"])


def attempt(seed: int, options: Options, mutant: str, engine: str) -> Found | None:
    broken = MUTANTS[mutant] if mutant else None
    made = simulation(seed, options, broken, engine)
    try:
        run(seed, made, broken)
    except Violation as exc:
        schedule = tuple(made.faults.schedule)
        skip = tuple(sorted(options.skip))
        return Found(seed, options.ticks, skip, str(exc), schedule, mutant, engine)
    return None


def shrink(found: Found, options: Options) -> Found:
    """Leave out faults, many at once and then fewer, as long as a promise is broken. What the
    rest does may change with what is left out; so the result is small, not the smallest."""
    runs = 0
    size = max(1, len(found.schedule) // 2)
    while size and runs < SHRINK_RUNS_MAX:
        position = 0
        while position < len(found.schedule) and runs < SHRINK_RUNS_MAX:
            numbers = found.numbers
            skip = options.skip | {*found.skip, *numbers[position : position + size]}
            runs += 1
            fewer = dataclasses.replace(options, skip=skip)
            smaller = attempt(found.seed, fewer, found.mutant, found.engine)
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
    engine: str


def _run_batch(batch: _Batch) -> tuple[Counter[str], list[Found]]:
    """In a process of its own."""
    totals: Counter[str] = Counter()
    found: list[Found] = []
    mutant = MUTANTS[batch.mutant] if batch.mutant else None
    for seed in batch.seeds:
        try:
            totals.update(run_seed(seed, batch.options, mutant, batch.engine))
        except Violation:
            first = attempt(seed, batch.options, batch.mutant, batch.engine)
            assert first is not None, f"seed {seed} is not repeatable"
            found.append(shrink(first, batch.options))
    return totals, found


def _run_all(
    batches: list[_Batch], jobs: int
) -> Iterator[tuple[_Batch, Counter[str], list[Found]]]:
    if jobs == 1:
        for batch in batches:
            yield batch, *_run_batch(batch)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for batch, (counts, found) in zip(batches, pool.map(_run_batch, batches), strict=True):
            yield batch, counts, found


class _Done:
    """What a run that was broken off has done already: a line of JSON for each batch, of this
    code, these options and no other."""

    def __init__(self, path: Path | None, arguments: argparse.Namespace) -> None:
        self._path = path
        self._key = digest_of_code() + repr(
            (arguments.engine, arguments.mutant, arguments.ticks, arguments.keep)
        )
        self.totals: Counter[str] = Counter()
        self.found: list[Found] = []
        self.seeds: set[int] = set()
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        if line["key"] == self._key:
            self.seeds |= set(range(line["first"], line["end"]))
            self.totals.update(line["totals"])
            self.found += [
                Found(
                    **{**found, "skip": tuple(found["skip"]), "schedule": tuple(found["schedule"])}
                )
                for found in line["found"]
            ]

    def add(self, batch: _Batch, counts: Counter[str], found: list[Found]) -> None:
        line = {
            "key": self._key,
            "first": batch.seeds.start,
            "end": batch.seeds.stop,
            "totals": counts,
            "found": [dataclasses.asdict(one) for one in found],
        }
        self._take(line)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def digest_of_code() -> str:
    root = Path(__file__).parent.parent.parent
    digest = hashlib.sha256()
    for path in sorted([*root.glob("nodes/**/*.py"), *root.glob("tests/sim/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _print_traces(seeds: range, options: Options, engine: str) -> int:
    """One line for each seed: the same on every Python and with every PYTHONHASHSEED."""
    for seed in seeds:
        made = simulation(seed, options, None, engine)
        try:
            run(seed, made)
        except Violation as violation:
            print(violation)
        print(seed, made.trace, flush=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate a Raft group over many seeds.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--ticks", type=int, default=300, help="ticks with faults per seed")
    parser.add_argument("--keep", default="", help="the only faults that happen: 1,2,... or none")
    parser.add_argument("--engine", choices=list(ENGINES), default="core")
    parser.add_argument("--resume", type=Path, help="a file of what is done, to go on after a stop")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), default="", help="break a rule")
    parser.add_argument("--trace", action="store_true", help="print a digest of each run instead")
    arguments = parser.parse_args()
    keep = [int(number) for number in arguments.keep.split(",") if number.isdecimal()]
    options = Options(ticks=arguments.ticks, keep=frozenset(keep) if arguments.keep else None)
    if arguments.trace:
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        return _print_traces(seeds, options, arguments.engine)
    for line in ENGINES[arguments.engine].off:
        print(f"off: {line}")
    done = _Done(arguments.resume, arguments)
    last = arguments.seed + arguments.seeds
    size = max(1, min(TICKS_OF_A_BATCH // arguments.ticks, arguments.seeds // arguments.jobs // 4))
    batches = [
        _Batch(seeds, options, arguments.mutant, arguments.engine)
        for first in range(arguments.seed, last, size)
        if not done.seeds.issuperset(seeds := range(first, min(first + size, last)))
    ]
    started, done_before = time.monotonic(), done.totals["ticks"]
    console = Console(stderr=True)
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("seeds", total=arguments.seeds, completed=len(done.seeds))
        for batch, counts, found in _run_all(batches, arguments.jobs):
            done.add(batch, counts, found)
            bar.advance(task, len(batch.seeds))
    simulated_s = (done.totals["ticks"] - done_before) * TICK_S
    return _close(arguments, done, simulated_s / (time.monotonic() - started))


def _close(arguments: argparse.Namespace, done: _Done, rate: float) -> int:
    for found in done.found[:5]:
        print(found.report())
    for what, count in Counter(_kind(found.what) for found in done.found).most_common():
        print(f"{count} seeds: {what}")
    print(", ".join(f"{name} {count}" for name, count in sorted(done.totals.items())))
    never = [name for name in ENGINES[arguments.engine].must_happen if not done.totals[name]]
    has_proven_little = bool(never) and arguments.seeds >= 100
    if has_proven_little:
        print(f"never happened: {', '.join(never)}")
    print(
        f"{arguments.seeds} seeds, {len(done.found)} violations, "
        f"{rate:.0f} simulated seconds per second"
    )
    return int(bool(done.found) or has_proven_little)


def _kind(what: str) -> str:
    """Which promise: what is said without its numbers."""
    return re.sub(r"\d+", "n", what)


if __name__ == "__main__":
    sys.exit(main())
