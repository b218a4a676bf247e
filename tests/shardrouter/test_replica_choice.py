"""What each policy among replicas promises: fairness, weights, and who stays where he was."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import REPLICA_CHOICES
from nodes.protocol import Done, Read, Statement, StatementResult
from shardrouter.nearest import Distance
from shardrouter.replica_choice import LATENCY_TAU_S, NEAREST, Choice, Chooser, Latency
from tests.shardrouter.scripted import run, scripted


@dataclass
class Known:
    """A replica as a policy sees it."""

    name: str
    weight: int = 1
    zone: str = ""
    outstanding: int = 0
    distance: Distance = field(default_factory=Distance)
    latency: Latency = field(default_factory=Latency)


def replicas(count: int) -> list[Known]:
    return [Known(f"n{number}") for number in range(1, count + 1)]


def chooser(zone: str = "", seed: int = 1) -> Chooser:
    return Chooser(random.Random(seed), zone)


def times(choices: int, policy: str, among: list[Known], chooser: Chooser) -> list[str]:
    return [among[chooser.choose(Choice(policy), among, 0.0)].name for _ in range(choices)]


weights = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(st.sampled_from(REPLICA_CHOICES), weights, st.integers(0, 99), st.text(max_size=9))
def test_every_policy_chooses_one_of_those_there_are(
    policy: str, each: list[int], seed: int, client: str
) -> None:
    among = [Known(f"n{place}", weight) for place, weight in enumerate(each)]
    choice = Choice(policy, client)
    assert all(chooser(seed=seed).choose(choice, among, 0.0) in range(len(among)) for _ in each)


@given(st.integers(1, 6), st.integers(1, 5))
def test_in_turn_everybody_is_asked_as_often(count: int, rounds: int) -> None:
    chosen = Counter(times(count * rounds, "round_robin", replicas(count), chooser()))
    assert set(chosen.values()) == {rounds}


def test_in_turn_one_that_is_away_moves_nobody_elses_turn() -> None:
    among, turns = replicas(4), chooser()
    assert times(2, "round_robin", among, turns) == ["n1", "n2"]
    away = among.pop(1)
    assert times(3, "round_robin", among, turns) == ["n3", "n4", "n1"]
    among.append(away)  # in another place of the list
    assert times(4, "round_robin", among, turns) == ["n2", "n3", "n4", "n1"]


@given(weights, st.integers(1, 3))
def test_by_weight_everybody_is_asked_as_often_as_it_weighs(each: list[int], rounds: int) -> None:
    among = [Known(f"n{place}", weight) for place, weight in enumerate(each)]
    chosen = times(sum(each) * rounds, "weighted_round_robin", among, chooser())
    counts = Counter(chosen)
    assert [counts[replica.name] for replica in among] == [weight * rounds for weight in each]


@given(weights)
def test_by_weight_turns_are_spread_and_not_in_runs(each: list[int]) -> None:
    """At every moment each has had its share, to within what it is apart from the others by."""
    among = [Known(f"n{place}", weight) for place, weight in enumerate(each)]
    had: Counter[str] = Counter()
    for count, name in enumerate(times(2 * sum(each), "weighted_round_robin", among, chooser()), 1):
        had[name] += 1
        for replica in among:
            assert abs(had[replica.name] - count * replica.weight / sum(each)) < len(each)


def test_by_weight_the_sequence_is_that_of_nginx() -> None:
    among = [Known("a", 5), Known("b", 1), Known("c", 1)]
    assert "".join(times(7, "weighted_round_robin", among, chooser())) == "aabacaa"


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), min_size=1, max_size=6))
def test_the_least_loaded_for_its_capacity_is_asked(loads: list[tuple[int, int]]) -> None:
    among = [
        Known(f"n{place}", weight, outstanding=owed) for place, (owed, weight) in enumerate(loads)
    ]
    place = chooser().choose(Choice("least_connections"), among, 0.0)
    assert all(
        among[place].outstanding * other.weight <= other.outstanding * among[place].weight
        for other in among
    )


def test_those_that_owe_nothing_share() -> None:
    chosen = Counter(times(3000, "least_connections", replicas(3), chooser()))
    assert min(chosen.values()) > 900


def test_of_two_the_faster_is_asked_so_the_slowest_never_is() -> None:
    among = replicas(3)
    for replica, took in zip(among, (0.001, 0.002, 0.1), strict=True):
        replica.latency.add(0.0, took)
    chosen = Counter(times(3000, "least_latency", among, chooser()))
    assert chosen["n3"] == 0
    assert 1900 < chosen["n1"] < 2100  # in two of three pairs
    among[0].outstanding = 10  # a queue at the fastest makes it the slower one
    assert times(100, "least_latency", among[:2], chooser()).count("n2") == 100


def test_what_a_peak_says_is_forgotten_with_time() -> None:
    slow = Latency()
    assert slow.at(0.0) is None
    slow.add(0.0, 0.002)
    slow.add(0.1, 1.0)
    assert slow.at(0.1) == 1.0
    after = slow.at(0.1 + 7 * LATENCY_TAU_S)
    assert after is not None
    assert after < 0.001
    for step in range(1, 100):
        slow.add(0.1 + step * 0.2, 0.002)
    found = slow.at(0.1 + 99 * 0.2)
    assert found is not None
    assert 0.001 < found < 0.003


def test_by_lot_everybody_has_a_share() -> None:
    chosen = Counter(times(3000, "random", replicas(3), chooser()))
    assert min(chosen.values()) > 900


clients = st.lists(st.text(max_size=12), min_size=1, max_size=40, unique=True)


@given(clients, st.integers(2, 7), st.integers(0, 6), st.randoms(use_true_random=False))
def test_a_client_stays_where_it_was_unless_its_replica_leaves(
    names: list[str], count: int, leaving: int, order: random.Random
) -> None:
    among = replicas(count)

    def places(of: list[Known]) -> dict[str, str]:
        hashed = chooser()
        return {n: of[hashed.choose(Choice("client_hash", n), of, 0.0)].name for n in names}

    before = places(among)
    gone = among.pop(leaving % count)
    order.shuffle(among)
    after = places(among)
    assert all(before[name] in (after[name], gone.name) for name in names)


def test_clients_are_spread() -> None:
    among, hashed = replicas(3), chooser()
    chosen = Counter(
        hashed.choose(Choice("client_hash", f"client {number}"), among, 0.0)
        for number in range(3000)
    )
    assert min(chosen.values()) > 900


@pytest.mark.parametrize(
    ("zone", "zones", "asked"),
    [
        ("eu/paris/a", ("eu/paris/a", "eu/paris/b", "us/ohio/a"), {"n1"}),
        ("eu/paris/c", ("eu/paris/a", "eu/paris/b", "us/ohio/a"), {"n1", "n2"}),
        ("eu/rome/a", ("eu/paris/a", "us/ohio/b", "us/ohio/a"), {"n1"}),
        ("us/ohio/a", ("eu/paris/a", "eu/paris/b", "eu/paris/c"), {"n1", "n2", "n3"}),
        ("", ("eu", "", "us"), {"n1", "n2", "n3"}),
        ("e", ("eu", "e", "us"), {"n2"}),  # parts, not letters
    ],
)
def test_the_nearest_zone_is_asked(zone: str, zones: tuple[str, ...], asked: set[str]) -> None:
    among = replicas(3)
    for replica, where in zip(among, zones, strict=True):
        replica.zone = where
    assert set(times(200, "zone", among, chooser(zone))) == asked


def test_in_one_zone_the_nearest_is_asked() -> None:
    among = replicas(3)
    for replica, where, way in zip(among, "aab", (0.05, 0.0005, 0.0001), strict=True):
        replica.zone = where
        replica.distance.add(way)
    assert set(times(50, "zone", among, chooser("a"))) == {"n2"}


@given(st.sampled_from(REPLICA_CHOICES), st.integers(0, 99))
def test_the_same_seed_chooses_the_same(policy: str, seed: int) -> None:
    among = replicas(4)
    assert times(20, policy, among, chooser(seed=seed)) == times(
        20, policy, among, chooser(seed=seed)
    )


def test_a_read_goes_where_the_session_chose() -> None:
    done = Done((StatementResult(1),), 7)

    async def scenario() -> None:
        async with scripted(3) as (shards, nodes):
            for node in nodes:
                node.plays(done)
            deadline = asyncio.get_running_loop().time() + 10.0
            statements = (Statement("SELECT 1"),)

            async def asked(choice: Choice, reads: int) -> list[int]:
                before = [len(node.of(Read)) for node in nodes]
                for _ in range(reads):
                    await shards.read(
                        "shard-1",
                        statements,
                        quick=True,
                        deadline=deadline,
                        consistency="any",
                        choice=choice,
                    )
                return [
                    len(node.of(Read)) - count for node, count in zip(nodes, before, strict=True)
                ]

            assert await asked(Choice("round_robin"), 9) == [3, 3, 3]
            assert max(await asked(Choice("client_hash", "ann"), 9)) == 9
            assert sum(await asked(NEAREST, 9)) == 9
            assert shards.replica_choice == "nearest"

    run(scenario())
