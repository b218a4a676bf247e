"""The verbs of simulation: `sim` runs many seeds of a test, `replay` one of them again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from jepsen_like.file_options import Duration
from jepsen_like.result import EXIT_CODES
from jepsen_like.sim.interpreter import simulate
from jepsen_like.sim.many_seeds import Summary, read_lines, summary_of
from jepsen_like.sim.seed_result import (
    LIMIT_S,
    RECORD,
    SeedError,
    SeedResult,
    code_fingerprint,
    read_seed,
)
from jepsen_like.sim.seeds import Simulator
from jepsen_like.store.commands import RUNS

if TYPE_CHECKING:
    from jepsen_like.schedule import Schedule
    from jepsen_like.spec import Test

__all__ = ["noted", "refuse_what_cannot_be_simulated", "replay", "sim", "version_of"]

LINES: Final = "seeds.jsonl"
"""In OUT: a line for each seed that has been run."""

QUIET_S: Final = 30.0
"""Between two lines of progress, where there is no terminal to write one line again and again."""

INTERRUPTED: Final = 130
EXIT_HARNESS: Final = 3


@click.command()
@click.argument("where", metavar="FILE[:NAME]")
@click.option("--seeds", type=click.IntRange(1), required=True, help="How many, from --seed on.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), help="So many at once.  [default: processors]"
)
@click.option("--seed", "first", type=int, default=1, show_default=True, help="The first of them.")
@click.option("--json", "is_json", is_flag=True, help="The closing line for machines.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where a line for each seed goes, and the report of each that is not valid.  "
    "[default: jepsen-runs/sim-NAME]",
)
@click.option(
    "--timeout", type=Duration(), default="10min", show_default=True,
    help="Of this machine's time, for each seed; then it is unknown.",
)  # fmt: skip
@click.option(
    "--limit", type=Duration(), default="60min", show_default=True,
    help="Of simulated time, for each seed; then it is unknown.",
)  # fmt: skip
def sim(
    where: str,
    seeds: int,
    jobs: int | None,
    first: int,
    is_json: bool,
    out: Path | None,
    timeout: int,
    limit: int,
) -> None:
    """Simulate the test that a Python FILE names NAME (default: test), with one seed after the
    other, each in a process of its own.

    Every seed leaves a line in OUT/seeds.jsonl; when it is run again the seeds that have one are
    not repeated, unless the code was changed. One that is not valid keeps its report, history and
    logs in OUT/seed-N, and `jepsen-like replay N FILE` shows it again.

    The closing line counts seeds, verdicts, operations, elections and every kind of fault; a kind
    that the test has and no seed has seen makes the whole unknown.

    \b
      jepsen-like sim examples/simulation.py --seeds 20
      jepsen-like sim examples/simulation.py:transactions --seeds 100 -j 2 --seed 1001

    Exit codes: 0 all valid, 1 one is invalid, 2 one is unknown, 3 it cannot be simulated.
    """
    test, place = _loaded(where)
    refuse_what_cannot_be_simulated(test)
    out = out or RUNS / f"sim-{test.name}"
    out.mkdir(parents=True, exist_ok=True)
    numbers = range(first, first + seeds)
    lines = out / LINES
    known: dict[int, SeedResult] = {}
    if lines.exists():
        text = lines.read_text(encoding="utf-8").splitlines()
        known, others = read_lines(text, numbers, code=version_of(place), where=_named(place))
        if known:
            click.echo(f"{len(known)} of these seeds have a result in {lines}", err=True)
        if others:
            click.echo(f"{others} results there are of another version and are repeated", err=True)
    left = [number for number in numbers if number not in known]
    limits = (timeout / 1e9, limit / 1e9)
    results, failed = _run(place, left, known, out, jobs or os.cpu_count() or 1, limits)
    summary = summary_of(results.values())
    if is_json:
        click.echo(json.dumps(_as_json(summary, place), indent=1))
    else:
        click.echo(str(summary))
    if failed is not None:
        click.echo(f"Error: {failed}", err=True)
        sys.exit(EXIT_HARNESS)
    if len(results) < seeds:
        click.echo(f"interrupted; the same command goes on ({lines})", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(summary.exit_code)


@click.command()
@click.argument("what", metavar="SEED|DIRECTORY")
@click.argument("where", metavar="[FILE[:NAME]]", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where history, results and report go.  [default: jepsen-runs/NAME-seed-SEED]",
)
def replay(what: str, where: str | None, out: Path | None) -> None:
    """Simulate one seed again, and show its report: the same run, byte for byte, while the code
    is the same.

    A DIRECTORY is one that `jepsen-like sim` has kept (OUT/seed-N): its schedule is repeated, and
    whether the history is the same is said.

    \b
      jepsen-like replay 7 examples/simulation.py
      jepsen-like replay jepsen-runs/sim-simulated-registers/seed-7

    Exit codes: those of the verdict; 3 if it cannot be run.
    """
    from jepsen_like.kernel import kernel

    if not kernel().simulates:
        simulate()
    from rich.console import Console

    from jepsen_like.report.card import render
    from jepsen_like.sim.one_seed import carry_out

    kept, seed, schedule, found = _asked(what, where)
    test, place = _loaded(found)
    refuse_what_cannot_be_simulated(test)
    if kept is not None and kept.code != version_of(place):
        click.echo(
            f"{what} was run by another version of the code or of the test ({kept.code}; this is "
            f"{version_of(place)}): what follows is a run of this version and may be another.",
            err=True,
        )
    out = out or RUNS / f"{test.name}-seed-{seed}"
    result, run = carry_out(test, _named(place), seed, schedule, out, LIMIT_S)
    result = noted(replace(result, code=version_of(place)), out)
    if run is None:
        click.echo(f"seed {seed}: {result.verdict}: {result.reason}")
    else:
        report, history = out / "report.html", out / "history.jsonl"
        render(run, Console(highlight=False), report=report, history=history)
    if kept is not None and kept.digest:
        is_same = kept.digest == result.digest
        click.echo(f"the history is {'the same, byte for byte' if is_same else 'ANOTHER'}")
    sys.exit(EXIT_CODES[result.verdict])


# ------------------------------------------------------------------------------ of both


def _loaded(where: str) -> tuple[Test, tuple[Path, str]]:
    from jepsen_like.spec_files import load_test

    path, _, name = where.partition(":")
    return load_test(where), (Path(path), name or "test")


def _named(place: tuple[Path, str]) -> str:
    return f"{place[0]}:{place[1]}"


def version_of(place: tuple[Path, str]) -> str:
    """Of the code and of the test's file."""
    return code_fingerprint() + "-" + hashlib.sha256(place[0].read_bytes()).hexdigest()[:8]


