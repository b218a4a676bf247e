"""How available each side of a cut was, and how long a shard that lost its leader did not serve.

Yield is counted as `figures.served` says. That of a handful of operations says nothing, so under
MEASURED_MIN it is "not measured".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from jepsen_like.figures.intervals import share
from jepsen_like.figures.served import Window, tallies
from jepsen_like.history import Operation, Unserved
from jepsen_like.result import Failover, FaultRecord, SideAvailability

__all__ = [
    "MEASURED_MIN",
    "ALL",
    "GroupOf",
    "availability",
    "failover",
    "class_order",
    "side_name",
    "serving_side",
    "led_groups",
]

MEASURED_MIN: Final = 100
ALL: Final = "all"  # the class of all operations together
OF_A_LEVEL: Final = "read "  # how the name of a class of reads begins that ask for a level

_ORDER: Final = {"read": 0, "write": 1, "cas": 2}  # any other class follows by name

GroupOf: TypeAlias = Mapping[int, str] | Mapping[str, str] | Callable[[Operation], str | None]
"""The group (shard) that holds a key, or the key of an operation."""


def availability(
    operations: Iterable[Operation],
    faults: Sequence[FaultRecord],
    unserved: Iterable[Unserved] = (),
    *,
    rng: random.Random,
) -> tuple[SideAvailability, ...]:
    """A row per partition, side and operation class, each side ending with its row for ALL.

    `rng` draws the blocks of the intervals, see `figures.intervals`.
    """
    history, arrivals = list(operations), list(unserved)
    classes = sorted({o.f for o in history} | {u.f for u in arrivals}, key=class_order)
    rows = []
    for fault in faults:
        for side in fault.sides:
            window = Window(fault.start_ns, fault.end_ns, frozenset(side))
            name = side_name(fault.sides, side)
            for f, included in (*((f, [f]) for f in classes), (ALL, classes)):
                (blocks,) = tallies(history, arrivals, [window], included)
                served = share([blocks], rng)
                ok = sum(block[0] for block in blocks)
                rows.append(
                    SideAvailability(
                        *(fault.name, name, f, served.count, ok),
                        measured=served.count >= MEASURED_MIN,
                        low=served.low,
                        high=served.high,
                    )
                )
    return tuple(rows)


def class_order(f: str) -> tuple[int, str]:
    """The order in which classes of operations are listed."""
    return _ORDER.get(f, len(_ORDER)), f


def side_name(sides: Sequence[Sequence[str]], side: Sequence[str]) -> str:
    """ "majority (n1, n3)", "minority (n2)", or "half (n1, n2)" where nobody has a majority;
    "all (n1, n2, n3)" where sides were not told apart."""
    total = sum(len(s) for s in sides)
    if len(sides) == 1:
        return f"all ({', '.join(side)})"
    kind = "majority" if 2 * len(side) > total else "half" if 2 * len(side) == total else "minority"
    return f"{kind} ({', '.join(side)})"


def serving_side(sides: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The side that holds a majority of the hosts, and so of every group; () if none does."""
    total = sum(len(side) for side in sides)
    return next((tuple(side) for side in sides if 2 * len(side) > total), ())


def failover(
    operations: Iterable[Operation], faults: Sequence[FaultRecord], group_of: GroupOf
) -> tuple[Failover, ...]:
    """For each fault that hit the leader of a group with keys: when the group served again.

    That is the earliest answer ok to an operation on one of its keys that was sent after the
    fault by a client on a side that can serve. It may come after the heal. Reads at a level of
    their own ("read any") are left out: those may be answered while nobody leads.
    """
    find = group_of if callable(group_of) else _held_by(group_of)
    by_group: dict[str, list[Operation]] = {}
    groups: set[str] = set()
    for operation in operations:
        group = find(operation)
        if group is not None:
            groups.add(group)
            if operation.outcome == "ok" and not operation.f.startswith(OF_A_LEVEL):
                by_group.setdefault(group, []).append(operation)
    found = []
    for fault in faults:
        serving = serving_side(fault.sides)
        side = side_name(fault.sides, serving) if serving else "none" if fault.sides else "any"
        for group in led_groups(fault.role_before):
            if group in groups:
                answers = [
                    operation.returned_ns - fault.start_ns
                    for operation in by_group.get(group, ())
                    if operation.sent_ns >= fault.start_ns
                    and (not fault.sides or operation.node in serving)
                ]
                found.append(Failover(fault.name, group, min(answers, default=None), side))
    return tuple(found)


def _held_by(groups: Mapping[Any, str]) -> Callable[[Operation], str | None]:
    return lambda operation: groups.get(operation.key)


def led_groups(role: str) -> list[str]:
    """The groups in "leader of meta, shard-1", or in "n1 leader of shard-1; n2 follower"."""
    groups = []
    for part in role.split("; "):
        _, is_leader, names = part.partition("leader of ")
        if is_leader:
            groups += names.split(", ")
    return groups
