"""Two runs side by side: what was asked, what was found, and which differences mean something.

A verdict or a label differs or it does not. A figure differs if the two 95% intervals have no
point in common: a cautious rule (of two equal figures, far fewer than one pair in twenty is said
to differ), and one that the reader can check on the page. A figure without an interval, such as
a single failover, is shown and never said to differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal, TypeAlias

__all__ = ["Difference", "differences", "in_words"]

State: TypeAlias = Literal["same", "differs", "within the intervals", "too little to say", "alone"]

FAILOVERS_MIN: Final = 5
"""Of each run, from which the range of what was seen stands for an interval."""


@dataclass(frozen=True)
class Difference:
    """One thing that both runs, or one of them (`alone`), say something about."""

    kind: Literal["setting", "verdict", "label", "figure"]
    what: str
    a: str  # empty: this run says nothing about it
    b: str
    state: State

    @property
    def matters(self) -> bool:
        """It is another result. Another setting is why, and not what."""
        return self.state in ("differs", "alone") and self.kind != "setting"


Run: TypeAlias = Mapping[str, Any]
"""results.json: the fields of `result.RunResult`."""


@dataclass(frozen=True)
class _Figure:
    value: float
    low: float
    high: float
    count: int
    unit: str
    enough: bool = True

    def __str__(self) -> str:
        if self.count == 0:
            return "not measured"
        if self.unit == "s":
            numbers = (f"{x:.3f}" for x in (self.value, self.low, self.high))
        elif self.unit == "%":
            numbers = (f"{100 * x:.2f}" for x in (self.value, self.low, self.high))
        else:
            numbers = (f"{x:.3g}" for x in (self.value, self.low, self.high))
        value, low, high = numbers
        unit = {"": "", "s": " s", "%": "%"}[self.unit]
        return f"{value}{unit} ({low} to {high}, n = {self.count})"


def differences(a: Run, b: Run) -> list[Difference]:
    """Everything the two say, in the order of a report: settings, verdicts, labels, figures."""
    return [
        *_words("setting", _settings(a), _settings(b)),
        *_words("verdict", _verdicts(a), _verdicts(b)),
        *_words("label", _labels(a), _labels(b)),
        *_compared(_figures(a), _figures(b)),
    ]


def in_words(found: Sequence[Difference]) -> str:
    """The comparison in a sentence."""
    differing = [each for each in found if each.matters]
    compared = sum(each.kind != "setting" for each in found)
    if not differing:
        return f"no result differs: {compared} compared"
    return f"{len(differing)} of {compared} results differ, the first: {differing[0].what}"


def _words(
    kind: Literal["setting", "verdict", "label"], a: Mapping[str, str], b: Mapping[str, str]
) -> Iterator[Difference]:
    for what in dict.fromkeys((*a, *b)):
        one, other = a.get(what, ""), b.get(what, "")
        state: State = "same" if one == other else "differs"
        if what not in a or what not in b:
            state = "alone"
        yield Difference(kind, what, one, other, state)


def _compared(a: Mapping[str, _Figure], b: Mapping[str, _Figure]) -> Iterator[Difference]:
    for what in dict.fromkeys((*a, *b)):
        one, other = a.get(what), b.get(what)
        texts = (str(one) if one else "", str(other) if other else "")
        yield Difference("figure", what, *texts, _state(one, other))


def _state(a: _Figure | None, b: _Figure | None) -> State:
    if a is None or b is None:
        return "alone"
    if not (a.count and b.count and a.enough and b.enough):
        return "too little to say"
    if (a.value, a.low, a.high) == (b.value, b.low, b.high):
        return "same"
    return "differs" if a.high < b.low or b.high < a.low else "within the intervals"


_DRAWN: Final = ("groups_of_keys", "leaders")
"""Of the topology: what follows from the seed, or from an election."""


def _settings(run: Run) -> dict[str, str]:
    flat = {"test": run["name"], "seed": run["seed"], "backend": run["backend"]}
    flat["duration"] = f"{run['duration_ns'] / 1e9:.0f} s"
    flat |= {f"version of {name}": value for name, value in run["versions"].items()}
    topology = run["topology"].items()
    flat |= {f"topology: {name}": value for name, value in topology if name not in _DRAWN}
    flat |= {f"fault {n}": fault["name"] for n, fault in enumerate(run["faults"], 1)}
    return {what: str(value) for what, value in flat.items()}


def _verdicts(run: Run) -> dict[str, str]:
    found = {"the run": str(run["validity"])}
    for verdict in run["verdicts"]:
        whose = f" ({verdict['workload']})" if verdict["workload"] else ""
        found[f"{verdict['check']}{whose}"] = str(verdict["validity"])
    return found


def _labels(run: Run) -> dict[str, str]:
    return {
        f"PACELC of {label['f']} at {label['level']}": "/".join(
            "?" if letter == "undetermined" else letter
            for letter in (label["partition"], label["otherwise"])
        )
        for label in run["labels"]
    }


def _figures(run: Run) -> dict[str, _Figure]:
    found: dict[str, _Figure] = {}
    served: defaultdict[str, list[Any]] = defaultdict(list)
    for row in run["availability"]:
        # "minority (n2)": which nodes it was is another draw, the side is what is compared
        side = row["side"].partition(" (")[0]
        served[f"yield, {row['f']}, {side}, {row['fault']}"].append(row)
    for what, rows in served.items():
        for number, row in enumerate(rows, 1):
            name = what if len(rows) == 1 else f"{what}, time {number}"
            count, ends = row["invoked"], (row["low"], row["high"])
            value = row["ok"] / count if count else 0.0
            found[name] = _Figure(value, *ends, count, "%", row["measured"])

    outages: defaultdict[str, list[float]] = defaultdict(list)
    for failover in run["failovers"]:
        if failover["first_ok_ns"] is not None:
            outages[f"failover after {failover['fault']}"].append(failover["first_ok_ns"] / 1e9)
    for what, times in outages.items():
        enough = len(times) >= FAILOVERS_MIN
        found[what] = _Figure(median(times), min(times), max(times), len(times), "s", enough)

    for label in run["labels"]:
        for path, value in _estimates(label["figures"], ()):
            unit = "%" if any("yield" in word or "after" in word for word in path) else ""
            what = f"{' '.join(path).replace('_', ' ')} of {label['f']}"
            found[what] = _Figure(value["value"], value["low"], value["high"], value["count"], unit)
    return found


def _estimates(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every `result.Estimate` of a tree of figures, by where it stands."""
    if not isinstance(value, Mapping):
        return
    if value.keys() == {"value", "low", "high", "count"}:
        yield path, value
        return
    for name, below in value.items():
        yield from _estimates(below, (*path, str(name)))
