"""What leaders do about a transaction that its router has left, in virtual time: how soon it is
over."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count

import msgspec
import pytest

from nodes.protocol import (
    Aborted,
    Commit,
    Done,
    Guard,
    Participant,
    Prepare,
    Prepared,
    ResponseBody,
    SessionId,
    Statement,
    TransactionId,
    Write,
)
from nodes.resolution import Resolution, ToLeader
from tests.sim.two_phase import Group

AFTER_S = 0.5  # as `resolve_after_ms` is without a word
TICK_S = 0.05
MESSAGE_S = 0.02
RECOVERED_S = 2.0
ID = TransactionId(1, 1, 1)


class Leaders:
    """Three groups, the first of which is the anchor; their leaders, and messages between them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.groups = {name: Group(name) for name in ("a", "b", "c")}
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        for group in self.groups.values():
            self.elect(group.name)
        participants = tuple(
            Participant(name, group.open("r"), 1) for name, group in self.groups.items()
        )
        self.prepares = {
            each.group: Prepare(ID, _append(each.session, each.group), (), "a", participants)
            for each in participants[1:]
        }
        of_anchor, *_ = participants
        write = _append(of_anchor.session, "a")
        self.commit = Commit(ID, write, (), participants)

    def elect(self, name: str) -> None:
        self.groups[name].resolution = Resolution(name, AFTER_S)

    def at(self, when: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def prepare(self, name: str) -> ResponseBody:
        return self.groups[name].apply(self.prepares[name])

    @property
    def open(self) -> list[str]:
        """Groups that have something prepared, or an outcome to remember."""
        return [n for n, g in self.groups.items() if g.two_phase.held or g.two_phase.decided]

    def run(self, until: float) -> dict[str, float]:
        """When nothing was prepared any more in each group."""
        freed: dict[str, float] = {}
        ticks = count(1)
        self.at(TICK_S, lambda: self._tick(ticks, until))
        while self._events:
            self.now, _, what = heapq.heappop(self._events)
            what()
            for name, group in self.groups.items():
                if not group.two_phase.held and name not in freed:
                    freed[name] = self.now
        return freed

    def _tick(self, ticks: count[int], until: float) -> None:
        for group in self.groups.values():
            self._send(group, group.resolution, group.resolution.due(self.now, group.two_phase))
        after = (next(ticks) + 1) * TICK_S
        if after <= until:
            self.at(after, lambda: self._tick(ticks, until))

    def _send(self, group: Group, leader: Resolution, requests: Sequence[ToLeader]) -> None:
        for request in requests:

            def arrived(request: ToLeader = request) -> None:
                answer = self.groups[request.group].apply(request.body)
                self.at(self.now + MESSAGE_S, lambda: answered(request, answer))

            def answered(request: ToLeader, answer: ResponseBody) -> None:
                if group.resolution is leader:
                    self._send(group, leader, leader.answered(request, answer, group.two_phase))

            self.at(self.now + MESSAGE_S, arrived)


def _append(session: SessionId, group: str) -> Write:
    key = "abc".index(group)
    text = Statement("append", (key, 1))
    return Write(session, 1, 0, (text,), (Guard("table:l", 1), Guard(f"slot:{key}", 1)))


@pytest.mark.parametrize("which", ["b", "c"])
def test_an_abort_reaches_who_is_new_in_office(which: str) -> None:
    """Its own patience has just begun."""
    leaders = Leaders()
    for name in leaders.prepares:
        assert isinstance(leaders.prepare(name), Prepared)
    leaders.at(AFTER_S - TICK_S, lambda: leaders.elect(which))
    freed = leaders.run(4 * RECOVERED_S)
    print({name: round(when, 2) for name, when in freed.items()})
    assert max(freed.values()) < 2 * AFTER_S + 3 * TICK_S + 4 * MESSAGE_S < RECOVERED_S
    assert not leaders.open, "and it has ended"
    assert not any(group.lists for group in leaders.groups.values())


def test_what_the_anchor_has_committed_is_told_by_its_leader() -> None:
    leaders = Leaders()
    for name in leaders.prepares:
        assert isinstance(leaders.prepare(name), Prepared)

    def decided() -> None:
        assert isinstance(leaders.groups["a"].apply(leaders.commit), Done)

    leaders.at(0.1, decided)
    freed = leaders.run(4 * RECOVERED_S)
    assert max(freed.values()) < RECOVERED_S
    assert not leaders.open
    assert all(group.lists for group in leaders.groups.values())


def test_it_is_waited_for_others_as_long_as_they_may_take_to_prepare() -> None:
    """Of what was sent ahead one shard may have more than another."""
    leaders = Leaders()
    for name, prepare in leaders.prepares.items():
        leaders.prepares[name] = msgspec.structs.replace(prepare, patience_ms=3000)
    assert isinstance(leaders.prepare("b"), Prepared)
    late: list[ResponseBody] = []
    leaders.at(3.0, lambda: late.append(leaders.prepare("c")))
    freed = leaders.run(8 * RECOVERED_S)
    assert [type(answer) for answer in late] == [Prepared]
    assert 3.0 + AFTER_S < freed["b"] < 3.0 + RECOVERED_S, "and then it is over"
    assert not leaders.open


@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_that_comes_late_is_refused(commits: bool) -> None:
    """Or never comes: the router has died between two of its messages. A PREPARE that comes when
    all is over is ended as the others were."""
    leaders = Leaders()
    assert isinstance(leaders.prepare("b"), Prepared)
    late: list[ResponseBody] = []
    leaders.at(0.9, lambda: leaders.prepare("c"))
    if commits:
        leaders.at(0.95, lambda: late.append(leaders.groups["a"].apply(leaders.commit)))
    freed = leaders.run(4 * RECOVERED_S)
    assert freed["b"] < AFTER_S + 3 * TICK_S
    assert [type(answer) for answer in late] == [Aborted] * commits
    assert not leaders.open
    assert not any(group.lists for group in leaders.groups.values())
