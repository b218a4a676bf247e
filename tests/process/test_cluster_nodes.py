"""Three node processes under faults: what was acknowledged stays, and what is asked is answered.

Nothing here is patched or simulated: `python -m nodes`, SIGKILL, SIGSTOP, garbage on the port.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodes.client import NodeClient
from nodes.config import ClusterConfig, RaftConfig, format_cluster
from nodes.local_cluster import (
    LocalCluster,
    ManagedProcess,
    ProcessFailed,
    free_ports,
    new_cluster_config,
)
from nodes.protocol import (
    Busy,
    Done,
    NotLeader,
    Opened,
    OpenSession,
    Read,
    RequestBody,
    ResponseBody,
    SessionId,
    SetVersion,
    Statement,
    Write,
)

pytestmark = pytest.mark.slow

DEADLINE_S = 30.0
"""For what takes a second on an idle machine."""


def three_nodes() -> ClusterConfig:
    ports = free_ports(4)
    return new_cluster_config(
        placement={
            "meta": ["n1", "n2", "n3"],
            "s1": ["n1", "n2", "n3"],
            "s2": ["n2", "n3", "n1"],
        },
        ports=ports[:3],
        router_port=ports[3],
        raft=RaftConfig(spread_leaders=False),  # leaders move for a test's reason only
    )


class Clients:
    """Finds leaders and repeats what was not taken: the least a router has to do."""

    def __init__(self, config: ClusterConfig) -> None:
        self._clients = {
            name: NodeClient(node.address, cluster_id=config.cluster_id, name="test")
            for name, node in config.nodes.items()
        }
        self._leaders: dict[str, str] = {}

    async def call(self, group: str, body: RequestBody) -> ResponseBody:
        """Until some node answers more than "not me". Repeating is safe: the commands of a
        session are applied once, and reads change nothing."""
        async with asyncio.timeout(DEADLINE_S):
            names = list(self._clients)
            while True:
                name = self._leaders.get(group) or names[0]
                try:
                    answer = await self._clients[name].call(group, body, 2)
                except ConnectionError:
                    answer = NotLeader(None)
                if not isinstance(answer, NotLeader | Busy):
                    return answer
                names.append(names.pop(0))
                self._leaders[group] = getattr(answer, "leader", None) or names[0]
                await asyncio.sleep(0.02)

    async def on(self, name: str, group: str, body: RequestBody) -> ResponseBody:
        return await self._clients[name].call(group, body, DEADLINE_S)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


@asynccontextmanager
async def booted(directory: Path) -> AsyncIterator[tuple[LocalCluster, Clients]]:
    config = three_nodes()
    clients = Clients(config)
    async with LocalCluster(config, directory) as cluster:
        try:
            await cluster.start()
            await cluster.wait_for_leaders()
            yield cluster, clients
        finally:
            await clients.close()


async def new_table(clients: Clients, group: str) -> SessionId:
    opened = await clients.call(group, OpenSession("test"))
    assert isinstance(opened, Opened)
    create = "CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER) STRICT, WITHOUT ROWID"
    write = Write(opened.session, 1, 0, (Statement(create),), sets=(SetVersion("table:t", 1),))
    assert isinstance(await clients.call(group, write), Done)
    return opened.session


def insert(session: SessionId, key: int) -> Write:
    statement = Statement("INSERT INTO t VALUES (?1, ?2)", (key, 10 * key))
    return Write(session, key + 2, 0, (statement,), quick=True)


async def rows(clients: Clients, group: str) -> list[tuple[object, ...]]:
    answer = await clients.call(group, Read((Statement("SELECT k, v FROM t ORDER BY k"),)))
    assert isinstance(answer, Done)
    return list(answer.results[0].values)


async def wait_until_caught_up(cluster: LocalCluster, group: str, name: str) -> None:
    """Until the replica on `name` has applied what the group's leader has."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            applied: dict[str, int] = {}
            for node, status in (await cluster.status()).items():
                if status is not None:
                    found = next(r for r in status.replicas if r.group == group)
                    applied[node] = found.applied
            if name in applied and applied[name] == max(applied.values()):
                return
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_leaders_start_where_they_were_placed(tmp_path: Path) -> None:
    async with booted(tmp_path) as (cluster, _):
        assert await cluster.leaders() == {"meta": "n1", "s1": "n1", "s2": "n2"}


async def test_what_was_acknowledged_survives_kill_9_of_the_leader(tmp_path: Path) -> None:
    async with booted(tmp_path) as (cluster, clients):
        session = await new_table(clients, "s1")
        acknowledged: list[int] = []

        async def writer(first: int) -> None:
            for key in range(first, 300, 4):
                answer = await clients.call("s1", insert(session, key))
                assert isinstance(answer, Done), answer  # also when it is repeated
                acknowledged.append(key)

        async with asyncio.TaskGroup() as writers:
            for first in range(4):
                writers.create_task(writer(first))
            await until(lambda: len(acknowledged) >= 50)
            leader = (await cluster.leaders())["s1"]
            cluster.kill_node(leader)
            assert await cluster.node(leader).wait() == -signal.SIGKILL
        leaders = await cluster.wait_for_leaders(DEADLINE_S, other_than=leader)
        assert leaders["s1"] != leader
        assert await rows(clients, "s1") == [(key, 10 * key) for key in range(300)]

        await cluster.start_node(leader)
        await wait_until_caught_up(cluster, "s1", leader)
        assert await rows(clients, "s1") == [(key, 10 * key) for key in range(300)]


