"""The shell at a terminal: several lines to a statement, colours, history, completion by Tab."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import ColorDepth
from pygments.lexers.sql import PostgresLexer

from shardrouter.cli.shell.commands import COMMANDS
from shardrouter.cli.shell.completion import complete
from shardrouter.cli.shell.names import KnownNames
from shardrouter.cli.shell.shell import Leave, Shell
from shardrouter.cli.shell.source import Source
from shardrouter.cli.shell.splitting import Command, Piece, Splitter
from shardrouter.pgclient import ConnectError

__all__ = ["History", "converse", "history_path", "is_complete"]

_LEAVES: Final = ("exit", "quit")
_SECRET: Final = re.compile(r"\bpassword\b", re.IGNORECASE)


async def converse(shell: Shell) -> None:
    """Until `\\q` or Ctrl-D."""
    shell.output.tell("Connected. \\? for help, \\q to leave.")
    keyboard = Keyboard(shell)
    while True:
        try:
            await shell.look()
        except ConnectError as exc:
            shell.output.say(f"Not connected: {exc}.")
        try:
            text = await keyboard.statement()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.strip().lower().removesuffix(";") in _LEAVES:
            return
        splitter = Splitter()
        try:
            for piece in splitter.feed(f"{text}\n"):
                await shell.run(piece, splitter, keyboard)
        except Leave:
            return
        shell.edited = splitter.take() or shell.edited


class Keyboard(Source):
    """Reads statements, and the lines of COPY's data."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        colours = None if "NO_COLOR" not in os.environ else ColorDepth.DEPTH_1_BIT
        self._session: PromptSession[str] = PromptSession(
            history=History(str(history_path())),
            lexer=PygmentsLexer(PostgresLexer),
            completer=_Completer(KnownNames(shell)),
            complete_while_typing=False,
            multiline=True,
            key_bindings=_keys(),
            prompt_continuation=lambda width, number, wrapped: "-> ".rjust(width),
            color_depth=colours,
        )
        self._plain: PromptSession[str] = PromptSession()

    async def statement(self) -> str:
        """Raises EOFError, KeyboardInterrupt."""
        begun, self._shell.edited = self._shell.edited, ""
        return await self._session.prompt_async(self._shell.prompt, default=begun)

    async def line(self, prompt: str = "") -> str | None:
        try:
            return await self._plain.prompt_async(prompt) + "\n"
        except EOFError:
            return None


def is_complete(text: str) -> bool:
    """Whether Enter sends the text, rather than beginning another line of it."""
    if not text.strip() or text.strip().lower() in _LEAVES:
        return True
    splitter = Splitter()
    found = False
    last: list[Piece] = []
    for line in f"{text}\n".splitlines(keepends=True):
        last = splitter.feed(line)
        found = found or bool(last)
    ends_in_command = bool(last) and isinstance(last[-1], Command)  # it may run what is pending
    return found and (splitter.sign == "=" or ends_in_command)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_complete(buffer.text) and not buffer.document.text_after_cursor.strip():
            buffer.validate_and_handle()
        elif is_complete(buffer.text):
            buffer.cursor_position = len(buffer.text)
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys


class _Completer(Completer):
    def __init__(self, names: KnownNames) -> None:
        self._names = names

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        return ()  # it completes asynchronously

    async def get_completions_async(
        self, document: Document, event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        names = await self._names.get()
        text, behind = document.text_before_cursor, document.text_after_cursor
        begun = text.rfind(";") + 1  # good enough to guess by
        for found in complete(text[begun:], behind, names, list(COMMANDS)):
            yield Completion(found.text, -found.replaces, display_meta=found.kind)


class History(FileHistory):
    """Readable by its owner only, and without statements that set a password."""

    def store_string(self, string: str) -> None:
        if not _SECRET.search(string):
            super().store_string(string)


def history_path() -> Path:
    """Of the file, which is there when this returns."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    directory = state / "shardrouter"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "sql_history"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    path.chmod(0o600)
    return path
