"""`make bench`: what this database takes and gives, beside what a user would pick instead.

    python -m bench                         all questions
    python -m bench --list                  which there are
    python -m bench --question writes       one, or several: repeat the option
    python -m bench --quick                 one short round of each
    python -m bench --page docs/performance.md

Each question starts its servers on loopback, asks them in turns and stops them again. Its answer
is printed, and kept as bench/results/NAME.json and NAME.svg; `--page` writes the page of all
answers that are kept, those of earlier runs too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from bench.chart import chart
from bench.flame import flame
from bench.machine import commit, file_system, machine
from bench.page import flame_name, kept, page, tables
from bench.question import Answer, Measured, Question, Setting
from bench.questions import questions

RESULTS: Final = Path(__file__).with_name("results")
QUICK: Final = (1, 1.0, 0.4)
"""Rounds, seconds of a run, seconds of its warm-up."""

WARM_UP_S: Final = 1.0
WITHOUT_DISK: Final = ("tmpfs", "ramfs")


class Stopped(Exception):
    """By SIGINT or SIGTERM; what had been started is stopped."""


def ask(question: Question, setting: Setting) -> Measured:
    """One answer, with where and when. Raises Stopped."""
    began, machine_before = time.monotonic(), machine()
    answer = asyncio.run(_answered(question, setting))
    return Measured(
        question=question.name,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        machine=machine_before,
        quick=setting.quick,
        seconds=setting.run_s,
        took_s=round(time.monotonic() - began, 1),
        answer=answer,
    )


async def _answered(question: Question, setting: Setting) -> Answer:
    """The first signal stops everything in order; a second one is not needed."""
    asking = asyncio.ensure_future(question.measure(setting))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asking.cancel)
    try:
        return await asking
    except asyncio.CancelledError:
        raise Stopped from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def keep(out: Path, question: Question, found: Measured) -> None:
    """The answer and its drawings."""
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
    (out / f"{question.name}.json").write_bytes(encoded + b"\n")
    drawing = chart(question.asks, question.chart, found.answer.lines)
    (out / f"{question.name}.svg").write_text(drawing)
    for title, samples in found.answer.flames.items():
        (out / flame_name(question.name, title)).write_text(flame(title, samples))


def _chosen(names: Sequence[str]) -> list[Question]:
    every = questions()
    if unknown := sorted(set(names) - every.keys()):
        raise click.ClickException(
            f"there is no question {', '.join(unknown)}; --list names those there are."
        )
    return [question for question in every.values() if not names or question.name in names]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--list", "lists", is_flag=True, help="Name the questions, and end.")
@click.option("--question", "names", multiple=True, help="Only this one; can be repeated.")
@click.option("--quick", is_flag=True, help="One round of a second: does it work?")
@click.option("--rounds", default=3, show_default=True, help="Of each; medians count.")
@click.option("--seconds", default=2.5, show_default=True, help="Of one run.")
@click.option("--json", "as_json", is_flag=True, help="Answers as JSON lines on stdout.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RESULTS,
    show_default=False,
    help="Where answers are kept.  [default: bench/results]",
)
@click.option("--page", "page_path", type=click.Path(path_type=Path), help="Write the page here.")
def main(
    lists: bool,
    names: tuple[str, ...],
    quick: bool,
    rounds: int,
    seconds: float,
    as_json: bool,
    out: Path,
    page_path: Path | None,
) -> None:
    """Compare this database with its peers, question by question.

    All questions take about 40 minutes on two cores, 8 with --quick. The peers are PostgreSQL 15,
    etcd and pysyncobj, and rqlite if it is on PATH: who is missing is left out, and the answer
    says how to install it. Figures of a machine that does other work say little: leave it alone.

    \b
    Data is in $TMPDIR (/tmp), which must be on a disk: on tmpfs an fsync costs nothing.
    Ctrl-C stops all that was started; what was answered until then is kept.
    """
    asked = _chosen(names)
    if lists:
        for question in asked:
            click.echo(f"{question.name:<14} {question.asks}")
        return
    if (kind := file_system(Path(tempfile.gettempdir()))) in WITHOUT_DISK:
        click.echo(
            f"{tempfile.gettempdir()} is on {kind}, where an fsync costs nothing: set TMPDIR to a "
            "directory of a disk.",
            err=True,
        )
    # Programs are compiled once, as pip installs them; with this each start would do it anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    began = time.monotonic()
    for number, question in enumerate(asked, 1):
        minutes = (time.monotonic() - began) / 60
        click.echo(
            f"question {number} of {len(asked)}, after {minutes:.1f} minutes: {question.asks}",
            err=True,
        )
        try:
            with tempfile.TemporaryDirectory(prefix=f"bench-{question.name}-") as directory:
                found = ask(question, _setting(Path(directory), question, quick, rounds, seconds))
        except Stopped:
            click.echo(f"stopped; {number - 1} of {len(asked)} answers are in {out}", err=True)
            sys.exit(130)
        except Exception as exc:  # the others are asked all the same
            click.echo(f"{question.name} has no answer: {exc!r}", err=True)
            failed.append(question.name)
            continue
        keep(out, question, found)
        said = msgspec.json.encode(found).decode() if as_json else tables(question, found)
        click.echo(said)
    if page_path is not None:
        page(page_path, out, kept(out, questions().values()))
        click.echo(f"written: {page_path}", err=True)
    if failed:
        click.echo(f"without an answer: {', '.join(failed)}", err=True)
        sys.exit(1)


def _setting(
    directory: Path, question: Question, quick: bool, rounds: int, seconds: float
) -> Setting:
    warm_up_s = WARM_UP_S
    if quick:
        rounds, seconds, warm_up_s = QUICK
    return Setting(
        directory,
        lambda text: click.echo(f"{question.name}: {text}", err=True),
        rounds=rounds,
        run_s=seconds,
        warm_up_s=warm_up_s,
        quick=quick,
    )


if __name__ == "__main__":
    main()