def refuse_what_cannot_be_simulated(test: Test) -> None:
    """Raises ClickException, before anything is started."""
    from jepsen_like.adapters.database import SimulatedDatabase
    from jepsen_like.backends.abilities import CAN, SIM
    from jepsen_like.faults.demands import needs_of

    if not isinstance(test.db, SimulatedDatabase):
        raise click.ClickException(
            f"the database of {test.name} cannot be simulated: it has no programs in Python."
        )
    missing = needs_of(test.schedule(test.seed)) - CAN[SIM]
    if missing:
        listed = ", ".join(sorted(missing))
        raise click.ClickException(f"the backend {SIM} cannot do {listed}.")


def noted(result: SeedResult, out: Path) -> SeedResult:
    (out / RECORD).write_text(json.dumps(result.as_data(), indent=1), encoding="utf-8")
    return result


def _asked(what: str, where: str | None) -> tuple[SeedResult | None, int, Schedule | None, str]:
    """What is to be replayed: as it was kept, its seed, its schedule, its test."""
    directory = Path(what)
    if directory.is_dir():
        try:
            kept = read_seed(directory)
        except SeedError as exc:
            raise click.ClickException(str(exc)) from exc
        return kept, kept.seed, kept.schedule, where or kept.where
    try:
        seed = int(what)
    except ValueError as exc:
        raise click.UsageError(f"{what} is no seed and no directory of one.") from exc
    if where is None:
        raise click.UsageError("a seed belongs to a test: give its FILE[:NAME].")
    return None, seed, None, where


