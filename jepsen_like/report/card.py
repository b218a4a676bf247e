"""The verdict card: the run on one screen of a terminal.

Drawn with rich for 80 columns; wider terminals get no wider lines than are easy to read. Where
the output is no terminal it is plain text, so a log or a bug report can hold it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jepsen_like.checks.availability import ALL
from jepsen_like.report import words
from jepsen_like.result import RunResult, SideAvailability, Verdict

__all__ = ["render", "render_text"]

WIDTH_MAX: Final = 100
EVIDENCE_MAX: Final = 3  # sentences per fault; all of them are in the report
OFFENDING_MAX: Final = 8
BAR_CELLS: Final = 10
COLORS: Final = {"valid": "green", "invalid": "red", "unknown": "yellow"}


def render(
    result: RunResult,
    console: Console,
    *,
    report: Path | None = None,
    history: Path | None = None,
) -> None:
    """Print the card. `report`, `history`: where they were written, to be named at its foot."""
    result = words.printable_result(result)
    width = min(console.width, WIDTH_MAX)
    for part in _parts(result, ascii_only=console.options.ascii_only):
        console.print(part, width=width)
    for name, text in _foot(result, report, history):
        # not wrapped: a path is clicked or copied whole
        console.print(Text.assemble((f"{name:<9} ", "dim"), text), soft_wrap=True)


def render_text(
    result: RunResult,
    *,
    report: Path | None = None,
    history: Path | None = None,
    width: int = 80,
) -> str:
    """The card as plain text."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    render(result, console, report=report, history=history)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _parts(result: RunResult, *, ascii_only: bool) -> Iterable[RenderableType]:
    yield _verdict(result)
    yield Text(f"{words.asked_of(result)}.")
    found = words.offending(result)
    if found is not None:
        yield from _section("Cannot be explained", _offending(found))
    yield from _section("Checks", _checks(result))
    if result.availability:
        yield from _section("Availability of each side of the cut", _sides(result, ascii_only))
    if result.faults:
        yield from _section("Faults", _faults(result))
    if result.failovers:
        yield from _section("Failover", _failovers(result))
    for note in result.notes:
        yield Text(f"Note: {note}", style="dim")
    yield Text("")


def _section(title: str, body: RenderableType) -> Iterable[RenderableType]:
    yield Text(f"\n{title}", style="bold")
    yield Padding(body, (0, 0, 0, 1))


def _verdict(result: RunResult) -> RenderableType:
    color = COLORS[result.validity]
    first = Text(result.validity.upper(), style=f"bold {color}")
    name = f"{result.name}: {words.topology_text(result.topology)}".removesuffix(": ")
    run = f"{words.seconds(result.duration_ns)} on the {result.backend} backend"
    about = Text(f"{name}, {run}, seed {result.seed}", style="dim")
    return Panel(Group(first, Text(words.headline(result)), about), border_style=color)


