"""A lab as a terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from jepsen_like.lab.figures import Figure
from jepsen_like.lab.status import Status, sides
from jepsen_like.workloads.levels import read_at

__all__ = ["answers", "healed_in_words", "shown"]

COLOURS = {"running": "green", "stopped": "yellow", "silent": "yellow", "dead": "red"}


def shown(status: Status) -> Group:
    """Hosts, faults and figures."""
    parts: list[Table | Text] = [_head(status), _hosts(status)]
    if status.faults:
        parts += [Text(""), _faults(status)]
    if status.load:
        parts += [Text(""), _figures(status)]
    parts += [Text(f"  {error}", style="dim") for error in status.errors]
    return Group(*parts)


def _head(status: Status) -> Text:
    minutes, seconds = divmod(int(status.seconds), 60)
    load = f"{status.load:g} calls/s" if status.load else "no load"
    return Text(
        f"lab in {status.directory}: up for {minutes}:{seconds:02}, {load}, "
        f"{status.operations} answered or given up",
        style="bold",
    )


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _hosts(status: Status) -> Table:
    table = _table("host", "node", "leads, by its own word", "cut from", "slow to")
    newest = {
        one.group: max(o.term for h in status.hosts for o in h.leads if o.group == one.group)
        for host in status.hosts
        for one in host.leads
    }
    for host in status.hosts:
        led = ", ".join(
            f"{one.group} (term {one.term}{'' if one.term == newest[one.group] else ', DEPOSED'})"
            for one in host.leads
        )
        table.add_row(
            host.name,
            Text(f"{host.process} ({host.pid})", style=COLOURS[host.process]),
            led,
            Text(" ".join(host.unheard), style="red"),
            ", ".join(f"{name} +{ms:g} ms" for name, ms in host.slow_ms.items()),
        )
    return table


def _faults(status: Status) -> Table:
    table = _table("fault", "what", "since", "")
    cut = [(host.name, other) for host in status.hosts for other in host.unheard]
    apart = " | ".join(" ".join(side) for side in sides([h.name for h in status.hosts], cut))
    for fault in status.faults:
        words = apart if fault.kind == "partition" else ""
        table.add_row(str(fault.number), fault.name, f"{fault.seconds:.0f} s", words)
    return table


def _figures(status: Status) -> Table:
    """A row for each class, a column for each host."""
    default, *weaker = status.levels
    table = _table(f"last {status.window_s:g} s", *(host.name for host in status.hosts), "all/s")
    found = {(figure.f, figure.host): figure for figure in status.figures}
    rows = {"write": "write", f"read {default}": "read", **{read_at(w): read_at(w) for w in weaker}}
    for words, f in rows.items():
        cells = [_cell(found.get((f, host.name))) for host in status.hosts]
        rate = sum(figure.rate for figure in status.figures if figure.f == f)
        table.add_row(words, *cells, f"{rate:.1f}")
    return table


def _cell(figure: Figure | None) -> Text:
    """ "12/12 3 ms" or "5/9 4 ms, 2 STALE", red where most gets no answer"""
    if figure is None:
        return Text("-", style="dim")
    text = f"{figure.ok}/{figure.asked}"
    if figure.p50_ns is not None:
        text += f" {_ms(figure.p50_ns)}"
    good = figure.ok > figure.asked / 2
    found = Text(text, style="green" if good else "red")
    if figure.stale:
        found.append(f", {figure.stale} STALE", style="bold yellow")
    return found


def _ms(time_ns: int) -> str:
    ms = time_ns / 1e6
    if ms >= 1000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 9.95 else f"{ms:.1f} ms"


def answers(told: dict[str, Any], levels: Sequence[str]) -> Group:
    """What each host said at each level."""
    table = _table("asked of", *levels)
    reasons: dict[str, None] = {}
    by_host: dict[str, dict[str, Any]] = {}
    for one in told["said"]:
        by_host.setdefault(one["host"], {})[one["level"]] = one
        if one["error"]:
            reasons[f"{one['host']}, {one['level']}: {one['error']}"] = None
    for host, said in by_host.items():
        table.add_row(host, *(_answer(said.get(level)) for level in levels))
    head = Text(f"register {told['key']}, on {told['group']}")
    return Group(head, table, *(Text(f"  {reason}", style="dim") for reason in reasons))


def _answer(said: dict[str, Any] | None) -> Text:
    if said is None:
        return Text("")
    if said["outcome"] == "ok":
        return Text(f"{said['value']}  {_ms(said['took_ns'])}", style="green")
    words = {"fail": "refused", "info": "no answer"}[said["outcome"]]
    return Text(f"{words}  {_ms(said['took_ns'])}", style="red")


def healed_in_words(told: dict[str, Any], *, in_full: bool) -> list[str]:
    """What was healed, and whether it was seen to be what it was called."""
    lines = []
    for one in told["healed"]:
        seen = "verified" if one["verified"] else "NOT VERIFIED"
        roles = f"; {one['target']}: before {one['role_before']}, after {one['role_after']}"
        lines.append(
            f"healed after {one['seconds']:.1f} s: {one['name']} ({seen})"
            f"{roles if one['role_before'] else ''}"
        )
        if in_full or not one["verified"]:
            lines += [f"  {sentence}" for sentence in one["evidence"]]
    return lines or ["nothing was broken"]
