"""A disk that fails once, under nodes as shipped: nothing is acknowledged that was not durable,
and when the power goes right after that nothing that was acknowledged is missing.

One failure, after which the disk works: whoever tries again is told that all is well, and has
lost what Linux could not write.
"""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from jepsen_like.interpose import Survival
from nodes.config import ClusterConfig, WriteLimits
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from nodes.protocol import Done, ReplicaStatus, SessionId, SqlFailure, Statement, Write
from tests.nodes.replica import Replica
from tests.power.host import Host
from tests.process.test_cluster_nodes import Clients, insert, new_table, rows

pytestmark = pytest.mark.slow

NODE = str(Path(__file__).with_name("node.py"))
LIMITS = WriteLimits()

PROGRAM = """
import os, sqlite3, sys
from pathlib import Path
from nodes.protocol import SetVersion
from tests.nodes.replica import Replica, statement
replica = Replica(Path(sys.argv[1]))
create = "CREATE TABLE b (k INTEGER PRIMARY KEY, v BLOB) STRICT, WITHOUT ROWID"
replica.write(statement(create), sets=(SetVersion("table:b", 1),))
reader = sqlite3.connect(replica.machine.path)  # keeps checkpoints from copying what comes now
reader.execute("BEGIN")
reader.execute("SELECT count(*) FROM b").fetchall()
print("opened", flush=True)
input()
for key in range(100):
    replica.write(statement("INSERT INTO b VALUES (?1, ?2)", key, bytes(80_000)))
try:
    print("durable", replica.machine.make_durable())
except OSError as exc:
    print("failed", exc.errno)
sys.stdout.flush()
os._exit(0)
"""


@asynccontextmanager
async def booted(
    directory: Path, library: Path, limits: WriteLimits = LIMITS
) -> AsyncIterator[tuple[LocalCluster, Host, ClusterConfig]]:
    """One node with the groups meta, s1 and s2, in a directory without symbolic links."""
    ports = free_ports(2)
    config = new_cluster_config(
        placement={group: ["n1"] for group in ("meta", "s1", "s2")},
        ports=ports[:1],
        router_port=ports[1],
    )
    config = replace(config, limits=limits)
    host = Host(directory / "n1", library)
    command = (sys.executable, NODE, "full")
    async with LocalCluster(
        config,
        directory,
        node_command=command,
        command_on=lambda _, argv: host.command(argv),
    ) as cluster:
        await cluster.start()
        await cluster.wait_for_leaders()
        yield cluster, host, config


async def replicas(cluster: LocalCluster) -> dict[str, ReplicaStatus]:
    status = (await cluster.status())["n1"]
    assert status is not None
    return {replica.group: replica for replica in status.replicas}


async def write_rows(clients: Clients, group: str, session: SessionId, keys: range) -> None:
    for key in keys:
        assert isinstance(await clients.call(group, insert(session, key)), Done)


async def refuses_all(clients: Clients, session: SessionId, keys: range) -> bool:
    """Whether no write of s1 is acknowledged."""
    answers = [await clients.on("n1", "s1", insert(session, key)) for key in keys]
    return not any(isinstance(answer, Done) for answer in answers)


async def start_without_what_was_lost(cluster: LocalCluster, host: Host) -> None:
    """After a cut of the power that leaves nothing but what was synced."""
    cluster.kill_node("n1")
    await cluster.node("n1").wait()
    host.lose_power(Random(1), Survival.NOTHING)
    await cluster.start_node("n1")
    await cluster.wait_for_leaders()


@pytest.mark.parametrize(
    ("kind", "error"), [("S", errno.EIO), ("W", errno.EIO), ("W", errno.ENOSPC)]
)
async def test_a_log_that_fails_once_is_written_no_more(
    tmp_path: Path, library: Path, kind: str, error: int
) -> None:
    async with booted(tmp_path, library) as (cluster, host, config):
        clients = Clients(config)
        session = await new_table(clients, "s1")
        await write_rows(clients, "s1", session, range(20))

        host.fail(kind, "log.db-wal", error)
        assert await refuses_all(clients, session, range(20, 40))
        assert host.failed == 1
        stopped = {replica.stopped for replica in (await replicas(cluster)).values()}
        assert len(stopped) == 1, "nothing this node promises would hold"
        (why,) = stopped
        assert "log.db cannot be written" in why
        assert "restart the node" in why
        assert why in cluster.node("n1").log_path.read_text()
        await clients.close()

        await start_without_what_was_lost(cluster, host)
        clients = Clients(config)
        assert await rows(clients, "s1") == [(key, 10 * key) for key in range(20)]
        await write_rows(clients, "s1", session, range(20, 40))
        await clients.close()


