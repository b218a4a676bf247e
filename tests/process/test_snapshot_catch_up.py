"""Node processes: one misses more than the logs keep, and is killed again and again while it
gets and takes over the snapshot, with the group under load all the time."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
from pathlib import Path

import pytest

from nodes.config import RaftConfig
from nodes.local_cluster import LocalCluster
from nodes.protocol import Aborted, Done, Fence, ReplicaStatus, SessionId, Statement, Write
from tests.process.test_cluster_nodes import DEADLINE_S, Clients, booted, new_table

pytestmark = pytest.mark.long

WRITERS = 128
MISSED = 2 * RaftConfig().log_entries
KILLS = 6


class Load:
    """Many writers; each key is written by one and acknowledged once. After each write comes a
    fence: writes share entries of the log, a fence has its own, and the log is to be long."""

    def __init__(self, clients: Clients, leader: str, session: SessionId) -> None:
        self._clients = clients
        self._leader = leader
        self._session = session
        self._next = 0
        self._open: set[int] = set()
        self.acknowledged = 0
        self.fenced = 0
        self.is_over = False

    async def write(self) -> None:
        while not self.is_over:
            key, self._next = self._next, self._next + 1
            self._open.add(key)
            text = Statement("INSERT INTO t VALUES (?1, 10 * ?1)", (key,))
            seq, watermark = 2 * key + 2, 2 * min(self._open) + 1
            body = Write(self._session, seq, watermark, (text,), quick=True)
            answer = await self._clients.on(self._leader, "s1", body)
            assert isinstance(answer, Done), answer
            self.acknowledged += 1
            fence = Fence(self._session, seq + 1, watermark)
            answer = await self._clients.on(self._leader, "s1", fence)
            assert isinstance(answer, Aborted), answer
            self._open.discard(key)
            self.fenced += 1


async def replica(cluster: LocalCluster, node: str) -> ReplicaStatus | None:
    status = (await cluster.status())[node]
    return next(r for r in status.replicas if r.group == "s1") if status else None


async def wait_for(load: Load, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if load.fenced >= count:
                return
            await asyncio.sleep(0.01)


def content(directory: Path, node: str) -> tuple[str, tuple[int, int, int]]:
    """The name of the node's data file, and what its table adds up to."""
    (path,) = (p for p in directory.rglob("data-*.db") if {node, "s1"} <= set(p.parts))
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = connection.execute("SELECT count(*), sum(k), sum(v) FROM t").fetchone()
    connection.close()
    return path.name, found


async def test_a_replica_takes_over_a_snapshot_whatever_kills_it(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with booted(tmp_path) as (cluster, clients):
        session = await new_table(clients, "s1")
        leader = (await cluster.leaders())["s1"]
        away = next(name for name in cluster.config.nodes if name != leader)
        cluster.kill_node(away)
        assert await cluster.node(away).wait() == -signal.SIGKILL
        load = Load(clients, leader, session)
        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(load.write())
            await wait_for(load, MISSED)
            for _ in range(KILLS):
                await cluster.start_node(away)
                await asyncio.sleep(rng.uniform(0.0, 0.25))
                cluster.kill_node(away)
                assert await cluster.node(away).wait() == -signal.SIGKILL
            await cluster.start_node(away)
            goal = load.fenced
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    status = await replica(cluster, away)
                    assert status is None or not status.stopped, status
                    if status is not None and status.applied > goal:
                        break
                    await asyncio.sleep(0.02)
            load.is_over = True
        last = await replica(cluster, leader)
        assert last is not None
        async with asyncio.timeout(DEADLINE_S):
            while True:
                status = await replica(cluster, away)
                if status is not None and status.applied >= last.applied:
                    break
                await asyncio.sleep(0.02)
        name, found = content(tmp_path, away)
        assert name != "data-1.db", "it caught up from its log"
        keys = load.acknowledged
        assert found == (keys, sum(range(keys)), 10 * sum(range(keys)))
