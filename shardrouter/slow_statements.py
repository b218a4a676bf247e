"""Statements that took long, in a router's log: a line for each, without values, not too many.

How long is long the session says (`log_min_duration_statement`), and before that the router's
option `--slow-statement-ms`. What is written is the text with ? for each constant, which is also
what many slow statements have in common.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from shardrouter.errors import RouterError
from shardrouter.execution import Execution
from shardrouter.statement_log import cut, without_values

__all__ = ["SlowStatements"]

LINES_MAX: Final = 10
"""In a second; the others are counted. What makes statements slow makes many of them slow."""

WINDOW_S: Final = 1.0

_log: Final = logging.getLogger(__name__)


class SlowStatements:
    """Of one router."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = float("-inf")
        self._lines = 0
        self._left_out = 0

    def note(
        self,
        user: str,
        request: str,
        unit: Sequence[Execution],
        error: RouterError | None,
        seconds: float,
        group: str = "",
    ) -> None:
        """A unit was answered; `group` is the one that it was for, if there is one."""
        text = without_values(unit[0].prepared.text)
        if len(unit) > 1:
            text = f"{text} (and {len(unit) - 1} more of its unit)"
        self.write(user, request, text, error, seconds, group)

    def write(
        self,
        user: str,
        request: str,
        text: str,
        error: RouterError | None,
        seconds: float,
        group: str = "",
    ) -> None:
        """The same of a text without values."""
        now = self._clock()
        if now - self._window >= WINDOW_S:
            if self._left_out:
                _log.warning("%d slow statements were not logged", self._left_out)
            self._window, self._lines, self._left_out = now, 0, 0
        if self._lines >= LINES_MAX:
            self._left_out += 1
            return
        self._lines += 1
        milliseconds = round(seconds * 1000, 1)
        about = {"user": user, "request": request, "milliseconds": milliseconds}
        _log.warning(
            "slow: %.1f ms, request %s of %s: %s -> %s",
            milliseconds,
            request,
            user,
            cut(" ".join(text.split())),
            "done" if error is None else error.sqlstate,
            extra=about | {"group": group} if group else about,
        )
