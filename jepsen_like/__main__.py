"""The command line `jepsen-like`.

Exit codes: 0 valid, 1 invalid, 2 unknown, 3 the harness failed, 64 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import json
import resource
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jepsen_like.backends.abilities import BACKENDS, SIM
from jepsen_like.kernel import kernel
from jepsen_like.process_clock import process_start
from jepsen_like.sim.interpreter import simulate
from jepsen_like.store.commands import RUNS, diff, serve

if TYPE_CHECKING:
    from jepsen_like.adapters.database import LevelledDatabase
    from jepsen_like.result import ClassLabel, RunResult, Validity, Verdict
    from jepsen_like.spec import Test

__all__ = ["main"]

EXIT_HARNESS: Final = 3
EXIT_USAGE: Final = 64

OPEN_FILES: Final = 65_536
"""Clients, probes and proxied links have one each; more are a fault somewhere."""


ELSEWHERE: Final = {
    "check": "jepsen_like.file_commands:check",
    "convert": "jepsen_like.file_lint:convert",
    "lab": "jepsen_like.lab.commands:lab",
    "lint": "jepsen_like.file_lint:lint_file",
    "new": "jepsen_like.new_command:new",
    "one-seed": "jepsen_like.sim.one_seed:one_seed",
    "replay": "jepsen_like.sim.commands:replay",
    "shrink": "jepsen_like.sim.shrink_command:shrink",
    "sim": "jepsen_like.sim.commands:sim",
}
"""Commands whose modules are imported when they are asked for: all judges together take time."""


CORNERS: Final = "corners"
"""Of `pacelc --db`: no database, but stores whose corner is known."""


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, name = ELSEWHERE[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `jepsen-like demo`.",
)
@click.version_option(package_name="shardrouter", prog_name="jepsen-like")
def cli() -> None:
    """Run a database, break its world, record what clients saw, and judge it.

    Exit codes: 0 valid, 1 invalid, 2 unknown, 3 the harness failed, 64 wrong usage.
    """


for _command in (diff, serve):
    cli.add_command(_command)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--seed", type=int, help="Plans the load and draws the faults."),
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            help="Where the history, the results and the report go.  "
            "[default: jepsen-runs/NAME-TIME]",
        ),
        click.option(
            "--backend",
            type=click.Choice(BACKENDS),
            help="The network between hosts, instead of the test's own.",
        ),
        click.option("--keep", is_flag=True, help="Keep the database's files, in OUT."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@run_options
@click.option("--quick", is_flag=True, help="Shorter phases; half the time.")
def demo(seed: int | None, out: Path | None, backend: str | None, keep: bool, quick: bool) -> None:
    """Boot this project's database, cut off a leader, kill a leader, judge what clients saw.

    \b
      jepsen-like demo
      jepsen-like demo --seed 7 --out /tmp/demo
    """
    from jepsen_like.demo import demo_test

    words = ["demo", "--quick"] if quick else ["demo"]
    carry_out(demo_test(1, quick=quick), words, seed, out, backend, keep)


@cli.command()
@run_options
@click.option(
    "--db",
    type=click.Choice(["shardrouter", "etcd", CORNERS]),
    default="shardrouter",
    help="The database: this project's, etcd (Debian's etcd-server), or four small simulated "
    "stores, one in each corner, for teaching.",
)
@click.option("--quick", is_flag=True, help="Shorter phases; half the time.")
@click.option("--json", "is_json", is_flag=True, help="The labels for machines.")
def pacelc(
    seed: int | None,
    out: Path | None,
    backend: str | None,
    keep: bool,
    db: str,
    quick: bool,
    is_json: bool,
) -> None:
    """Find where each class of operations stands in PACELC, and compare with what is promised.

    The corners (--db corners) need neither root nor a network, are done in some seconds, and are
    the same on every machine for the same seed; with --backend sim they stand beside the database.

    \b
      jepsen-like pacelc --quick
      jepsen-like pacelc --db corners
      jepsen-like pacelc --backend sim --seed 1
      jepsen-like pacelc --db etcd
      jepsen-like pacelc --seed 7 --json
    """
    from jepsen_like import pacelc as experiment
    from jepsen_like.aside import Aside
    from jepsen_like.corner_stores import corner_labels
    from jepsen_like.result import EXIT_CODES

    if db == CORNERS:
        if out is not None or backend is not None or keep or quick:
            raise click.UsageError(f"--db {CORNERS} goes with --seed and --json alone.")
        labels = corner_labels(1 if seed is None else seed)
        differ = any(one.agrees is False for one in labels)
        validity: Validity = "invalid" if differ else "valid"
        _print_labels(labels, validity, (), is_json)
        sys.exit(EXIT_CODES[validity])
    words = ["pacelc", *(["--db", db] if db != "shardrouter" else [])]
    words += ["--quick"] if quick else []
    if backend == SIM:
        test = experiment.simulated_test(named_database(db))
    else:
        test = experiment.pacelc_test(named_database(db), quick=quick)

    if test.backend == SIM and not kernel().simulates:
        simulate()
    with ExitStack() as stack:
        corners: Aside[tuple[ClassLabel, ...]] | None = None
        if test.backend == SIM:
            work = partial(corner_labels, test.seed if seed is None else seed)
            corners = stack.enter_context(Aside(work))

        def show(result: RunResult) -> None:
            beside = () if corners is None else corners.result()
            _print_labels((*result.labels, *beside), result.validity, result.verdicts, is_json)

        carry_out(test, words, seed, out, backend, keep, show=show)


def named_database(name: str) -> LevelledDatabase:
    if name == "etcd":
        from jepsen_like.adapters.etcd import Etcd

        return Etcd()
    from jepsen_like.adapters.shardrouter import ShardRouter

    return ShardRouter.with_leases()


def _print_labels(
    labels: Sequence[ClassLabel], validity: Validity, verdicts: Sequence[Verdict], is_json: bool
) -> None:
    from rich.console import Console

    from jepsen_like.pacelc import as_json, in_words, table

    if is_json:
        click.echo(as_json(labels, validity))
        return
    Console(highlight=False).print(table(labels))
    click.echo("\n".join([*in_words(labels), ""]))
    for verdict in verdicts:
        click.echo(f"{verdict.check}: {verdict.validity}: {verdict.reason}")


@cli.command()
@click.argument("where", metavar="FILE[:NAME]")
@run_options
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=1,
    help="How often, each time with the next seed, in directories of their own in OUT.",
)
def run(
    where: str, seed: int | None, out: Path | None, backend: str | None, keep: bool, repeat: int
) -> None:
    """Run the test that a Python FILE names NAME (default: test).

    With --repeat, a line for each run, and the exit code of the worst: invalid, then unknown.

    \b
      jepsen-like run examples/partition.py
      jepsen-like run tests.py:isolate --seed 7
      jepsen-like run tests.py --repeat 20
    """
    from jepsen_like.spec_files import load_test

    test = load_test(where)
    if repeat == 1:
        carry_out(test, ["run", where], seed, out, backend, keep)
    else:
        carry_out_often(test, ["run", where], seed, out, backend, keep, repeat)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--clean", is_flag=True, help="Remove what runs that were killed have left.")
def doctor(as_json: bool, clean: bool) -> None:
    """Try which backends and faults work on this machine, and say why others do not.

    Exit code 3 if no backend works.

    \b
      jepsen-like doctor
      jepsen-like doctor --clean
    """
    from jepsen_like.backends import leftovers
    from jepsen_like.doctor import examine, in_words
    from jepsen_like.runner import run_async

    if clean:
        click.echo(f"removed: {leftovers.clean()}")
        return
    findings = run_async(examine())
    left = leftovers.find()
    if as_json:
        fields = {"format": 1, "findings": [asdict(f) for f in findings]}
        click.echo(json.dumps(fields, indent=1))
    else:
        click.echo("\n".join(in_words(findings)))
        if left:
            click.echo(f"left by killed runs: {left}; `jepsen-like doctor --clean` removes it")
    if not any(finding.works for finding in findings if finding.kind == "backend"):
        sys.exit(EXIT_HARNESS)


def carry_out(
    test: Test,
    words: list[str],
    seed: int | None,
    out: Path | None,
    backend: str | None,
    keep: bool,
    show: Callable[[RunResult], None] | None = None,
) -> None:
    """Run, print the card (or what `show` prints), and end with the exit code of the verdict."""
    from rich.console import Console

    from jepsen_like.report.card import render
    from jepsen_like.result import EXIT_CODES

    out = out or RUNS / f"{test.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    result = run_once(test, words, seed, out, backend, keep)
    if show is not None:
        show(result)
        click.echo(f"report {out / 'report.html'}", err=True)
        sys.exit(EXIT_CODES[result.validity])
    render(
        result,
        Console(highlight=False),
        report=out / "report.html",
        history=out / "history.jsonl",
    )
    if result.labels:
        from jepsen_like.pacelc import table

        click.echo("\nWhere each class of operations stands (CAP and PACELC; docs/pacelc.md)")
        Console(highlight=False).print(table(result.labels))
    sys.exit(EXIT_CODES[result.validity])


def carry_out_often(
    test: Test,
    words: list[str],
    seed: int | None,
    out: Path | None,
    backend: str | None,
    keep: bool,
    repeat: int,
) -> None:
    """Run with one seed after the other, a line for each."""
    from jepsen_like.report.words import headline
    from jepsen_like.result import EXIT_CODES

    first = test.seed if seed is None else seed
    out = out or RUNS / f"{test.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    found: list[Validity] = []
    for each in range(first, first + repeat):
        where = out / f"seed-{each}"
        result = run_once(test, words, each, where, backend, keep)
        found.append(result.validity)
        click.echo(f"seed {each}: {result.validity}: {headline(result)} ({where})")
    counts = ", ".join(f"{found.count(v)} {v}" for v in EXIT_CODES if v in found)
    click.echo(f"{repeat} runs: {counts}; `jepsen-like serve {shlex.quote(str(out))}` shows them")
    worst: Validity = "valid"
    if "invalid" in found:
        worst = "invalid"
    elif "unknown" in found:
        worst = "unknown"
    sys.exit(EXIT_CODES[worst])


def run_once(
    test: Test, words: list[str], seed: int | None, out: Path, backend: str | None, keep: bool
) -> RunResult:
    """Run, with progress on standard error; ends the program where there is no result."""
    from jepsen_like.result import EXIT_CODES
    from jepsen_like.runner import HarnessError, Interrupted, Unfinished
    from jepsen_like.runner import run as run_test

    seed = test.seed if seed is None else seed
    if backend is not None:
        test = replace(test, backend=backend)
        words = [*words, "--backend", backend]
    if test.backend == SIM and not kernel().simulates:
        simulate()
    try:
        return run_test(
            test,
            out=out,
            seed=seed,
            keep=keep,
            command=shlex.join(["jepsen-like", *words, "--seed", str(seed)]),
            write=lambda line: click.echo(line, err=True),
        )
    except Interrupted as exc:
        click.echo(f"{exc}; everything is stopped", err=True)
        sys.exit(128 + exc.number)
    except Unfinished as exc:
        click.echo(f"unknown: {exc}", err=True)
        sys.exit(EXIT_CODES["unknown"])
    except HarnessError as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(EXIT_HARNESS)


def _have_room_for_connections() -> None:
    """As many open files as this user may have, for 1 024, which shells give, are soon used up."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    if now != resource.RLIM_INFINITY and now < limit:
        with suppress(ValueError, OSError):  # a kernel that gives fewer: what there is must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


def main(arguments: list[str] | None = None) -> None:
    """The entry point: click, with this program's exit codes."""
    # Limits on time are those of whoever waits for the program, so they count from its start
    since = process_start() if arguments is None else time.monotonic()
    if arguments is None:
        _have_room_for_connections()
    try:
        outcome: Any = cli.main(
            args=arguments, prog_name="jepsen-like", standalone_mode=False, obj=since
        )
    except click.UsageError as exc:
        exc.show()
        sys.exit(EXIT_USAGE)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except OSError as exc:
        known = exc.filename and exc.strerror
        click.echo(f"Error: {exc.filename}: {exc.strerror}" if known else f"Error: {exc}", err=True)
        sys.exit(EXIT_HARNESS)
    except click.ClickException as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(EXIT_HARNESS)
    except Exception:  # a fault of the harness must not end with the exit code of `invalid`
        traceback.print_exc()
        sys.exit(EXIT_HARNESS)
    sys.exit(outcome if isinstance(outcome, int) else 0)


if __name__ == "__main__":
    main()
