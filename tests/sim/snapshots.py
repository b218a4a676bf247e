"""Snapshots over several groups, in the world of `tests.sim.two_phase`: the gates are the code that
ships (`nodes.gates`), what asks for them is what a router does.

A client that only reads, in several groups, asks their leaders one after the other to close a gate
and pin; when all have, each for its word that the gate was never open since and that it still
leads; then it reads what is pinned. Whatever does not come in time is given up, and after some
tries the read is a transaction like any other.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from nodes.two_phase import Touched, touched_by

__all__ = ["GATE_STEPS", "TRIES", "Leader", "confirmed", "pinned", "snapshot"]

GATE_STEPS: Final = 120
"""Steps that a gate lasts."""

TRIES: Final = 3

Lists = Mapping[int, tuple[int, ...]]


class Leader(NamedTuple):
    """Who has been asked: a leader of a group in its term, who may be none any more."""

    group: Any
    gates: Any
    term: int


def pinned(leader: Leader, id_: bytes) -> Lists | None:
    """What the leader shows, once it may be pinned. One that was deposed shows what it had."""
    group, gates, term = leader
    if group.term != term or not gates.may_pin(id_, group.applied, group.two_phase.holder):
        return None
    gates.pinned(id_)
    return dict(group.data.lists)


def confirmed(leader: Leader, id_: bytes) -> bool:
    """Its gate was never open since, and a quorum says that it leads."""
    return bool(leader.gates.confirms(id_)) and leader.group.term == leader.term


def snapshot(
    world: Any, groups: Mapping[str, Sequence[Any]], number: int
) -> Generator[None, None, dict[str, Lists] | None]:
    """The lists of these groups at one instant; None if there was none in time. `groups`: with the
    guards of what is read in each."""
    id_ = b"%d" % number
    leaders: list[Leader] = []
    found: dict[str, Lists] = {}
    for name in sorted(groups):
        group = world.groups[name]
        touched = touched_by(groups[name])
        leader = yield from _closed(world, group, id_, touched)
        state: Lists | None = None
        until = world.now + GATE_STEPS
        while leader is not None and state is None and world.now < until:
            yield
            state = pinned(leader, id_)
        if leader is not None:
            leaders.append(leader)
        if state is None:
            break
        found[name] = state
    is_one = len(found) == len(groups)
    for leader in leaders:
        yield  # the others' answers are on their way
        is_one = is_one and confirmed(leader, id_)
    for group, gates, _ in leaders:
        if gates.open(id_) and gates is group.gates:
            group.let_in()
    return found if is_one else None


def _closed(
    world: Any, group: Any, id_: bytes, touched: Touched
) -> Generator[None, None, Leader | None]:
    """The leader that has closed its gate; None if nobody did."""
    until = world.now + GATE_STEPS
    while world.now < until:
        yield
        if world.rng.random() < world.losses:
            return None  # the request, or its answer, is lost
        if group.gates.close(id_, touched, group.entered, world.now):
            return Leader(group, group.gates, group.term)
    return None
