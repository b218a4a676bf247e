"""A failing seed made simple: each candidate is a simulated run of its own.

    shrunk = shrink_seed(file, name, failed, out=Path("runs/seed-7/shrunk"), runs=100)
    shrunk.result.schedule, shrunk.words, shrunk.result.directory

A candidate fails if a check that the first run violated is violated again, on the operations of the
same workload: another failure is another finding, and is not followed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from jepsen_like.load import Arrival
from jepsen_like.schedule import Schedule, planned, planned_calls, planned_keys
from jepsen_like.sim.seed_result import LIMIT_S, SeedError, SeedResult
from jepsen_like.sim.seeds import TIMEOUT_S, Simulator
from jepsen_like.simpler import RUNS, Key, in_a_sentence, in_words, lasts_s, simplest
from jepsen_like.spec_files import load_test

__all__ = ["SLACK_S", "ShrunkSeed", "shrink_seed"]

SLACK_S: Final = 120.0
"""For how long beyond the plan calls are counted: looking at faults takes time too."""

TRIAL: Final = "trial"


@dataclass(frozen=True)
class ShrunkSeed:
    result: SeedResult
    """Of the run of the shrunk schedule; its directory has the report."""
    runs: int
    """How many schedules were tried, that one not among them."""
    sentence: str
    """How far it came."""
    words: tuple[str, ...]
    """The schedule for people, a line for each fault and two for the load."""


@dataclass(frozen=True)
class _Failure:
    """What was violated: (check, workload), and whose operations could not be explained."""

    checks: frozenset[tuple[str, str]]
    keys: tuple[Key, ...]


def shrink_seed(
    file: Path,
    name: str,
    failed: SeedResult,
    *,
    out: Path,
    runs: int = RUNS,
    timeout_s: float = TIMEOUT_S,
    limit_s: float = LIMIT_S,
    say: Callable[[str], None] = lambda _: None,
) -> ShrunkSeed:
    """`failed` is `invalid`, and its directory is still there. The shrunk run's report, history
    and logs go to `out`. Interrupted, it removes the trial and leaves what `say` was told. Raises
    SeedError: there is nothing to shrink, or the run does not fail again, so it is not the run of
    this code."""
    if failed.verdict != "invalid" or failed.schedule is None or failed.directory is None:
        raise SeedError(f"seed {failed.seed} is {failed.verdict}: there is nothing to shrink.")
    failure = _failure_of(failed.directory)
    if not failure.checks:
        raise SeedError(f"{failed.directory} names no check that was violated.")
    schedule = failed.schedule
    calls = calls_of(file, name, failed.seed, schedule)
    trial = out.parent / f"{out.name}-{TRIAL}"
    tried = 0

    def run(candidate: Schedule, where: Path) -> tuple[SeedResult, _Failure]:
        shutil.rmtree(where, ignore_errors=True)
        result = simulator.run_seed(
            failed.seed,
            schedule=candidate,
            out=where,
            timeout_s=timeout_s,
            limit_s=limit_s,
        )
        return result, _failure_of(where) if result.verdict == "invalid" else _NONE

    def fails(candidate: Schedule) -> bool:
        nonlocal tried
        tried += 1
        try:
            result, found = run(candidate, trial)
        except SeedError as exc:  # a schedule that cannot be run is no simpler failure
            say(f"run {tried} of {runs}: {_size(candidate)}: {exc}")
            return False
        is_same = bool(found.checks & failure.checks)
        verdict = "fails" if is_same else f"is {result.verdict}"
        say(f"run {tried} of {runs}: {_size(candidate)}: {verdict}")
        return is_same

    with Simulator(file, name) as simulator:
        try:
            best = simplest(schedule, calls, fails, runs=runs, suspects=failure.keys, say=say)
        finally:
            shutil.rmtree(trial, ignore_errors=True)
        result, found = run(best.schedule, out)
    if not found.checks & failure.checks:
        raise SeedError(
            f"the same schedule failed and then did not ({result.verdict}: {result.reason}): the "
            f"run is not determined by seed and schedule, and {out} does not show the failure."
        )
    return ShrunkSeed(
        result,
        best.runs,
        in_a_sentence(best, schedule),
        tuple(in_words(best.schedule, calls)),
    )


def calls_of(file: Path, name: str, seed: int, schedule: Schedule) -> list[Arrival]:
    """What the seed plans to ask while the schedule lasts."""
    test = load_test(f"{file}:{name}")
    end_ns = (lasts_s(schedule) + SLACK_S) * 1e9
    plan = planned_calls(test, seed, planned_keys(test, planned(test, seed)))
    return list(takewhile(lambda arrival: arrival.at_ns < end_ns, plan))


_NONE: Final = _Failure(frozenset(), ())


def _failure_of(directory: Path) -> _Failure:
    """Raises SeedError if the run left no results."""
    path = directory / "results.json"
    try:
        verdicts = json.loads(path.read_text(encoding="utf-8"))["verdicts"]
    except (OSError, ValueError, KeyError) as exc:
        raise SeedError(f"{path} cannot be read: {exc}; replay the seed first.") from exc
    violated: list[dict[str, Any]] = [one for one in verdicts if one["validity"] == "invalid"]
    return _Failure(
        frozenset((one["check"], one["workload"]) for one in violated),
        tuple(
            dict.fromkeys(
                (operation["workload"], operation["key"])
                for one in violated
                for operation in one["offending"]
            )
        ),
    )


def _size(schedule: Schedule) -> str:
    asked = "all calls" if schedule.operations is None else "some calls"
    return (
        f"faults {len(schedule.faults)}, {lasts_s(schedule):g} s, {asked}, connections "
        f"{schedule.clients}, order {schedule.order}"
    )
