"""A simpler schedule that still fails: what can be left out of a run, and in which order to try.

    found = simplest(schedule, calls, fails, runs=100)
    "\n".join(in_words(found.schedule, calls))

Faults go first, for each of them costs time in every run that follows; then whole keys, then what
a fault is (quiet instead of it, shorter, of one host instead of several, one of those that were at
once), then connections, calls, and last the order in which a simulation lets processes run. Each
step keeps what the steps before it have found. Pure: who runs a schedule is told by `fails`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeAlias, cast

from jepsen_like.faults.compose import Package, Together
from jepsen_like.faults.cuts import Bridge, Isolate, MajorityRing, Split
from jepsen_like.faults.fault import Healthy, Planned, total_seconds
from jepsen_like.faults.partitions import Flapping, Partition
from jepsen_like.faults.targets import Host, Hosts, Target
from jepsen_like.load import Arrival, Call
from jepsen_like.schedule import Schedule
from jepsen_like.shrinking import OutOfRuns, Search, fewest, least

__all__ = [
    "RUNS",
    "Key",
    "Simplest",
    "flat",
    "in_a_sentence",
    "in_words",
    "lasts_s",
    "simplest",
    "simpler_forms",
    "spans",
]

RUNS: Final = 100
"""How many schedules are tried unless somebody says otherwise."""

ORDERS: Final = 2
"""Other orders of chance in which a schedule is tried that does not fail in its own, when nothing
else helps: without a fault everything happens at other moments."""

FEW: Final = 3
"""Faults. More of them take longer to run, and to understand, than other orders take to try."""

HOLD_MIN_S: Final = 0.5
"""A fault is looked at when it begins and when it ends; shorter, the two are one."""

SHORTER_STEPS: Final = 2
"""How often a time is halved for itself: nobody reads a schedule by the tenth of a second."""

LOOKING_S: Final = 4.0
"""What the harness looks at before and after a fault takes up to so long: calls come meanwhile."""

CALLS_TOLD: Final = 6
"""So few are told one by one."""

PIECES: Final = 8
"""Into how many the calls are cut to see which of them can go."""

Key: TypeAlias = tuple[str, int]
"""A workload's name and a key of it."""


@dataclass(frozen=True)
class Simplest:
    schedule: Schedule
    runs: int
    is_done: bool
    """False: the runs were used up before everything was tried; the schedule fails all the same."""


