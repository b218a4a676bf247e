"""Which of asyncpg's tests fail here, and why."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Final

__all__ = ["BASELINE", "REASONS", "reason_of", "reasons"]

BASELINE: Final = Path(__file__).with_name("baseline.txt")
"""The tests that PostgreSQL passes, one on each line."""

REASONS: Final = Path(__file__).with_name("reasons.txt")
"""`pattern of names | reason`; the first that fits a test counts."""


def reasons(text: str) -> list[tuple[str, str]]:
    """(pattern of test names, reason) of each line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(a.strip(), b.strip()) for a, _, b in (line.partition(" | ") for line in lines)]


def reason_of(test: str, known: list[tuple[str, str]]) -> str:
    """Empty if there is none."""
    return next((why for pattern, why in known if fnmatch.fnmatchcase(test, pattern)), "")
