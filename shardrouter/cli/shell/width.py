"""How many columns of a terminal a text takes, and what of it may be sent there. Pure.

A value may hold anything, also what a terminal takes for a command: control characters are
written out, as psql does.
"""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len

__all__ = ["shown", "text_width"]

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
TAB: Final = 8


def text_width(line: str) -> int:
    """Of one line that was `shown`."""
    return len(line) if line.isascii() else cell_len(line)


def shown(text: str) -> list[str]:
    """The lines of a value, without control characters."""
    if text.isascii() and text.isprintable():
        return [text]
    return [_shown_line(line) for line in text.split("\n")]


def _shown_line(line: str) -> str:
    if not _CONTROL.search(line):
        return line
    out = ""
    for char in line:
        if char == "\t":
            out += " " * (TAB - text_width(out) % TAB)
        elif char == "\r":
            out += "\\r"
        elif not _CONTROL.match(char):
            out += char
        elif char < "\x80":
            out += f"\\x{ord(char):02X}"
        else:
            out += f"\\u{ord(char):04X}"
    return out
