"""The clock of a history, for people: where it starts, and the unit that fits its length.

Logs of other tools may have no times; there the order of the lines is the clock, one tick each,
and calling these ticks nanoseconds would be a lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jepsen_like.history.columns import History

__all__ = ["RUN", "Clock", "clock_of"]

UNITS: Final = ((1_000_000_000, "s", "seconds"), (1_000_000, "ms", "milliseconds"),
                (1_000, "us", "microseconds"))  # fmt: skip
LEAST_OF_A_UNIT: Final = 2  # 1.9 s are better read in milliseconds
TICKS_PER_OPERATION: Final = 4  # each has two events, and a log has some lines of others


@dataclass(frozen=True)
class Clock:
    start_ns: int
    unit_ns: int
    unit: str  # "ms"; "": events, not time
    title: str  # of an axis

    def of(self, ns: int) -> float:
        return (ns - self.start_ns) / self.unit_ns

    def text(self, ns: int) -> str:
        if not self.unit:
            return f"event {ns - self.start_ns}"
        return f"{self.of(ns):.6f}".rstrip("0").rstrip(".") + f" {self.unit}"


RUN: Final = Clock(0, UNITS[0][0], "s", "seconds since the start of the run")


def clock_of(history: History) -> Clock:
    start = min(history.sent_ns, default=0)
    span = max(history.returned_ns, default=0) - start
    if span <= TICKS_PER_OPERATION * len(history):
        return Clock(start, 1, "", "events since the first one")
    for unit_ns, unit, name in UNITS:
        if span >= LEAST_OF_A_UNIT * unit_ns:
            return Clock(start, unit_ns, unit, f"{name} since the first operation")
    unit_ns, unit, name = UNITS[-1]
    return Clock(start, unit_ns, unit, f"{name} since the first operation")
