"""Snapshots over several groups, in the world of `tests.sim.two_phase`: the gates are the code that
ships (`nodes.gatekeeping`), what asks for them is what a router does.

A client that only reads, in several groups, asks their leaders, in any order, to close a gate and
pin; when all have, each for its word that the gate was never open since, and then a quorum whether
that leader still leads; what is pinned is read meanwhile, and told when both are known. Whatever
does not come in time is given up, and after some tries the read is a transaction like any other.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from nodes.gatekeeping import Gatekeeper
from nodes.two_phase import Touched, touched_by

__all__ = ["GATE_STEPS", "TRIES", "Leader", "leads", "may_tell", "snapshot"]

GATE_STEPS: Final = 120
"""Steps that a gate lasts."""

TRIES: Final = 3

Lists = Mapping[int, tuple[int, ...]]


class Leader(NamedTuple):
    """Who has been asked: a leader of a group in its term, who may be none any more."""

    group: Any
    keeper: Gatekeeper
    term: int


def leads(leader: Leader) -> bool:
    """What a quorum says."""
    return bool(leader.group.term == leader.term)


def may_tell(is_one: bool) -> bool:
    """Whether the client is told what was read, by what all leaders and quorums have said."""
    return is_one


class _Pins:
    """What the leaders of some groups have pinned."""

    def __init__(self) -> None:
        self.states: dict[str, Lists] = {}
        self.answered: set[str] = set()
        self.is_refused = False

    def ask(self, leader: Leader, id_: bytes, touched: Touched) -> None:
        name = leader.group.name

        def pin() -> None:
            self.states[name] = dict(leader.group.lists)

        def done(refusal: object) -> None:
            if refusal is None:
                self.answered.add(name)
            else:
                self.is_refused = True

        leader.keeper.close(id_, touched, pin, done)


def snapshot(
    world: Any, groups: Mapping[str, Sequence[Any]], number: int
) -> Generator[None, None, dict[str, Lists] | None]:
    """The lists of these groups at one instant; None if there was none in time. `groups`: with the
    guards of what is read in each."""
    id_ = b"%d" % number
    leaders: list[Leader] = []
    pins = _Pins()
    unsent = sorted(groups)
    world.rng.shuffle(unsent)
    until = world.now + 2 * GATE_STEPS
    while len(pins.answered) < len(groups) and not pins.is_refused and world.now < until:
        yield
        if unsent:
            group = world.groups[unsent.pop()]
            if world.rng.random() < world.losses:
                break  # the request, or its answer, is lost
            leaders.append(Leader(group, group.keeper, group.term))
            pins.ask(leaders[-1], id_, touched_by(groups[group.name]))
    is_read = is_one = len(pins.answered) == len(groups)  # what is pinned stays as it is
    for leader in leaders:
        yield  # the others' answers are on their way
        is_one = leader.keeper.confirm(id_) is None and is_one
    for leader in leaders:
        yield
        is_one = is_one and leads(leader)
    return pins.states if is_read and may_tell(is_one) else None
