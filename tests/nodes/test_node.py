"""Nodes in one process: real logs, SQLite files and sockets, three nodes on one event loop."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from nodes import node as node_module
from nodes.client import NodeClient
from nodes.clocks import SystemClock
from nodes.config import ENGINES, ClusterConfig, ConfigError, RaftConfig
from nodes.local_cluster import free_ports, new_cluster_config
from nodes.log_store import StoreError
from nodes.neighbours import beat_ticks
from nodes.node import Node
from nodes.protocol import (
    Done,
    NoSuchGroup,
    NotLeader,
    Opened,
    OpenSession,
    Read,
    ReplicaStatus,
    RequestBody,
    ResponseBody,
    SetVersion,
    SqlFailure,
    Statement,
    UnknownOutcome,
    Write,
    leader_of,
)
from nodes.server import ListenError

pytestmark = pytest.mark.slow  # real elections and files

RAFT = RaftConfig(tick_ms=20, election_ticks=10, spread_leaders=False)
CREATE = "CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER) STRICT, WITHOUT ROWID"


class SetClock(SystemClock):
    """Shows the time that it was told."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now


def config_of(
    placement: dict[str, list[str]], engine: str = "core", nodes: Sequence[str] = ()
) -> ClusterConfig:
    """Of the nodes that are placed, and `nodes` if there are more."""
    names = sorted({node for members in placement.values() for node in members} | set(nodes))
    ports = free_ports(len(names) + 1)
    return new_cluster_config(
        placement=placement,
        nodes=names,
        ports=ports[:-1],
        router_port=ports[-1],
        raft=RAFT,
        engine=engine,
    )


def single(engine: str = "core") -> ClusterConfig:
    return config_of({"meta": ["n1"], "s1": ["n1"]}, engine)


def three(engine: str = "core") -> ClusterConfig:
    return config_of({"meta": ["n1", "n2", "n3"], "s1": ["n2", "n3", "n1"]}, engine)


class Nodes:
    """The nodes of a cluster, and a client to each."""

    def __init__(self, config: ClusterConfig, directory: Path) -> None:
        self.config = config
        self.directory = directory
        self.fingerprints: dict[str, str] = {}  # by node; this process's where there is none
        self.running: dict[str, Node] = {}
        self.clients = {
            name: NodeClient(node.address, cluster_id=config.cluster_id, name="test")
            for name, node in config.nodes.items()
        }

    def make(self, name: str) -> Node:
        return Node(
            self.config,
            name,
            self.directory / name,
            rng=random.Random(name),
            fingerprint=self.fingerprints.get(name),
        )

    async def start(self, name: str, stack: AsyncExitStack) -> None:
        self.running[name] = await stack.enter_async_context(self.make(name))

    def find(self, node: str, group: str) -> ReplicaStatus | None:
        replicas = self.running[node].status().replicas
        return next((r for r in replicas if r.group == group), None)

    def replica(self, node: str, group: str) -> ReplicaStatus:
        found = self.find(node, group)
        assert found is not None
        return found

    async def leader(self, group: str) -> str:
        async with asyncio.timeout(10):
            while True:
                statuses = [node.status() for node in self.running.values()]
                if leader := leader_of(group, statuses):
                    return leader
                await asyncio.sleep(0.005)

    async def call(self, group: str, body: RequestBody, node: str | None = None) -> ResponseBody:
        name = node or await self.leader(group)
        return await self.clients[name].call(group, body, 10)


@asynccontextmanager
async def running(
    config: ClusterConfig, directory: Path, fingerprints: dict[str, str] | None = None
) -> AsyncIterator[Nodes]:
    nodes = Nodes(config, directory)
    nodes.fingerprints = fingerprints or {}
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(nodes.start(name, stack) for name in config.nodes))
        for client in nodes.clients.values():
            stack.push_async_callback(client.close)
        yield nodes


async def make_table(nodes: Nodes, group: str) -> Opened:
    opened = await nodes.call(group, OpenSession("test"))
    assert isinstance(opened, Opened)
    write = Write(opened.session, 1, 0, (Statement(CREATE),), sets=(SetVersion("table:t", 1),))
    assert isinstance(await nodes.call(group, write), Done)
    return opened