def simplest(
    schedule: Schedule,
    calls: Sequence[Arrival],
    fails: Callable[[Schedule], bool],
    *,
    runs: int = RUNS,
    suspects: Sequence[Key] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Simplest:
    """`schedule` fails, and is not run again. `calls` are all that the seed plans while it lasts,
    `suspects` the keys whose operations could not be explained. `fails` runs a schedule and says
    whether it fails in the same way; `say` is told each step, in words."""
    search = Search(replace(schedule, faults=flat(schedule.faults)), fails, runs=runs)
    steps = _Steps(search, calls, suspects, say)
    try:
        steps.take()
    except OutOfRuns:
        return Simplest(search.best, search.runs, is_done=False)
    return Simplest(search.best, search.runs, is_done=True)


def flat(faults: Iterable[Planned]) -> tuple[Planned, ...]:
    """The same, with what stands one after the other in a package taken out of it."""
    found: list[Planned] = []
    for fault in faults:
        if isinstance(fault, Package):
            found += flat(fault.parts)
        else:
            found.append(fault)
    return tuple(found)


class _Steps:
    def __init__(
        self,
        search: Search[Schedule],
        calls: Sequence[Arrival],
        suspects: Sequence[Key],
        say: Callable[[str], None],
    ) -> None:
        self._search = search
        self._calls = calls
        self._suspects = suspects
        self._say = say

    @property
    def _best(self) -> Schedule:
        return self._search.best

    def take(self) -> None:
        self._faults()
        if len(self._best.faults) > FEW:
            self._in_other_orders()
        self._keys()
        for step in (self._quiet, self._holds, self._simpler, self._clients, self._time):
            step()
        before = len(self._best.faults)
        self._in_other_orders()
        if len(self._best.faults) < before:
            self._holds()
        self._order()

    def _in_other_orders(self) -> None:
        self._search.variants = _other_orders
        self._faults()
        self._search.variants = lambda _: ()

    def _faults(self) -> None:
        faults = self._best.faults
        fewest(self._search, faults, lambda kept: replace(self._best, faults=kept))
        self._say(f"faults that are left: {len(self._best.faults)} of {len(faults)}")

    def _quiet(self) -> None:
        """What was needed may have been its time, and not what happened in it."""
        for place, fault in enumerate(self._best.faults):
            lasts = total_seconds([fault])
            if not isinstance(fault, Healthy) and lasts:
                self._search.takes(self._with(place, Healthy(lasts)))

    def _holds(self) -> None:
        """Shorter: everything at once by half while that fails, then each for itself."""
        while True:
            shorter = replace(self._best, faults=tuple(map(_by_half, self._best.faults)))
            if shorter == self._best or not self._search.takes(shorter):
                break
        for place in range(len(self._best.faults)):
            for name in ("rest_s", "hold_s"):
                self._shorten(place, name)
        self._say(f"they last {total_seconds(self._best.faults):g} s")

    def _shorten(self, place: int, name: str) -> None:
        fault = self._best.faults[place]
        now = getattr(fault, name)
        if _can_be_told(fault, name):
            floor = _floor_of(fault, name)
            least(
                self._search,
                now,
                min(now, floor),
                lambda number: self._with(place, _replaced(fault, name, number)),
                steps=SHORTER_STEPS,
            )

    def _simpler(self) -> None:
        """The first of its simpler forms that fails takes a fault's place, until none does."""
        place = 0
        while place < len(self._best.faults):
            before = len(self._best.faults)
            if not any(
                self._search.takes(self._with(place, *flat([simpler])))
                for simpler in simpler_forms(self._best.faults[place])
            ):
                place += 1
            elif len(self._best.faults) > before:  # what was one can be left out by halves now
                self._faults()
                place = 0

    def _clients(self) -> None:
        least(
            self._search,
            self._best.clients,
            1,
            lambda number: replace(self._best, clients=int(number)),
        )
        self._say(f"connections of each host that are left: {self._best.clients}")

    def _keys(self) -> None:
        """The calls of few keys, first those that are suspected."""
        sent = self._sent()
        keys = list(dict.fromkeys(_key_of(self._calls[number].call) for number in sent))
        if len(keys) < 2:
            return

        def of(kept: Sequence[Key]) -> Schedule:
            wanted = set(kept)
            numbers = (n for n in sent if _key_of(self._calls[n].call) in wanted)
            return replace(self._best, operations=spans(numbers))

        suspects = [key for key in keys if key in self._suspects]
        if suspects and self._search.takes(of(suspects)):
            keys = suspects
        fewest(self._search, keys, of, may_be_none=False)
        left = {_key_of(self._calls[number].call) for number in self._sent()}
        self._say(f"keys that are left: {len(left)}")

    def _time(self) -> None:
        """Fewer calls, by pieces of the time, as long as that makes a difference."""
        while True:
            sent = self._sent()
            size = -(-len(sent) // PIECES)
            if size < 1:
                break
            pieces = [sent[at : at + size] for at in range(0, len(sent), size)]

            def of(kept: Sequence[Sequence[int]]) -> Schedule:
                return replace(self._best, operations=spans(n for piece in kept for n in piece))

            fewest(self._search, pieces, of)
            if len(self._sent()) * 2 > len(sent) or size == 1:
                break
        self._say(f"calls that are left: {len(self._sent())}")

    def _order(self) -> None:
        """The plainest that there is."""
        self._search.takes(replace(self._best, order=0))

    def _sent(self) -> list[int]:
        """The numbers of the calls that are sent while the faults last, and maybe a few more."""
        until_ns = _until_ns(self._best)
        lasting = (n for n, arrival in enumerate(self._calls) if arrival.at_ns <= until_ns)
        return list(self._best.chosen(lasting))

    def _with(self, place: int, *instead: Planned) -> Schedule:
        faults = self._best.faults
        return replace(self._best, faults=(*faults[:place], *instead, *faults[place + 1 :]))


def _until_ns(schedule: Schedule) -> float:
    return (total_seconds(schedule.faults) + LOOKING_S * len(schedule.faults)) * 1e9


def _other_orders(schedule: Schedule) -> Iterator[Schedule]:
    for more in range(1, ORDERS + 1):
        yield replace(schedule, order=schedule.order + more)


def _key_of(call: Call) -> Key:
    return call.workload, call.key


def spans(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Rising numbers as pairs: the first of a row without gaps, and the first after it."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)


# ------------------------------------------------------------------------------ one fault


def simpler_forms(fault: Planned) -> Iterator[Planned]:
    """The same for fewer hosts, or with less at once; what is easiest to understand first."""
    if isinstance(fault, Together):
        yield from fault.parts
    if isinstance(fault, Together | Package):
        yield from (type(fault)(parts) for parts in _fewer_or_simpler(fault))
        return
    if isinstance(fault, Flapping):
        yield Partition(fault.cut, fault.hold_s, fault.rest_s)
    if isinstance(fault, Flapping | Partition):
        for cut in _simpler_cuts(fault.cut):
            yield replace(fault, cut=cast("Any", cut))
    target = getattr(fault, "target", None)
    if isinstance(target, Hosts) and len(target.names) > 1:
        for fewer in _fewer(target):
            yield cast("Planned", replace(cast("Any", fault), target=fewer))


def _fewer_or_simpler(fault: Together | Package) -> Iterator[tuple[Planned, ...]]:
    """Half of the parts, then all but one, then one of them simpler."""
    parts = fault.parts
    if len(parts) > 3:
        yield parts[: len(parts) // 2]
        yield parts[len(parts) // 2 :]
    if len(parts) > 1 and not (isinstance(fault, Together) and len(parts) == 2):
        yield from (parts[:gone] + parts[gone + 1 :] for gone in range(len(parts)))
    for place, part in enumerate(parts):
        for form in simpler_forms(part):
            yield (*parts[:place], form, *parts[place + 1 :])


def _simpler_cuts(cut: object) -> Iterator[Isolate]:
    """One host alone, in the place of a shape that takes a drawing to follow."""
    if isinstance(cut, Split):
        side = min(cut.sides, key=len)
        names = side if len(cut.sides) > 2 or len(side) > 1 else ()
    elif isinstance(cut, Bridge | MajorityRing):
        names = cut.order
    else:
        names = ()
    yield from (Isolate(Host(name)) for name in names)


def _fewer(target: Hosts) -> Iterator[Target]:
    names = target.names
    yield from (Host(name) for name in names)
    if len(names) > 2:
        yield from (Hosts(names[:gone] + names[gone + 1 :]) for gone in range(len(names)))


def _by_half(fault: Planned) -> Planned:
    for name in ("hold_s", "rest_s"):
        if _can_be_told(fault, name):
            now = getattr(fault, name)
            shorter = max(_floor_of(fault, name), round(now / 2, 1))
            fault = _replaced(fault, name, min(now, shorter))
    return fault


def _floor_of(fault: Planned, name: str) -> float:
    if name == "rest_s" or isinstance(fault, Healthy):
        return 0.0
    return fault.period_s if isinstance(fault, Flapping) else HOLD_MIN_S


def _can_be_told(fault: Planned, name: str) -> bool:
    """Not of faults put together, nor of one that is over when it is done."""
    value: Any = fault
    told = {field.name for field in fields(value)} if is_dataclass(value) else set[str]()
    return name in told and getattr(fault, name) > 0


def _replaced(fault: Planned, name: str, number: float) -> Planned:
    changes: Mapping[str, float] = {name: number}
    return cast("Planned", replace(cast("Any", fault), **changes))


# ------------------------------------------------------------------------------ in words


def in_words(schedule: Schedule, calls: Sequence[Arrival]) -> list[str]:
    """A line for each fault with its time, and then what is asked of the database meanwhile.

    `calls` are those that the seed plans. Times are of the plan: what the harness looks at before
    and after a fault comes on top."""
    lines, at_s = [], 0.0
    for fault in schedule.faults:
        lasts = f" for {fault.hold_s:g} s" if fault.hold_s else ""
        rests = f", then {fault.rest_s:g} s without a fault" if fault.rest_s else ""
        lines.append(f"{at_s:7.1f} s  {fault.name}{lasts}{rests}")
        at_s += fault.hold_s + fault.rest_s
    lines = lines or ["no fault at all"]
    until_ns = _until_ns(schedule)
    sent = list(schedule.chosen(arrival for arrival in calls if arrival.at_ns <= until_ns))
    if 0 < len(sent) <= CALLS_TOLD:
        return [
            *lines,
            "meanwhile, as long as the faults go on:",
            *(f"{one.at_ns / 1e9:7.1f} s  {one.host}: {_asked(one.call)}" for one in sent),
            _by_whom(schedule),
        ]
    keys = list(dict.fromkeys(_key_of(arrival.call) for arrival in sent))
    of = ", ".join(f"{workload} {key}" for workload, key in keys[:5])
    more = f" and {len(keys) - 5} other keys" if len(keys) > 5 else ""
    return [
        *lines,
        f"meanwhile up to {len(sent)} calls of {of}{more}"
        if sent
        else "meanwhile no calls; only the final reads",
        _by_whom(schedule),
    ]


def _by_whom(schedule: Schedule) -> str:
    return f"connections of each host: {schedule.clients}; order of the loop: {schedule.order}"


def _asked(call: Call) -> str:
    """ "write 7 of register 2" """
    what = call.f
    if call.f == "cas":
        what += f" {call.value[0]} -> {call.value[1]}"
    elif call.value is not None:
        what += f" {call.value}"
    return f"{what} of {call.workload} {call.key}"


def lasts_s(schedule: Schedule) -> float:
    """By plan; what the harness looks at before and after each fault comes on top."""
    return total_seconds(schedule.faults)


def in_a_sentence(found: Simplest, before: Schedule) -> str:
    """How far it came."""
    had, has = len(flat(before.faults)), len(found.schedule.faults)
    needed = "1 is needed" if has == 1 else f"{has} are needed"
    end = "" if found.is_done else "; more runs may make it simpler still"
    return f"of {had} faults {needed}, found in {found.runs} runs{end}"
