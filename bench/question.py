"""What a benchmark is: a question, who is asked, and an answer that can be printed and compared.

Each module of `bench.questions` has one `QUESTION`. `measure` starts its servers, asks the
contestants in turns, and returns an `Answer`; it prints nothing but progress, by `Setting.say`.
Names of figures end in their unit (`p50_ms`, `cpu_us`, `per_second`); a figure is the median over
the rounds, with the least and the most.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

__all__ = [
    "CLIENT_BOUND",
    "Answer",
    "Line",
    "Measured",
    "Question",
    "Setting",
    "Spread",
    "Verdict",
    "against",
    "line_of",
    "spread_of",
]

CLIENT_BOUND: Final = 0.5
"""Of all CPU time: a ratio of runs in which the client has more says little of the servers."""


class Spread(msgspec.Struct, frozen=True):
    """One figure over the rounds."""

    median: float
    least: float
    most: float


class Line(msgspec.Struct, frozen=True):
    """One contestant in one case."""

    contestant: str
    case: str
    figures: dict[str, Spread]
    fsynced: str = ""
    """Of how many copies, how many have a write on disk before it is acknowledged: `2 of 3`."""


class Verdict(msgspec.Struct, frozen=True):
    """One target, and what was found."""

    what: str
    measured: float
    sign: Literal["<=", ">="]
    target: float
    note: str = ""

    @property
    def is_met(self) -> bool:
        return self.measured <= self.target if self.sign == "<=" else self.measured >= self.target

    @property
    def missed_by(self) -> float:
        """Share of the target; 0 if it is met, infinite if nothing was measured."""
        if self.is_met:
            return 0.0
        return abs(self.measured - self.target) / self.target if self.target else float("inf")


class Answer(msgspec.Struct, frozen=True):
    """Of one question."""

    lines: list[Line]
    verdicts: list[Verdict]
    contestants: dict[str, str]
    """What each does with an operation before it is acknowledged: a faster system that does less
    is not a better one."""
    missing: dict[str, str] = {}
    """Who could not be asked, and what to install."""
    flames: dict[str, dict[str, int]] = {}
    """Name of a flame graph -> stack, its frames divided by `;` -> samples."""


class Measured(msgspec.Struct, frozen=True):
    """An answer with where and when it was found: what a file under bench/results holds."""

    question: str
    measured_at: str
    commit: str
    machine: dict[str, Any]
    quick: bool
    seconds: float
    took_s: float
    answer: Answer


@dataclass(frozen=True)
class Setting:
    """How thoroughly a question is asked."""

    directory: Path
    """Empty, and removed afterwards."""
    say: Callable[[str], None]
    rounds: int = 5
    run_s: float = 3.0
    warm_up_s: float = 1.0
    quick: bool = False


@dataclass(frozen=True)
class Question:
    name: str
    asks: str
    """In one sentence, for people."""
    chart: str
    """The figure that is drawn."""
    measure: Callable[[Setting], Awaitable[Answer]]
    has_ratios: bool = True
    """Whether the lines of a case can be compared with each other."""


def spread_of(values: Sequence[float]) -> Spread:
    """Rounded to what is readable: four digits."""
    return Spread(*(_short(v) for v in (statistics.median(values), min(values), max(values))))


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def line_of(
    contestant: str, case: str, runs: Sequence[Mapping[str, float]], fsynced: str = ""
) -> Line:
    """Runs of one contestant in one case, one for each round."""
    figures = {name: spread_of([run[name] for run in runs]) for name in runs[0]}
    return Line(contestant, case, figures, fsynced)


def against(
    lines: Sequence[Line],
    what: str,
    figure: str,
    ours: tuple[str, str],
    peer: tuple[str, str],
    sign: Literal["<=", ">="],
    target: float,
) -> list[Verdict]:
    """Ours divided by the peer's, each a (contestant, case); nothing if one was not measured."""
    found = {(line.contestant, line.case): line.figures for line in lines}
    if ours not in found or peer not in found:
        return []
    mine, other = found[ours], found[peer]
    ratio = mine[figure].median / max(other[figure].median, 1e-9)
    is_bound = any(
        "client_share" in figures and figures["client_share"].median > CLIENT_BOUND
        for figures in (mine, other)
    )
    note = "client-bound" if is_bound else ""
    return [Verdict(what, _short(ratio), sign, target, note)]
