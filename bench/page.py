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

from bench.filled import filled
from bench.question import Line, Measured, Question, Spread, Verdict
from bench.ratios import ratios

__all__ = ["kept", "page", "tables"]

CHANGES: Final = Path(__file__).with_name("changes.md")
"""Written by hand, with figures of the answers: what is missed and why, and what each change of
the paths bought."""

_ABOUT: Final = (
    "Written by `make bench` from the answers beside it; how they are found is in "
    "[bench/README.md](../bench/README.md). Contestants run on one machine, on loopback, with "
    "their clients, and take turns; figures are medians of the rounds, with the least and the "
    "most. `copies with an fsync`: of how many copies, how many have a write on disk before it is "
    "acknowledged. The column that ends in `of others'` divides that figure by that of each other "
    "contestant with the same client; where nobody else takes part, by that of the first line. "
    "Figures of one machine do not travel; ratios do, to a degree. `client-bound`: in one of "
    "the two runs the client had over half of all CPU time, so that the ratio says little of the "
    "servers; pgbench is the client that is compiled. CPU is user and system of all processes and "
    "of the client for each operation; bytes on disk are those the kernel charges to the "
    "processes, those of the wire all that went over loopback meanwhile; memory is the most that "
    "the processes had for themselves, with their share of what several have."
)
_QUICK: Final = (
    "**Of a quick run**: one round of a second for each figure shows that the suite works, and "
    "little more."
)

_PART: Final = "cpu_us "
_BY_PROCESS: Final = "CPU us by process"
_COPIES: Final = "copies with an fsync"
_WITH_ENDS: Final = ("per_second", "p50_ms", "p99_ms", "cpu_us", "seconds", "listening_s")
"""Figures that are shown with the least and the most of the rounds, as the one that is drawn."""

