"""The shell's connection and what runs over it: statements, one after the other.

Where the connection goes the shell says what that means for the statement that was running and
for the transaction that was open, and connects to another host of the DSN, or to the same again.
"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

from shardrouter.cli.shell.arguments import ArgumentError, words_of
from shardrouter.cli.shell.carried import Carried
from shardrouter.cli.shell.layout import Column
from shardrouter.cli.shell.output import Output, Stopped
from shardrouter.cli.shell.reports import report_lines
from shardrouter.cli.shell.result import Result
from shardrouter.cli.shell.settings import Settings
from shardrouter.cli.shell.source import Source
from shardrouter.cli.shell.splitting import Command, Piece, Splitter, Statement
from shardrouter.lexer import is_utf8
from shardrouter.pgclient import Client, ConnectError, ConnectionLost, QueryFailed, Target, connect
from shardrouter.pgclient.target import shown_address
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.fields import Report

__all__ = ["Leave", "Shell"]

COPY_BYTES: Final = 64 * 1024
"""Of typed COPY data that is sent at a time."""

INCLUDES_MAX: Final = 32
"""Files that include files."""

_SHOWS_ROWS_ALONE: Final = ("SELECT", "SHOW", "EXPLAIN", "FETCH", "VALUES")
_MAY_COMMIT: Final = re.compile(r"\b(?:commit|end)\b", re.IGNORECASE)


class Leave(Exception):
    """`\\q`, or the end of what there is to read; or the connection of a script."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


