"""Who led which group, and when, on the time axis of the other drawings of a run."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from jepsen_like.report.charts import SERIES_MAX, Chart, bands
from jepsen_like.report.svg import Plot, text
from jepsen_like.result import Reign, RunResult

__all__ = ["leaders"]

GROUPS_MAX: Final = 12
BARS_MAX: Final = 600
LANE: Final = 16
GAP: Final = 6
BELOW: Final = 40  # of a plot: the axis and its title


def leaders(result: RunResult) -> Chart | None:
    """A lane per group, and in it one per host that led it; None if nobody was asked."""
    by_group: defaultdict[str, list[Reign]] = defaultdict(list)
    for reign in result.reigns:
        by_group[reign.group].append(reign)
    if not by_group:
        return None
    shown = _most_changing(by_group)
    hosts = sorted({reign.host for reign in result.reigns})
    lanes = [(group, host) for group in shown for host in _hosts(by_group[group])]
    height = len(lanes) * LANE + (len(shown) - 1) * GAP
    span = result.duration_ns / 1e9
    plot = Plot("Leaders over time", (0.0, span), height=height + 10 + BELOW, bands=bands(result))
    top = plot.top
    y = float(top)
    drawn = 0
    for number, (group, host) in enumerate(lanes):
        if number and lanes[number - 1][0] != group:
            y += GAP
        if number == 0 or lanes[number - 1][0] != group:
            plot.parts.append(text(plot.left - 8, y + LANE - 4, group, anchor="end"))
        for reign in by_group[group]:
            if reign.host == host and drawn < BARS_MAX:
                drawn += 1
                start, end = reign.start_ns / 1e9, reign.end_ns / 1e9
                said = f"{host} led {group} in term {reign.term}, {start:.1f} s to {end:.1f} s"
                css = f"reign s{min(hosts.index(host), SERIES_MAX - 1)}"
                plot.bar(start, end, y, LANE - 2, css, said, f"{host}, term {reign.term}")
        y += LANE
    plot.x_axis()
    legend = tuple((f"s{i}", host) for i, host in enumerate(hosts[:SERIES_MAX]))
    return Chart(plot.svg(), legend, _note(len(by_group) - len(shown), len(result.reigns) - drawn))


def _most_changing(by_group: dict[str, list[Reign]]) -> list[str]:
    """The groups whose leaders changed most, by name."""
    order = sorted(by_group, key=lambda group: (-len(by_group[group]), group))
    return sorted(order[:GROUPS_MAX])


def _hosts(reigns: list[Reign]) -> list[str]:
    """In the order in which they came to lead."""
    return list(dict.fromkeys(reign.host for reign in reigns))


def _note(groups: int, bars: int) -> str:
    note = (
        "By the word of each process, asked past all links: a leader that was cut off believes in "
        "itself until it notices. It gets nothing committed meanwhile."
    )
    if groups:
        note += f" {groups} more groups, whose leaders changed less, are not drawn."
    if bars > 0:
        note += f" {bars} intervals in all are not drawn."
    return note