_TITLES: Final = {
    "per_second": "per second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_us": "CPU us each",
    "cpu_s": "CPU s, all processes",
    "system_us": "of it the kernel",
    "sqlite_us": "of it SQLite, at least",
    "python_us": "left to Python",
    "wall_us": "us each",
    "client_share": "client's share",
    "disk_bytes": "disk bytes each",
    "wire_bytes": "loopback bytes each",
    "peak_memory_mb": "peak memory MB",
    "entry_writes": "writes in an entry of a log",
    "commit_entries": "entries in a COMMIT with its fsync",
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
    columns = [name for name in names if " " not in name]  # the others are of one process
    cases = [list(lines) for _, lines in groupby(found.answer.lines, key=lambda line: line.case)]
    compared = [ratios(lines, question.chart) for lines in cases]
    has_ratios = question.has_ratios and any(map(any, compared))
    has_copies = any(line.fsynced for line in found.answer.lines)
    has_parts = any(name.startswith(_PART) for name in names)
    titles = ["", *[_COPIES] * has_copies, *[_titled(name, question) for name in columns]]
    titles += [*[f"{_titled(question.chart)} of others'"] * has_ratios, *[_BY_PROCESS] * has_parts]
    said += _head(titles)
    for lines, of_others in zip(cases, compared, strict=True):
        for number, line in enumerate(lines):
            case = f"**{line.case}**<br>" if not number and line.case else ""
            cells = [f"{case}{line.contestant}", *[line.fsynced] * has_copies]
            cells += [_cell(column, line.figures.get(column), question) for column in columns]
            cells += [of_others[number]] * has_ratios
            said.append(_row([*cells, *[_parts(line)] * has_parts]))
    if found.answer.verdicts:
        said += ["", *_verdicts(found.answer.verdicts)]
    said += ["", "What each does with a write before it is acknowledged:", ""]
    said += [f"- {name}: {work}." for name, work in found.answer.contestants.items()]
    said += [
        f"- {name} did not take part: {why.strip()}." for name, why in found.answer.missing.items()
    ]
    return "\n".join(said) + "\n"


def about(found: Measured) -> str:
    machine = found.machine
    return (
        f"Commit {found.commit}, {found.measured_at[:10]}; {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}, load "
        f"{machine['load']} before; runs of {found.seconds:g} s"
        f"{', quick' if found.quick else ''}, {found.took_s:.0f} s in all."
    )


def flame_name(question: str, title: str) -> str:
    """Of the file of a flame graph."""
    words = "".join(c if c.isalnum() else " " for c in title.lower()).split()
    return f"{question}-{'-'.join(words)}.svg"


def page(path: Path, results: Path, found: Sequence[tuple[Question, Measured]]) -> None:
    """The page, and beside it a directory of its name with the drawings and the answers."""
    beside = path.with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
    for question, one in found:
        flames = [flame_name(question.name, title) for title in one.answer.flames]
        for name in (f"{question.name}.svg", f"{question.name}.json", *flames):
            source, target = results / name, beside / name
            if source.resolve() != target.resolve():
                shutil.copyfile(source, target)
    text = page_text(beside.name, found, CHANGES.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")


def page_text(beside: str, found: Sequence[tuple[Question, Measured]], changes: str) -> str:
    """Markdown; drawings are in the directory `beside`, `changes` is the part written by hand,
    whose figures are filled in."""
    said = ["# Performance", "", _ABOUT, ""]
    if any(one.quick for _, one in found):
        said += [_QUICK, ""]
    said += [*_conditions([one for _, one in found]), "", "## Targets", ""]
    said += _verdicts([verdict for _, one in found for verdict in one.answer.verdicts])
    for question, one in found:
        said += ["", tables(question, one).rstrip(), ""]
        said.append(f"![{question.asks}]({beside}/{question.name}.svg)")
        for title in one.answer.flames:
            said += ["", f"![{title}]({beside}/{flame_name(question.name, title)})"]
    return "\n".join([*said, "", filled(changes.strip(), [one for _, one in found])]) + "\n"


def _conditions(found: Sequence[Measured]) -> list[str]:
    """On what, when and of what commit."""

    def all_of(values: Iterable[object]) -> str:
        return ", ".join(dict.fromkeys(map(str, values)))

    machines = [one.machine for one in found]
    minutes = sum(one.took_s for one in found) / 60
    names = {"processor": "processor", "cores": "cores", "memory_gb": "memory, GB"}
    names |= {"system": "system", "file_system": "file system of the data", "python": "Python"}
    rows = [
        (title, all_of(m.get(name, "unknown") for m in machines)) for name, title in names.items()
    ]
    rows += [
        ("commit", all_of(one.commit for one in found)),
        ("day", all_of(one.measured_at[:10] for one in found)),
        ("load before each question", all_of(m["load"] for m in machines)),
        ("all questions took", f"{minutes:.0f} minutes"),
    ]
    return [*_head(["conditions", ""]), *map(_row, rows)]


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    rows = _head(["target", "measured", "wanted", ""])
    for verdict in verdicts:
        met = "met" if verdict.is_met else f"**missed** by {verdict.missed_by:.0%}"
        if verdict.missed_by == float("inf"):
            met = "**missed**"
        note = f", {verdict.note}" if verdict.note else ""
        sign = "at least" if verdict.sign == ">=" else "at most"
        rows.append(
            _row([verdict.what, f"{verdict.measured:g}", f"{sign} {verdict.target:g}", met + note])
        )
    missed = sum(not verdict.is_met for verdict in verdicts)
    return [*rows, "", f"{len(verdicts) - missed} of {len(verdicts)} met."]


def _head(titles: Sequence[str]) -> list[str]:
    return [_row(titles), "|" + "---|" * len(titles)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _titled(name: str, question: Question | None = None) -> str:
    ends = " (least to most)" if question and _has_ends(name, question) else ""
    return _TITLES.get(name, name.replace("_", " ")) + ends


def _has_ends(name: str, question: Question) -> bool:
    return name in _WITH_ENDS or name == question.chart


def _cell(name: str, spread: Spread | None, question: Question) -> str:
    if spread is None:
        return ""
    if name == "client_share":
        return f"{spread.median:.0%}"
    show = _whole if name == "per_second" else _short
    if spread.least == spread.most or not _has_ends(name, question):
        return show(spread.median)
    return f"{show(spread.median)} ({show(spread.least)} to {show(spread.most)})"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _short(value: float) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _parts(line: Line) -> str:
    parts = {n.removeprefix(_PART): s for n, s in line.figures.items() if n.startswith(_PART)}
    return ", ".join(f"{name} {spread.median:.0f}" for name, spread in parts.items())
