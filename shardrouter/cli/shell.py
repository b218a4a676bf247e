"""The SQL shell: `shardrouter sql`, at a prompt, with -c, or fed by a pipe.

It is a PostgreSQL client like any other (asyncpg) and knows nothing of the cluster but the
address of a router.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import click

from nodes.config import ConfigError
from shardrouter.access import read_dsn, without_password
from shardrouter.cli.run import run_async
from shardrouter.locate import find_cluster
from shardrouter.statement import split

__all__ = ["sql"]

HELP = """\
  SQL;            runs when a line ends with ;
  \\d              tables
  \\d TABLE        columns of a table
  \\?              this help
  \\q              leave (also Ctrl-D)"""

CONNECT_TIMEOUT_S = 10.0

PIPE_WIDTH = 10_000
"""Columns of output that is not a terminal: wide, so that no row is ever cut."""


class ShellError(Exception):
    """A command of the shell itself is wrong; the message is a sentence."""


@click.command()
@click.argument("dsn", required=False)
@click.option("-c", "--command", "commands", multiple=True, help="Run this SQL and exit.")
@click.option("--cluster", "cluster_file", help="The cluster's cluster.toml, if no DSN is given.")
def sql(dsn: str | None, commands: tuple[str, ...], cluster_file: str | None) -> None:
    """Type SQL. Without a DSN, the router of the cluster found as by every verb.

    \b
      shardrouter sql
      shardrouter sql -c "SELECT count(*) FROM t"
      shardrouter sql < script.sql
      shardrouter sql postgresql://ann:secret@10.0.0.1:6433/shardrouter

    With -c or a pipe the first error ends it, with exit code 1.
    """
    if dsn is None:
        try:
            dsn = read_dsn(find_cluster(cluster_file))
        except ConfigError as exc:
            raise click.ClickException(str(exc)) from exc
    if run_async(_sql(dsn, commands)):
        sys.exit(1)


async def _sql(dsn: str, commands: Sequence[str]) -> bool:
    """Returns whether a statement failed (never for the prompt: the user has seen it)."""
    shell = Shell(dsn)
    await shell.connect()
    try:
        if commands:
            return not await shell.run_all(commands)
        if not sys.stdin.isatty():
            return not await shell.run_all([sys.stdin.read()])
        await prompt(shell)
        return False
    finally:
        await shell.close()


class Shell:
    """One connection, reopened when the router went away, and the printing of answers."""

    def __init__(self, dsn: str) -> None:
        from rich.console import Console

        self._dsn = dsn
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        self._out = Console(highlight=False, markup=False, width=width)
        self._err = Console(highlight=False, markup=False, stderr=True)

    async def connect(self) -> None:
        """Raises ClickException if nobody answers there."""
        try:
            self._connection = await asyncpg.connect(self._dsn, timeout=CONNECT_TIMEOUT_S)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as exc:
            raise click.ClickException(
                f"cannot connect to {without_password(self._dsn)}: {exc or type(exc).__name__}. "
                "Is the cluster up? `shardrouter up` starts one."
            ) from exc

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def run_all(self, texts: Sequence[str]) -> bool:
        """Run every statement of every text; False at the first that fails."""
        for text in texts:
            for statement in [text] if text.lstrip().startswith("\\") else split(text):
                if not await self.run(statement):
                    return False
        return True

    async def run(self, text: str) -> bool:
        """Run one statement or backslash command and print its answer; False if it failed."""
        try:
            await self._run(backslash(text) if text.lstrip().startswith("\\") else text)
        except asyncpg.PostgresError as exc:
            self._print_error(exc)
        except (ShellError, asyncpg.InterfaceError, OSError) as exc:
            self._err.print(f"ERROR:  {exc}", style="red")
        else:
            return True
        return False

    async def _run(self, text: str) -> None:
        if self._connection is None or self._connection.is_closed():
            self._err.print("the connection was lost; connecting again", style="yellow")
            await self.connect()
        assert self._connection is not None
        statement = await self._connection.prepare(text)
        rows = await statement.fetch()
        attributes = statement.get_attributes()
        if attributes:
            self._print_rows([a.name for a in attributes], rows)
        else:
            self._out.print(statement.get_statusmsg())

    def _print_rows(self, names: Sequence[str], rows: Sequence[asyncpg.Record]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.ASCII2 if not self._out.is_terminal else box.ROUNDED)
        for index, name in enumerate(names):
            numeric = all(isinstance(row[index], int | float | None) for row in rows)
            right = numeric and bool(rows) and not isinstance(rows[0][index], bool)
            table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell(value) for value in row.values()))
        self._out.print(table)
        self._out.print(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")

    def _print_error(self, exc: asyncpg.PostgresError) -> None:
        fields = exc.as_dict()
        self._err.print(f"ERROR:  {fields.get('message')} ({exc.sqlstate})", style="red")
        for label in ("detail", "hint"):
            if fields.get(label):
                self._err.print(f"{label.upper()}:  {fields[label]}")


def cell(value: Any) -> Any:
    """A value as text; NULL dimmed so that it cannot be taken for the word."""
    from rich.text import Text

    if value is None:
        return Text("NULL", style="dim italic")
    if isinstance(value, bool):
        return Text("t" if value else "f")
    return Text(str(value))


def backslash(text: str) -> str:
    """The SQL that answers a backslash command; raises ShellError for one it does not know."""
    words = text.strip().rstrip(";").split()
    match words:
        case ["\\d"] | ["\\dt"]:
            return "SHOW TABLES"
        case ["\\d", table]:
            return f"SHOW COLUMNS FROM {table}"
        case _:
            raise ShellError(f"unknown command {words[0]}; \\? lists the commands.")


async def prompt(shell: Shell) -> None:
    """The interactive loop: lines until a ; make a statement."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    click.echo("Connected. \\? for help, \\q to leave.")
    session: PromptSession[str] = PromptSession(history=FileHistory(str(history_path())))
    pending = ""
    while True:
        try:
            line = await session.prompt_async("     -> " if pending else "shard=> ")
        except KeyboardInterrupt:
            pending = ""
            continue
        except EOFError:
            return
        if not pending and line.strip() in ("\\q", "exit", "quit"):
            return
        if not pending and line.strip() == "\\?":
            click.echo(HELP)
            continue
        pending = f"{pending}\n{line}" if pending else line
        if not pending.strip():
            pending = ""
        elif pending.rstrip().endswith(";") or pending.lstrip().startswith("\\"):
            text, pending = pending, ""
            await interruptible(shell.run_all([text]))


async def interruptible(work: Any) -> None:
    """Ctrl-C ends the statement, not the shell."""
    import signal

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        click.echo("cancelled here; the statement may still take effect", err=True)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def history_path() -> Path:
    """Where typed lines are kept, readable by the user only."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    directory = state / "shardrouter"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory / "sql_history"
