"""Routers and nodes of two releases on one cluster, where a message between them has changed: each
program says so in one sentence, nothing is answered wrongly, and who fits goes on.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from nodes.config import RaftConfig, format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from nodes.protocol import PROTOCOL_VERSION
from shardrouter.dsn_file import read_dsn
from shardrouter.placement import place_replicas
from tests.process.conftest import shardrouter
from tests.process.other_release import MARK

pytestmark = [pytest.mark.slow, pytest.mark.long]

PROGRAM = Path(__file__).with_name("other_release.py")
NEXT = (sys.executable, str(PROGRAM), "router")
NODES = ("n1", "n2", "n3")
OLD, NEW = PROTOCOL_VERSION, PROTOCOL_VERSION + 1
WITHIN_S = 60.0
"""For what depends on processes; the deadline only bounds a failure."""


@asynccontextmanager
async def cluster_of(directory: Path) -> AsyncIterator[tuple[LocalCluster, Path]]:
    *ports, router_port = free_ports(len(NODES) + 1)
    config = new_cluster_config(
        placement=place_replicas(dict.fromkeys(NODES, 1), ("meta", "shard-1"), len(NODES)),
        ports=ports,
        router_port=router_port,
        raft=RaftConfig(),
    )
    file = directory / "cluster.toml"
    file.write_text(format_cluster(config))
    command = (sys.executable, str(PROGRAM), "node")
    async with LocalCluster(config, directory, node_command=command) as cluster:
        await cluster.start()
        yield cluster, file


async def begin(file: Path, *command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"SHARDROUTER_CLUSTER": str(file)},
    )


SERVE = ("serve", "--port", "0", "--exit-with-stdin")


@asynccontextmanager
async def client_of(file: Path, *command: str) -> AsyncIterator[asyncpg.Connection]:
    """A client of a router that `command` starts, and that ends with the block."""
    process = await begin(file, *command)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            line = (await process.stdout.readline()).decode()
            assert line.startswith("ready "), (line, await process.stderr.read())
        dsn = re.sub("@[^/]+/", f"@{line.split()[-1]}/", read_dsn(file))
        connection = await asyncpg.connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        process.stdin.close()
        await process.communicate()


async def refused(file: Path, *command: str) -> str:
    """What a program says that ends with an error."""
    process = await begin(file, *command)
    try:
        async with asyncio.timeout(WITHIN_S):
            await process.wait()  # its stdin is open: nothing else ends it
    except TimeoutError:
        process.kill()
        raise
    finally:
        said, errors = await process.communicate()
    assert process.returncode == 1, (said, errors)
    return (said + errors).decode()


async def put(client: asyncpg.Connection, key: int) -> None:
    await client.execute("INSERT INTO t VALUES ($1)", key)


async def keys(client: asyncpg.Connection) -> list[int]:
    return [row["id"] for row in await client.fetch("SELECT id FROM t ORDER BY id")]


async def test_a_router_of_another_release_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    async with cluster_of(tmp_path) as (_, file), client_of(file, *shardrouter(*SERVE)) as client:
        await client.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
        await put(client, 1)

        said = await refused(file, *NEXT, *SERVE)

        assert "Error: the cluster refuses this program" in said
        assert f"speaks version {OLD} of the node protocol" in said
        assert re.search(rf"speaks {NEW}; use the same release for both\.\n$", said)
        assert "Traceback" not in said
        await put(client, 2)
        assert await keys(client) == [1, 2]


async def test_nodes_go_over_to_another_release_while_routers_of_both_run(tmp_path: Path) -> None:
    async with cluster_of(tmp_path) as (nodes, file), client_of(file, *shardrouter(*SERVE)) as old:

        async def goes_over(node: str) -> None:
            (tmp_path / node / MARK).touch()
            await nodes.node(node).terminate()
            await nodes.start_node(node)

        await old.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
        await old.execute("SET statement_timeout = '20s'")
        await put(old, 1)
        await goes_over("n1")
        await put(old, 2)  # the two that are left are a majority
        await goes_over("n2")
        await old.execute("SET statement_timeout = '2s'")

        # What can be a leader now does not speak with this router any more.
        with pytest.raises(asyncpg.QueryCanceledError) as told:
            await keys(old)
        assert f"speaks version {NEW} of the node protocol" in str(told.value.detail)

        async with client_of(file, *NEXT, *SERVE) as new:
            assert await keys(new) == [1, 2]
            await put(new, 3)
            await goes_over("n3")
            with pytest.raises(asyncpg.PostgresError) as ended:
                await keys(old)
            assert ended.value.sqlstate in ("57014", "57P03")
            assert "use the same release for both" in str(ended.value.detail)
            await put(new, 4)
            assert await keys(new) == [1, 2, 3, 4]