def insert(opened: Opened, seq: int, key: int) -> Write:
    statement = Statement("INSERT INTO t VALUES (?1, ?2)", (key, 10 * key))
    return Write(opened.session, seq, 0, (statement,), quick=True)


def select(sql: str = "SELECT k, v FROM t ORDER BY k", *, quick: bool = False) -> Read:
    return Read((Statement(sql),), quick=quick)


@pytest.mark.parametrize("engine", ["core", "pysyncobj"])
async def test_three_nodes_replicate_and_each_leads_where_it_was_placed(
    tmp_path: Path, engine: str
) -> None:
    async with running(three(engine), tmp_path) as nodes:
        assert [await nodes.leader(group) for group in ("meta", "s1")] == ["n1", "n2"]
        opened = await make_table(nodes, "s1")
        for number in range(10):
            answer = await nodes.call("s1", insert(opened, 2 + number, number))
            assert isinstance(answer, Done)
        for quick in (True, False):
            answer = await nodes.call("s1", select(quick=quick))
            assert isinstance(answer, Done)
            assert answer.results[0].values == tuple((k, 10 * k) for k in range(10))
        assert await nodes.call("s1", select(), "n1") == NotLeader("n2")
        assert await nodes.call("s9", select(), "n1") == NoSuchGroup()
        leader = nodes.replica("n2", "s1")
        assert [(m.replica, m.node, m.is_voter) for m in leader.members] == [
            (1, "n2", True),
            (2, "n3", True),
            (3, "n1", True),
        ]
        if engine == "core":
            assert all(m.is_active for m in leader.members)
            assert sorted(m.match or 0 for m in leader.members)[1] == leader.commit
        assert {m.match for m in nodes.replica("n1", "s1").members} == {None}


async def test_a_follower_never_answers_a_read_from_before_an_acknowledged_write(
    tmp_path: Path,
) -> None:
    async with running(three(), tmp_path) as nodes:
        leader = await nodes.leader("s1")
        followers = [name for name in nodes.running if name != leader]
        opened = await make_table(nodes, "s1")
        for number in range(50):
            assert isinstance(await nodes.call("s1", insert(opened, 2 + number, number)), Done)
            node = followers[number % 2]
            read = Read((Statement("SELECT max(k) FROM t"),), quick=True, at_follower=True)
            answer = await nodes.call("s1", read, node)
            assert isinstance(answer, Done)
            assert answer.results[0].values == ((number,),)
        assert nodes.replica(followers[0], "s1").role == "follower"


@pytest.mark.parametrize("engine", ["pysyncobj", "local"])
async def test_an_engine_whose_followers_cannot_ask_names_the_leader(
    tmp_path: Path, engine: str
) -> None:
    async with running(three(engine) if engine != "local" else single(engine), tmp_path) as nodes:
        leader = await nodes.leader("s1")
        await make_table(nodes, "s1")
        for node in nodes.running:
            read = Read((Statement("SELECT k FROM t"),), at_follower=True)
            answer = await nodes.call("s1", read, node)
            assert isinstance(answer, Done) if node == leader else answer == NotLeader(leader)


