"""Where answers go: the terminal, a pager if they do not fit, the file of `\\o`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, TextIO

from shardrouter.cli.shell.arguments import ArgumentError

__all__ = ["Output", "Stopped"]

PAGER: Final = "less -S"
"""Wide rows are scrolled, not folded."""

_FAINT, _RED, _YELLOW, _PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


class Stopped(Exception):
    """The reader of the pager has seen enough."""


class Output:
    """`say` is for errors and notices: stderr, whatever `\\o` is."""

    def __init__(self, *, is_interactive: bool) -> None:
        self.is_interactive = is_interactive
        self.is_terminal = sys.stdout.isatty()
        self._colours = self.is_terminal and "NO_COLOR" not in os.environ
        self._file: TextIO | None = None
        self._pager: subprocess.Popen[str] | None = None

    @property
    def goes_to_terminal(self) -> bool:
        return self.is_terminal and self._file is None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal."""
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def faint(self, text: str) -> str:
        return f"{_FAINT}{text}{_PLAIN}" if self._colours and self.goes_to_terminal else text

    def write(self, text: str) -> None:
        """Raises Stopped, and OSError of a file that takes no more."""
        stream = self._file or sys.stdout
        if self._pager is not None:
            assert self._pager.stdin is not None
            stream = self._pager.stdin
        try:
            stream.write(text)
            if self._pager is None:
                stream.flush()
        except BrokenPipeError:
            if self._pager is None:
                raise
            raise Stopped from None

    def line(self, text: str) -> None:
        self.write(f"{text}\n")

    def tell(self, text: str) -> None:
        """What is no answer of the server: to standard output, whatever `\\o` is."""
        print(text, flush=True)

    def say(self, *lines: str, warning: bool = False) -> None:
        colour = _YELLOW if warning else _RED
        for number, line in enumerate(lines):
            first = number == 0 and self._colours and sys.stderr.isatty()
            print(f"{colour}{line}{_PLAIN}" if first else line, file=sys.stderr)
        sys.stderr.flush()

    def send_to(self, path: str | None) -> None:
        """`\\o FILE`, and `\\o` alone for the terminal. Raises ArgumentError."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if path is not None:
            try:
                self._file = Path(path).expanduser().open("w", encoding="utf-8")
            except OSError as exc:
                raise ArgumentError(f"{path} cannot be written: {exc.strerror}.") from exc

    def open_pager(self) -> None:
        """From now on everything goes through it, until `close_pager`."""
        words = shlex.split(os.environ.get("PAGER") or PAGER)
        if not words or self._pager is not None:
            return
        try:
            self._pager = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={"LESS": "-FRX", **os.environ},
            )
        except OSError:
            return  # there is no such program: a long table is better than none

    def close_pager(self) -> None:
        pager, self._pager = self._pager, None
        if pager is None:
            return
        assert pager.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pager.stdin.close()
        while True:
            try:
                pager.wait()
                return
            except KeyboardInterrupt:
                continue  # it is the pager's

    def close(self) -> None:
        self.close_pager()
        self.send_to(None)
