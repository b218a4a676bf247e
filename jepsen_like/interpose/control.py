"""The page that the harness and the library in one process share, by the file of both.

It is an array of 64-bit words. The harness sets some, the library counts and reports in others;
each is written by one side only, in one store. The numbers of the words are compiled into the
library from here.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

__all__ = ["Clock", "ClockSetting", "Control", "Report", "words_header"]

PAGE_BYTES: Final = 4096

JOURNAL_BYTES_MAX: Final = 1 << 30
"""A process that writes more in one run is not followed any further."""

SECOND_NS: Final = 1_000_000_000

SETTING: Final = ("OFFSET_NS", "SINCE_NS", "DRIFT_PPB", "STROBE_NS", "PERIOD_NS")

NAMES: Final = (
    "PID",
    "BANK",
    "SYNC_DELAY_NS",
    "SYNCS_BEGUN",
    "SYNCS_QUICK",
    "SYNCS_SLOW",
    "WRITES",
    "FAILS_ERRNO",
    "FAILS_KIND",
    "FAILS_LEFT",
    "FAILED",
    "WALL_READS",
    "MONOTONIC_READS",
    "ASKED",
    "ANSWERED",
    "REPORTED",
    "WALL_BEFORE_NS",
    "WALL_GIVEN_NS",
    "OF_DAY_GIVEN_NS",
    "TIME_GIVEN_S",
    "WALL_AFTER_NS",
    "MONOTONIC_BEFORE_NS",
    "MONOTONIC_GIVEN_NS",
    "MONOTONIC_AFTER_NS",
    "ARMED",
    "KIND",
    "COUNTDOWN",
)

WORD: Final[Mapping[str, int]] = {
    **{name: number for number, name in enumerate(NAMES)},
    "SETTINGS": len(NAMES),
    "WORDS": len(NAMES) + 4 * len(SETTING),  # two banks of two clocks
}

PATTERN_BYTES: Final = 256

WITHOUT_END: Final = 1 << 62


class Clock(Enum):
    WALL = 0
    MONOTONIC = 1


@dataclass(frozen=True)
class ClockSetting:
    """What is added to a clock: an offset, what it gains since, and a strobe that is there in every
    other period, the first one included."""

    offset_ns: int = 0
    drift_ppb: int = 0
    strobe_ns: int = 0
    period_ns: int = 0
    since_ns: int = 0  # on the real monotonic clock of the machine

    def shifts(self, now_ns: int) -> tuple[int, ...]:
        """What is added at that moment of the machine's monotonic clock; with a strobe, first in
        its shifted half, then in the other."""
        steady = self.offset_ns + (now_ns - self.since_ns) * self.drift_ppb // SECOND_NS
        return (steady + self.strobe_ns, steady) if self.period_ns else (steady,)


@dataclass(frozen=True)
class Report:
    """What a process was told of the time, read in it through the functions that it calls, between
    two looks at the clocks of the machine."""

    wall_before_ns: int
    wall_given_ns: int
    of_day_given_ns: int
    time_given_s: int
    wall_after_ns: int
    monotonic_before_ns: int
    monotonic_given_ns: int
    monotonic_after_ns: int

    def shift_ns(self, clock: Clock) -> int:
        """What was added, but for the time between the looks."""
        if clock is Clock.WALL:
            return self.wall_given_ns - self.wall_before_ns
        return self.monotonic_given_ns - self.monotonic_before_ns

    def is_shifted(self, clock: Clock, low_ns: int, high_ns: int) -> bool:
        """Whether all functions of the clock told a time between `low_ns` more than before and
        `high_ns` more than after."""
        if clock is Clock.MONOTONIC:
            begin, end = self.monotonic_before_ns + low_ns, self.monotonic_after_ns + high_ns
            return begin <= self.monotonic_given_ns <= end
        begin, end = self.wall_before_ns + low_ns, self.wall_after_ns + high_ns
        return (
            begin <= self.wall_given_ns <= end
            and begin - 1000 < self.of_day_given_ns <= end  # it has microseconds
            and begin // SECOND_NS <= self.time_given_s <= end // SECOND_NS
        )


class Control:
    """One page. `close` unmaps it; the library of a process keeps its own mapping."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(PAGE_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), PAGE_BYTES)
        self._words = memoryview(self._map).cast("q")
        self._bank: dict[Clock, ClockSetting] = dict.fromkeys(Clock, ClockSetting())

    def close(self) -> None:
        self._words.release()
        with suppress(BufferError):
            self._map.close()

    def get(self, name: str) -> int:
        return int(self._words[WORD[name]])

    def set(self, name: str, value: int) -> None:
        self._words[WORD[name]] = value

    # -------------------------------------------------------------------------- clocks

    def setting(self, clock: Clock) -> ClockSetting:
        return self._bank[clock]

    def set_clock(self, clock: Clock, setting: ClockSetting) -> None:
        """From now on, all of it at once."""
        self._bank[clock] = setting
        bank = 1 - self.get("BANK")
        for each, value in self._bank.items():
            at = WORD["SETTINGS"] + (2 * bank + each.value) * len(SETTING)
            fields = (
                value.offset_ns,
                value.since_ns,
                value.drift_ppb,
                value.strobe_ns,
                value.period_ns,
            )
            for number, field in enumerate(fields):
                self._words[at + number] = field
        self.set("BANK", bank)

    def ask(self) -> int:
        """Ask what the process is told of the time; `report` has it when it has looked."""
        number = self.get("ASKED") + 1
        self.set("ASKED", number)
        return number

    def report(self, number: int) -> Report | None:
        """The answer to `ask`; None: the process has not looked at a clock since."""
        if self.get("REPORTED") != number:
            return None
        return Report(
            wall_before_ns=self.get("WALL_BEFORE_NS"),
            wall_given_ns=self.get("WALL_GIVEN_NS"),
            of_day_given_ns=self.get("OF_DAY_GIVEN_NS"),
            time_given_s=self.get("TIME_GIVEN_S"),
            wall_after_ns=self.get("WALL_AFTER_NS"),
            monotonic_before_ns=self.get("MONOTONIC_BEFORE_NS"),
            monotonic_given_ns=self.get("MONOTONIC_GIVEN_NS"),
            monotonic_after_ns=self.get("MONOTONIC_AFTER_NS"),
        )

    # -------------------------------------------------------------------------- files

    def fail(self, kind: str, pattern: str, error: int, times: int = WITHOUT_END) -> None:
        """Let the next `times` writes ("W") or syncs ("S") of paths like `pattern` fail with the
        errno `error`."""
        self.set("FAILS_LEFT", 0)
        self._write_pattern(pattern, PATTERN_BYTES)
        self.set("FAILS_ERRNO", error)
        self.set("FAILS_KIND", ord(kind))
        self.set("FAILED", 0)
        self.set("FAILS_LEFT", times)

    def fail_no_more(self) -> None:
        self.set("FAILS_LEFT", 0)

    def arm(self, kind: str, pattern: str, operations: int) -> None:
        """The process kills itself so many records after the first of `kind` on a path like
        `pattern`."""
        self._write_pattern(pattern, 0)
        self.set("KIND", ord(kind))
        self.set("COUNTDOWN", operations)
        self.set("ARMED", 1)

    def die(self) -> None:
        """The process kills itself right after its next record: journal and tree then agree."""
        self.set("COUNTDOWN", 0)
        self.set("ARMED", 2)

    def disarm(self) -> None:
        self.set("ARMED", 0)

    def _write_pattern(self, pattern: str, offset: int) -> None:
        text = pattern.encode()
        assert len(text) < PATTERN_BYTES
        at = 8 * WORD["WORDS"] + offset
        self._map[at : at + len(text) + 1] = text + b"\0"


def monotonic_ns() -> int:
    """The clock of the machine that `ClockSetting.since_ns` is on."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def words_header() -> str:
    """words.h, for the parts in C."""
    numbers = dict(WORD) | {name: number for number, name in enumerate(SETTING)}
    numbers |= {
        "SETTING_WORDS": len(SETTING),
        "PAGE_BYTES": PAGE_BYTES,
        "PATTERN_BYTES": PATTERN_BYTES,
        "JOURNAL_BYTES_MAX": JOURNAL_BYTES_MAX,
    }
    return "".join(f"#define {name} {number}\n" for name, number in numbers.items())