# ------------------------------------------------------------------------------ of `sim`


def _run(
    place: tuple[Path, str],
    left: Sequence[int],
    known: dict[int, SeedResult],
    out: Path,
    jobs: int,
    limits: tuple[float, float],
) -> tuple[dict[int, SeedResult], SeedError | None]:
    """All results that there are then, and what ended it early if something did: Ctrl-C and
    SIGTERM end it too, and then some are missing."""
    results = dict(known)
    work = _Work(place, out, limits)
    failed: SeedError | None = None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    line = _ProgressLine(len(left) + len(known))
    try:
        with (out / LINES).open("a", encoding="utf-8") as lines, ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(work.run, seed) for seed in left]
            try:
                for future in as_completed(futures):
                    result = future.result()
                    results[result.seed] = result
                    _append(lines, result)
                    if result.verdict != "valid":
                        line.say(
                            f"seed {result.seed}: {result.verdict}: {result.reason} "
                            f"({result.directory})"
                        )
                    line.show(results)
            except SeedError as exc:
                failed = exc
            except KeyboardInterrupt:
                pass
            finally:
                for future in futures:
                    future.cancel()
                work.end()
    finally:
        work.close()
        signal.signal(signal.SIGTERM, before)
        line.clear()
    return results, failed


def _append(lines: TextIO, result: SeedResult) -> None:
    lines.write(json.dumps(result.as_data()) + "\n")
    lines.flush()


class _Work:
    """Seeds on several threads, each with a simulator of its own; `end` ends them all."""

    def __init__(self, place: tuple[Path, str], out: Path, limits: tuple[float, float]) -> None:
        self._place, self._out, self._limits = place, out, limits
        self._version = version_of(place)
        self._lock = threading.Lock()
        self._own = threading.local()
        self._simulators: list[Simulator] = []
        self._is_ending = False

    def run(self, seed: int) -> SeedResult:
        """Raises SeedError."""
        directory = self._out / f"seed-{seed}"
        timeout_s, limit_s = self._limits
        result = self._simulator().run_seed(
            seed, out=directory, timeout_s=timeout_s, limit_s=limit_s
        )
        if result.verdict == "valid":
            shutil.rmtree(directory)
            return replace(result, code=self._version, directory=None)
        return noted(replace(result, code=self._version), directory)

    def _simulator(self) -> Simulator:
        """This thread's."""
        found: Simulator | None = getattr(self._own, "simulator", None)
        if found is None:
            with self._lock:
                if self._is_ending:
                    raise SeedError("it was ended.")
                found = self._own.simulator = Simulator(*self._place)
                self._simulators.append(found)
        return found

    def end(self) -> None:
        with self._lock:
            self._is_ending = True
            for simulator in self._simulators:
                simulator.end()

    def close(self) -> None:
        """When no thread runs any more."""
        for simulator in self._simulators:
            simulator.__exit__(None, None, None)


class _ProgressLine:
    """How far it is: one line that is written again on a terminal, else one now and then."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._began = self._said = time.monotonic()
        self._is_shown = False

    def show(self, results: dict[int, SeedResult]) -> None:
        now = time.monotonic()
        bad = sum(result.verdict != "valid" for result in results.values())
        text = f"{len(results)} of {self._seeds} seeds, {bad} not valid, {now - self._began:.0f} s"
        if sys.stderr.isatty():
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)
            self._is_shown = True
        elif now - self._said >= QUIET_S:
            self._said = now
            click.echo(text, err=True)

    def say(self, text: str) -> None:
        self.clear()
        click.echo(text, err=True)

    def clear(self) -> None:
        if self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._is_shown = False


def _as_json(summary: Summary, place: tuple[Path, str]) -> dict[str, Any]:
    return {
        "schema": "jepsen_like.sim",
        "format": 1,
        "test": _named(place),
        "code": version_of(place),
        "validity": summary.validity,
        "seeds": summary.seeds,
        "verdicts": summary.verdicts,
        "counts": summary.counts,
        "unseen": list(summary.unseen),
        "simulated_s": round(summary.simulated_s, 3),
        "invalid": list(summary.invalid),
        "unknown": list(summary.unknown),
    }