def _table(*headers: str, right: Iterable[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, header in enumerate(headers):
        justify = "right" if number in set(right) else "left"
        table.add_column(header, justify=justify, overflow="fold")  # type: ignore[arg-type] # str
    return table


def _add_row(table: Table, *cells: str | Text, style: str = "") -> None:
    """A row of text as it stands: rich would read "[/x]" in an error message as its markup."""
    table.add_row(*(Text(c) if isinstance(c, str) else c for c in cells), style=style)


def _checks(result: RunResult) -> RenderableType:
    table = _table("check", "verdict", "why")
    for verdict in result.verdicts:
        state = Text(verdict.validity, style=COLORS[verdict.validity])
        judged = f"{words.count(verdict.operations)} operations judged"
        above = words.headline(result) == f"{verdict.title}: {verdict.reason}"
        _add_row(table, verdict.title, state, judged if above else verdict.reason)
    return table


def _offending(verdict: Verdict) -> RenderableType:
    table = _table("sent", "back", "where", "process", "what", right=(0, 1))
    start = min(operation.sent_ns for operation in verdict.offending)
    for operation in verdict.offending[:OFFENDING_MAX]:
        answered = operation.outcome != "info"
        _add_row(
            table,
            f"+{words.duration(operation.sent_ns - start)}",
            f"+{words.duration(operation.returned_ns - start)}" if answered else "never",
            operation.node,
            str(operation.process),
            words.operation_text(operation),
        )
    more = len(verdict.offending) - OFFENDING_MAX
    rest = f"{more} more in the report. " if more > 0 else ""
    others = verdict.details.get("others_on_key")
    note = f"whatever the other {others} operations on this key did" if others else ""
    foot = Text(f"{rest}Times from {words.seconds(start)}; {note}".rstrip("; "), style="dim")
    return Group(table, foot)


def _sides(result: RunResult, ascii_only: bool) -> RenderableType:
    faults = {row.fault for row in result.availability}
    tables: list[RenderableType] = []
    shown = ""
    for (fault, side), rows in words.sides_of(result.availability).items():
        if fault != shown and len(faults) > 1:
            tables.append(Text(fault, style="dim"))
        shown = fault
        table = _table(
            *("side", "class", "ok", "asked", "yield", "95% interval", ""), right=(2, 3, 4, 5)
        )
        table.columns[0].min_width = max(len(s) for _, s in words.sides_of(result.availability))
        table.columns[1].min_width = 6
        for column in (2, 3):
            table.columns[column].min_width = 6
        table.columns[4].min_width = len("not measured")
        for row in rows:
            style = "bold" if row.f == ALL else ""
            _add_row(
                table,
                side if row is rows[0] else "",
                row.f,
                str(row.ok),
                str(row.invoked),
                words.yield_text(row),
                words.interval_text(row),
                _bar(row, ascii_only),
                style=style,
            )
        table.show_header = not any(isinstance(t, Table) for t in tables)
        tables.append(table)
    return Group(*tables)


def _bar(row: SideAvailability, ascii_only: bool) -> Text:
    if row.yield_ is None:
        return Text("")
    cells = int(row.yield_ * BAR_CELLS)  # a full bar means all of them
    full, empty = ("#", ".") if ascii_only else ("━", "╌")
    rest = "red" if not row.ok else "dim"
    return Text.assemble((full * cells, "green"), (empty * (BAR_CELLS - cells), rest))


def _faults(result: RunResult) -> RenderableType:
    parts: list[RenderableType] = []
    for fault in result.faults:
        state = words.fault_state(fault)
        window = f"{words.seconds(fault.start_ns)} to {words.seconds(fault.end_ns)}"
        parts.append(
            Text.assemble(
                (fault.name, "bold"),
                f"  {window}  ",
                (state, "green" if fault.verified else "bold yellow"),
            )
        )
        roles = fault.target
        if fault.role_before:
            roles += f": {fault.role_before}, afterwards {fault.role_after}"
        doubts_first = sorted(fault.evidence, key=lambda s: not s.startswith("NOT VERIFIED"))
        lines = [roles, *doubts_first[:EVIDENCE_MAX]]
        if len(doubts_first) > EVIDENCE_MAX:
            lines.append(f"({len(doubts_first) - EVIDENCE_MAX} more in the report)")
        for line in lines:
            style = "yellow" if line.startswith("NOT VERIFIED") else "dim"
            parts.append(Padding(Text(line, style=style), (0, 0, 0, 2)))
    return Group(*parts)


def _failovers(result: RunResult) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for failover in result.failovers:
        style = "" if failover.first_ok_ns is not None else "yellow"
        where = Text(words.asked_from(failover), style="dim")
        _add_row(table, failover.group, Text(words.failover_text(failover), style=style))
        _add_row(table, "", where)
    return table


def _foot(
    result: RunResult, report: Path | None, history: Path | None
) -> Iterable[tuple[str, Text]]:
    if report is not None:
        yield "report", Text(str(report), style="bold")
    if history is not None:
        yield "history", Text(str(history))
    if result.command:
        yield "again", Text(result.command)
    if result.versions:
        yield "versions", Text(words.versions_text(result.versions), style="dim")
