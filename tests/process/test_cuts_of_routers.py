"""This project's database with a router cut off from all nodes, and with clients cut off from their
router: the clients concerned get nothing, the others everything, and nobody a wrong answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepsen_like import checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.judge import judge
from jepsen_like.runner import record
from jepsen_like.spec import Test
from tests.jepsen_like.networks import require_namespaces

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.mark.parametrize("backend", [pytest.param("proxy", marks=pytest.mark.nightly), "netns"])
async def test_who_is_cut_off_gets_nothing_and_the_others_all(backend: str, tmp_path: Path) -> None:
    if backend == "netns":
        require_namespaces()
    test = Test(
        name="cuts-of-routers",
        db=ShardRouter(nodes=3, shards=2, replicas=3),
        workloads=[workloads.register(keys=16)],
        load=load.open_loop(rate=150, deadline="500ms"),
        faults=[
            faults.healthy("1s"),
            faults.partition(faults.router_from_nodes("n1"), hold="4s", rest="4s"),
            faults.partition(faults.clients_from_router("n2"), hold="4s", rest="4s"),
        ],
        checks=[checks.linearizable(), checks.availability(), checks.recovery()],
        seed=3,
        backend=backend,
    )
    result = judge(await record(test, directory=tmp_path), command="")
    assert all(fault.verified for fault in result.faults), result.faults
    assert result.validity == "valid", result.verdicts
    yields = {
        (row.fault.split("(")[0].split()[1], row.side.split()[0]): row.yield_
        for row in result.availability
        if row.f == "all"
    }
    print(backend, yields)
    for cut in ("router_from_nodes", "clients_from_router"):
        served, not_served = yields[cut, "majority"], yields[cut, "minority"]
        assert not_served is not None
        assert not_served < 0.05, yields
        assert served is not None
        assert served > 0.5, f"most of it, however busy the machine: {yields}"
    assert not result.failovers, "no leader was hit"