class Shell:
    """`on_schema` is called when a statement may have changed what there is to complete."""

    def __init__(self, target: Target, output: Output, settings: Settings) -> None:
        self.target = target
        self.output = output
        self.settings = settings
        self.client: Client | None = None
        self.last = ""  # the statement that ran last: \g, \watch and \e are about it
        self.edited = ""  # what \e left, for the prompt to begin with
        self.on_schema: Callable[[], None] = lambda: None
        self.depth = 0  # of files that include files
        self._interrupts: list[Callable[[], None]] = []
        self._carried = Carried()

    # ---- the connection

    async def connect(self, target: Target | None = None) -> Client:
        """Raises ConnectError; then the connection there was stays."""
        target = target or self.target
        client = await connect(target, self._hear)
        if self.client is not None:
            self.client.close()
        self.client, self.target = client, target
        self._carried = Carried()
        self.on_schema()
        return client

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
        self.output.close()

    @property
    def prompt(self) -> str:
        """`database=>`; `=*>` in a transaction, `=!>` in a failed one, `=?>` if not connected."""
        client = self.client
        if client is None or client.is_lost:
            mark = "?"
        else:
            mark = {"T": "*", "E": "!"}.get(client.status, "")
        return f"{self.target.database}={mark}> "

    async def ready(self) -> Client:
        """The connection, made anew if it has gone. Raises ConnectError."""
        await self.look()
        return self.client or await self.connect()

    async def look(self) -> None:
        """Notice that the connection has gone while nothing ran. Raises ConnectError."""
        client = self.client
        if client is None or not client.is_lost:
            return
        await self._gone(client, "", ran=False)

    async def _gone(self, client: Client, statement: str, *, ran: bool) -> None:
        """Say what was lost with the connection, and connect again."""
        where = shown_address(*client.address)
        self.output.say(f"The connection to {where} was lost: {client.why_lost}.", warning=not ran)
        is_open = client.status != "I"
        if ran and is_open and _MAY_COMMIT.search(statement):
            self.output.say("Whether the transaction was committed is unknown: look first.")
        elif is_open:
            self.output.say("The open transaction is gone; nothing of it has happened.")
        elif ran:
            self.output.say("What the statement did is unknown: look before you repeat it.")
        self.client = None
        if not self.output.is_interactive:
            raise Leave(2)
        carried = self._carried
        found = await self.connect(self.target.beginning_with(client.address))
        self.output.say(f"Connected to {shown_address(*found.address)}.", warning=True)
        try:
            if await carried.give(found):
                self._carried = carried
                self.output.say("The session sees what it has seen before.", warning=True)
        except QueryFailed as exc:
            self.output.say("What the session has seen is not known there:", warning=True)
            self.output.say(*report_lines(exc.report), warning=True)
        except ConnectionLost as exc:
            raise ConnectError(str(exc)) from exc

    def _hear(self, report: Report) -> None:
        self.output.say(*report_lines(report), warning=True)

    # ---- reading

    async def run_source(self, source: Source) -> bool:
        """All that is there; False at an error if one ends it. Raises Leave, ArgumentError."""
        splitter = Splitter()
        while (line := await _next_line(source)) is not None:
            for piece in splitter.feed(line):
                if not await self.run(piece, splitter, source) and self.settings.on_error_stop:
                    return False
        for piece in splitter.end():
            if not await self.run(piece, splitter, source) and self.settings.on_error_stop:
                return False
        return True

    async def run(self, piece: Piece, splitter: Splitter, source: Source) -> bool:
        """Raises Leave."""
        if isinstance(piece, Statement):
            return await self.run_statement(piece.text, source)
        return await self.run_command(piece, splitter, source)

    async def run_command(self, command: Command, splitter: Splitter, source: Source) -> bool:
        """Raises Leave."""
        from shardrouter.cli.shell.commands import COMMANDS, Call

        try:
            words = words_of(command.text)
            found = COMMANDS.get(words.name.removesuffix("+"))
            if found is None:
                raise ArgumentError(f"there is no command \\{words.name}; \\? lists them.")
            return await found.run(Call(self, words, splitter, source))
        except (ArgumentError, ConnectError) as exc:
            self.output.say(f"\\{command.text.split()[0][1:]}: {exc}")
        except QueryFailed as exc:
            self.output.say(*report_lines(exc.report))
        except ConnectionLost as exc:
            await self._after_loss("", exc)
        except Stopped:
            return True
        except OSError as exc:
            self.output.say(f"{exc.filename or 'the file'}: {exc.strerror or exc}.")
        finally:
            self.output.close_pager()
        return False

    # ---- statements

    async def run_statement(self, text: str, source: Source) -> bool:
        """Whether it succeeded; its answer has been printed. Raises Leave."""
        if "\0" in text or not is_utf8(text):
            self.output.say("A statement is text in UTF-8, without the character of number 0.")
            return False
        self.last = text
        begun = time.perf_counter()
        was_open = self.client is not None and self.client.is_lost and self.client.status != "I"
        try:
            client = await self.ready()
            if was_open:  # it was meant for the transaction that is gone
                self.output.say("The statement was not run.")
                return False
            async with self.interruptible(client):
                succeeded = await self._ask(client, text, source)
            if self.output.is_interactive and client is self.client and not client.is_lost:
                await self._carried.note(client, text)
        except ConnectError as exc:
            self.output.say(f"Not connected: {exc}.")
            if not self.output.is_interactive:
                raise Leave(2) from exc
            return False
        except ConnectionLost as exc:
            await self._after_loss(text, exc)
            return False
        finally:
            self.output.close_pager()
        if self.settings.timing:
            self.output.tell(f"Time: {_duration((time.perf_counter() - begun) * 1000)}")
        return succeeded

    async def _after_loss(self, text: str, lost: ConnectionLost) -> None:
        client = self.client
        assert client is not None
        try:
            await self._gone(client, text, ran=lost.sent)
            if not lost.sent:
                self.output.say("The statement was not run.")
        except ConnectError as exc:
            self.output.say(f"Not connected: {exc}.")

    async def _ask(self, client: Client, text: str, source: Source) -> bool:
        succeeded = True
        copies_out = False
        result: Result | None = None
        async with aclosing(client.query(text)) as messages:
            async for message in messages:
                try:
                    if isinstance(message, m.DataRow):
                        assert result is not None
                        result.add(message.values)
                    elif isinstance(message, m.RowDescription):
                        columns = [Column(field.name, field.oid) for field in message.fields]
                        result = Result(columns, self.output, self.settings)
                    elif isinstance(message, m.CommandComplete):
                        if not copies_out:
                            self._complete(message.tag, result)
                        result, copies_out = None, False
                    elif isinstance(message, m.ErrorResponse):
                        succeeded = False
                        if result is not None:
                            result.break_off()
                            result = None
                        self.output.close_pager()
                        self.output.say(*report_lines(message.report, text))
                    elif isinstance(message, m.CopyInResponse):
                        await self.feed(client, source)
                    elif isinstance(message, m.CopyOutResponse):
                        copies_out = True
                    elif isinstance(message, m.CopyData):
                        self.output.write(message.data.decode("utf-8", "replace"))
                except (Stopped, OSError) as exc:
                    await client.cancel()
                    result = None
                    async for _ in messages:
                        continue  # what was on its way, and that it was canceled
                    if isinstance(exc, OSError):
                        self.output.say(f"The output cannot be written: {exc.strerror}.")
                        succeeded = False
                        if not self.output.is_interactive:
                            raise Leave(1) from exc
        return succeeded

    def _complete(self, tag: str, result: Result | None) -> None:
        if result is not None:
            result.end()
            self.output.close_pager()
        if result is None or not tag.startswith(_SHOWS_ROWS_ALONE):
            self.output.line(tag)
        if tag.startswith(("CREATE", "ALTER", "DROP", "ROLLBACK")):
            self.on_schema()

    async def feed(self, client: Client, source: Source) -> None:
        """COPY FROM STDIN: lines up to `\\.`."""
        held: list[str] = []
        size = 0
        try:
            while (line := await _next_line(source, ">> ")) not in (
                None,
                "\\.\n",
                "\\.\r\n",
                "\\.",
            ):
                if client.has_answered:
                    continue  # it has failed; the data are to be read past all the same
                held.append(line)
                size += len(line)
                if size >= COPY_BYTES:
                    await client.send_copy("".join(held).encode())
                    held.clear()
                    size = 0
        except KeyboardInterrupt:
            client.end_copy("canceled by the user")
            return
        except ArgumentError as exc:
            client.end_copy(str(exc))
            return
        if held:
            await client.send_copy("".join(held).encode())
        client.end_copy()

    @asynccontextmanager
    async def interruptible(self, client: Client) -> AsyncIterator[None]:
        """Ctrl-C cancels the statement; a second one gives up the connection."""
        asked: list[asyncio.Task[None]] = []

        def interrupt() -> None:
            if not asked:
                asked.append(asyncio.get_running_loop().create_task(client.cancel()))
            else:
                client.drop()

        async with self.on_interrupt(interrupt):
            try:
                yield
                for task in asked:
                    await task
            finally:
                for task in asked:
                    task.cancel()

    @asynccontextmanager
    async def on_interrupt(self, act: Callable[[], None]) -> AsyncIterator[None]:
        """Ctrl-C does this, besides what it does already."""
        loop = asyncio.get_running_loop()
        if not self._interrupts:
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self._interrupts.append(act)
        try:
            yield
        finally:
            self._interrupts.remove(act)
            if not self._interrupts:
                loop.remove_signal_handler(signal.SIGINT)

    def _interrupt(self) -> None:
        for act in self._interrupts:
            act()


async def _next_line(source: Source, prompt: str = "") -> str | None:
    """Raises ArgumentError."""
    try:
        return await source.line(prompt)
    except UnicodeDecodeError as exc:
        raise ArgumentError(f"the input is not UTF-8: {exc.reason}.") from exc


def _duration(ms: float) -> str:
    """As psql: also in words of clocks from a second on."""
    text = f"{ms:.3f} ms"
    if ms < 1000:
        return text
    minutes, seconds = divmod(ms / 1000, 60)
    if minutes < 60:
        return f"{text} ({int(minutes):02}:{seconds:06.3f})"
    return f"{text} ({int(minutes // 60):02}:{int(minutes % 60):02}:{seconds:06.3f})"
