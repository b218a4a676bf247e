"""`jepsen-like lint` and `convert`: histories in files, looked over and written anew."""

from __future__ import annotations

from pathlib import Path

import click

from jepsen_like.file_options import FILE, format_named, format_option, independent_option
from jepsen_like.history import HistoryError, lint, read, write_edn, write_jsonl
from jepsen_like.history.files import load
from jepsen_like.result import EXIT_CODES

__all__ = ["convert", "lint_file"]


@click.command("lint")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@format_option
@independent_option
@click.option("--distinct", is_flag=True, help="No value may be written twice to a key.")
def lint_file(files: tuple[Path, ...], format_: str, independent: bool, distinct: bool) -> int:
    """Say what no sound recorder writes, line by line. Exit code 1 if there is any.

    A verdict on a history that has findings is worth nothing.
    """
    findings = 0
    for path in files:
        try:
            loaded = load(path, format_named(format_), independent=independent)
            sentences = lint(loaded.history, name=str(path), flaws=loaded.flaws, distinct=distinct)
        except HistoryError as exc:
            sentences = [str(exc)]
        for sentence in sentences:
            click.echo(sentence)
        if not sentences:
            click.echo(f"{path}: nothing to complain about in {len(loaded.history)} operations")
        findings += len(sentences)
    return 1 if findings else 0


@click.command()
@click.argument("source", metavar="A", type=FILE)
@click.argument("target", metavar="B", type=click.Path(path_type=Path, dir_okay=False))
@format_option
@independent_option
@click.option(
    "--to",
    type=click.Choice(["jsonl", "edn"]),
    help="What B becomes.  [default: edn if it is named so, else jsonl]",
)
def convert(source: Path, target: Path, format_: str, independent: bool, to: str | None) -> int:
    """Write the history A as B: our JSON lines, or EDN for Jepsen's tools.

    \b
      jepsen-like convert etcd_000.log history.jsonl
      jepsen-like convert history.jsonl history.edn
    """
    try:
        history = read(source, format_named(format_), independent=independent)
        if (to or target.suffix.lstrip(".")) == "edn":
            write_edn(target, history)
        else:
            write_jsonl(target, history)
    except HistoryError as exc:
        click.echo(f"Error: {exc}", err=True)
        return EXIT_CODES["unknown"]
    click.echo(f"{len(history)} operations written to {target}")
    return 0
