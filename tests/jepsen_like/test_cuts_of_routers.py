"""Cuts inside of a host, its router from the nodes and its clients from the router: as links, made
for real on every network, and what a run says of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import pytest

from jepsen_like import checks, faults, leader_of, load, workloads
from jepsen_like.adapters.etcd import Etcd
from jepsen_like.backends.abilities import ROUTERS_APART
from jepsen_like.backends.backend import Backend
from jepsen_like.backends.stations import layout_of
from jepsen_like.checks.corners import cuts_of
from jepsen_like.faults.cuts_of_routers import CutOfRouter
from jepsen_like.faults.demands import needs_of
from jepsen_like.faults.targets import TargetError
from jepsen_like.result import FaultRecord
from jepsen_like.spec import SpecError, Test
from tests.jepsen_like.networks import BACKENDS, Leaky, opened, run_on

HOSTS = ("a", "b", "c")

APART = layout_of(HOSTS, routers_apart=True)


def both_ways(*pairs: tuple[str, str]) -> set[tuple[str, str]]:
    return {*pairs, *((b, a) for a, b in pairs)}


# ------------------------------------------------------------------------------ links


def test_hosts_that_stand_together_are_one_station_each() -> None:
    layout = layout_of(HOSTS)
    assert list(layout.stations) == list(HOSTS)
    assert layout.between(layout.links) == layout.wide == layout.links
    assert layout.dialers("a") == ("b", "c")


def test_routers_reach_all_nodes_and_clients_their_router() -> None:
    assert set(APART.links) == both_ways(
        *[("a", "b"), ("a", "c"), ("b", "c")],
        *[(f"router-{host}", node) for host in HOSTS for node in HOSTS],
        *[(f"clients-{host}", f"router-{host}") for host in HOSTS],
    )
    assert set(APART.dialers("a")) == {"b", "c", "router-a", "router-b", "router-c"}
    assert APART.of(["a"]) == {"a", "router-a", "clients-a"}
    assert APART.of(["router-a"]) == {"router-a"}


def test_a_cut_between_hosts_cuts_routers_off_too() -> None:
    severed = faults.isolate("a").severed(HOSTS, ["a"])
    assert set(APART.between(severed.pairs)) == both_ways(
        *[("a", "b"), ("a", "c"), ("router-a", "b"), ("router-a", "c")],
        *[("router-b", "a"), ("router-c", "a")],
    )
    assert ("router-a", "a") not in APART.wide
    assert ("clients-a", "router-a") not in APART.wide


@pytest.mark.parametrize(
    ("cut", "expected", "hit"),
    [
        pytest.param(
            faults.router_from_nodes("a"),
            both_ways(("router-a", "a"), ("router-a", "b"), ("router-a", "c")),
            ("router-a",),
            id="router",
        ),
        pytest.param(
            faults.clients_from_router(faults.router("a")),
            both_ways(("clients-a", "router-a")),
            ("clients-a",),
            id="clients",
        ),
    ],
)
def test_a_cut_at_a_router_is_exactly_its_links(
    cut: CutOfRouter, expected: set[tuple[str, str]], hit: Sequence[str]
) -> None:
    severed = cut.drawn(HOSTS, random.Random(0)).severed(HOSTS, ["a"])
    assert set(APART.between(severed.pairs)) == expected
    assert severed.hit == hit
    assert severed.sides == (("a",), ("b", "c"))
    assert "leader" not in severed.roles({"g": "a"}), "the leader goes on"
    assert needs_of((faults.partition(cut),)) >= {ROUTERS_APART}


def test_what_cannot_be_is_refused_before_the_run() -> None:
    with pytest.raises(TargetError, match="no host n9"):
        faults.partition(faults.router_from_nodes("n9")).drawn(HOSTS, random.Random(0))
    with pytest.raises(TargetError, match="one is meant"):
        faults.partition(faults.clients_from_router("all")).drawn(HOSTS, random.Random(0))
    with pytest.raises(SpecError, match="impossible with this database: it has no routers"):
        Test(
            name="routers-of-etcd",
            db=Etcd(),
            workloads=[workloads.register(keys=4)],
            load=load.open_loop(rate=10, deadline="1s"),
            faults=[faults.partition(faults.router_from_nodes(leader_of("etcd")))],
            checks=[checks.linearizable()],
        )


def test_a_router_that_is_cut_off_is_no_side_of_the_database() -> None:
    """No letter of PACELC may hang on clients that reach no node."""

    def record(kind: str) -> FaultRecord:
        sides = (("a",), ("b", "c"))
        return FaultRecord(
            *("x", kind, "a", "", "", 0, 1), sides, verified_start=True, verified_end=True
        )

    between_nodes = record(faults.partition(faults.isolate("a")).kind)
    at_a_router = record(faults.partition(faults.router_from_nodes("a")).kind)
    assert cuts_of([between_nodes, at_a_router]) == [between_nodes]


# ------------------------------------------------------------------------------ on networks


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("name", BACKENDS)
async def test_the_cuts_are_verified_on_every_network(name: str) -> None:
    network = await opened(name, HOSTS, {ROUTERS_APART})
    router = await run_on(
        network, faults.partition(faults.router_from_nodes(leader_of("g")), "600ms", "0s")
    )
    clients = await run_on(
        network, faults.partition(faults.clients_from_router("a"), "600ms", "0s")
    )
    reset = await run_on(network, faults.reset(faults.clients_from_router("a"), "0s"))
    await network.close()
    for record in (router, clients, reset):
        assert record.verified, record.evidence
    assert (router.target, router.role_before) == ("router-b", "router of b")
    assert "0 of 18 probes arrived over the cut links (12 on" in router.evidence[1]
    assert "router-b to b 0 of 3" in router.evidence[2]
    assert (clients.target, clients.role_before) == ("clients-a", "clients of a")
    assert "0 of 6 probes arrived over the cut links (4 on" in clients.evidence[1]


@pytest.mark.slow
@pytest.mark.processes
async def test_a_router_that_still_reaches_its_neighbour_is_found_out() -> None:
    network = await opened("proxy", HOSTS, {ROUTERS_APART})
    leaky = Leaky(network)
    leaky.leaks = [("router-a", "a"), ("a", "router-a")]
    fault = faults.partition(faults.router_from_nodes("a"), "600ms", "0s")
    record = await run_on(cast("Backend", leaky), fault)
    await network.close()
    assert not record.verified_start
    assert not record.verified_end
