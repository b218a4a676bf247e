"""How long groups did not serve after a fault: every failover of a run in one picture."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Final

from jepsen_like.report import words
from jepsen_like.report.charts import Chart
from jepsen_like.report.svg import Plot, nice_step, text
from jepsen_like.result import Failover, RunResult

__all__ = ["failovers"]

FAILOVERS_MIN: Final = 3
"""Under that the fault's own row says it all."""

KINDS_MAX: Final = 8
LANE: Final = 26
BELOW: Final = 40
RING: Final = "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0"


def failovers(result: RunResult) -> Chart | None:
    """A dot per failover, a lane per kind of fault. None if there are too few for a picture."""
    kinds = {fault.name: fault.kind for fault in result.faults}
    lanes: defaultdict[str, list[Failover]] = defaultdict(list)
    for failover in result.failovers:
        lanes[kinds.get(failover.fault, failover.fault)].append(failover)
    times = [f.first_ok_ns / 1e9 for f in result.failovers if f.first_ok_ns is not None]
    if len(times) < FAILOVERS_MIN:
        return None
    shown = sorted(lanes)[:KINDS_MAX]
    longest = max(times) * 1.05
    plot = Plot(
        "Time from a fault to the first answer of the group",
        (0.0, longest),
        (0.0, float(len(shown))),
        height=len(shown) * LANE + 10 + BELOW,
        x_title="seconds from the fault to the first operation that was served again",
    )
    told = []
    for number, kind in enumerate(shown):
        level = len(shown) - number - 0.5
        plot.parts.append(text(plot.left - 8, plot.level(level) + 4, kind, anchor="end"))
        found = sorted(f.first_ok_ns / 1e9 for f in lanes[kind] if f.first_ok_ns is not None)
        plot.marks(((at, level) for at in found), f"mark stale s{number % 6}", RING)
        told.append(_told(kind, found, len(lanes[kind])))
    step = nice_step(longest, 10)
    plot.ticks([(i * step, f"{i * step:g}") for i in range(int(longest / step) + 1)])
    return Chart(plot.svg(), (), " ".join(told))


def _told(kind: str, times: list[float], count: int) -> str:
    if not times:
        return f"{kind}: {count}, none served again."
    never = f", {count - len(times)} never" if count > len(times) else ""
    middle = words.seconds(round(median(times) * 1e9))
    return (
        f"{kind}: {count}, median {middle}, longest {words.seconds(round(times[-1] * 1e9))}{never}."
    )
