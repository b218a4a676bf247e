"""What a simulated process is told of the time, where a fault may mislead it.

The page is the one that the library in C reads (`jepsen_like.interpose.control`): so the fault that
moves a clock, and the looks that verify it, are those of real processes.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

from jepsen_like.interpose.control import SECOND_NS, SETTING, WORD, Clock

__all__ = ["CONTROL", "ShownClock"]

CONTROL: Final = "JEPSEN_LIKE_CONTROL"
"""The variable in the environment of a process that names the file of its page."""


class ShownClock:
    """The two clocks of one process."""

    def __init__(self, page: Path, pid: int) -> None:
        with page.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._map).cast("q")
        self._set("PID", pid)

    def wall_ns(self, wall_ns: int, monotonic_ns: int) -> int:
        """The time of day, where it is `wall_ns` in truth."""
        shown = wall_ns + self._shift(Clock.WALL, monotonic_ns)
        if self._get("ASKED") != self._get("REPORTED"):
            self._report(wall_ns, shown, monotonic_ns)
        return shown

    def monotonic_ns(self, monotonic_ns: int) -> int:
        return monotonic_ns + self._shift(Clock.MONOTONIC, monotonic_ns)

    def _shift(self, clock: Clock, now_ns: int) -> int:
        at = WORD["SETTINGS"] + (2 * self._get("BANK") + clock.value) * len(SETTING)
        offset, since, drift, strobe, period = self._words[at : at + len(SETTING)]
        passed = now_ns - since
        shift = offset + passed * drift // SECOND_NS
        return int(shift + strobe if period and not passed // period % 2 else shift)

    def _report(self, wall_ns: int, shown_ns: int, monotonic_ns: int) -> None:
        self._set("WALL_BEFORE_NS", wall_ns)
        self._set("WALL_GIVEN_NS", shown_ns)
        self._set("OF_DAY_GIVEN_NS", shown_ns)
        self._set("TIME_GIVEN_S", shown_ns // SECOND_NS)
        self._set("WALL_AFTER_NS", wall_ns)
        self._set("MONOTONIC_BEFORE_NS", monotonic_ns)
        self._set("MONOTONIC_GIVEN_NS", self.monotonic_ns(monotonic_ns))
        self._set("MONOTONIC_AFTER_NS", monotonic_ns)
        self._set("REPORTED", self._get("ASKED"))

    def _get(self, name: str) -> int:
        return self._words[WORD[name]]

    def _set(self, name: str, value: int) -> None:
        self._words[WORD[name]] = value
