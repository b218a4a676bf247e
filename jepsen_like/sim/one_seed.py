"""One seed, run here: the process that `run_seed` starts, in an interpreter that simulates."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import click

from jepsen_like.backends.abilities import SIM
from jepsen_like.faults.compose import AnyOf, Package, Together
from jepsen_like.kernel import kernel
from jepsen_like.report.words import headline
from jepsen_like.result import EXIT_CODES
from jepsen_like.runner import HarnessError, Interrupted, Unfinished, run
from jepsen_like.schedule import Schedule, ScheduleError, planned
from jepsen_like.sim.seeds import LIMIT_S, RECORD, SeedResult, code_fingerprint
from jepsen_like.spec_files import load_test

if TYPE_CHECKING:
    from jepsen_like.faults.fault import Planned
    from jepsen_like.result import RunResult
    from jepsen_like.spec import Test

__all__ = ["carry_out", "kinds_of", "one_seed"]

HEALTHY: Final = "healthy"

MOVES: Final = ("membership changes", "snapshots")
"""What a test that moves replicas means to see."""


@click.command(hidden=True)
@click.argument("where", metavar="FILE[:NAME]")
@click.argument("seed", type=int)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--schedule", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--limit", type=float, default=LIMIT_S)
def one_seed(where: str, seed: int, out: Path, schedule: Path | None, limit: float) -> None:
    """Simulate one seed; OUT/seed.json says what became of it."""
    if not kernel().simulates:
        raise click.UsageError("this is for `jepsen-like sim`, in an interpreter that simulates.")
    test = load_test(where)
    given = None
    if schedule is not None:
        given = Schedule.from_data(json.loads(schedule.read_text(encoding="utf-8")))
    found, _ = carry_out(test, where, seed, given, out, limit)
    sys.exit(EXIT_CODES[found.verdict])


def carry_out(
    test: Test, where: str, seed: int, schedule: Schedule | None, out: Path, limit_s: float
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
        expected=("operations", "elections", *kinds_of(test)),
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
    found = dict.fromkeys(_kinds(test.faults, test.db.hosts))
    if "move" in found:
        found |= dict.fromkeys(MOVES)
    return tuple(found)


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
