"""Places, the queue for them and how many there are: rules, and a model of a router in overload."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardrouter.admission import COHORT_S, OVERTAKING_MIN, PARKED_S, REFUSE_ABOVE, Places, Waiter
from shardrouter.fair_queue import INTERVAL_S, QUEUE_MAX, TARGET_S, FairQueue
from shardrouter.work_limit import (
    LIMIT_MAX,
    LIMIT_MIN,
    SAMPLES_MIN,
    TARGET_S_MIN,
    TOLERANCE,
    WINDOW_S,
    WorkLimit,
)

# ------------------------------------------------------------------------------ the queue


def drained(queue: FairQueue[str]) -> list[str]:
    return [queue.next() for _ in range(len(queue))]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6)), max_size=60))
def test_nobody_is_lost_and_each_client_keeps_its_order(asked: list[tuple[str, int]]) -> None:
    queue: FairQueue[str] = FairQueue(0.0)
    for number, (client, cost) in enumerate(asked):
        assert not queue.add(client, f"{client}{number}", cost, 0.0)
    out = drained(queue)
    assert sorted(out) == sorted(f"{client}{number}" for number, (client, _) in enumerate(asked))
    for client in "abc":
        own = [int(name[1:]) for name in out if name[0] == client]
        assert own == sorted(own)


def test_one_that_sends_a_thousand_does_not_keep_out_one_that_sends_one() -> None:
    queue: FairQueue[str] = FairQueue(0.0)
    for number in range(1000):
        queue.add("many", f"m{number}", 1, 0.0)
    queue.add("one", "o", 1, 0.0)
    assert "o" in [queue.next() for _ in range(10)]


@given(st.integers(1, 8), st.integers(1, 8))
def test_clients_share_by_cost_and_not_by_number(cost: int, other: int) -> None:
    queue: FairQueue[str] = FairQueue(0.0)
    for _ in range(120):
        queue.add("a", "a", cost, 0.0)
        queue.add("b", "b", other, 0.0)
    spent = Counter[str]()
    for _ in range(60):
        name = queue.next()
        spent[name] += cost if name == "a" else other
    assert abs(spent["a"] - spent["b"]) <= 2 * (cost + other) + 8


def test_a_burst_is_waited_for_and_a_standing_queue_is_not() -> None:
    queue: FairQueue[str] = FairQueue(0.0)
    queue.add("a", "first", 1, 10.0)
    assert queue.late(10.0 + INTERVAL_S * 0.99, 0) == []
    queue.add("a", "second", 1, 10.0 + INTERVAL_S * 0.99)
    assert queue.late(10.0 + INTERVAL_S, 0) == ["first"]
    queue.add("a", "third", 1, 10.0 + INTERVAL_S)
    assert queue.late(10.0 + INTERVAL_S + 1.01 * TARGET_S, 0) == ["second", "third"]
    queue.add("a", "fourth", 1, 20.0)  # it was empty
    assert queue.late(20.0 + TARGET_S, 0) == []


def test_those_who_may_wait_in_any_case_are_never_late() -> None:
    queue: FairQueue[str] = FairQueue(0.0)
    for number in range(10):
        queue.add("ab"[number % 2], str(number), 1, 0.0)
    assert len(queue.late(9.0, 4)) == 6
    assert queue.late(99.0, 4) == []


def test_when_there_is_no_room_the_longest_queue_gives() -> None:
    queue: FairQueue[str] = FairQueue(0.0)
    queue.add("small", "s", 1, 0.0)
    for number in range(QUEUE_MAX - 1):
        assert queue.add("large", f"l{number}", 1, 0.0) == []
    assert queue.add("small", "t", 1, 0.0) == [f"l{QUEUE_MAX - 2}"]
    assert len(queue) == QUEUE_MAX


def test_who_gives_up_does_not_wait_any_more() -> None:
    queue: FairQueue[str] = FairQueue(0.0)
    queue.add("a", "x", 1, 0.0)
    assert queue.remove("a", "x")
    assert not queue.remove("a", "x")
    assert len(queue) == 0


# ------------------------------------------------------------------------------ the limit


def window(limit: WorkLimit, now: float, mean_s: float, *, reached: bool) -> float:
    limit.samples, limit.seconds, limit.reached = SAMPLES_MIN, SAMPLES_MIN * mean_s, reached
    now += WINDOW_S
    limit.look(now)
    return now


def test_it_rises_while_it_is_reached_and_nothing_is_slow() -> None:
    limit, now, before = WorkLimit(0.0), 0.0, 0
    for _ in range(200):
        before = limit.limit
        now = window(limit, now, 0.004, reached=True)
        assert limit.limit > before or limit.limit == LIMIT_MAX
    assert limit.limit == LIMIT_MAX
    now = window(limit, now, 0.004, reached=False)
    assert limit.limit == LIMIT_MAX


def test_it_falls_when_statements_wait_and_never_below_what_none_should_take_away() -> None:
    limit, now = WorkLimit(0.0), 0.0
    now = window(limit, now, 0.02, reached=False)
    slow = TOLERANCE * 0.02 + 0.001
    for _ in range(100):
        before = limit.limit
        now = window(limit, now, slow, reached=True)
        assert limit.limit < before or limit.limit == LIMIT_MIN
    assert limit.limit == LIMIT_MIN


def test_a_slow_disk_is_no_overload_and_an_overload_is_never_taken_for_a_slow_disk() -> None:
    limit, now = WorkLimit(0.0), 0.0
    for _ in range(500):  # the disk has become slow, and nobody waits
        now = window(limit, now, 3 * TARGET_S_MIN, reached=False)
    first = limit.limit
    now = window(limit, now, 3 * TARGET_S_MIN, reached=True)
    assert limit.limit > first
    for _ in range(500):
        now = window(limit, now, 3 * TOLERANCE * TARGET_S_MIN + 0.001, reached=True)
    assert limit.limit == LIMIT_MIN


def test_few_statements_say_nothing() -> None:
    limit = WorkLimit(0.0)
    limit.samples, limit.seconds = SAMPLES_MIN - 1, 99.0
    first = limit.limit
    limit.look(99.0)
    assert limit.limit == first


# ------------------------------------------------------------------------------ the places


class Asked:
    """What became of those that asked."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.begun: list[str] = []
        self.refused: list[str] = []

    def ask(self, name: str, now: float, client: str = "a") -> Waiter:
        def begin() -> None:
            self.places.enter()
            self.begun.append(name)

        waiter = Waiter(client, begin, lambda: self.refused.append(name))
        self.places.ask(waiter, 1, now)
        return waiter


