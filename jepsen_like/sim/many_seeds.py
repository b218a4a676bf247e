"""Many seeds of one test: which are left to be run, and what they came to together. Pure.

Results are lines of a file, appended as they come; whoever is stopped goes on with the seeds that
have no line yet, or one of another code or test.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from jepsen_like.result import EXIT_CODES, Validity
from jepsen_like.sim.seed_result import SeedError, SeedResult

__all__ = ["Summary", "read_lines", "summary_of"]


@dataclass(frozen=True)
class Summary:
    """What a number of seeds came to."""

    seeds: int = 0
    verdicts: dict[Validity, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    simulated_s: float = 0.0
    unseen: tuple[str, ...] = ()
    """What the test means to see and no seed has: then it shows less than it says."""
    invalid: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()

    @property
    def validity(self) -> Validity:
        if self.invalid:
            return "invalid"
        return "unknown" if self.unknown or self.unseen or not self.seeds else "valid"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.validity]

    def __str__(self) -> str:
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        said = (
            f"{self.seeds} seeds: {verdicts or 'none'}; {counts}; "
            f"{self.simulated_s:.0f} simulated seconds"
        )
        if self.unseen:
            said += f"; NEVER SEEN: {', '.join(self.unseen)}"
        return said


def summary_of(results: Iterable[SeedResult]) -> Summary:
    found = sorted(results, key=lambda result: result.seed)
    counts: Counter[str] = Counter()
    for result in found:
        counts.update(dict.fromkeys(result.expected, 0))
        counts.update(result.counts)
    expected = dict.fromkeys(name for result in found for name in result.expected)
    return Summary(
        seeds=len(found),
        verdicts={
            verdict: number
            for verdict in EXIT_CODES
            if (number := sum(result.verdict == verdict for result in found))
        },
        counts=dict(counts),
        simulated_s=sum(result.simulated_s for result in found),
        unseen=tuple(name for name in expected if not counts[name]),
        invalid=tuple(result.seed for result in found if result.verdict == "invalid"),
        unknown=tuple(result.seed for result in found if result.verdict == "unknown"),
    )


def read_lines(
    lines: Iterable[str], seeds: Sequence[int], *, code: str, where: str
) -> tuple[dict[int, SeedResult], int]:
    """The results of these seeds that still hold, and how many are of another code. A line that
    was cut off, as by a full disk, is no result."""
    found: dict[int, SeedResult] = {}
    others = 0
    wanted = set(seeds)
    for line in lines:
        try:
            result = SeedResult.from_data(json.loads(line))
        except (ValueError, SeedError):
            continue
        if result.seed not in wanted or result.where != where:
            continue
        if result.code != code:
            others += 1
            continue
        found[result.seed] = result
    return found, others
