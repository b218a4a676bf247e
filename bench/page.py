"""Answers as text: tables of one question, and the page of all of them.

Figures that processes share the name of are one column: `cpu_us router` and the like are shown as
one list, so that a table has as many columns whoever took part.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from bench.question import Line, Measured, Question, Spread, Verdict

__all__ = ["kept", "page", "tables"]

_ABOUT: Final = (
    "Written by `python -m bench --page docs/performance.md` from the answers beside it; how they "
    "are found, and where the time goes, is in [bench/README.md](../bench/README.md). Contestants "
    "run on one machine, on loopback, with their clients, and take turns; figures are medians of "
    "the rounds, with the least and the most. Figures of one machine do not travel; ratios do, to "
    "a degree. `client-bound`: in one of the two runs the client had over half of all CPU time. "
    "CPU is that of all processes and of the client for each operation, bytes on disk as the "
    "kernel charges them, memory what processes have for themselves and their share of the rest."
)

_PART: Final = "cpu_us "
_TITLES: Final = {
    "per_second": "per second (least to most)",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_us": "CPU us each",
    "client_share": "client's share",
    "disk_bytes": "disk bytes each",
    "wire_bytes": "loopback bytes each",
    "memory_mb": "memory MB",
}


def kept(directory: Path, questions: Iterable[Question]) -> list[tuple[Question, Measured]]:
    """The answers of a directory, in the order of the questions."""
    decode = msgspec.json.Decoder(Measured).decode
    paths = [(question, directory / f"{question.name}.json") for question in questions]
    return [(question, decode(path.read_bytes())) for question, path in paths if path.exists()]


def tables(question: Question, found: Measured) -> str:
    """Markdown of one answer: what was measured, and how the targets stand."""
    said = [f"## {question.asks}", "", about(found), ""]
    names = list(dict.fromkeys(n for line in found.answer.lines for n in line.figures))
    columns = [name for name in names if not name.startswith(_PART)]
    has_parts = any(name.startswith(_PART) for name in names)
    said += _head(["", *(_titled(name) for name in columns), *["CPU us by process"] * has_parts])
    for case, lines in groupby(found.answer.lines, key=lambda line: line.case):
        for number, line in enumerate(lines):
            name = f"**{case}**<br>{line.contestant}" if not number and case else line.contestant
            cells = [_cell(column, line.figures.get(column)) for column in columns]
            said.append(_row([name, *cells, *[_parts(line)] * has_parts]))
    if found.answer.verdicts:
        said += ["", *_verdicts(found.answer.verdicts)]
    said += ["", "What each does with a write before it is acknowledged:", ""]
    said += [f"- {name}: {work}." for name, work in found.answer.contestants.items()]
    said += [f"- {name} did not take part: {why}." for name, why in found.answer.missing.items()]
    return "\n".join(said) + "\n"


def about(found: Measured) -> str:
    machine = found.machine
    return (
        f"Commit {found.commit}, {found.measured_at[:10]}; {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}, load "
        f"{machine['load']} before; runs of {found.seconds:g} s"
        f"{', quick' if found.quick else ''}, {found.took_s:.0f} s in all."
    )


def page(path: Path, results: Path, found: Sequence[tuple[Question, Measured]]) -> None:
    """The page, and beside it a directory of its name with the drawings and the answers."""
    beside = path.with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
    for question, _ in found:
        for suffix in (".svg", ".json"):
            source, target = results / f"{question.name}{suffix}", beside / (question.name + suffix)
            if source.resolve() != target.resolve():
                shutil.copyfile(source, target)
    path.write_text(page_text(beside.name, found), encoding="utf-8")


def page_text(beside: str, found: Sequence[tuple[Question, Measured]]) -> str:
    """Markdown; drawings are in the directory `beside`."""
    said = [
        "# Performance",
        "",
        _ABOUT,
        "",
        "## Targets",
        "",
        *_verdicts([verdict for _, one in found for verdict in one.answer.verdicts]),
    ]
    for question, one in found:
        said += ["", tables(question, one).rstrip(), ""]
        said.append(f"![{question.asks}]({beside}/{question.name}.svg)")
    return "\n".join(said) + "\n"


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    rows = _head(["target", "measured", "wanted", ""])
    for verdict in verdicts:
        met = "met" if verdict.is_met else "**missed**"
        note = f", {verdict.note}" if verdict.note else ""
        sign = "at least" if verdict.sign == ">=" else "at most"
        rows.append(
            _row([verdict.what, f"{verdict.measured:g}", f"{sign} {verdict.target:g}", met + note])
        )
    return rows


def _head(titles: Sequence[str]) -> list[str]:
    return [_row(titles), "|" + "---|" * len(titles)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _titled(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _cell(name: str, spread: Spread | None) -> str:
    if spread is None:
        return ""
    if name == "client_share":
        return f"{spread.median:.0%}"
    if name == "per_second":
        return f"{spread.median:,.0f} ({spread.least:,.0f} to {spread.most:,.0f})"
    return f"{spread.median:,.4g}" if spread.median < 1000 else f"{spread.median:,.0f}"


def _parts(line: Line) -> str:
    parts = {n.removeprefix(_PART): s for n, s in line.figures.items() if n.startswith(_PART)}
    return ", ".join(f"{name} {spread.median:.0f}" for name, spread in parts.items())
