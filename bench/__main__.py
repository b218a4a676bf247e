"""`make bench`: what this database takes and gives, beside what a user would pick instead.

    python -m bench                         all questions
    python -m bench --list                  which there are
    python -m bench --question writes       one, or several: repeat the option
    python -m bench --quick                 two short rounds of each
    python -m bench --page docs/performance.md

Each question starts its servers on loopback, asks them in turns and stops them again. Its answer
is printed, and kept as bench/results/NAME.json and NAME.svg; `--page` writes the page of all
answers that are kept, those of earlier runs too. Bytes on the wire are those of the whole machine's
loopback interface, and figures of a machine that does other work say little: run it alone.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from bench.chart import chart
from bench.machine import commit, machine
from bench.page import kept, page, tables
from bench.question import Answer, Measured, Question, Setting
from bench.questions import questions

RESULTS: Final = Path(__file__).with_name("results")
QUICK: Final = {"rounds": 2, "run_s": 1.0, "warm_up_s": 0.5}


def ask(question: Question, quick: bool, rounds: int, run_s: float) -> Measured:
    """One answer, with where and when."""
    began, machine_before = time.monotonic(), machine()
    with tempfile.TemporaryDirectory(prefix=f"bench-{question.name}-") as directory:
        setting = Setting(
            Path(directory),
            lambda text: click.echo(f"{question.name}: {text}", err=True),
            rounds=int(QUICK["rounds"]) if quick else rounds,
            run_s=QUICK["run_s"] if quick else run_s,
            warm_up_s=QUICK["warm_up_s"] if quick else 1.0,
            quick=quick,
        )
        answer = asyncio.run(_answered(question, setting))
    return Measured(
        question=question.name,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        machine=machine_before,
        quick=quick,
        seconds=setting.run_s,
        took_s=round(time.monotonic() - began, 1),
        answer=answer,
    )


async def _answered(question: Question, setting: Setting) -> Answer:
    return await question.measure(setting)


@click.command()
@click.option("--list", "lists", is_flag=True, help="Name the questions, and end.")
@click.option("--question", "names", multiple=True, help="Only this one; can be repeated.")
@click.option("--quick", is_flag=True, help="Two rounds of a second.")
@click.option("--rounds", default=5, show_default=True, help="Of each; medians count.")
@click.option("--seconds", default=3.0, show_default=True, help="Of one run.")
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
    """Compare this database with its peers, question by question."""
    every = questions()
    if lists:
        for question in every.values():
            click.echo(f"{question.name:<14} {question.asks}")
        return
    if unknown := sorted(set(names) - every.keys()):
        raise click.ClickException(
            f"there is no question {', '.join(unknown)}; --list names those there are."
        )
    out.mkdir(parents=True, exist_ok=True)
    asked = [question for question in every.values() if not names or question.name in names]
    failed: list[str] = []
    for question in asked:
        try:
            found = ask(question, quick, rounds, seconds)
        except Exception as exc:  # the others are asked all the same
            click.echo(f"{question.name} has no answer: {exc!r}", err=True)
            failed.append(question.name)
            continue
        (out / f"{question.name}.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
        )
        drawing = chart(question.asks, question.chart, found.answer.lines)
        (out / f"{question.name}.svg").write_text(drawing)
        if as_json:
            click.echo(msgspec.json.encode(found).decode())
        else:
            click.echo(tables(question, found))
    if page_path is not None:
        page(page_path, out, kept(out, every.values()))
        click.echo(f"written: {page_path}", err=True)
    if failed:
        click.echo(f"without an answer: {', '.join(failed)}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
