"""What `shardrouter sql` was started for: -c and -f, a pipe, or a prompt."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from shardrouter.cli.shell.arguments import ArgumentError
from shardrouter.cli.shell.output import Output
from shardrouter.cli.shell.settings import Settings
from shardrouter.cli.shell.shell import Leave, Shell
from shardrouter.cli.shell.source import Lines, standard_input
from shardrouter.cli.shell.splitting import Command, Splitter, Statement
from shardrouter.pgclient import ConnectError, PasswordNeeded, Target

__all__ = ["run"]

FAILED, NOT_CONNECTED, SCRIPT_ENDED = 1, 2, 3
"""psql's exit codes."""


async def run(
    target: Target,
    settings: Settings,
    commands: Sequence[str],
    files: Sequence[Path],
    output_file: str | None,
) -> int:
    """The exit code."""
    is_interactive = not commands and not files and sys.stdin.isatty()
    shell = Shell(target, Output(is_interactive=is_interactive), settings)
    try:
        shell.output.send_to(output_file)
        await _connect(shell)
        if commands or files:
            return await _run_given(shell, commands, files)
        if is_interactive:
            from shardrouter.cli.shell.prompt import converse

            await converse(shell)
            return 0
        return 0 if await shell.run_source(standard_input()) else SCRIPT_ENDED
    except ConnectError as exc:
        shell.output.say(
            f"cannot connect to {shell.target}: {exc}.",
            "Is the cluster up? `shardrouter up` starts one.",
        )
        return NOT_CONNECTED
    except ArgumentError as exc:
        shell.output.say(str(exc))
        return FAILED
    except Leave as exc:
        return exc.code
    finally:
        shell.close()


async def _connect(shell: Shell) -> None:
    """Asks for the password if it is the only thing that is missing."""
    try:
        await shell.connect()
    except PasswordNeeded:
        if not sys.stdin.isatty():
            raise
        from getpass import getpass

        password = getpass(f"Password for user {shell.target.user}: ")
        await shell.connect(dataclasses.replace(shell.target, password=password))


async def _run_given(shell: Shell, commands: Sequence[str], files: Sequence[Path]) -> int:
    """As psql: the last one decides, unless ON_ERROR_STOP ends it earlier."""
    code = 0
    source = standard_input()
    for text in commands:
        if text.lstrip().startswith("\\"):
            succeeded = await shell.run_command(Command(text.strip()), Splitter(), source)
        else:
            succeeded = await shell.run(Statement(text), Splitter(), source)
        code = 0 if succeeded else FAILED
        if code and shell.settings.on_error_stop:
            return code
    for path in files:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                code = 0 if await shell.run_source(Lines(file)) else SCRIPT_ENDED
        except OSError as exc:
            shell.output.say(f"{path}: {exc.strerror}.")
            return FAILED
        if code:
            return code
    return code
