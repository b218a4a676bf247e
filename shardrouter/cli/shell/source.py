"""What is read: lines of a text, a file, standard input; and paths as a user writes them."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

__all__ = ["Lines", "Source", "standard_input", "user_path"]


class Source(Protocol):
    async def line(self, prompt: str = "") -> str | None:
        """The next one with its line end; None at the end. The prompt is for who types."""
        ...


class Lines:
    """Those of a file or list, as it gives them."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines: Iterator[str] = iter(lines)

    async def line(self, prompt: str = "") -> str | None:
        return next(self._lines, None)


def user_path(text: str) -> Path:
    return Path(text).expanduser()


def standard_input() -> Lines:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")
    return Lines(sys.stdin)
