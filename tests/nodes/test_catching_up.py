"""Nodes in one process, with real logs, files and sockets: short logs, and a replica that was
away for so long that only a snapshot brings it back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.config import ClusterConfig
from nodes.protocol import Done
from tests.nodes.test_node import insert, make_table, running, select, three

pytestmark = pytest.mark.slow  # real elections and files

ROWS = 120


def with_short_logs() -> ClusterConfig:
    config = three()
    return replace(config, raft=replace(config.raft, log_entries=30))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_a_replica_that_was_away_catches_up_while_the_group_serves(tmp_path: Path) -> None:
    """Node n3 misses more than the logs keep; writes go on while it gets the snapshot, and
    after a restart it goes on from the new file."""
    async with running(with_short_logs(), tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        leader = await nodes.leader("s1")
        away = "n3" if leader != "n3" else "n2"
        async with AsyncExitStack() as stack:
            await nodes.running[away].__aexit__(None, None, None)
            for number in range(ROWS):
                answer = await nodes.call("s1", insert(opened, 2 + number, number), leader)
                assert isinstance(answer, Done)
                await asyncio.sleep(0.002)  # cuts happen with ticks
            await nodes.start(away, stack)
            goal = nodes.replica(leader, "s1").applied
            number = ROWS
            async with asyncio.timeout(20):
                while nodes.replica(away, "s1").applied < goal:
                    answer = await nodes.call("s1", insert(opened, 2 + number, number), leader)
                    assert isinstance(answer, Done)
                    number += 1
            directory = tmp_path / away / "s1"
            await until(lambda: [path.name for path in directory.glob("*.db")] == ["data-2.db"])
            goal = nodes.replica(leader, "s1").applied
            await until(lambda: nodes.replica(away, "s1").applied >= goal)
            machine = nodes.running[away]._hosting.running["s1"].machine
            read = machine.read(select("SELECT count(*), sum(v) FROM t"))
            assert isinstance(read, Done)
            assert read.results[0].values == ((number, sum(10 * k for k in range(number))),)

        async with AsyncExitStack() as stack:
            await nodes.start(away, stack)
            status = nodes.replica(away, "s1")
            assert not status.stopped
            assert status.applied >= goal
            answer = await nodes.call("s1", insert(opened, 2 + number, number), leader)
            assert isinstance(answer, Done)
            goal = answer.index
            await until(lambda: nodes.replica(away, "s1").applied >= goal)
            del nodes.running[away]
