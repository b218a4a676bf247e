"""What these checks find, and how it becomes a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["Finding", "verdict_on", "SHOWN_MAX"]

SHOWN_MAX: Final = 20  # of each kind, in the details; all are counted


@dataclass(frozen=True)
class Finding:
    """Something wrong: its kind, a sentence, and the operations that show it."""

    kind: str
    sentence: str
    offending: tuple[Operation, ...] = field(default=())


def verdict_on(
    check: str,
    findings: Sequence[Finding],
    *,
    judged: int,
    otherwise: str,
    allowed: Sequence[Finding] = (),
    **details: Any,
) -> Verdict:
    """`otherwise` is the reason if nothing was found; `allowed` is told and does no harm."""
    counts: dict[str, int] = {}
    for finding in (*findings, *allowed):
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    details = {**details, "found": counts}
    details["found_in_words"] = [f.sentence for f in (*findings, *allowed)][:SHOWN_MAX]
    if not judged:
        reason = "there is no answer to judge"
        return Verdict(check, "unknown", reason, 0, details=details)
    if not findings:
        return Verdict(check, "valid", otherwise, judged, details=details)
    first = findings[0]
    more = f", and {len(findings) - 1} more findings" if len(findings) > 1 else ""
    return Verdict(check, "invalid", first.sentence + more, judged, first.offending, details)
