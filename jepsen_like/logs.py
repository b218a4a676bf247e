"""What the processes of a database said, on the clock of the run.

Lines begin with a time of the day in ISO 8601, as Python's `logging` writes it, or are JSON objects
with a member `ts`; a line without one belongs to the line before it. The times are those of the
process: one whose clock was tampered with tells them wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from jepsen_like.result import LogLine

__all__ = ["LINES_MAX", "count_lines", "read_logs"]

LINES_MAX: Final = 5_000
"""Kept of all files together; the rest is in the files."""

CHARACTERS_MAX: Final = 400
BYTES_MAX: Final = 4 * 1024 * 1024
"""Read of each file, from its beginning."""

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)\s*"
)


def read_logs(directory: Path, zero_s: float) -> tuple[LogLine, ...]:
    """The lines of all files in `directory`, by time. `zero_s`: the wall clock (seconds since the
    epoch) when the clock of the run was 0. What came before the run, and what has no time, is
    left out."""
    lines = [
        line
        for path in sorted(directory.glob("*.log"))
        for line in _lines(path, zero_s)
        if line.at_ns >= 0
    ]
    lines.sort(key=lambda line: line.at_ns)
    return tuple(lines[:LINES_MAX])


def count_lines(
    directory: Path, zero_s: float, marks: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Of each name, how many lines of all files have one of its marks; `zero_s` as in
    `read_logs`."""
    texts = [
        line.text
        for path in sorted(directory.glob("*.log"))
        for line in _lines(path, zero_s)
        if line.at_ns >= 0
    ]
    return {
        name: sum(any(mark in text for mark in each) for text in texts)
        for name, each in marks.items()
    }


def _lines(path: Path, zero_s: float) -> Iterator[LogLine]:
    with path.open("rb") as file:
        text = file.read(BYTES_MAX).decode(errors="replace")
    at_ns: int | None = None
    for line in text.splitlines():
        stamp, said = _split(line)
        if stamp is not None:
            at_ns = round((stamp - zero_s) * 1e9)
        if at_ns is not None and said:
            yield LogLine(at_ns, path.stem, said[:CHARACTERS_MAX])


def _split(line: str) -> tuple[float | None, str]:
    """(seconds since the epoch, the rest) of a line; a time without a zone is local time."""
    match = _TIME.match(line)
    if match is not None:
        return _seconds(match[1]), line[match.end() :]
    if line.startswith("{"):
        try:
            fields = json.loads(line)
            return _seconds(fields["ts"]), line
        except (ValueError, KeyError, TypeError, RecursionError):
            return None, line
    return None, line


def _seconds(stamp: str) -> float | None:
    try:
        return datetime.fromisoformat(stamp.replace(",", ".")).timestamp()
    except (ValueError, OverflowError, AttributeError):
        return None