async def test_data_that_fail_once_stop_their_replica_alone(tmp_path: Path, library: Path) -> None:
    async with booted(tmp_path, library) as (cluster, host, config):
        clients = Clients(config)
        session = await new_table(clients, "s1")
        other = await new_table(clients, "s2")
        await write_rows(clients, "s1", session, range(20))

        host.fail("W", "s1/data-1.db-wal", errno.EIO)
        assert await refuses_all(clients, session, range(20, 40))
        assert host.failed == 1
        await write_rows(clients, "s2", other, range(20))
        found = await replicas(cluster)
        assert "replica 1 of group s1 stopped" in found["s1"].stopped
        assert "disk I/O error" in found["s1"].stopped
        assert found["s1"].stopped in cluster.node("n1").log_path.read_text()
        assert not found["s2"].stopped
        assert not found["meta"].stopped
        await clients.close()

        await start_without_what_was_lost(cluster, host)
        clients = Clients(config)
        # Key 20 was in the log when its replica failed: its outcome was unknown, and it is.
        assert await rows(clients, "s1") == [(key, 10 * key) for key in range(21)]
        assert await rows(clients, "s2") == [(key, 10 * key) for key in range(20)]
        await write_rows(clients, "s1", session, range(20, 40))
        await clients.close()


async def test_a_full_disk_refuses_what_is_only_tried(tmp_path: Path, library: Path) -> None:
    """A dry run that finds no room is an answer; one that cannot write says something of the
    disk, and its replica stops."""
    fill = "INSERT INTO t SELECT 1000 * (a.k + 1) + b.k, 0 FROM t a, t b"  # more than a cache
    async with booted(tmp_path, library, WriteLimits(write_bytes=1 << 42)) as (cluster, host, cfg):
        clients = Clients(cfg)
        session = await new_table(clients, "s1")
        await write_rows(clients, "s1", session, range(300))

        def tried(seq: int) -> Write:
            return Write(session, seq, 0, (Statement(fill),))

        host.fail("W", "s1/data-1.db-wal", errno.ENOSPC)
        answer = await clients.call("s1", tried(1000))
        assert isinstance(answer, SqlFailure), answer
        assert (answer.sqlstate, "no room" in answer.message) == ("53100", True)
        assert host.failed == 1
        assert not (await replicas(cluster))["s1"].stopped
        await write_rows(clients, "s1", session, range(300, 310))

        host.fail("W", "s1/data-1.db-wal", errno.EIO)
        assert not isinstance(await clients.on("n1", "s1", tried(1001)), Done)
        assert "disk I/O error" in (await replicas(cluster))["s1"].stopped
        await clients.close()


@pytest.mark.parametrize("fails", [False, True])
def test_a_log_is_not_cut_after_a_failed_checkpoint(
    tmp_path: Path, library: Path, fails: bool
) -> None:
    """SQLite tells nobody that a checkpoint of its own has failed, and the same sync succeeds
    when it is asked for again."""
    host = Host(tmp_path.resolve() / "host", library)
    program = subprocess.Popen(
        host.command([sys.executable, "-c", PROGRAM, str(host.data / "s1")]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "opened\n"
        if fails:
            host.fail("S", "s1/data-1.db-wal", errno.EIO)
        said, _ = program.communicate("go on\n", timeout=60)
    assert host.failed == int(fails)
    if fails:
        assert said == f"failed {errno.EIO}\n"
        return
    promised = int(said.removeprefix("durable "))
    host.lose_power(Random(1), Survival.NOTHING)
    replica = Replica(host.data / "s1", setup=False)
    assert replica.machine.applied == promised > 100
    replica.machine.close_files()
