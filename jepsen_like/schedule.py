"""The schedule of a run: all that is drawn before it, as one value that can be written down.

A seed plans it (`planned`); a shrunk one takes its place. What the database does with it is not
in it, nor who leads when a fault strikes: in a simulation the loop's order decides that, and
`order` is the seed of that order, so test and schedule together are the whole run.

    schedule = planned(test, seed=7)
    Schedule.from_data(json.loads(json.dumps(schedule.as_data()))) == schedule
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from jepsen_like.faults import written
from jepsen_like.faults.fault import Planned, total_seconds
from jepsen_like.load import Arrival, arrivals
from jepsen_like.spec import Test

__all__ = ["Schedule", "ScheduleError", "planned", "planned_calls", "planned_keys"]

T = TypeVar("T")

FORMAT: Final = 1

EXTRA_CALLS_S: Final = 20.0
"""Keys are made for this much more load than planned: restarts and checks take their time."""


class ScheduleError(ValueError):
    """This is no schedule, or one of another version; a sentence."""


@dataclass(frozen=True)
class Schedule:
    faults: tuple[Planned, ...]
    """With every lot drawn; how long each lasts, and rests, is in it."""
    clients: int
    """Connections of each host."""
    operations: tuple[tuple[int, int], ...] | None
    """Which of the calls that the seed plans are sent, in their order, counted from 0: those from
    the first to before the second number of each pair. None: all, while the faults go on."""
    order: int
    """The seed of what a simulation chooses by itself: which process runs next, how long a link
    or a thread takes."""

    def chosen(self, calls: Iterable[T]) -> Iterator[T]:
        """Those of all calls that are sent."""
        if self.operations is None:
            yield from calls
            return
        spans = iter(sorted(self.operations))
        first, end = next(spans, (0, 0))
        for number, call in enumerate(calls):
            while number >= end:
                if (span := next(spans, None)) is None:
                    return
                first, end = span
            if number >= first:
                yield call

    def as_data(self) -> dict[str, Any]:
        """Plain data, as JSON has it. Raises ScheduleError."""
        try:
            faults = [written.written(fault) for fault in self.faults]
        except written.NotWritable as exc:
            raise ScheduleError(str(exc)) from exc
        return {
            "format": FORMAT,
            "faults": faults,
            "clients": self.clients,
            "operations": None if self.operations is None else [list(s) for s in self.operations],
            "order": self.order,
        }

    @staticmethod
    def from_data(data: Any) -> Schedule:
        """Raises ScheduleError."""
        try:
            if data["format"] != FORMAT:
                raise ScheduleError(
                    f"a schedule of format {data['format']}; this version reads format {FORMAT}."
                )
            spans = data["operations"]
            return Schedule(
                faults=tuple(written.read(fault) for fault in data["faults"]),
                clients=int(data["clients"]),
                operations=None if spans is None else tuple((int(a), int(b)) for a, b in spans),
                order=int(data["order"]),
            )
        except written.NotWritable as exc:
            raise ScheduleError(str(exc)) from exc
        except (KeyError, TypeError, ValueError) as exc:
            if isinstance(exc, ScheduleError):
                raise
            raise ScheduleError(f"this is no schedule: {type(exc).__name__}: {exc}.") from exc


def planned(test: Test, seed: int) -> Schedule:
    """What the seed draws. Raises SpecError."""
    return Schedule(test.schedule(seed), test.load.clients, None, seed)


def planned_keys(test: Test, plan: Schedule) -> dict[str, Sequence[int]]:
    """The keys of each workload, for `plan`, which the seed draws: a shrunk one has the same, for
    with other keys the seed would plan other calls."""
    lasts_s = total_seconds(plan.faults) + EXTRA_CALLS_S
    return test.keys(round(test.load.rate * lasts_s))


def planned_calls(test: Test, seed: int, keys: Mapping[str, Sequence[int]]) -> Iterator[Arrival]:
    """The calls that the seed plans, each with its host and its time: what `operations` counts."""
    return arrivals(
        test.calls(keys, seed),
        hosts=test.db.hosts,
        rate=test.load.rate,
        rng=test.rng("arrivals", seed),
    )
