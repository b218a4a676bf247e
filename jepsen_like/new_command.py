"""`jepsen-like new adapter NAME`: the files with which a test of another database begins."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Final

import click

__all__ = ["new"]

PACKAGE: Final = "jepsen_like.skeleton"
NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
FILES: Final = ("skeleton_server.py", "skeleton_adapter.py", "skeleton_test.py")

README: Final = """# Testing skeleton with jepsen_like

    jepsen-like run skeleton_test.py

starts three members, cuts the leader off, kills it, and judges what clients saw. As it stands the
database is skeleton_server.py, one small file. Then, in this order:

1. skeleton_adapter.py: `argv` starts a member of your database, `Connection` speaks to it,
   `status` says whether it leads. Take all errors for unknown (OSError, ValueError) at first, and
   raise Refused only where you are certain.
2. skeleton_test.py: the load, and one fault after the other. `jepsen-like doctor` says which work
   on this machine.
3. Break your database on purpose, and see the test convict it.

`jepsen-like run skeleton_test.py --repeat 10` runs it with ten seeds.
"""


@click.group()
def new() -> None:
    """Write the files with which something of one's own begins."""


@new.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go; it must be empty or not be there.  [default: NAME]",
)
def adapter(name: str, out: Path | None) -> None:
    """Write an adapter for the database NAME, a test of it, and a README, which run as they stand.

    As long as nothing is changed the database is a small server of one file.

    \b
      jepsen-like new adapter mydb
      jepsen-like run mydb/mydb_test.py
    """
    if not NAME.match(name):
        raise click.UsageError(
            f"{name!r} names no adapter: write small letters, digits and underscores, as mydb."
        )
    out = out or Path(name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise click.UsageError(f"{out} is there and not empty; name another one with --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, text in files_of(name).items():
            (out / file).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise click.UsageError(f"{out} cannot be written: {exc}.") from exc
    click.echo(f"wrote {', '.join(files_of(name))} to {out}")
    click.echo(f"run it: jepsen-like run {out / f'{name}_test.py'}")


def files_of(name: str) -> dict[str, str]:
    """What is written for the database `name`, by the name of the file."""
    texts = {file: (resources.files(PACKAGE) / file).read_text(encoding="utf-8") for file in FILES}
    return {
        file.replace("skeleton", name): _named(text, name)
        for file, text in {**texts, "README.md": README}.items()
    }


def _named(text: str, name: str) -> str:
    camel = "".join(word.capitalize() for word in name.split("_"))
    return text.replace(f"{PACKAGE}.", "").replace("skeleton", name).replace("Skeleton", camel)
