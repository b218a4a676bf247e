"""Which tests of a suite fail here though PostgreSQL passes them, and why.

A suite's directory has `baseline.txt`, the tests that PostgreSQL passes, and `reasons.txt`,
`pattern of names | reason`: the first that fits a test counts.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.suites.outcomes import Outcome

__all__ = ["Comparison", "compare", "reason_of", "reasons"]


def reasons(text: str) -> list[tuple[str, str]]:
    """(pattern of test names, reason) of each line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(a.strip(), b.strip()) for a, _, b in (line.partition(" | ") for line in lines)]


def reason_of(test: str, known: list[tuple[str, str]]) -> str:
    """Empty if there is none."""
    return next((why for pattern, why in known if fnmatch.fnmatchcase(test, pattern)), "")


@dataclass(frozen=True)
class Comparison:
    """The tests that PostgreSQL passes, as they went here."""

    expected: int
    failed: Sequence[tuple[Outcome, str]]
    """With the reason of each, or an empty one."""
    gained: Sequence[str]
    """Tests that pass, and have a reason for failing."""
    passed: int

    @property
    def unexplained(self) -> int:
        return sum(not why for _, why in self.failed)

    def lines(self, *, messages: bool = False) -> list[str]:
        """A line for each test that is not as it should be; with `messages` what it said, too."""
        told = []
        for outcome, why in self.failed:
            told.append(f"{outcome.test}: {why or 'NO REASON'}")
            if messages or not why:
                told.append(f"    {outcome.message[:300]}")
        return told + [f"{test} passes, and has a reason for failing" for test in self.gained]

    def __str__(self) -> str:
        return (
            f"{self.passed} pass of the {self.expected} that PostgreSQL passes, "
            f"{len(self.failed)} fail, {self.unexplained} of them without a reason"
        )


def compare(found: Sequence[Outcome], directory: Path, file: str = "reasons.txt") -> Comparison:
    """What `directory` expects, but for the reasons in `file` there, and what was found. A test
    that did not run has failed."""
    expected = set((directory / "baseline.txt").read_text(encoding="utf-8").split("\n")) - {""}
    known = reasons((directory / file).read_text(encoding="utf-8"))
    known_outcomes = {outcome.test: outcome for outcome in found}
    ours = [
        known_outcomes.get(test, Outcome(test, "failed", "it did not run"))
        for test in sorted(expected)
    ]
    passed = [outcome.test for outcome in ours if outcome.result == "passed"]
    return Comparison(
        expected=len(expected),
        failed=[(o, reason_of(o.test, known)) for o in ours if o.result != "passed"],
        gained=[test for test in passed if reason_of(test, known)],
        passed=len(passed),
    )