async def test_a_cluster_killed_as_a_whole_has_its_data_again(tmp_path: Path) -> None:
    async with booted(tmp_path) as (cluster, clients):
        session = await new_table(clients, "s2")
        for key in range(50):
            assert isinstance(await clients.call("s2", insert(session, key)), Done)
        for name in cluster.config.nodes:
            cluster.kill_node(name)
        for name in cluster.config.nodes:
            await cluster.node(name).wait()
        await cluster.start()
        assert await rows(clients, "s2") == [(key, 10 * key) for key in range(50)]
        repeated = await clients.call("s2", insert(session, 7))
        assert isinstance(repeated, Done)
        assert len(await rows(clients, "s2")) == 50


async def test_groups_with_leaders_on_different_nodes_fail_independently(tmp_path: Path) -> None:
    async with booted(tmp_path) as (cluster, clients):
        sessions = {group: await new_table(clients, group) for group in ("s1", "s2")}
        terms = {
            r.group: r.term
            for status in (await cluster.status()).values()
            if status is not None
            for r in status.replicas
        }
        cluster.kill_node("n1")  # leads meta and s1; s2 is led by n2
        await cluster.node("n1").wait()
        for group, session in sessions.items():
            assert isinstance(await clients.call(group, insert(session, 1)), Done)
            assert await rows(clients, group) == [(1, 10)]
        status = (await cluster.status())["n2"]
        assert status is not None
        s2 = next(r for r in status.replicas if r.group == "s2")
        assert (s2.role, s2.term) == ("leader", terms["s2"])  # never disturbed


async def test_a_paused_leader_is_replaced_and_does_not_disturb_on_its_return(
    tmp_path: Path,
) -> None:
    async with booted(tmp_path) as (cluster, clients):
        session = await new_table(clients, "s1")
        cluster.node("n1").pause()
        leaders = await cluster.wait_for_leaders(DEADLINE_S, other_than="n1")
        assert isinstance(await clients.call("s1", insert(session, 1)), Done)
        read = asyncio.ensure_future(clients.on("n1", "s1", Read((Statement("SELECT 1"),))))
        before = await cluster.leaders()
        cluster.node("n1").resume()
        try:  # it believes that it leads, and must not answer before it has asked
            answer: ResponseBody | None = await read
        except ConnectionError:
            answer = None
        assert not isinstance(answer, Done)
        await wait_until_caught_up(cluster, "s1", "n1")
        assert await rows(clients, "s1") == [(1, 10)]
        assert before == leaders
        assert await cluster.leaders() == leaders


async def test_garbage_on_the_port_is_logged_once_and_ends_nothing(tmp_path: Path) -> None:
    async with booted(tmp_path) as (cluster, clients):
        session = await new_table(clients, "s1")
        address = cluster.config.nodes["n1"].address
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(100_000), b"\xff" * 1000):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(garbage)
            async with asyncio.timeout(DEADLINE_S):
                try:
                    while await reader.read(65_536):
                        pass
                except ConnectionError:
                    continue
                finally:
                    writer.transport.abort()
        assert isinstance(await clients.call("s1", insert(session, 1)), Done)
        assert cluster.node("n1").running
        log = cluster.node("n1").log_path.read_text()
        assert log.count("does not speak the node protocol") == 1


async def test_a_stopped_cluster_leaves_no_process(tmp_path: Path) -> None:
    async with booted(tmp_path) as (cluster, _):
        pids = [cluster.node(name).pid for name in cluster.config.nodes]
        cluster.node("n2").pause()  # also one that cannot see SIGTERM
    assert not any(lives(pid) for pid in pids)


async def test_nodes_die_with_their_parent_even_when_paused(tmp_path: Path) -> None:
    """Killed with SIGKILL, the parent cannot stop anybody."""
    program = textwrap.dedent(
        """
        import asyncio, pathlib, sys
        from nodes.config import parse_cluster
        from nodes.local_cluster import LocalCluster

        async def main(directory):
            config = parse_cluster((directory / "cluster.toml").read_text())
            async with LocalCluster(config, directory) as cluster:
                await cluster.start()
                cluster.node("n2").pause()
                print("ready", *(cluster.node(n).pid for n in config.nodes), flush=True)
                await asyncio.Event().wait()

        asyncio.run(main(pathlib.Path(sys.argv[1])))
        """
    )
    (tmp_path / "cluster.toml").write_text(format_cluster(three_nodes()))
    parent = ManagedProcess(
        "parent", [sys.executable, "-c", program, str(tmp_path)], log_path=tmp_path / "log"
    )
    await parent.start()
    pids = [int(word) for word in (await parent.wait_ready()).split()]
    parent.kill()
    await parent.wait()
    await until(lambda: not any(lives(pid) for pid in pids))


def lives(pid: int) -> bool:
    """A zombie that waits for whoever inherited it does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_a_node_that_does_not_start_says_why_in_one_sentence(tmp_path: Path) -> None:
    config = three_nodes()
    async with LocalCluster(config, tmp_path / "a") as cluster:
        await cluster.start()
        async with LocalCluster(config, tmp_path / "b") as second:
            with pytest.raises(ProcessFailed, match=r"cannot listen on .*: the port is in use"):
                await second.start()
            assert not any(second.node(name).running for name in config.nodes)
    other = three_nodes()
    (tmp_path / "b" / "n1").mkdir(parents=True, exist_ok=True)
    async with LocalCluster(other, tmp_path / "a") as third:
        with pytest.raises(ProcessFailed, match=r"belongs to cluster .*choose another data") as e:
            await third.start()
        assert re.fullmatch(r"[^\n]+\.", str(e.value))


async def test_a_program_that_does_not_exist_is_a_failure_to_start(tmp_path: Path) -> None:
    process = ManagedProcess("ghost", [str(tmp_path / "nothing")], log_path=tmp_path / "log")
    with pytest.raises(ProcessFailed, match="cannot be started"):
        await process.start()
