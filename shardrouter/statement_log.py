"""The statements of a router's clients, in its log, for who asks for that.

A log is read by others than the tables are: unless it is asked for, no statement is written
there. `text` writes what was executed without its values: constants become ?, and arguments and
messages of errors are left out. `values` writes all of it, but never a password. Rows of a COPY
are not written in either.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, get_args

from shardrouter.errors import RouterError
from shardrouter.execution import Execution, Outcome
from shardrouter.lexer import Kind, tokenize

__all__ = ["LEVELS", "Level", "StatementLog", "cut", "without_values"]

Level: TypeAlias = Literal["none", "text", "values"]
LEVELS: Final = get_args(Level)

LINE_MAX: Final = 4096
"""Characters of a statement, and of its arguments, that are written."""

_log: Final = logging.getLogger(__name__)

_Done: TypeAlias = Callable[[list[Outcome] | RouterError], None]


class StatementLog:
    """Writes a line for each statement when it has ended, with the role that sent it."""

    def __init__(self, level: Level, clock: Callable[[], float] = time.monotonic) -> None:
        self._shows_values = level == "values"
        self._clock = clock

    def watch(self, user: str, request: str, unit: Sequence[Execution], done: _Done) -> _Done:
        """A `done` of the unit `request` that writes what became of it, then calls the other."""
        began = self._clock()

        def ended(result: list[Outcome] | RouterError) -> None:
            seconds = self._clock() - began
            for at, execution in enumerate(unit):
                if not isinstance(result, RouterError):
                    became = result[at].tag
                elif at == result.statement:
                    became = self._failure(result)
                else:
                    became = "not done, for another statement of its unit failed"
                self._write(user, self._executed(execution), became, seconds, request)
            done(result)

        return ended

    def refused(self, user: str, text: str, error: RouterError) -> None:
        """A statement that could not be prepared."""
        self._write(user, self._text(text), self._failure(error), 0.0)

    def copied(self, user: str, text: str) -> None:
        """A COPY FROM STDIN that begins."""
        self._write(user, self._text(text), "rows come", 0.0)

    def _write(
        self, user: str, statement: str, became: str, seconds: float, request: str = ""
    ) -> None:
        milliseconds = round(seconds * 1000, 1)
        about: dict[str, object] = {"user": user, "milliseconds": milliseconds}
        _log.info(
            "%s: %s -> %s (%.1f ms)",
            user,
            statement,
            became,
            milliseconds,
            extra=about | {"request": request} if request else about,
        )

    def _executed(self, execution: Execution) -> str:
        text = self._text(execution.prepared.text)
        if not self._shows_values or not execution.arguments:
            return text
        return f"{text} {cut(repr(list(execution.arguments)))}"

    def _text(self, text: str) -> str:
        bare = without_values(text)
        shown = text if self._shows_values and "password" not in bare.lower() else bare
        return cut(" ".join(shown.split()))

    def _failure(self, error: RouterError) -> str:
        said = f": {cut(' '.join(error.message.split()))}" if self._shows_values else ""
        return f"{error.sqlstate}{said}"


def without_values(text: str) -> str:
    """The statement with ? for each constant; of one that cannot be read, its length."""
    try:
        tokens = tokenize(text)
    except RouterError:
        return f"(a text of {len(text)} characters that is no SQL)"
    parts, end = [], 0
    for token in tokens:
        if token.start > end:
            parts.append(" ")  # or a comment, which may say anything
        parts.append("?" if token.kind in (Kind.STRING, Kind.NUMBER) else token.source)
        end = token.end
    return "".join(parts).strip()


def cut(text: str) -> str:
    """As much of it as a line takes."""
    return text if len(text) <= LINE_MAX else f"{text[:LINE_MAX]}..."
