"""`jepsen-like shrink`: the simplest schedule that still violates what a seed has violated."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from jepsen_like.file_options import Duration
from jepsen_like.sim.commands import noted, refuse_what_cannot_be_simulated, version_of
from jepsen_like.sim.seed_result import SeedError, SeedResult, read_seed
from jepsen_like.sim.seeds import run_seed
from jepsen_like.sim.shrunk import ShrunkSeed, shrink_seed
from jepsen_like.simpler import RUNS
from jepsen_like.spec_files import load_test
from jepsen_like.store.commands import RUNS as STORE

__all__ = ["shrink"]

INTERRUPTED: Final = 130


@click.command()
@click.argument("what", metavar="RUN|FILE[:NAME]", type=str)
@click.option("--seed", type=int, help="Of the test in FILE; it is run first, and has to fail.")
@click.option(
    "--runs", type=click.IntRange(1), default=RUNS, show_default=True,
    help="How many schedules are tried at most.",
)  # fmt: skip
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the shrunk run's report, history and logs go.  [default: RUN/shrunk]",
)
@click.option(
    "--timeout", type=Duration(), default="10min", show_default=True,
    help="Of this machine's time, for each run.",
)  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="What was found, for machines.")
def shrink(
    what: str, seed: int | None, runs: int, out: Path | None, timeout: int, is_json: bool
) -> None:
    """Find the simplest schedule that still violates what a simulated run has violated.

    RUN is the directory of a run that was not valid, as `jepsen-like sim` keeps it (OUT/seed-N);
    or give a test's FILE and --seed. Faults are left out by halves and then one by one, what is
    left is made shorter and simpler, then connections, keys and calls are left out. Each try is
    a simulated run, and is shown while it goes on; Ctrl-C ends it.

    \b
      jepsen-like shrink jepsen-runs/sim-simulated-registers/seed-7
      jepsen-like shrink examples/simulation.py --seed 7 --runs 50

    Exit codes: 0 it was shrunk, 3 it cannot be (the run is valid, or of another version).
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failed = _failed(what, seed, out, timeout / 1e9)
        assert failed.directory is not None
        path, name = _place(failed.where)
        shrunk = shrink_seed(
            path,
            name,
            failed,
            out=out or failed.directory / "shrunk",
            runs=runs,
            timeout_s=timeout / 1e9,
            say=_say,
        )
        assert shrunk.result.directory is not None
        noted(replace(shrunk.result, code=version_of((path, name))), shrunk.result.directory)
    except SeedError as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        click.echo("interrupted; the lines above say what had been found to fail", err=True)
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)
    if is_json:
        click.echo(json.dumps(_as_json(shrunk, failed), indent=1))
    else:
        click.echo("\n".join(in_words(shrunk)))


def in_words(shrunk: ShrunkSeed) -> list[str]:
    """What a person needs: what violates what, and how to see it again."""
    directory = shlex.quote(str(shrunk.result.directory))
    return [
        f"seed {shrunk.result.seed}: {shrunk.result.reason}",
        f"{shrunk.sentence}:",
        *(f"  {line}" for line in shrunk.words),
        f"replay: jepsen-like replay {directory}",
        f"report: {shrunk.result.directory}/report.html",
    ]


def _failed(what: str, seed: int | None, out: Path | None, timeout_s: float) -> SeedResult:
    """The run that is to be shrunk: as it was kept, or, if this is another version of the code
    or only a seed is given, run now. Raises SeedError."""
    directory = Path(what)
    if not directory.is_dir():
        if seed is None:
            raise click.UsageError(f"{what} is no directory of a run; or give a FILE and --seed.")
        path, name = _place(what)
        test = load_test(what)
        refuse_what_cannot_be_simulated(test)
        return _run_now(path, name, seed, None, STORE / f"{test.name}-seed-{seed}", timeout_s)
    if seed is not None:
        raise click.UsageError("--seed goes with a test's FILE; a run has its own.")
    kept = read_seed(directory)
    path, name = _place(kept.where)
    load_test(kept.where)
    if kept.code == version_of((path, name)):
        return kept
    _say("it was run by another version of the code or of the test, so it is run again first")
    again = (out or directory / "shrunk").parent / "again"
    return _run_now(path, name, kept.seed, kept, again, timeout_s)


def _run_now(
    path: Path, name: str, seed: int, kept: SeedResult | None, where: Path, timeout_s: float
) -> SeedResult:
    shutil.rmtree(where, ignore_errors=True)
    schedule = None if kept is None else kept.schedule
    _say(f"seed {seed} of {path}:{name}")
    result = run_seed(path, name, seed, schedule=schedule, out=where, timeout_s=timeout_s)
    _say(f"seed {seed}: {result.verdict}: {result.reason}")
    return result


def _place(where: str) -> tuple[Path, str]:
    path, _, name = where.partition(":")
    return Path(path), name or "test"


def _say(text: str) -> None:
    click.echo(text, err=True)


def _as_json(shrunk: ShrunkSeed, failed: SeedResult) -> dict[str, Any]:
    schedule = shrunk.result.schedule
    assert schedule is not None
    return {
        "schema": "jepsen_like.shrink",
        "format": 1,
        "test": failed.where,
        "seed": failed.seed,
        "reason": shrunk.result.reason,
        "runs": shrunk.runs,
        "found": shrunk.sentence,
        "words": list(shrunk.words),
        "schedule": schedule.as_data(),
        "directory": str(shrunk.result.directory),
    }