def full(now: float = 0.0, stalled: Callable[[], int] = lambda: 0) -> Places:
    places = Places(now, stalled)
    for _ in range(places.room):
        places.enter()
    return places


def overtaken(places: Places) -> None:
    """What is in progress has been so for long, and others that came later have ended."""
    places.look(COHORT_S)
    places.cohort.quick = OVERTAKING_MIN
    places.look(PARKED_S + COHORT_S)


def test_where_all_of_them_wait_nobody_more_is_let_in() -> None:
    """A disk that stalls: what began later does not end sooner."""
    places = full()
    asked = Asked(places)
    asked.ask("x", 0.0)
    for step in range(1, 50):
        places.look(step * COHORT_S)
    assert asked.begun == []
    assert places.running == places.room
    for step in range(50, 300):  # and what never ends is not remembered for ever
        places.look(step * COHORT_S)
    assert asked.begun == ["x"]


def test_who_finds_no_place_waits_until_one_is_free() -> None:
    places = full()
    asked, cohort = Asked(places), places.cohort
    asked.ask("x", 0.0)
    asked.ask("y", 0.0)
    assert (asked.begun, places.waiting) == ([], 2)
    places.left(cohort)
    places.go_on()
    assert (asked.begun, places.waiting) == (["x"], 1)
    assert places.running == places.room


def test_blocks_are_let_in_always_and_counted() -> None:
    places = full()
    asked, cohort = Asked(places), places.cohort
    places.enter()  # of a block
    asked.ask("x", 0.0)
    places.left(cohort)
    places.go_on()
    assert asked.begun == []
    places.left(cohort)
    places.go_on()
    assert asked.begun == ["x"]


def test_what_waits_for_something_else_holds_no_place() -> None:
    places = full()
    cohort, asked = places.cohort, Asked(places)
    asked.ask("x", 0.0)
    overtaken(places)
    assert cohort.is_parked
    assert asked.begun == ["x"]
    assert (places.running, places.parked) == (1, places.room)
    places.left(cohort)
    assert (places.running, places.parked) == (1, places.room - 1)


def test_what_waits_for_a_leader_holds_no_place_from_the_first_moment() -> None:
    stalled = 0
    places = full(stalled=lambda: stalled)
    asked = Asked(places)
    stalled = 10
    for number in range(12):
        asked.ask(f"{number}", 0.0)
    assert len(asked.begun) == 10
    overtaken(places)  # and it counts once, though it is parked now
    assert len(asked.begun) == 12


def test_those_who_wait_get_the_places_of_what_has_begun_to_wait_for_a_leader() -> None:
    stalled = 0
    places = full(stalled=lambda: stalled)
    asked = Asked(places)
    for number in range(12):
        asked.ask(f"{number}", 0.0)
    assert asked.begun == []
    stalled = 10
    places.look(0.005)
    assert len(asked.begun) == 10


