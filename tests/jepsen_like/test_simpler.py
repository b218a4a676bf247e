"""Schedules made simple, on oracles whose cause is known: faults that have to happen, and keys."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from jepsen_like import faults, leader_of
from jepsen_like.faults.compose import Package, Together
from jepsen_like.faults.cuts import Isolate
from jepsen_like.faults.fault import Healthy, Planned, draw, total_seconds
from jepsen_like.faults.partitions import Partition
from jepsen_like.faults.processes import ProcessFault
from jepsen_like.faults.targets import Host, Hosts
from jepsen_like.load import Arrival, Call
from jepsen_like.schedule import Schedule
from jepsen_like.simpler import (
    Simplest,
    flat,
    in_a_sentence,
    in_words,
    simpler_forms,
    simplest,
    spans,
)

HOSTS = ("n1", "n2", "n3", "n4", "n5")
RATE = 20
CLIENTS = 16

KINDS: Sequence[Callable[[], Planned]] = (
    lambda: faults.kill("one", hold="3s", rest="2s"),
    lambda: faults.pause("minority", hold="4s", rest="1s"),
    lambda: faults.partition(faults.isolate(leader_of("shard-1")), hold="5s", rest="3s"),
    lambda: faults.partition(faults.majority_ring(), hold="5s", rest="3s"),
    lambda: faults.slow("50ms", hold="4s", rest="1s"),
    lambda: faults.healthy("2s"),
)


def schedule_of(rng: random.Random, count: int = 26) -> Schedule:
    planned = [rng.choice(KINDS)() for _ in range(count)]
    return Schedule(draw(planned, HOSTS, rng), CLIENTS, None, 7)


def calls_for(schedule: Schedule, keys: int = 6) -> list[Arrival]:
    count = round(total_seconds(schedule.faults) * RATE)
    return [
        Arrival(number * 10**9 // RATE, HOSTS[number % 5], Call("read", number % keys, None, "w"))
        for number in range(count)
    ]


def asked(schedule: Schedule, calls: Sequence[Arrival]) -> set[tuple[str, int]]:
    return {(arrival.call.workload, arrival.call.key) for arrival in schedule.chosen(calls)}


@pytest.mark.parametrize("causes", [1, 2, 3])
def test_26_faults_come_to_their_cause(causes: int) -> None:
    """And to one key, one connection and short times, as far as the cause allows. The oracle is
    that of a bug which needs these faults in this order, of the same kinds, and one key asked."""
    for seed in range(20):
        rng = random.Random(seed)
        schedule = schedule_of(rng)
        calls = calls_for(schedule)
        places = sorted(rng.sample(range(26), causes))
        wanted = [schedule.faults[place].kind for place in places]
        key = ("w", rng.randrange(6))

        def fails(
            tried: Schedule,
            calls: list[Arrival] = calls,
            wanted: list[str] = wanted,
            key: tuple[str, int] = key,
        ) -> bool:
            kinds = iter(fault.kind for fault in tried.faults)
            return all(kind in kinds for kind in wanted) and key in asked(tried, calls)

        found = simplest(schedule, calls, fails, runs=300, suspects=[key])
        assert found.is_done
        assert [fault.kind for fault in found.schedule.faults] == wanted
        assert asked(found.schedule, calls) == {key}
        assert found.schedule.clients == 1
        assert total_seconds(found.schedule.faults) <= 0.5 * causes
        assert found.schedule.order == 0
        assert fails(found.schedule)


@pytest.mark.parametrize("seed", range(100))
def test_the_faults_alone_take_under_50_runs(seed: int) -> None:
    """What `simplest` has said by then, counted where it is said."""
    rng = random.Random(seed)
    schedule = schedule_of(rng)
    cause = set(rng.sample(schedule.faults, 3))
    ran: list[Schedule] = []
    said: list[int] = []

    def fails(tried: Schedule) -> bool:
        ran.append(tried)
        return cause <= set(tried.faults)

    simplest(schedule, [], fails, runs=300, say=lambda _: said.append(len(ran)))
    assert said[0] < 50


def test_what_needed_a_time_and_not_a_fault_gets_quiet() -> None:
    schedule = Schedule(
        draw(
            [faults.kill("one", hold="6s", rest="2s"), faults.pause("one")], HOSTS, random.Random(1)
        ),
        CLIENTS,
        None,
        1,
    )
    last = schedule.faults[-1]

    def fails(tried: Schedule) -> bool:
        before = total_seconds(tried.faults[:-1])
        return bool(tried.faults) and tried.faults[-1].kind == last.kind and before >= 5

    found = simplest(schedule, calls_for(schedule), fails).schedule
    assert isinstance(found.faults[0], Healthy)
    assert 5 <= found.faults[0].hold_s < 8
    assert [fault.kind for fault in found.faults] == ["healthy", "pause"]


def test_a_target_and_a_cut_become_simpler_until_that_is_too_much() -> None:
    pause = ProcessFault(faults.pause("one").deed, Hosts(("n1", "n4")), 2, 1)
    ring = faults.partition(faults.majority_ring()).drawn(HOSTS, random.Random(2))
    schedule = Schedule((Together((pause, ring)), ring), CLIENTS, None, 1)

    def fails(tried: Schedule) -> bool:
        return (
            len(tried.faults) == 2
            and "n4" in tried.faults[0].name
            and tried.faults[1].kind == "partition"
        )

    found = simplest(schedule, calls_for(schedule), fails).schedule
    first, second = found.faults
    assert isinstance(first, ProcessFault)
    assert first.target == Host("n4")
    assert isinstance(second, Partition)
    assert isinstance(second.cut, Isolate)


def test_what_repeats_beside_another_fault_is_repeated_less() -> None:
    """Twelve kills beside slow links, of which two are needed, and the links are not."""
    kill, slow = KINDS[0](), KINDS[4]()
    planned = faults.together(slow, faults.package(kill, times=12))
    schedule = Schedule(draw([planned], HOSTS, random.Random(4)), CLIENTS, None, 1)

    def kills(fault: Planned) -> int:
        parts = fault.parts if isinstance(fault, Together | Package) else ()
        return (fault.kind == "kill") + sum(map(kills, parts))

    found = simplest(schedule, [], lambda tried: sum(map(kills, tried.faults)) >= 2).schedule
    assert [fault.kind for fault in found.faults] == ["kill", "kill"]

    beside = simplest(
        schedule,
        [],
        lambda tried: any(
            isinstance(fault, Together)
            and sum(map(kills, fault.parts)) >= 2
            and "slow" in {part.kind for part in fault.parts}
            for fault in tried.faults
        ),
    ).schedule
    (both,) = beside.faults
    assert kills(both) == 2


def test_every_simpler_form_can_be_written_and_none_is_what_it_was() -> None:
    rng = random.Random(3)
    planned = [make().drawn(HOSTS, rng) for make in KINDS]
    planned.append(faults.flapping(faults.bridge()).drawn(HOSTS, rng))
    planned.append(faults.together(planned[0], planned[1], planned[2]).drawn(HOSTS, rng))
    forms = [(fault, form) for fault in planned for form in simpler_forms(fault)]
    assert len({fault.kind for fault, _ in forms}) >= 4
    for fault, form in forms:
        assert form != fault
        schedule = Schedule((form,), 1, None, 1)
        assert Schedule.from_data(json.loads(json.dumps(schedule.as_data()))) == schedule


def test_another_order_shows_what_this_one_hides() -> None:
    """In its own order the schedule fails only as it is; in the next but one by its cause."""
    schedule = schedule_of(random.Random(5))
    cause = schedule.faults[11]

    def fails(tried: Schedule) -> bool:
        return cause in tried.faults and tried.order == 9

    found = simplest(schedule, [], fails, runs=300)
    assert found.schedule.order == 9
    assert [fault.kind for fault in found.schedule.faults] == [cause.kind]


def test_what_is_found_when_the_runs_are_used_up_still_fails() -> None:
    schedule = schedule_of(random.Random(6))
    cause = set(schedule.faults[5:8])
    found = simplest(schedule, [], lambda tried: cause <= set(tried.faults), runs=9)
    assert (found.runs, found.is_done) == (9, False)
    assert cause <= set(found.schedule.faults)
    assert len(found.schedule.faults) < 26


def test_packages_are_taken_apart() -> None:
    inner = faults.package(faults.healthy("1s"), faults.package(faults.healthy("2s"), times=2))
    parts = flat(draw([inner, faults.healthy("3s")], HOSTS, random.Random(1)))
    assert [part.hold_s for part in parts] == [1, 2, 2, 3]


def test_numbers_as_spans() -> None:
    assert spans([]) == ()
    assert spans([0, 1, 2, 5, 7, 8]) == ((0, 3), (5, 6), (7, 9))


def test_a_schedule_in_words() -> None:
    planned = [
        faults.healthy("1s"),
        KINDS[2](),
        faults.kill(faults.host("n2"), hold="1s", rest="0s"),
    ]
    schedule = Schedule(draw(planned, HOSTS, random.Random(1)), 2, ((0, 12), (16, 17)), 4)
    calls = calls_for(schedule)
    told = [
        "    0.0 s  healthy for 1 s",
        "    1.0 s  partition isolate(leader of shard-1) for 5 s, then 3 s without a fault",
        "    9.0 s  kill -9 n2 for 1 s",
    ]
    assert in_words(schedule, calls) == [
        *told,
        "meanwhile up to 13 calls of w 0, w 1, w 2, w 3, w 4 and 1 other keys",
        "connections of each host: 2; order of the loop: 4",
    ]
    assert in_words(Schedule((), 1, (), 0), calls)[:2] == [
        "no fault at all",
        "meanwhile no calls; only the final reads",
    ]
    calls[1] = replace(calls[1], call=Call("cas", 3, (7, 8), "w"))
    calls[2] = replace(calls[2], call=Call("write", 3, 9, "w"))
    few = replace(schedule, operations=((1, 4),))
    assert in_words(few, calls) == [
        *told,
        "meanwhile, as long as the faults go on:",
        f"{calls[1].at_ns / 1e9:7.1f} s  {calls[1].host}: cas 7 -> 8 of w 3",
        f"{calls[2].at_ns / 1e9:7.1f} s  {calls[2].host}: write 9 of w 3",
        f"{calls[3].at_ns / 1e9:7.1f} s  {calls[3].host}: read of w 3",
        "connections of each host: 2; order of the loop: 4",
    ]


@pytest.mark.parametrize(("left", "sentence"), [(1, "1 is needed"), (2, "2 are needed")])
def test_how_far_it_came_in_a_sentence(left: int, sentence: str) -> None:
    schedule = schedule_of(random.Random(5))
    found = Simplest(replace(schedule, faults=schedule.faults[:left]), 9, is_done=True)
    assert in_a_sentence(found, schedule) == f"of 26 faults {sentence}, found in 9 runs"
