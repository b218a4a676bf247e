"""The PACELC label of a class of operations, computed from its figures.

In a partition (P) a class keeps availability (A) or consistency (C); else (E) it keeps latency
(L) or consistency (C) (Abadi, "Consistency tradeoffs in modern distributed database system
design", IEEE Computer 2012). A store has no one label: reads and writes, and reads of different
levels, differ. The rule, for one class:

- PA: the lower bound of its yield is at least .99 on every side of the cut.
- PC: that of the majority is at least .99 after failover, and on each side either at least 1 000
  reads of keys overwritten since the cut began show no violation, or the side refused.
  For a class that promises a bound, a violation in a cut is a read staler than that, and what a
  side answers for as long after the cut does not count.
- EC: no violation among at least 1 000 reads that were sent within one round trip of a
  conflicting acknowledgement, at the largest round-trip time of a sweep.
- EL: violations there, and a latency slope under 0.2 round trips.
- Undetermined otherwise, with what is missing. Absence of evidence is no evidence: C needs a
  positive control, reads that may be stale by contract and were convicted in the same phase of
  the same run. Each letter hangs on its own phase alone.

Writes have no answers that could be stale; the strongest reads of the run testify for them.

Nobody can be PA with linearizable reads and writes on both sides of a cut (Gilbert and Lynch
2002). Figures that say so convict the harness: the cut was none, and the run is `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from jepsen_like.figures.freshness import Freshness
from jepsen_like.result import ClassLabel, Estimate, Verdict

__all__ = ["AVAILABLE", "READS_MIN", "SLOPE_MAX", "ClassFigures", "Control", "judge", "label"]

AVAILABLE: Final = 0.99
REFUSED: Final = 0.01
"""A side of which less is answered has refused: a few calls are on their way when the cut falls."""

READS_MIN: Final = 1_000
SLOPE_MAX: Final = 0.2

CHECK: Final = "pacelc"


@dataclass(frozen=True)
class Control:
    """Violations of the positive control, by phase."""

    name: str
    in_cuts: int
    within_rtt: int


@dataclass(frozen=True)
class ClassFigures:
    """What the rule looks at, for one class of operations. Sides are those of all cuts together:
    "majority", "minority", or "half (n1, n2)"."""

    f: str
    level: str
    predicted: str
    cuts: int  # verified
    yields: Mapping[str, Estimate]  # by side, all of the cuts
    after_failover: Estimate | None  # of the majority; None: there was none, or it never served
    in_cuts: Mapping[str, Freshness]  # by side, of the reads that testify
    reads_yields: Mapping[str, Estimate]  # by side, of those reads
    within_rtt: Freshness | None  # at the largest round-trip time; None: there was no sweep
    rtt_ns: int | None  # the largest
    slope: Estimate | None
    elsewhere: Freshness | None = None  # the same reads in a healthy network without delay
    max_staleness_ns: int = 0  # what they may be stale by, which in cuts is no violation


def label(of: ClassFigures, control: Control | None) -> ClassLabel:
    partition, missing_p = _partition(of, control)
    otherwise, missing_e = _otherwise(of, control)
    return ClassLabel(
        of.f,
        of.level,
        partition,
        otherwise,
        of.predicted,
        tuple(missing_p + missing_e),
        _as_dict(of),
    )


def _partition(
    of: ClassFigures, control: Control | None
) -> tuple[Literal["PA", "PC", "undetermined"], list[str]]:
    if not of.cuts or not of.yields:
        return "undetermined", ["P: there was no verified cut"]
    not_pa = [
        f"PA: yield of the {side} is {_shown(figure)}, wanted at least {AVAILABLE}"
        for side, figure in of.yields.items()
        if not figure.low >= AVAILABLE
    ]
    refused = any(_refused(figure) for figure in of.yields.values())
    if not not_pa:
        is_consistent = all(
            side.reads >= READS_MIN and not side.stale for side in of.in_cuts.values()
        )
        return ("undetermined", [BOTH]) if is_consistent else ("PA", [])
    not_pc = _not_consistent(of, control)
    if not not_pc:
        return "PC", []
    return "undetermined", not_pc if refused else not_pa + not_pc


BOTH: Final = "P: both available and without a violation on every side, which tells nothing apart"


def _not_consistent(of: ClassFigures, control: Control | None) -> list[str]:
    why = []
    served = of.after_failover
    if served is None:
        why.append("PC: no majority served after failover")
    elif not served.low >= AVAILABLE:
        why.append(
            f"PC: yield of the majority after failover is {_shown(served)}, "
            f"wanted at least {AVAILABLE}"
        )
    for side, reads in of.in_cuts.items():
        if reads.stale:
            why.append(f"PC: {reads.stale} of {reads.reads} reads on the {side} were stale")
        elif reads.reads < READS_MIN and not _refused(of.reads_yields.get(side)):
            why.append(
                f"PC: {reads.reads} reads on the {side} of keys overwritten since the cut, "
                f"wanted at least {READS_MIN}"
            )
    if control is None or not control.in_cuts:
        why.append("PC: no positive control was convicted in the cuts")
    return why


def _refused(figure: Estimate | None) -> bool:
    return figure is not None and figure.count > 0 and figure.value <= REFUSED


def _otherwise(
    of: ClassFigures, control: Control | None
) -> tuple[Literal["EL", "EC", "undetermined"], list[str]]:
    reads = of.within_rtt
    if reads is None or of.rtt_ns is None:
        return "undetermined", ["E: there was no sweep of round-trip times"]
    if reads.stale:
        if of.slope is None:
            return "undetermined", ["EL: the latency slope was not measured"]
        if of.slope.high < SLOPE_MAX:
            return "EL", []
        sentence = (
            f"E: {reads.stale} of {reads.reads} reads close behind a write were stale, and the "
            f"latency slope is {_shown(of.slope)} round trips, wanted under {SLOPE_MAX}"
        )
        return "undetermined", [sentence]
    why = []
    if of.elsewhere is not None and of.elsewhere.stale:
        why.append(f"EC: {of.elsewhere.stale} reads were stale while nothing was slow")
    if reads.reads < READS_MIN:
        why.append(
            f"EC: {reads.reads} reads within {of.rtt_ns / 1e6:g} ms of a conflicting "
            f"acknowledgement, wanted at least {READS_MIN}"
        )
    if control is None or not control.within_rtt:
        why.append("EC: no positive control was convicted close behind a write")
    return ("undetermined", why) if why else ("EC", [])


def _shown(figure: Estimate) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _as_dict(of: ClassFigures) -> dict[str, Any]:
    fields = asdict(of)
    for name in ("f", "level", "predicted"):
        del fields[name]
    return fields


def judge(labels: Sequence[ClassLabel], *, in_short: bool = False) -> Verdict:
    """The run's word on its labels: what was predicted, what is impossible, what is missing, which
    is no matter in a run that is too short to find everything."""
    count = sum(_reads(label) for label in labels)
    details = {label.f: label.measured for label in labels}
    impossible = _impossible(labels)
    if impossible:
        return Verdict(CHECK, "unknown", impossible, count, (), details)
    wrong = [label for label in labels if label.agrees is False]
    if wrong:
        first = wrong[0]
        reason = f"{first.f} is {first.measured}, and was predicted to be {first.predicted}"
        return Verdict(CHECK, "invalid", reason, count, (), details)
    open_ones = [label for label in labels if label.missing]
    if open_ones and not in_short:
        first = open_ones[0]
        reason = f"{first.f} is {first.measured}: {first.missing[0]}"
        return Verdict(CHECK, "unknown", reason, count, (), details)
    found = ", ".join(f"{label.f} {label.measured}" for label in labels)
    return Verdict(CHECK, "valid", found or "there is no class of operations", count, (), details)


def _reads(label: ClassLabel) -> int:
    return sum(side["reads"] for side in label.figures["in_cuts"].values())


def _impossible(labels: Sequence[ClassLabel]) -> str:
    """PA and consistent on both sides, for reads and for writes: no database can be that."""
    both = [label for label in labels if label.missing and BOTH in label.missing]
    if any(label.f == "write" for label in both) and any(label.f != "write" for label in both):
        reads = next(label.f for label in both if label.f != "write")
        return (
            f"{reads} and write were available and linearizable on every side of a cut, which is "
            f"impossible: the cut was none, or both sides did not use the same keys"
        )
    return ""