def test_few_are_never_refused() -> None:
    places = Places(0.0, refuse_above=REFUSE_ABOVE)
    places.room = places.limit.limit = 1
    places.enter()
    asked = Asked(places)
    for number in range(REFUSE_ABOVE):
        asked.ask(f"{number}", 0.0)
    for step in range(1, 50):
        places.look(step / 10)
    assert asked.refused == ["0"]  # one more than that


def test_who_is_in_a_standing_queue_already_is_told_at_once() -> None:
    places = Places(0.0, refuse_above=2)
    places.room = places.limit.limit = 1
    places.enter()
    asked = Asked(places)
    asked.ask("x", 0.0)
    asked.ask("y", INTERVAL_S * 0.9)
    assert not places.refuses("a", INTERVAL_S * 0.9)  # a burst may be waited for
    assert places.refuses("a", INTERVAL_S)
    assert not places.refuses("b", INTERVAL_S)
    assert places.refused == 1


def test_who_gives_up_and_the_end_of_the_router() -> None:
    places = full()
    asked = Asked(places)
    first = asked.ask("x", 0.0)
    asked.ask("y", 0.0)
    assert places.withdraw(first)
    assert not places.withdraw(first)
    places.close()
    assert (asked.refused, places.waiting, places.refused) == (["y"], 0, 1)


# ------------------------------------------------------------------------------ a model

CAPACITY = 4000.0
"""Statements a second, however many are in progress."""

LONE_S = 0.002
"""What one takes without others."""

REFUSAL = 0.08
"""What a refusal costs, of what a statement costs."""


class Model:
    """A router whose work goes through one server, in virtual time: statements arrive by chance,
    whatever became of those before."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.places = Places(0.0, refuse_above=REFUSE_ABOVE)
        self.free_at = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()
        self.took: list[tuple[float, float]] = []  # arrival, latency of those that were let in
        self.refused = 0
        self.is_limited = True

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.count), what))

    def arrive(self, client: str) -> None:
        arrived, places = self.now, self.places

        def begin() -> None:
            cohort, began = places.enter(), self.now
            self.free_at = max(self.free_at, self.now) + self.rng.expovariate(CAPACITY)

            def end() -> None:
                places.left(cohort)
                cohort.quick += 1
                places.limit.samples += 1
                places.limit.seconds += self.now - began
                self.took.append((arrived, self.now - arrived))
                places.go_on()

            self.at(self.free_at + LONE_S, end)

        def refuse() -> None:
            self.refused += 1
            self.free_at = max(self.free_at, self.now) + REFUSAL / CAPACITY

        if self.is_limited and places.refuses(client, self.now):
            refuse()
        elif self.is_limited and (places.waiting or places.running >= places.room):
            places.ask(Waiter(client, begin, refuse), 1, self.now)
        else:
            begin()

    def run(self, seconds: float, load: float) -> None:
        """Statements come at `load` times the capacity."""
        until = self.now + seconds
        arrival = self.now
        while (arrival := arrival + self.rng.expovariate(CAPACITY * load)) < until:
            client = self.rng.choice("abcd")
            self.at(arrival, lambda client=client: self.arrive(client))  # type: ignore[misc]
        looks = range(int(seconds / 0.005))
        for number in looks:
            self.at(self.now + number * 0.005, lambda: self.places.look(self.now))
        while self.events and self.events[0][0] < until:
            self.now, _, what = heapq.heappop(self.events)
            what()
        self.now = until

    def figures(self, since: float, until: float) -> tuple[float, float]:
        """Answers a second, and the 99th of a hundred latencies."""
        took = sorted(latency for at, latency in self.took if since <= at < until)
        return len(took) / (until - since), took[int(len(took) * 0.99)]


@pytest.mark.parametrize("seed", [1, 2])
def test_three_times_the_capacity_leaves_most_of_it_and_quick_answers(seed: int) -> None:
    model = Model(seed)
    model.run(1.0, 0.8)
    _, calm_p99 = model.figures(0.2, 1.0)
    model.run(2.0, 3.0)
    goodput, p99 = model.figures(1.5, 2.9)
    possible = (1 - 3 * REFUSAL) / (1 - REFUSAL)  # refusals cost the rest
    assert possible > 0.8
    assert goodput >= 0.97 * possible * CAPACITY
    assert p99 <= REFUSE_ABOVE / goodput + TARGET_S + 0.005 + LONE_S
    before = model.refused
    model.run(1.5, 0.8)
    _, after_p99 = model.figures(3.2, 4.4)
    assert model.refused - before <= REFUSE_ABOVE  # who waited when it ended
    assert after_p99 <= 2 * calm_p99 + TARGET_S


def test_without_a_limit_the_model_collapses() -> None:
    """What the rest is for: the same load, and everybody is let in."""
    model = Model(1)
    model.is_limited = False
    model.run(2.0, 3.0)
    _, p99 = model.figures(0.0, 0.6)
    assert p99 > 1.0
