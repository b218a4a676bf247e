"""This project's database under every fault of the harness, drawn into one schedule: no client is
told anything that one copy would not have said, and all is well when the faults have healed."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepsen_like import checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.interpose import InterposeError, build
from jepsen_like.judge import judge
from jepsen_like.runner import record
from jepsen_like.spec import Test

pytestmark = [pytest.mark.slow, pytest.mark.long]

GROUP = "shard-1"

PROCESSES = (
    faults.kill(leader_of(GROUP), hold="1s", rest="2s"),
    faults.kill(leader_of(GROUP), lose_unsynced=True, hold="1s", rest="2s"),
    faults.kill("all", lose_unsynced="any", hold="1s", rest="3s"),
    faults.pause("minority", hold="2s", rest="1s"),
    faults.restart(faults.follower_of(GROUP), rest="1s"),
    faults.kill(faults.router("one"), hold="500ms", rest="1s"),
)
CLOCKS = (
    faults.clock("one", jump="+30s", hold="2s", rest="1s"),
    faults.clock("minority", jump="-30s", hold="2s", rest="1s"),
    faults.clock("all", strobe="200ms", hold="2s", rest="1s"),
    faults.clock("one", jump="+30s", monotonic=True, hold="2s", rest="1s"),
    faults.clock(leader_of(GROUP), drift="-5%", monotonic=True, hold="2s", rest="1s"),
)
DISKS = (
    faults.slow_fsync(leader_of(GROUP), "200ms", hold="3s", rest="1s"),
    faults.fsync_error(leader_of(GROUP), hold="1s", rest="2s"),
    faults.write_error("one", hold="1s", rest="2s"),
    faults.disk_full(leader_of(GROUP), hold="1s", rest="2s"),
    faults.bit_flip("one", hold="2s", rest="2s"),
    faults.torn_write("one", hold="2s", rest="2s"),
)
RESOURCES = (
    faults.starve_cpu(leader_of(GROUP), "10%", hold="3s", rest="2s"),
    faults.exhaust_files("one", hold="3s", rest="2s"),
)
LINKS_AND_MEMBERS = (
    faults.partition(faults.isolate(leader_of(GROUP)), hold="3s", rest="2s"),
    faults.partition(faults.majority_ring(), hold="3s", rest="2s"),
    faults.transfer(GROUP, rest="1s"),
    faults.move_replica(GROUP, rest="1s"),
    faults.together(
        faults.slow_fsync("one", "50ms", hold="3s", rest="1s"),
        faults.pause("one", hold="1s", rest="1s"),
    ),
)
EVERY = PROCESSES + CLOCKS + DISKS + RESOURCES + LINKS_AND_MEMBERS


@pytest.fixture(scope="module", autouse=True)
def _compiler(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        build(tmp_path_factory.mktemp("library"))
    except InterposeError as exc:
        pytest.skip(str(exc))


async def test_every_fault_in_one_run(tmp_path: Path) -> None:
    test = Test(
        name="every-fault",
        db=ShardRouter(nodes=4, shards=2, replicas=3, spares=1),
        workloads=[workloads.register(keys=16)],
        load=load.open_loop(rate=80, deadline="1s"),
        faults=[faults.healthy("1s"), *EVERY, faults.healthy("2s")],
        checks=[checks.linearizable(), checks.availability(), checks.recovery()],
        seed=11,
    )
    result = judge(await record(test, directory=tmp_path), command="")
    unverified = [fault for fault in result.faults if not fault.verified]
    assert not unverified, unverified
    assert result.validity == "valid", result.verdicts
    counted: dict[str, int] = {}
    for fault in result.faults:
        counted[fault.kind] = counted.get(fault.kind, 0) + 1
    print(f"{len(result.operations)} operations, faults: {counted}")
    assert len(result.faults) == len(EVERY) + 1, "two of them at once"