async def test_a_start_waits_for_nodes_with_members_of_its_groups_and_for_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "GATHER_S", 1e9)
    config = config_of({"meta": ["n1", "n2"], "s1": ["n1", "n2"], "s2": ["n3"]})
    nodes = Nodes(config, tmp_path)
    async with AsyncExitStack() as stack:
        await nodes.start("n1", stack)
        alone = nodes.running["n1"]
        assert not alone._has_gathered(asyncio.get_running_loop().time())
        await nodes.start("n2", stack)  # n3 is not started
        await nodes.leader("s1")
        assert alone._gathered


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_idle_groups_fall_silent_and_are_woken_when_a_node_dies(tmp_path: Path) -> None:
    async with running(three(), tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        leader = await nodes.leader("s1")
        await until(lambda: not any(node._awake for node in nodes.running.values()))
        terms = {name: nodes.replica(name, "s1").term for name in nodes.running}
        for seq in range(2, 5):  # a write finds the leader where it was
            assert isinstance(await nodes.call("s1", insert(opened, seq, seq), leader), Done)
            await until(lambda: not any(node._awake for node in nodes.running.values()))
        assert {name: nodes.replica(name, "s1").term for name in nodes.running} == terms
        dead = nodes.running.pop(leader)
        await dead.__aexit__(None, None, None)
        successor = await nodes.leader("s1")  # though nobody asked for one
        assert nodes.replica(successor, "s1").term > terms[leader]


async def test_a_node_that_is_back_at_once_is_missed_nevertheless(tmp_path: Path) -> None:
    """It was away for less than an election timeout, but it does not lead any more."""
    async with running(three(), tmp_path) as nodes:
        leader = await nodes.leader("s1")
        await until(lambda: not any(node._awake for node in nodes.running.values()))
        term = nodes.replica(leader, "s1").term
        dead = nodes.running.pop(leader)
        await dead.__aexit__(None, None, None)
        async with nodes.make(leader) as again:
            nodes.running[leader] = again
            await until(lambda: nodes.replica(leader, "s1").term > term)
            await nodes.leader("s1")
            del nodes.running[leader]


async def test_sql_that_does_not_compile_is_refused_without_an_entry(tmp_path: Path) -> None:
    async with running(single(), tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        last = nodes.replica("n1", "s1").last
        write = Write(opened.session, 2, 0, (Statement("INSER INTO t VALUES (1)"),))
        answer = await nodes.call("s1", write)
        assert isinstance(answer, SqlFailure)
        assert answer.sqlstate == "42601"
        assert nodes.replica("n1", "s1").last == last


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_node_starts_again_where_it_was(tmp_path: Path, engine: str) -> None:
    config = single(engine)
    async with running(config, tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.call("s1", insert(opened, 2, 7))
        term = nodes.replica("n1", "s1").term
    async with running(config, tmp_path) as nodes:
        again = await nodes.call("s1", insert(opened, 2, 7))  # same (session, seq): not twice
        assert isinstance(again, Done)
        answer = await nodes.call("s1", select())
        assert isinstance(answer, Done)
        assert answer.results[0].values == ((7, 70),)
        assert nodes.replica("n1", "s1").term > term


async def test_entries_committed_before_a_crash_and_not_applied_are_applied_again(
    tmp_path: Path,
) -> None:
    """The data file is not synced with every commit: it may be behind the log after a crash."""
    config = single()
    async with running(config, tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.call("s1", insert(opened, 2, 7))
        applied = nodes.replica("n1", "s1").applied
    for file in (tmp_path / "n1" / "s1").iterdir():
        file.unlink()
    with sqlite3.connect(tmp_path / "n1" / "log.db") as log:
        log.execute("UPDATE replicas SET seal = x''")  # a crash leaves none
    log.close()
    async with running(config, tmp_path) as nodes:
        answer = await nodes.call("s1", select())
        assert isinstance(answer, Done)
        assert answer.results[0].values == ((7, 70),)
        assert nodes.replica("n1", "s1").applied > applied


async def test_a_log_that_cannot_be_written_stops_all_replicas_before_an_acknowledgement(
    tmp_path: Path,
) -> None:
    async with running(single(), tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.leader("meta")
        store = nodes.running["n1"]._store
        assert store is not None
        store._connection.close()  # what follows fails as it would on a broken disk
        answer = await nodes.call("s1", insert(opened, 2, 7))
        assert isinstance(answer, UnknownOutcome)
        for group in ("meta", "s1"):
            status = nodes.replica("n1", group)
            assert status.role == "stopped"
            assert "log.db cannot be written" in status.stopped
        assert await nodes.call("s1", select(), "n1") == NotLeader(None)


async def test_a_damaged_replica_stays_down_and_the_others_of_the_node_serve(
    tmp_path: Path,
) -> None:
    config = single()
    async with running(config, tmp_path) as nodes:
        await make_table(nodes, "s1")
        await make_table(nodes, "meta")
    with sqlite3.connect(tmp_path / "n1" / "log.db") as log:
        (number,) = log.execute("SELECT number FROM replicas WHERE name = 's1'").fetchone()
        log.execute("UPDATE entries SET term = term + 1 WHERE key >> 44 = ?", (number,))
    log.close()
    async with running(config, tmp_path) as nodes:
        assert isinstance(await nodes.call("meta", select()), Done)
        status = nodes.replica("n1", "s1")
        assert status.role == "stopped"
        assert "of group s1 is missing or damaged" in status.stopped
        assert await nodes.call("s1", select(), "n1") == NotLeader(None)


async def test_a_log_that_ends_before_the_data_is_damage(tmp_path: Path) -> None:
    """Acknowledged entries are gone: with this log the replica could vote for a leader that
    lacks them."""
    config = single()
    async with running(config, tmp_path) as nodes:
        await make_table(nodes, "s1")
    with sqlite3.connect(tmp_path / "n1" / "log.db") as log:
        log.execute("DELETE FROM entries")
        log.execute("DELETE FROM replicas")
    log.close()
    async with running(config, tmp_path) as nodes:
        status = nodes.replica("n1", "s1")
        assert status.role == "stopped"
        assert "the log of group s1 ends at index 0" in status.stopped
        assert "data-1.db already holds index 4" in status.stopped


async def test_the_data_of_another_cluster_or_node_is_refused(tmp_path: Path) -> None:
    first, second = single(), single()
    async with running(first, tmp_path):
        pass
    with pytest.raises(StoreError, match=f"belongs to cluster {first.cluster_id}, not to"):
        async with Node(second, "n1", tmp_path / "n1"):
            pass
    other = config_of({"meta": ["n1", "n2"], "s1": ["n1", "n2"]})
    async with Node(other, "n1", tmp_path / "a"):
        pass
    with pytest.raises(StoreError, match="belongs to node n1, not to n2"):
        async with Node(other, "n2", tmp_path / "a"):
            pass


async def test_a_node_that_cannot_start_leaves_nothing_open(tmp_path: Path) -> None:
    config = single()
    with pytest.raises(ConfigError, match="there is no node n9 in the cluster; its nodes are n1"):
        Node(config, "n9", tmp_path)
    async with running(config, tmp_path) as nodes:
        with pytest.raises(StoreError, match="is in use by another process"):
            async with nodes.make("n1"):
                pass
        with pytest.raises(ListenError, match="the port is in use"):
            async with Node(config, "n1", tmp_path / "elsewhere"):
                pass
        assert isinstance(await nodes.call("s1", OpenSession("r")), Opened)


async def test_while_all_groups_are_quiet_ticks_are_put_off(tmp_path: Path) -> None:
    """Until there is a beat to send. A group that wakes has the next one when it would have."""
    async with running(single(), tmp_path) as nodes:
        node = nodes.running["n1"]
        await nodes.leader("s1")
        node._stop_ticking()
        clock = SetClock(node._clock.monotonic())
        node._clock = clock
        before, tick_s = 0.0, node._tick_s
        put_off = beat_ticks(node._config.raft.election_ticks) - 1
        for _ in range(200):
            before = clock.now = node._pace.due
            node._tick()
            node._stop_ticking()
            await asyncio.sleep(0)
            if node._pace.put_off == put_off:  # less the first time, when a beat is due sooner
                break
        assert node._pace.put_off == put_off > 1
        assert node._pace.due == pytest.approx(before + (put_off + 1) * tick_s)

        clock.now = before + 1.5 * tick_s
        node._time_tick(clock.now)
        node._wake(node._hosting.running["s1"].engine)
        assert node._pace.put_off == 1
        assert node._pace.due == pytest.approx(before + 2 * tick_s)
        clock.now = node._pace.due
        node._tick()
        assert node._pace.put_off == 0, "somebody is awake"
        assert node._pace.due == pytest.approx(clock.now + tick_s)


async def test_a_timer_that_fires_early_is_no_tick(tmp_path: Path) -> None:
    """Leases count on a least time between ticks; timers have a resolution."""
    async with running(single(), tmp_path) as nodes:
        node = nodes.running["n1"]
        await nodes.leader("s1")
        node._stop_ticking()
        due = node._pace.due = node._clock.monotonic() + 3600
        node._tick()
        assert node._pace.due == due
        node._stop_ticking()
        now = node._clock.monotonic()
        node._pace.due = now - 3600  # as after an hour of SIGSTOP
        node._tick()
        assert node._pace.due > now, "the ticks that were missed are not made up for"
