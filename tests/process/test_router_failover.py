"""A router over three node processes: kill -9, pauses, restarts, many routers.

Nothing is patched: `python -m nodes`, SIGKILL, SIGSTOP, and the embedded router as an
application has it.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodes.config import RaftConfig, format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from shardrouter.errors import DeadlineExceeded, IndefiniteError, OutcomeUnknown, RouterError
from shardrouter.placement import place_replicas
from shardrouter.router import Router

pytestmark = pytest.mark.slow

NODES = ("n1", "n2", "n3")
GROUPS = ("meta", "shard-1", "shard-2", "shard-3")
ROOT = Path(__file__).parent.parent.parent


@asynccontextmanager
async def three_nodes(directory: Path) -> AsyncIterator[tuple[LocalCluster, Path]]:
    """Three running nodes, and their cluster.toml."""
    *ports, router_port = free_ports(4)
    config = new_cluster_config(
        placement=place_replicas(dict.fromkeys(NODES, 1), GROUPS, 3),
        ports=ports,
        router_port=router_port,
        raft=RaftConfig(),
    )
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    async with LocalCluster(config, directory) as cluster:
        await cluster.start()
        yield cluster, path


async def test_a_session_survives_kill_9_of_its_leader_and_every_write_is_applied_once(
    tmp_path: Path,
) -> None:
    """Sixteen writers increment one counter while its leader is killed, twice. Each increment
    that was acknowledged counts once; one of unknown outcome may count or not."""
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL)")
        await db.execute("INSERT INTO t VALUES (1, 0)")
        acknowledged = unknown = 0
        stopping = False
        progress = asyncio.Condition()

        async def increment() -> None:
            nonlocal acknowledged, unknown
            while not stopping:
                try:
                    tag = await db.execute("UPDATE t SET n = n + 1 WHERE id = $1", 1, timeout=20)
                except IndefiniteError:
                    unknown += 1
                else:
                    assert tag == "UPDATE 1"
                    acknowledged += 1
                async with progress:
                    progress.notify_all()

        async def more(count: int) -> None:
            goal = acknowledged + count
            async with progress:
                await progress.wait_for(lambda: acknowledged >= goal)

        async with asyncio.timeout(90), asyncio.TaskGroup() as writers:
            for _ in range(16):
                writers.create_task(increment())
            for _ in range(2):
                await more(200)
                leader = (await db.where("t", 1)).leader
                assert leader is not None
                cluster.kill_node(leader)
                await cluster.node(leader).wait()
                await more(200)
                await cluster.start_node(leader)
                await cluster.wait_for_leaders()
            stopping = True
        counted = await db.fetchval("SELECT n FROM t WHERE id = 1")
        assert acknowledged >= 800
        assert unknown == 0, "a majority was there all the time: FENCE or a repeat decides"
        assert counted == acknowledged


async def test_without_a_majority_a_write_says_honestly_what_it_knows(tmp_path: Path) -> None:
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        await db.execute("INSERT INTO t VALUES (1, 0)")
        place = await db.where("t", 1)
        others = [name for name in NODES if name != place.leader]
        for name in others:
            cluster.node(name).pause()
        with pytest.raises(OutcomeUnknown) as unknown:
            await db.execute("UPDATE t SET n = n + 1 WHERE id = 1", timeout=1.0)
        assert unknown.value.sqlstate == "08007"
        with pytest.raises(DeadlineExceeded) as late:
            await db.fetch("SELECT n FROM t WHERE id = 1", timeout=1.0)
        assert place.shard in late.value.detail
        for name in others:
            cluster.node(name).resume()
        assert await db.fetchval("SELECT n FROM t WHERE id = 1", timeout=30) in (0, 1)
        assert await db.execute("UPDATE t SET n = 5 WHERE id = 1", timeout=30) == "UPDATE 1"


async def test_a_minority_answers_reads_of_any_state_and_no_others(tmp_path: Path) -> None:
    """The router is left with one node that leads nothing; the other two are there and silent,
    as behind a cut, and take their turns until that is noticed."""
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        for key in range(20):
            await db.execute("INSERT INTO t VALUES ($1, 1)", key)
        await db.execute("SET shardrouter.consistency = any")
        async with asyncio.timeout(30):  # until every replica has everything
            while [await db.fetchval("SELECT count(*) FROM t") for _ in range(9)] != [20] * 9:
                continue
        for name in ("n1", "n2"):
            cluster.node(name).pause()
        for key in range(20):
            assert await db.fetchval("SELECT n FROM t WHERE id = $1", key, timeout=5.0) == 1
        assert await db.fetchval("SELECT count(*) FROM t", timeout=5.0) == 20
        await db.execute("SET shardrouter.consistency = linearizable")
        with pytest.raises(DeadlineExceeded):
            await db.fetchval("SELECT n FROM t WHERE id = 1", timeout=1.0)
        await db.execute("SET shardrouter.consistency = any")
        with pytest.raises(RouterError):  # writes need a majority, whatever reads do
            await db.execute("UPDATE t SET n = 2 WHERE id = 1", timeout=1.0)
        for name in ("n1", "n2"):
            cluster.node(name).resume()


async def test_a_router_that_cannot_reach_a_leader_reads_through_its_followers(
    tmp_path: Path,
) -> None:
    """All is well among the nodes; this router's way to the leader of t's row is cut."""
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL)")
        await db.execute("INSERT INTO t VALUES (1, 0)")
        leader = (await db.where("t", 1)).leader
        assert leader is not None
        [closed] = free_ports(1)
        address = str(cluster.config.nodes[leader].address)
        cut = tmp_path / "cut.toml"
        cut.write_text(path.read_text().replace(address, f"127.0.0.1:{closed}"))
        async with Router.open(cut, name="cut") as other:
            for n in range(1, 20):
                await db.execute("UPDATE t SET n = $1 WHERE id = 1", n)
                assert await other.fetchval("SELECT n FROM t WHERE id = 1", timeout=10) == n
            async with other.acquire() as connection:  # one instant is the leaders' to give
                await connection.execute("SET shardrouter.snapshot = off")
                assert await connection.fetchval("SELECT count(*) FROM t", timeout=10) == 1
            with pytest.raises(DeadlineExceeded):
                await other.execute("UPDATE t SET n = 0 WHERE id = 1", timeout=1.0)
        assert await db.fetchval("SELECT n FROM t WHERE id = 1") == 19


async def test_a_new_router_works_while_a_node_is_down_and_after_all_restarted(
    tmp_path: Path,
) -> None:
    async with three_nodes(tmp_path) as (cluster, path):
        async with Router.open(path, name="first") as db:
            await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text)")
            for key in range(30):
                await db.execute("INSERT INTO t VALUES ($1, $2)", key, f"name {key}")
        cluster.kill_node("n2")
        await cluster.node("n2").wait()
        async with Router.open(path, name="second") as db:
            await db.execute("CREATE TABLE u (id bigint PRIMARY KEY)", timeout=30)
            assert await db.fetchval("SELECT count(*) FROM t", timeout=30) == 30
        for name in ("n1", "n3"):
            cluster.kill_node(name)
            await cluster.node(name).wait()
        await asyncio.gather(*(cluster.start_node(name) for name in NODES))
        async with Router.open(path, name="third") as db:
            await db.wait_ready()
            assert await db.fetchval("SELECT count(*) FROM t") == 30
            rows = await db.fetch("SELECT id, name FROM t WHERE id > 25 ORDER BY id DESC")
            assert [tuple(row) for row in rows] == [(k, f"name {k}") for k in (29, 28, 27, 26)]
            assert await db.fetchval("SELECT count(*) FROM u") == 0


async def test_routers_change_the_schema_at_once_while_a_leader_of_meta_dies(
    tmp_path: Path,
) -> None:
    async with (
        three_nodes(tmp_path) as (cluster, path),
        Router.open(path, name="a", rng=random.Random(1)) as a,
        Router.open(path, name="b", rng=random.Random(2)) as b,
    ):

        async def create(db: Router, name: str) -> bool:
            """Whether it is known to have been created by this call."""
            try:
                await db.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY)", timeout=30)
            except RouterError:
                return False
            return True

        names = [f"t{i}" for i in range(5)]
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(create(db, name)) for name in names for db in (a, b)]
            leaders = await cluster.wait_for_leaders()
            cluster.kill_node(leaders["meta"])
        for name, by_a, by_b in zip(names, made[::2], made[1::2], strict=True):
            assert not (by_a.result() and by_b.result()), f"{name} was created twice"
            for db in (a, b):
                await db.execute(f"CREATE TABLE IF NOT EXISTS {name} (id bigint PRIMARY KEY)")
                assert await db.fetchval(f"SELECT count(*) FROM {name}", timeout=30) == 0


async def test_the_example_runs(tmp_path: Path) -> None:
    async with three_nodes(tmp_path) as (_, path):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "examples" / "embed.py"),
            "--cluster",
            str(path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        lines = out.decode().splitlines()
        assert lines[0] == "Ada has 142"
        assert "4 accounts" in lines
        assert any(line.startswith("refused, for certain") for line in lines)
