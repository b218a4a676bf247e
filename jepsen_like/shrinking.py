"""Delta debugging: the simplest value that still fails, found by running simpler ones.

    search = Search(value, fails, runs=50)
    found = fewest(search, search.best.faults, lambda kept: replace(search.best, faults=kept))

`Search` runs each candidate once, never more of them than it may, and remembers the simplest that
failed. A candidate that does not fail is dropped, whatever the reason: it may be that the failure
needs what was left out, or that without it everything happened in another order. So nothing here
assumes that more parts fail whenever fewer do; where that is so, fewer runs are enough.

`fewest` is ddmin's aim (Zeller and Hildebrandt, Simplifying and isolating failure-inducing input,
IEEE TSE 28:2, 2002, section 3): 1-minimal, no single part can go. It gets there as QuickXplain
does (Junker, AAAI 2004): the shortest beginning that fails is found by halving, its last part is
needed, and the same is asked of what lies before it. k parts of n that must stay take about
k log2(n) + 2k runs, where ddmin takes up to n^2 + 3n (its section 3.1); and a simulation without
its last faults is the same run up to there, so its failure is the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

__all__ = ["OutOfRuns", "Search", "fewest", "least"]

T = TypeVar("T")
Part = TypeVar("Part")


class OutOfRuns(Exception):
    """As many candidates have been run as may be; what was found so far holds."""


class Search(Generic[T]):
    """The simplest value that is known to fail, and how many runs it took to know it.

    `fails` runs a candidate; `variants` gives what may be run in its place where the candidate
    itself does not fail, such as the same faults in another order of chance. Candidates are told
    apart by `repr`.
    """

    def __init__(
        self,
        value: T,
        fails: Callable[[T], bool],
        *,
        runs: int,
        variants: Callable[[T], Iterable[T]] = lambda _: (),
    ) -> None:
        """`value` itself is known to fail, and is not run."""
        self.best = value
        self.runs = 0
        self.runs_max = runs
        self.variants = variants
        self._fails = fails
        self._known = {repr(value): True}

    def takes(self, candidate: T) -> bool:
        """Whether it, or a variant of it, fails; that is then the best. Raises OutOfRuns."""
        for each in (candidate, *self.variants(candidate)):
            if self._runs(each):
                self.best = each
                return True
        return False

    def _runs(self, candidate: T) -> bool:
        name = repr(candidate)
        if name not in self._known:
            if self.runs >= self.runs_max:
                raise OutOfRuns
            self.runs += 1
            self._known[name] = self._fails(candidate)
        return self._known[name]


def fewest(
    search: Search[T],
    parts: Sequence[Part],
    with_parts: Callable[[tuple[Part, ...]], T],
    *,
    may_be_none: bool = True,
) -> tuple[Part, ...]:
    """The parts that have to stay, in their order; `search.best` has them and no others.

    `parts` are those of `search.best`, and `with_parts` makes a value with some of them. With
    `may_be_none=False` one stays, without a run to ask whether it has to. Raises OutOfRuns.
    """
    if not parts:
        return ()

    def fails(kept: tuple[Part, ...]) -> bool:
        return bool(kept or may_be_none) and search.takes(with_parts(kept))

    head, tail = tuple(parts), tuple[Part, ...]()
    while head and not fails(tail):
        short, long = 0, len(head)  # so many of the first are too few; so many are enough
        while long - short > 1:
            middle = (short + long) // 2
            if fails(head[:middle] + tail):
                long = middle
            else:
                short = middle
        head, tail = head[: long - 1], (head[long - 1], *tail)
    return _without_each(tail, fails)


def _without_each(
    parts: tuple[Part, ...], fails: Callable[[tuple[Part, ...]], bool]
) -> tuple[Part, ...]:
    """Leave out one after the other, from the last on, until none can go."""
    place = len(parts) - 1
    while place >= 0:
        fewer = parts[:place] + parts[place + 1 :]
        if fails(fewer):
            parts, place = fewer, len(fewer)  # what had to stay beside it may not have to now
        place -= 1
    return parts


def least(
    search: Search[T],
    now: float,
    floor: float,
    with_number: Callable[[float], T],
    *,
    steps: int = 5,
) -> float:
    """The smallest number from `floor` to `now` that was seen to fail, of those that `steps`
    halvings come to; `search.best` has it. Whole if both bounds are. Raises OutOfRuns."""
    if now <= floor or search.takes(with_number(floor)):
        return min(now, floor)
    is_whole = isinstance(now, int) and isinstance(floor, int)
    too_small, enough = floor, now
    for _ in range(steps):
        middle = (too_small + enough) // 2 if is_whole else round((too_small + enough) / 2, 1)
        if not too_small < middle < enough:
            break
        if search.takes(with_number(middle)):
            enough = middle
        else:
            too_small = middle
    return enough
