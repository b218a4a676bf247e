"""The verbs of the store: `diff` and `serve`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from jepsen_like.store.differences import Difference
    from jepsen_like.store.runs import StoredRun

__all__ = ["RUNS", "diff", "serve"]

RUNS: Final = Path("jepsen-runs")
"""Where runs go if nobody says otherwise."""

DIFFER: Final = 1

WIDE: Final = 10_000
"""Columns of output that is not a terminal, so that no row is ever folded."""


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--all", "show_all", is_flag=True, help="Also what does not differ.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def diff(a: Path, b: Path, show_all: bool, as_json: bool) -> None:
    """Compare two runs: settings, verdicts, PACELC labels, and figures with their intervals.

    A and B are directories of runs. A figure differs if the 95% intervals have nothing in common.

    Exit codes: 0 no result differs (settings may), 1 some do, 3 a run cannot be read.

    \b
      jepsen-like diff jepsen-runs/demo-A jepsen-runs/demo-B
    """
    from jepsen_like.store.differences import differences, in_words
    from jepsen_like.store.runs import StoreError, read_run

    try:
        runs = (read_run(a), read_run(b))
    except StoreError as exc:
        raise click.ClickException(str(exc)) from exc
    found = differences(*(run.results for run in runs))
    if as_json:
        fields = {
            "format": 1,
            "a": str(a),
            "b": str(b),
            "summary": in_words(found),
            "compared": [{**asdict(each), "matters": each.matters} for each in found],
        }
        click.echo(json.dumps(fields, indent=1))
    else:
        shown = [each for each in found if show_all or each.state in ("differs", "alone")]
        _print(runs, shown)
        click.echo(in_words(found) + ("" if len(shown) == len(found) else "; --all shows the rest"))
    sys.exit(DIFFER if any(each.matters for each in found) else 0)


def _print(runs: tuple[StoredRun, StoredRun], shown: list[Difference]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from jepsen_like.report.words import printable

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    table = Table(box=None, pad_edge=False)
    for column in ("", "A", "B", ""):
        table.add_column(column, overflow="fold")
    for name, values in (
        ("run", [run.name for run in runs]),
        ("started", [str(run.results["started_at"]) for run in runs]),
    ):
        table.add_row(name, *(Text(printable(value)) for value in values), "")
    for each in shown:
        style = "bold" if each.matters else ""
        cells = (each.what, each.a or "-", each.b or "-", each.state)
        table.add_row(*(Text(printable(cell), style) for cell in cells))
    console.print(table)


@click.command()
@click.argument(
    "directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=RUNS
)
@click.option("--port", type=click.IntRange(0, 65535), default=8017, show_default=True)
def serve(directory: Path, port: int) -> None:
    """Browse the runs in DIRECTORY (default: jepsen-runs): list, reports, logs, comparisons.

    Listens on this machine only; Ctrl-C ends it. A run that ends meanwhile is there on reload.

    \b
      jepsen-like serve
      jepsen-like serve results --port 9000
    """
    from jepsen_like.store.server import serve_store

    serve_store(directory, port, lambda url: click.echo(f"{url} shows {directory}; Ctrl-C ends"))
