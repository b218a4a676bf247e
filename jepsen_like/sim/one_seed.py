"""One seed, run here: the process that `run_seed` starts, in an interpreter that simulates."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from jepsen_like.adapters.database import SimulatedDatabase, TellingDatabase
from jepsen_like.backends.abilities import SIM
from jepsen_like.faults.compose import AnyOf, Package, Together
from jepsen_like.faults.fault import total_seconds
from jepsen_like.kernel import kernel
from jepsen_like.report.words import headline
from jepsen_like.result import EXIT_CODES
from jepsen_like.runner import HarnessError, Interrupted, Unfinished, run
from jepsen_like.schedule import Schedule, ScheduleError, planned
from jepsen_like.sim.seed_result import RECORD, SeedResult, code_fingerprint
from jepsen_like.spec_files import load_test

if TYPE_CHECKING:
    from jepsen_like.faults.fault import Planned
    from jepsen_like.result import RunResult
    from jepsen_like.spec import Test

__all__ = ["carry_out", "kinds_of", "one_seed"]

EXIT_HARNESS: Final = 3
HEALTHY: Final = "healthy"

COLLECTOR: Final = (50_000, 20, 100)
"""The collector's thresholds: a run ends before there is much to collect."""

ELECTIONS: Final = "elections"
DEPOSING: Final = frozenset(
    {
        *("partition", "flapping", "kill", "power cut", "restart", "rolling restart", "pause"),
        *("transfer", "outage"),
    }
)
"""Kinds of faults that can take its office from a leader: a test that has one means to see
elections. Under others nobody need be elected after the start."""


@click.command(hidden=True)
@click.argument("where", metavar="FILE[:NAME]")
def one_seed(where: str) -> None:
    """Simulate seeds of one test, each in a fork of this process, as the lines of standard input
    ask for (`jepsen_like.sim.seeds`): of each its process id is printed, and its exit code."""
    if not kernel().simulates:
        raise click.UsageError("this is for `jepsen-like sim`, in an interpreter that simulates.")
    test = load_test(where)
    if isinstance(test.db, SimulatedDatabase):
        test.db.programs()  # imports what would be imported for each seed
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _be_one_seed(test, where, asked)
        click.echo(pid)
        _, status = os.waitpid(pid, 0)
        click.echo(os.waitstatus_to_exitcode(status))


def _be_one_seed(test: Test, where: str, asked: Mapping[str, Any]) -> NoReturn:
    """In the fork; it prints to a file in OUT, and never returns to what it was."""
    code = EXIT_HARNESS
    try:
        out = Path(asked["out"])
        log = os.open(out / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, instead in enumerate((nothing, log, log)):
            os.dup2(instead, number)
        given = None
        if asked["schedule"] is not None:
            text = Path(asked["schedule"]).read_text(encoding="utf-8")
            given = Schedule.from_data(json.loads(text))
        found, _ = carry_out(
            *(test, where, asked["seed"], given, out, asked["limit_s"]), is_reported=is_not_valid
        )
        code = EXIT_CODES[found.verdict]
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else EXIT_HARNESS
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def is_not_valid(result: RunResult) -> bool:
    """Nobody looks at the report of one seed among many in which nothing was found."""
    return result.validity != "valid"


def carry_out(
    test: Test,
    where: str,
    seed: int,
    schedule: Schedule | None,
    out: Path,
    limit_s: float,
    *,
    is_reported: Callable[[RunResult], bool] = lambda _: True,
) -> tuple[SeedResult, RunResult | None]:
    """Run it, and leave its record; no RunResult if it did not come to its end. Raises
    HarnessError; ends the program at a signal."""
    test = replace(test, backend=SIM)
    plan = schedule or planned(test, seed)
    base = SeedResult(
        seed,
        "unknown",
        "",
        _writable(plan),
        expected=("operations", *kinds_of(test)),
        code=code_fingerprint(),
        where=where,
        directory=out,
    )
    result: RunResult | None = None
    again = ["replay", str(seed), where] if schedule is None else ["replay", str(out)]
    try:
        result = run(
            test,
            out=out,
            seed=seed,
            schedule=plan,
            limit_s=limit_s,
            command=shlex.join(["jepsen-like", *again]),
            write=lambda line: click.echo(line, err=True),
            is_reported=is_reported,
        )
    except Interrupted as exc:
        click.echo(f"{exc}; everything is stopped", err=True)
        sys.exit(128 + exc.number)
    except Unfinished as exc:
        found = replace(base, reason=str(exc))
    except HarnessError as exc:
        found = replace(base, reason=f"the harness failed: {exc}")
    else:
        history = (out / "history.jsonl").read_bytes()
        found = replace(
            base,
            verdict=result.validity,
            reason=headline(result),
            counts=_counts(result),
            simulated_s=round(result.duration_ns / 1e9, 3),
            digest=hashlib.sha256(history).hexdigest(),
        )
    (out / RECORD).write_text(json.dumps(found.as_data(), indent=1), encoding="utf-8")
    return found, result


def _writable(schedule: Schedule) -> Schedule | None:
    """Faults of a test's own cannot be written: they are drawn again from the seed."""
    try:
        schedule.as_data()
    except ScheduleError:
        return None
    return schedule


def _counts(result: RunResult) -> dict[str, int]:
    counts = {"operations": len(result.operations), **result.happened}
    for fault in result.faults:
        counts[fault.kind] = counts.get(fault.kind, 0) + fault.verified
    return counts


def kinds_of(test: Test) -> tuple[str, ...]:
    """Every kind of fault that some seed of the test may draw, and what such faults bring."""
    kinds = dict.fromkeys(_kinds(test.faults, test.db.hosts))
    brought = [ELECTIONS] if DEPOSING & kinds.keys() else []
    if "move" in kinds and isinstance(test.db, TellingDatabase):
        brought += test.db.brought_by_moves(test.load.rate * total_seconds(test.faults))
    return (*brought, *kinds)


def _kinds(faults: Iterable[Planned], hosts: Sequence[str]) -> Iterator[str]:
    for fault in faults:
        if isinstance(fault, AnyOf):
            yield from _kinds(fault.choices, hosts)
            continue
        drawn = fault.drawn(hosts, Random(0))
        if isinstance(drawn, Package | Together):
            parts = fault.parts if isinstance(fault, Package | Together) else drawn.parts
            yield from _kinds(parts, hosts)
        elif drawn.kind != HEALTHY:
            yield drawn.kind
