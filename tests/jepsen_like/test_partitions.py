"""Partitions are believed only when verified: each is made for real on every network that the
harness has, and each fake is found out."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest

from jepsen_like import faults
from jepsen_like.backends.backend import Backend, Pair
from jepsen_like.faults import cuts
from jepsen_like.faults.targets import TargetError
from tests.jepsen_like.networks import (
    BACKENDS,
    Closing,
    Forgetful,
    Leaky,
    Steady,
    Symmetric,
    Talkative,
    Timed,
    Twisted,
    opened,
    run_on,
)

HOSTS = ("a", "b", "c")
FIVE = ("n1", "n2", "n3", "n4", "n5")

ISOLATE_THE_LEADER = faults.isolate(faults.leader_of("g"))

# ------------------------------------------------------------------------------ plans


def severed(cut: cuts.Cut, hosts: Sequence[str] = FIVE, *found: str, seed: int = 0) -> cuts.Severed:
    return cut.drawn(hosts, random.Random(seed)).severed(hosts, found)


def test_an_impossible_cut_is_refused_before_the_run() -> None:
    rng = random.Random(0)
    with pytest.raises(TargetError, match="two sides"):
        faults.partition(faults.split(["n1"], ["n1", "n2"])).drawn(FIVE, rng)
    with pytest.raises(TargetError, match="one side"):
        faults.partition(faults.split(FIVE)).drawn(FIVE, rng)
    with pytest.raises(TargetError, match="bridge needs 3 hosts, and there are 2"):
        faults.partition(faults.bridge()).drawn(FIVE[:2], rng)
    with pytest.raises(TargetError, match="no host n9"):
        faults.partition(faults.one_way(faults.host("n9"))).drawn(FIVE, rng)
    with pytest.raises(TargetError, match="from 1 s up to its hold of 10 s"):
        faults.flapping(faults.halves(), period="0.5s").drawn(FIVE, rng)


def test_unnamed_hosts_of_a_split_are_a_side() -> None:
    drawn = faults.partition(faults.split(["n2"])).drawn(FIVE[:3], random.Random(0))
    assert drawn.cut == faults.split(["n2"], ["n1", "n3"])


def test_a_cut_between_sides_has_both_directions_of_every_pair_across() -> None:
    cut = severed(faults.isolate(faults.host("n1")), FIVE[:3], "n1")
    assert set(cut.pairs) == {("n1", "n2"), ("n2", "n1"), ("n1", "n3"), ("n3", "n1")}
    assert cut.sides == (("n1",), ("n2", "n3"))


def test_halves_are_drawn_once_from_the_seed() -> None:
    drawn = [severed(faults.halves(), seed=seed) for seed in range(30)]
    assert {len(cut.sides[0]) for cut in drawn} == {2}
    assert len({cut.sides for cut in drawn}) > 5
    assert severed(faults.halves(), seed=3) == severed(faults.halves(), seed=3)


def test_a_one_way_cut_has_one_direction() -> None:
    hears = severed(faults.one_way(faults.host("n1")), FIVE[:3], "n1")
    assert hears.pairs == (("n1", "n2"), ("n1", "n3"))
    assert hears.sides == ()
    one = severed(faults.one_way(faults.host("n1"), faults.host("n2")), FIVE, "n1", "n2")
    assert one.pairs == (("n1", "n2"),)
    with pytest.raises(TargetError, match="n1 cannot be cut from itself"):
        severed(faults.one_way(faults.host("n1"), faults.host("n1")), FIVE, "n1", "n1")


@pytest.mark.parametrize("seed", range(5))
def test_a_bridge_reaches_both_halves_and_is_all_that_does(seed: int) -> None:
    cut = severed(faults.bridge(faults.host("n3")), FIVE, "n3", seed=seed)
    assert not [pair for pair in cut.pairs if "n3" in pair]
    assert set(cut.pairs) == {(b, a) for a, b in cut.pairs}
    assert len(cut.pairs) == 2 * 2 * 2  # two hosts on each side, both directions
    assert cut.sides == ()


@pytest.mark.parametrize("count", range(3, 10))
def test_in_a_majority_ring_everyone_hears_a_majority_and_no_two_the_same(count: int) -> None:
    hosts = tuple(f"h{number}" for number in range(count))
    cut = severed(faults.majority_ring(), hosts, seed=count)
    heard = {host: frozenset(a for a in hosts if (a, host) not in cut.pairs) for host in hosts}
    assert {len(seen) for seen in heard.values()} == {count // 2 + 1}
    assert len(set(heard.values())) == count
    if count == 5:  # each is heard by those it hears
        assert set(cut.pairs) == {(b, a) for a, b in cut.pairs}


# ------------------------------------------------------------------------------ on networks


@pytest.fixture(params=BACKENDS)
async def network(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    network = await opened(request.param, HOSTS)
    yield network
    await network.close()


@pytest.mark.slow
@pytest.mark.processes
async def test_a_real_cut_is_verified(network: Backend) -> None:
    record = await run_on(network, faults.partition(ISOLATE_THE_LEADER, "600ms", "0s"))
    assert record.verified, record.evidence
    assert record.target == "b"
    assert record.sides == (("b",), ("a", "c"))
    assert record.end_ns - record.start_ns >= 500_000_000
    assert "0 of 12 probes arrived over the cut links" in record.evidence[1]
    assert sorted(record.evidence[2].rpartition(": ")[2].split(", ")) == [
        "a to b 0 of 3",
        "b to a 0 of 3",
        "b to c 0 of 3",
        "c to b 0 of 3",
    ]


@pytest.mark.slow
@pytest.mark.processes
async def test_a_cut_in_one_direction_is_verified(network: Backend) -> None:
    fault = faults.partition(faults.one_way(faults.leader_of("g")), "1s", "0s")
    record = await run_on(network, fault)
    assert record.verified, record.evidence
    assert record.cut == (("b", "a"), ("b", "c"))
    assert record.sides == ()
    for when in (1, 3):
        assert "0 of 6 probes arrived over the cut links" in record.evidence[when]
        assert "4 of 4 on established connections against" in record.evidence[when]
        assert "0 of 2 on new ones" in record.evidence[when]
        assert (
            "b to a 0 of 3, b to c 0 of 3, a to b 2 of 3, c to b 2 of 3"
            in record.evidence[when + 1]
        )


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.long
@pytest.mark.parametrize(
    "network", [pytest.param("proxy", marks=pytest.mark.nightly), "netns"], indirect=True
)
async def test_a_long_cut_does_not_end_the_probes_own_connections(network: Backend) -> None:
    """After fifteen attempts, which probes make in as many seconds, a kernel would give up."""
    record = await run_on(network, faults.partition(ISOLATE_THE_LEADER, "25s", "0s"))
    assert record.verified, record.evidence


@pytest.mark.slow
@pytest.mark.processes
async def test_links_that_flap_are_verified_each_time(network: Backend) -> None:
    record = await run_on(network, faults.flapping(ISOLATE_THE_LEADER, "1s", "2s", "0s"))
    assert record.verified, record.evidence
    assert record.sides == ()
    assert sum("0 of 12 probes arrived over the cut links" in e for e in record.evidence) == 2
    assert sum("4 of 4 probes arrived on new connections" in e for e in record.evidence) == 2


@pytest.mark.slow
@pytest.mark.processes
async def test_a_cut_begins_when_it_is_there(network: Backend) -> None:
    """A call of before still gets through, and is no failover."""
    timed = Timed(network)
    fault = faults.partition(ISOLATE_THE_LEADER, "600ms", "0s")
    record = await run_on(cast("Backend", timed), fault, clock=timed.clock)
    assert 0 < timed.cut_ns <= record.start_ns


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    "leaks",
    [
        pytest.param([("a", "b")], id="one direction"),
        pytest.param([("b", "c"), ("c", "b")], id="one pair"),
    ],
)
async def test_a_cut_that_leaks_is_not_verified(leaks: Sequence[Pair]) -> None:
    """Whatever the network, it is the looking that is tried."""
    network = await opened("proxy", HOSTS)
    leaky = Leaky(network)
    leaky.leaks = leaks
    record = await run_on(
        cast("Backend", leaky), faults.partition(ISOLATE_THE_LEADER, "600ms", "0s")
    )
    await network.close()
    assert not record.verified_start
    assert not record.verified_end
    assert record.evidence[1].startswith("NOT VERIFIED")


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    ("wrong", "fault", "starts"),
    [
        pytest.param(Closing, faults.partition(ISOLATE_THE_LEADER, "1s", "0s"), False, id="more"),
        pytest.param(
            Symmetric,
            faults.partition(faults.one_way(faults.host("b")), "1s", "0s"),
            False,
            id="both directions",
        ),
        pytest.param(
            Forgetful, faults.partition(ISOLATE_THE_LEADER, "600ms", "0s"), True, id="no heal"
        ),
        pytest.param(
            Talkative, faults.partition(ISOLATE_THE_LEADER, "600ms", "0s"), True, id="traffic"
        ),
        pytest.param(
            Steady, faults.flapping(ISOLATE_THE_LEADER, "1s", "1s", "0s"), True, id="no flapping"
        ),
    ],
)
async def test_a_network_that_does_something_else_is_found_out(
    wrong: type[Twisted],
    fault: faults.Fault,
    starts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jepsen_like.faults.partitions.OPEN_WAIT_S", 1.0)
    network = await opened("proxy", HOSTS)
    record = await run_on(cast("Backend", wrong(network)), fault)
    await network.close()
    assert record.verified_start == starts
    assert not record.verified_end
