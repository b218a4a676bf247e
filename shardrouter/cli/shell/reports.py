"""Errors and notices of the server as text, with a caret under the place they are about. Pure."""

from __future__ import annotations

from typing import Final

from shardrouter.cli.shell.width import text_width
from shardrouter.pgwire.fields import Report

__all__ = ["report_lines"]

EXCERPT_WIDTH: Final = 60
"""Columns of a long line that are shown around the place."""

LEFT_OF_PLACE: Final = 30


def report_lines(report: Report, statement: str = "") -> list[str]:
    """`ERROR:  42P01: message`, the line of the statement with a caret, DETAIL, HINT, CONTEXT."""
    state = "" if report.sqlstate == "00000" else f"{report.sqlstate}: "
    lines = [f"{report.severity}:  {state}{report.message}"]
    if report.position and statement:
        lines += _place(statement, report.position)
    if report.internal_query:
        lines.append(f"QUERY:  {report.internal_query}")
        if report.internal_position:
            lines += _place(report.internal_query, report.internal_position)
    for label, text in (
        ("DETAIL", report.detail),
        ("HINT", report.hint),
        ("CONTEXT", report.where),
    ):
        if text:
            lines.append(f"{label}:  {text}")
    return lines


def _place(statement: str, position: int) -> list[str]:
    """The line that `position` (in characters, from 1) is in, and a caret below it."""
    at = min(position - 1, len(statement))
    start = statement.rfind("\n", 0, at) + 1
    end = statement.find("\n", at)
    line = statement[start : len(statement) if end < 0 else end].rstrip("\r").replace("\t", " ")
    column = min(at - start, len(line))
    number = statement.count("\n", 0, start) + 1
    before = after = ""
    if text_width(line) > EXCERPT_WIDTH:
        if column > LEFT_OF_PLACE:
            cut = column - LEFT_OF_PLACE
            line, column, before = line[cut:], LEFT_OF_PLACE, "..."
        if len(line) > EXCERPT_WIDTH:
            line, after = line[:EXCERPT_WIDTH], "..."
    head = f"LINE {number}: {before}"
    return [f"{head}{line}{after}", " " * (len(head) + text_width(line[:column])) + "^"]
