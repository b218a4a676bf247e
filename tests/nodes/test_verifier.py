"""The background comparison: a row that changed on one replica is found without being asked."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from nodes.comparison import Comparison, Difference, describe
from nodes.config import RaftConfig
from nodes.protocol import Changed, Done, MemberStatus, MoveLeadership, ReplicaStatus
from nodes.verifier import COMPARE_TIMEOUT_S, Verifier
from tests.nodes.test_node import insert, make_table, running, three

MEMBERS = tuple(MemberStatus(number, f"n{number}", True) for number in (1, 2, 3))


def led(group: str, role: str = "leader") -> ReplicaStatus:
    return ReplicaStatus(group, 1, role, "n1", 1, 1, 1, 1, members=MEMBERS)


def test_groups_have_their_times_in_the_interval_and_only_leaders_compare() -> None:
    hosted = [led(f"s{number}") for number in range(100)] + [led("other", "follower")]
    verifier = Verifier(100.0, hosted=lambda: hosted, client=lambda name: None)
    times = {
        status.group: float(now) for now in range(300) for status in verifier._take_due(float(now))
    }
    assert set(times) == {f"s{number}" for number in range(100)}
    assert all(time >= 200 for time in times.values()), "every interval again"
    assert max(Counter(times.values()).values()) < 10, "not all at once"


def test_what_was_found_of_a_replica_goes_with_it() -> None:
    now = 1000.0
    verifier = Verifier(100.0, hosted=list, client=lambda name: None, clock=lambda: now)
    difference = Difference("n3", "t", (1,), (9,), 8, 9)
    comparison = Comparison("s1", 5, 1, 9, ("n1", "n2", "n3"), {}, (difference,))
    verifier._note("s1", comparison, {"n1": 1, "n2": 2, "n3": 3})
    assert "the replica on n3 differs" in verifier.noted(led("s1")).diverged
    assert "the replica on n3 differs" in verifier.noted(led("s1", "follower")).diverged
    now += 100.0 + COMPARE_TIMEOUT_S + 1
    assert "the replica on n3 differs" in verifier.noted(led("s1")).diverged
    assert verifier.noted(led("s1", "follower")).diverged == "", "its successor has compared"
    rebuilt = (*MEMBERS[:2], MemberStatus(4, "n3", True))
    assert verifier.noted(msgspec.structs.replace(led("s1"), members=rebuilt)).diverged == ""
    verifier._note("s1", comparison, {"n1": 1, "n2": 2, "n3": 3})
    equal = replace(comparison, differences=())
    verifier._note("s1", replace(equal, silent={"n3": "no answer"}), {"n1": 1, "n2": 2, "n3": 3})
    assert verifier.noted(led("s1")).diverged, "who was not compared is not cleared"
    verifier._note("s1", equal, {"n1": 1, "n2": 2, "n3": 3})
    assert verifier.noted(led("s1")).diverged == ""


async def test_a_comparison_that_fails_ends_no_other() -> None:
    asked: list[str] = []
    twice = asyncio.Event()

    def client(name: str) -> None:
        asked.append(name)
        if len(asked) == 2:
            twice.set()
        raise OSError("no file descriptor is left")

    verifier = Verifier(0.01, hosted=lambda: [led("s1")], client=client)
    verifier.start()
    async with asyncio.timeout(20):
        await twice.wait()
    await verifier.close()


def test_a_replica_is_blamed_only_by_a_majority() -> None:
    difference = Difference("n3", "t", (1,), (9,), 8, 9)
    assert "shardrouter replica rebuild s1 n3" in describe("s1", difference)
    assert "rebuild s1" not in describe("s1", replace(difference, is_outvoted=False))


@pytest.mark.slow
async def test_a_silent_change_of_one_replica_is_found_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "nodes.verifier")
    calm = RaftConfig(spread_leaders=False)
    config = replace(three(), verify_every_s=1, raft=calm)
    async with running(config, tmp_path) as nodes:
        session = await make_table(nodes, "s1")
        for key in range(20):
            assert isinstance(await nodes.call("s1", insert(session, key + 2, key)), Done)
        leader = await nodes.leader("s1")
        victim = next(name for name in config.nodes if name != leader)
        with sqlite3.connect(tmp_path / victim / "s1" / "data-1.db", timeout=10) as connection:
            connection.execute("UPDATE t SET v = 4711 WHERE k = 7")
        connection.close()
        async with asyncio.timeout(30):
            while True:
                if diverged := nodes.replica(await nodes.leader("s1"), "s1").diverged:
                    break
                await asyncio.sleep(0.02)
        assert f"the replica on {victim} differs in table t" in diverged
        assert f"shardrouter replica rebuild s1 {victim}" in diverged
        assert "from key 0 to 19" in diverged
        logged = diverged.replace("from key 0 to 19", "in keys that `shardrouter verify s1` names")
        assert logged in [record.getMessage() for record in caplog.records]
        # It outlives the office of who found it, and the next leader finds it for itself.
        former = await nodes.leader("s1")
        heir = next(name for name in config.nodes if name not in (former, victim))
        move = MoveLeadership(nodes.replica(heir, "s1").replica)
        assert isinstance(await nodes.call("s1", move), Changed)
        assert nodes.replica(former, "s1").diverged == diverged
        async with asyncio.timeout(30):
            while True:
                if nodes.replica(heir, "s1").diverged:
                    break
                await asyncio.sleep(0.02)
