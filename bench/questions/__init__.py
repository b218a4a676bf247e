"""One module for each question, each with its `QUESTION`; the order is that of the page."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from bench.question import Question

__all__ = ["NAMES", "questions"]

NAMES: Final = (
    "writes",
    "reads",
    "tpc",
    "ycsb",
    "two_shards",
    "scattered",
    "bulk",
    "storm",
    "shards",
    "rows",
    "idle",
    "start",
    "failover",
    "overload",
    "lost_shard",
    "consensus",
    "paths",
    "settings",
)


def questions() -> dict[str, Question]:
    """All of them, by name."""
    found: dict[str, Question] = {}
    for module in NAMES:
        question: Question = import_module(f"bench.questions.{module}").QUESTION
        found[question.name] = question
    return found
