"""Clocks that are wrong: of one process, while it runs, by the library that is loaded into it.

The wall clock jumps (an administrator, NTP after a long outage), drifts (a bad oscillator) or
strobes (two machines that disagree about the time, as Jepsen's `strobe-time`). The monotonic clock,
by choice, jumps forward or drifts, never back: what it has gained it keeps when the fault heals.

Verified by reading the clock in the process, through the functions that it calls itself, next to
the machine's own.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from jepsen_like.adapters.database import Offer
from jepsen_like.faults.processes import (
    POLL_S,
    SETTLE_S,
    Lasting,
    Look,
    ProcessFault,
    Victim,
)
from jepsen_like.faults.targets import Target, as_target
from jepsen_like.interpose.control import Clock, ClockSetting, Report, monotonic_ns
from jepsen_like.load import seconds

__all__ = ["MoveClock", "clock"]

PARTS: Final = {"ppm": 1_000, "%": 10_000_000}  # in parts of a billion

SWITCH_NS: Final = 1_000_000
"""A setting is computed for a moment that has not come yet when it is seen, so that a monotonic
clock does not go back by what it gains meanwhile."""


@dataclass(frozen=True)
class MoveClock:
    """What is added to a clock, from when the fault strikes."""

    what: str  # "jump +30s", for people
    clock: Clock
    setting: ClockSetting
    kind: ClassVar[str] = "clock"
    demands: ClassVar[frozenset[Offer]] = frozenset([Offer.PRELOAD])

    def __str__(self) -> str:
        return f"{'monotonic ' if self.clock is Clock.MONOTONIC else ''}clock {self.what}"

    def drawn(self, rng: random.Random) -> MoveClock:
        return self

    def on(self, victim: Victim) -> Lasting:
        return _Moved(victim, self)


class _Moved(Lasting):
    def __init__(self, victim: Victim, deed: MoveClock) -> None:
        super().__init__(victim)
        self._control = victim.instrument.control
        self._clock = deed.clock
        self._setting = deed.setting
        self._before = self._control.setting(deed.clock)

    async def begin(self) -> Sequence[Look]:
        first = await self._look("before", self._before)
        now_ns = monotonic_ns()
        base_ns = self._before.shifts(now_ns)[-1]
        offset_ns = base_ns + self._setting.offset_ns
        self._setting = replace(self._setting, offset_ns=offset_ns, since_ns=now_ns)
        self._control.set_clock(self._clock, self._setting)
        return first, await self._look("at the start", self._setting)

    async def still(self) -> Sequence[Look]:
        return [await self._look("at the end", self._setting)]

    async def healed(self) -> Sequence[Look]:
        return [await self._look("after the heal", self._control.setting(self._clock))]

    def undo(self) -> None:
        if self._control.setting(self._clock) != self._setting:
            return  # taken back before, or never begun
        if self._clock is Clock.MONOTONIC:
            gained_ns = self._setting.shifts(monotonic_ns() + SWITCH_NS)[-1]
            self._control.set_clock(self._clock, ClockSetting(offset_ns=gained_ns))
        else:
            self._control.set_clock(self._clock, self._before)

    async def _look(self, when: str, setting: ClockSetting) -> Look:
        """Whether the process is told what `setting` says; of a strobe, both halves."""
        victim = self.victim
        wanted = len(setting.shifts(0))
        seen: dict[int, str] = {}
        try:
            async with asyncio.timeout(SETTLE_S):
                while len(seen) < wanted:
                    report = await self._report()
                    half = self._half(report, setting)
                    said = f"{report.shift_ns(self._clock) / 1e9:+.6f} s"
                    if half is None:
                        return False, f"{when}: process {victim.pid} was told a time {said} off"
                    seen.setdefault(half, said)
        except TimeoutError:
            told = f"was told {' and '.join(seen.values())} only" if seen else "asked for no time"
            return False, f"{when}: process {victim.pid} {told} within {SETTLE_S:g} s"
        told = " and ".join(said for _, said in sorted(seen.items()))
        return True, f"{when}: process {victim.pid} was told a time {told} off the machine's"

    async def _report(self) -> Report:
        control = self._control
        number = control.ask()
        while (report := control.report(number)) is None:  # noqa: ASYNC110 - the page tells nobody
            await asyncio.sleep(POLL_S)
        return report

    def _half(self, report: Report, setting: ClockSetting) -> int | None:
        low = setting.shifts(report.monotonic_before_ns)
        high = setting.shifts(report.monotonic_after_ns)
        for half, ends in enumerate(zip(low, high, strict=True)):
            if report.is_shifted(self._clock, min(ends), max(ends)):
                return half
        return None


def clock(
    target: Target | str,
    *,
    jump: str = "",
    drift: str = "",
    strobe: str = "",
    every: str | float = "20ms",
    monotonic: bool = False,
    hold: str | float = "5s",
    rest: str | float = "3s",
) -> ProcessFault:
    """The clock of the target's process jumps ("+30s"), drifts ("500ppm", "-5%") or strobes: jumps
    there and back ("200ms", for `every` each). Raises ValueError with a sentence."""
    said = [text for text in (jump, drift, strobe) if text]
    if len(said) != 1:
        raise ValueError("a clock fault has one of jump=, drift= and strobe=.")
    jump_ns, drift_ppb, strobe_ns = _signed_ns(jump), _parts(drift), _signed_ns(strobe)
    if monotonic and (strobe or jump_ns < 0):
        raise ValueError("a monotonic clock never goes back; jump forward, or let it drift.")
    period_ns = round(seconds(every) * 1e9) if strobe else 0
    if strobe and not period_ns:
        raise ValueError("a strobe takes some time: every= is more than nothing.")
    what = f"jump {jump}" if jump else f"drift {drift}" if drift else f"strobe {strobe}"
    setting = ClockSetting(jump_ns, drift_ppb, strobe_ns, period_ns)
    deed = MoveClock(what, Clock.MONOTONIC if monotonic else Clock.WALL, setting)
    return ProcessFault(deed, as_target(target), seconds(hold), seconds(rest))


def _signed_ns(text: str) -> int:
    if not text:
        return 0
    sign = -1 if text.startswith("-") else 1
    return sign * round(seconds(text.removeprefix("-").removeprefix("+")) * 1e9)


def _parts(text: str) -> int:
    if not text:
        return 0
    match = re.fullmatch(r"([+-]?\d+(?:\.\d+)?)\s*(ppm|%)", text)
    if match is None:
        raise ValueError(f"{text!r} is no drift; write 500ppm or -5%.")
    found = round(float(match[1]) * PARTS[match[2]])
    if found <= -1_000_000_000:
        raise ValueError(
            f"with a drift of {text} a clock would stand still; write more than -100%."
        )
    return found
