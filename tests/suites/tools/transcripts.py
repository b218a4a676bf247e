"""What a tool printed, step by step, and how two transcripts of it differ.

A step is a line `== its name` and what follows it. `expected/NAME.txt` is what a real PostgreSQL 15
made the tool print, `differences.txt` says of steps that print something else here why they do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["EXPECTED", "Comparison", "compare", "known_differences", "read", "written"]

HERE: Final = Path(__file__).parent
EXPECTED: Final = HERE / "expected"

_SIZE: Final = re.compile(r"\b\d+ (?:bytes|kB)")
_CLOCK: Final = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d.*?(?= \(every)")


def read(text: str) -> dict[str, str]:
    """The steps. What must differ between servers is left out: sizes, and the widths they give a
    table, and the time of day."""
    steps: dict[str, str] = {}
    for block in text.split("\n== ")[0 if text.startswith("== ") else 1 :]:
        name, _, said = block.removeprefix("== ").partition("\n")
        steps[name] = _plain(said)
    return steps


def _plain(said: str) -> str:
    said = _CLOCK.sub("{now}", said.strip("\n"))
    if _SIZE.search(said):
        said = re.sub(r"-{2,}", "--", re.sub(r" {2,}", " ", _SIZE.sub("{size}", said)))
    return "\n".join(line.rstrip() for line in said.splitlines())


def written(steps: Mapping[str, str]) -> str:
    return "".join(f"== {name}\n{said}\n" for name, said in steps.items())


@dataclass(frozen=True)
class Comparison:
    """Of the steps of one tool."""

    alike: tuple[str, ...]
    explained: tuple[tuple[str, str], ...]
    """Steps that differ, and why."""
    unexplained: tuple[str, ...]
    stale: tuple[str, ...]
    """Steps that are said to differ, and do not."""

    def __str__(self) -> str:
        count = len(self.alike) + len(self.explained) + len(self.unexplained)
        return (
            f"{len(self.alike)} of {count} steps as on PostgreSQL 15, {len(self.explained)} "
            f"different for a known reason, {len(self.unexplained)} unexplained"
        )


def compare(
    found: Mapping[str, str], expected: Mapping[str, str], reasons: Mapping[str, str]
) -> Comparison:
    differing = [name for name in expected if found.get(name) != expected[name]]
    differing += [name for name in found if name not in expected]
    return Comparison(
        tuple(name for name in expected if name not in differing),
        tuple((name, reasons[name]) for name in differing if name in reasons),
        tuple(name for name in differing if name not in reasons),
        tuple(name for name in reasons if name not in differing),
    )


def known_differences(tool: str) -> dict[str, str]:
    """Lines of differences.txt: tool, step, why, with tabs between them."""
    lines = (HERE / "differences.txt").read_text(encoding="utf-8").splitlines()
    parts = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {step: why for of, step, why in parts if of == tool}
