"""What became of the tests of a suite that pytest ran in an environment of its own."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

__all__ = ["Outcome", "outcomes"]


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    test: str
    """Module, class and name, with points between them."""
    result: str
    """passed, failed or skipped"""
    message: str = ""


def outcomes(junit: str, prefix: str = "") -> list[Outcome]:
    """What a JUnit report tells of each test, by name without `prefix`."""
    found: dict[str, Outcome] = {}
    for case in ElementTree.fromstring(junit).iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".removeprefix(prefix)
        bad = [child for kind in ("failure", "error") for child in case.findall(kind)]
        if bad:
            lines = (bad[0].get("message") or bad[0].text or "").strip().splitlines()
            found[name] = Outcome(name, "failed", lines[0] if lines else "")
        elif name not in found:  # what failed while it was cleaned up is told twice
            is_skipped = case.find("skipped") is not None
            found[name] = Outcome(name, "skipped" if is_skipped else "passed")
    return [found[name] for name in sorted(found)]
