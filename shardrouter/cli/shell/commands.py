"""The backslash commands: what each is called, says of itself, and does."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from shardrouter.cli.shell import describing
from shardrouter.cli.shell.arguments import ArgumentError, Words
from shardrouter.cli.shell.copying import copy
from shardrouter.cli.shell.settings import switch
from shardrouter.cli.shell.shell import INCLUDES_MAX, Leave, Shell
from shardrouter.cli.shell.source import Lines, Source, user_path
from shardrouter.cli.shell.splitting import Splitter
from shardrouter.pgclient import DsnError, parse_dsn
from shardrouter.pgclient.target import shown_address

__all__ = ["COMMANDS", "Call", "Command", "help_text"]

WATCH_S: Final = 2.0


@dataclass(frozen=True)
class Call:
    """What a command is given. source: where the lines after it come from."""

    shell: Shell
    words: Words
    splitter: Splitter
    source: Source

    def argument(self) -> str | None:
        """The only one there may be. Raises ArgumentError."""
        if len(self.words.arguments) > 1:
            raise ArgumentError(f"takes one argument, not {len(self.words.arguments)}.")
        return self.words.arguments[0] if self.words.arguments else None

    def statement(self) -> str:
        """What was typed before the command, else the last statement. Raises ArgumentError."""
        text = self.splitter.take() or self.shell.last
        if not text:
            raise ArgumentError("there is no statement yet.")
        return text


@dataclass(frozen=True)
class Command:
    """run: whether it succeeded; it may raise what `Shell.run_command` catches."""

    usage: str
    help: str
    run: Callable[[Call], Awaitable[bool]]


async def _quit(call: Call) -> bool:
    raise Leave


async def _help(call: Call) -> bool:
    call.shell.output.tell(help_text().rstrip())
    return True


async def _describe(call: Call) -> bool:
    return await describing.describe(call.shell, call.words.name, call.argument())


async def _expanded(call: Call) -> bool:
    settings = call.shell.settings
    settings.set_expanded(call.argument())
    call.shell.output.tell(settings.told_of("expanded"))
    return True


async def _timing(call: Call) -> bool:
    settings = call.shell.settings
    settings.timing = switch(call.argument(), settings.timing, "\\timing")
    call.shell.output.tell(f"Timing is {'on' if settings.timing else 'off'}.")
    return True


async def _tuples_only(call: Call) -> bool:
    settings = call.shell.settings
    settings.heads = not switch(call.argument(), not settings.heads, "\\t")
    call.shell.output.tell(settings.told_of("tuples_only"))
    return True


async def _pset(call: Call) -> bool:
    arguments = call.words.arguments
    settings = call.shell.settings
    if not arguments:
        for line in settings.told():
            call.shell.output.tell(line)
        return True
    settings.set_printing(arguments[0], " ".join(arguments[1:]) or None)
    call.shell.output.tell(settings.told_of(arguments[0]))
    return True


async def _format(call: Call) -> bool:
    settings = call.shell.settings
    settings.set_format(call.argument())
    call.shell.output.tell(settings.told_of("format"))
    return True


async def _set(call: Call) -> bool:
    arguments = call.words.arguments
    settings = call.shell.settings
    if not arguments:
        call.shell.output.tell(f"ON_ERROR_STOP = '{'on' if settings.on_error_stop else 'off'}'")
        return True
    settings.set_variable(arguments[0], " ".join(arguments[1:]) or None)
    return True


async def _output(call: Call) -> bool:
    call.shell.output.send_to(call.argument())
    return True


async def _echo(call: Call) -> bool:
    call.shell.output.tell(" ".join(call.words.arguments))
    return True


async def _go(call: Call) -> bool:
    return await call.shell.run_statement(call.statement(), call.source)


async def _go_expanded(call: Call) -> bool:
    settings = call.shell.settings
    before, settings.expanded = settings.expanded, "on"
    try:
        return await _go(call)
    finally:
        settings.expanded = before


async def _print(call: Call) -> bool:
    call.shell.output.tell(call.splitter.pending or call.shell.last)
    return True


async def _reset(call: Call) -> bool:
    call.splitter.take()
    return True


async def _explain(call: Call) -> bool:
    """Which shards run what of it."""
    text = call.words.rest or call.statement()
    return await call.shell.run_statement(f"EXPLAIN (ROUTE) {text}", call.source)


async def _watch(call: Call) -> bool:
    """Until Ctrl-C, or an error."""
    every = call.argument()
    try:
        seconds = WATCH_S if every is None else float(every)
    except ValueError:
        seconds = 0.0
    if not 0.01 <= seconds <= 86400:
        raise ArgumentError(f"the time between two runs is a number of seconds, not {every}.")
    shell, text = call.shell, call.statement()
    stop = asyncio.Event()
    async with shell.on_interrupt(stop.set):
        while not stop.is_set():
            now = time.strftime("%a %b %e %H:%M:%S %Y")
            shell.output.line(f"{now} (every {seconds:g}s)\n")
            if not await shell.run_statement(text, call.source):
                return False
            try:
                async with asyncio.timeout(seconds):
                    await stop.wait()
            except TimeoutError:
                continue
    return True


async def _edit(call: Call) -> bool:
    """What is saved is typed into the prompt, to be looked at and sent."""
    path = call.argument()
    shell = call.shell
    if not shell.output.is_interactive:
        raise ArgumentError("needs a terminal.")
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    made = None
    if path is None:
        descriptor, made = tempfile.mkstemp(suffix=".sql", text=True)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            text = call.splitter.take() or shell.last
            file.write(f"{text};\n" if text else "")
    file_path = user_path(made or path or "")
    try:
        process = await asyncio.create_subprocess_exec(*editor, str(file_path))
        if await process.wait():
            raise ArgumentError(f"{editor[0]} ended with code {process.returncode}.")
        shell.edited = file_path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as exc:
        raise ArgumentError(f"there is no {exc.filename}; set EDITOR to your editor.") from exc
    finally:
        if made is not None:
            file_path.unlink(missing_ok=True)
    return True


async def _include(call: Call) -> bool:
    path = call.argument()
    shell = call.shell
    if path is None:
        raise ArgumentError("needs the name of a file.")
    if shell.depth >= INCLUDES_MAX:
        raise ArgumentError(f"more than {INCLUDES_MAX} files include one another.")
    with user_path(path).open(encoding="utf-8", newline="") as file:
        shell.depth += 1
        try:
            return await shell.run_source(Lines(file))
        except Leave as exc:
            if exc.code:
                raise
            return True  # \q ends the file only
        finally:
            shell.depth -= 1


async def _connect(call: Call) -> bool:
    """`\\c`: anew, or to another DSN; without a DSN to the same hosts."""
    text = call.argument()
    shell = call.shell
    target = shell.target
    if text is not None:
        try:
            target = parse_dsn(text, os.environ)
        except DsnError as exc:
            raise ArgumentError(str(exc)) from exc
    await shell.connect(target)
    return await _connection_info(call)


async def _connection_info(call: Call) -> bool:
    shell = call.shell
    client = shell.client
    if client is None or client.is_lost:
        shell.output.tell("Not connected.")
        return True
    shell.output.tell(
        f'You are connected to database "{client.target.database}" as user '
        f'"{client.target.user}" at {shown_address(*client.address)}.'
    )
    if client.encryption:
        shell.output.tell(f"Encrypted: {client.encryption}.")
    return True


async def _copy(call: Call) -> bool:
    client = await call.shell.ready()
    async with call.shell.interruptible(client):
        return await copy(call.shell, client, call.words.rest, call.source)


COMMANDS: Final[dict[str, Command]] = {
    "d": Command("\\d [NAME]", "tables; or the columns, indexes and constraints of one", _describe),
    "dt": Command("\\dt [PATTERN]", "tables", _describe),
    "di": Command("\\di [PATTERN]", "indexes", _describe),
    "ds": Command("\\ds [PATTERN]", "sequences", _describe),
    "dv": Command("\\dv [PATTERN]", "views", _describe),
    "dn": Command("\\dn [PATTERN]", "schemas", _describe),
    "df": Command("\\df [PATTERN]", "functions", _describe),
    "du": Command("\\du [PATTERN]", "roles", _describe),
    "l": Command("\\l [PATTERN]", "databases", _describe),
    "x": Command("\\x [on|off|auto]", "a line for each column", _expanded),
    "pset": Command("\\pset [NAME VALUE]", "format, expanded, null, tuples_only, pager", _pset),
    "f": Command("\\f FORMAT", "table, vertical, csv or json", _format),
    "t": Command("\\t [on|off]", "rows only, without heads and counts", _tuples_only),
    "timing": Command("\\timing [on|off]", "how long statements take", _timing),
    "o": Command("\\o [FILE]", "answers go to a file; alone: to the terminal again", _output),
    "g": Command("\\g", "run what was typed, or the last statement again", _go),
    "gx": Command("\\gx", "the same, a line for each column", _go_expanded),
    "watch": Command("\\watch [SECONDS]", "run it again and again, until Ctrl-C", _watch),
    "explain": Command("\\explain [STATEMENT]", "which shards run what of it", _explain),
    "e": Command("\\e [FILE]", "edit the last statement or a file with $EDITOR", _edit),
    "p": Command("\\p", "show what was typed", _print),
    "r": Command("\\r", "forget what was typed", _reset),
    "i": Command("\\i FILE", "run the statements of a file", _include),
    "copy": Command(
        "\\copy TABLE|(QUERY) FROM|TO FILE [(OPTIONS)]", "between a table and a file here", _copy
    ),
    "echo": Command("\\echo TEXT", "say it", _echo),
    "set": Command("\\set ON_ERROR_STOP [on|off]", "whether a script ends at an error", _set),
    "c": Command("\\c [DSN]", "connect anew, or elsewhere", _connect),
    "conninfo": Command("\\conninfo", "to whom this is connected", _connection_info),
    "?": Command("\\?", "this help", _help),
    "q": Command("\\q", "leave (also Ctrl-D)", _quit),
}


def help_text() -> str:
    lines = [f"  {command.usage:<46}{command.help}" for command in COMMANDS.values()]
    head = "A statement ends with ; and may take several lines. Tab completes.\n"
    return head + "\n".join(lines) + "\n"
