"""Clusters for people's own tests: with an event loop, without one, and as pytest's fixtures."""

from __future__ import annotations

import os
import socket
import threading
from importlib.metadata import entry_points
from pathlib import Path

import asyncpg
import pytest

from nodes.config import ConfigError
from shardrouter import LocalCluster, blocking
from shardrouter.exceptions import UniqueViolationError
from shardrouter.local import MEMORY

PLUGIN = (
    ()
    if any(point.name == "shardrouter" for point in entry_points(group="pytest11"))
    else ("shardrouter.pytest_plugin",)  # an environment that was made before there was one
)
pytest_plugins = ("pytester", *PLUGIN)


async def test_a_cluster_serves_drivers_and_leaves_nothing() -> None:
    async with LocalCluster(nodes=1, shards=2, in_memory=True) as cluster:
        assert len(cluster.config.shards) == 2
        assert cluster.file.is_relative_to(MEMORY)
        connection = await asyncpg.connect(cluster.dsn)
        await connection.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
        await connection.execute("INSERT INTO t VALUES ($1)", 7)
        assert await cluster.router.fetchval("SELECT id FROM t WHERE id = 7") == 7
        await connection.close()
        pid = cluster.nodes.node("n1").pid
        address = cluster.config.router
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))
    with pytest.raises(FileNotFoundError):
        cluster.file.parent.stat()


async def test_files_are_kept_where_a_directory_is_named(tmp_path: Path) -> None:
    home = tmp_path / "kept"
    async with LocalCluster(shards=1, directory=home):
        pass
    assert (home / "n1" / "data").is_dir()
    with pytest.raises(ConfigError, match="not empty"):
        await LocalCluster(directory=home).__aenter__()


@pytest.mark.parametrize(
    "numbers", [{"nodes": 0}, {"shards": 0}, {"nodes": 1, "replicas": 2}, {"replicas": 0}]
)
async def test_numbers_that_do_not_fit_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="cannot have"):
        await LocalCluster(**numbers).__aenter__()  # type: ignore[arg-type]


async def test_a_directory_and_memory_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose one"):
        await LocalCluster(directory=tmp_path, in_memory=True).__aenter__()


# ------------------------------------------------------------------ without an event loop


def test_the_blocking_twin_answers_as_its_original(
    shardrouter_db: blocking.Router,
) -> None:
    db = shardrouter_db
    assert db.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text)") == "CREATE TABLE"
    db.execute("INSERT INTO t VALUES ($1, $2)", 1, "Ada")
    with pytest.raises(UniqueViolationError) as caught:
        db.execute("INSERT INTO t VALUES (1, 'Eve')")
    assert caught.value.definite
    row = db.fetchrow("SELECT * FROM t WHERE id = $1", 1)
    assert row is not None
    assert dict(row.items()) == {"id": 1, "name": "Ada"}
    assert db.fetchval("SELECT count(*) FROM t") == 1
    assert db.where("t", 1).shard.startswith("shard-")
    with db.acquire() as connection:
        statement = connection.prepare("SELECT name FROM t WHERE id = $1")
        assert statement.get_parameters() == (20,)
        assert [row["name"] for row in statement.fetch(1)] == ["Ada"]
        assert not connection.is_closed()
    assert connection.is_closed()


def test_threads_share_a_blocking_router(shardrouter_db: blocking.Router) -> None:
    db = shardrouter_db
    db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n integer)")
    db.execute("INSERT INTO t VALUES (1, 0)")

    def count() -> None:
        for _ in range(20):
            db.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.fetchval("SELECT n FROM t WHERE id = 1") == 100


def test_an_error_in_the_block_ends_the_cluster() -> None:
    before = threading.active_count()
    cluster = blocking.LocalCluster(shards=1)

    def fail() -> None:
        with cluster:
            assert set(cluster.router.status()) == {"n1"}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert threading.active_count() == before


def test_a_cluster_that_does_not_start_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ConfigError), blocking.LocalCluster(nodes=0):
        pass
    assert threading.active_count() == before


def test_a_blocking_call_on_its_own_loop_is_an_error(shardrouter_db: blocking.Router) -> None:
    seen: list[BaseException] = []

    async def misuse() -> None:
        try:
            shardrouter_db.execute("SELECT 1")
        except RuntimeError as exc:
            seen.append(exc)

    shardrouter_db._portal.run(misuse())
    assert "wait for itself" in str(seen[0])


# ------------------------------------------------------------------ the plugin


def test_a_table_of_one_test_is_gone_in_the_next(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, asyncpg, pytest

        async def make(dsn):
            connection = await asyncpg.connect(dsn)
            await connection.execute('CREATE TABLE "a Table" (id bigint PRIMARY KEY)')
            await connection.close()

        @pytest.mark.parametrize("round", [1, 2])
        def test_it(shardrouter_dsn, round):
            asyncio.run(make(shardrouter_dsn))

        def test_size(shardrouter_cluster):
            assert len(shardrouter_cluster.config.shards) == 2
        """
    )
    pytester.makeini("[pytest]\nshardrouter_shards = 2\n")
    result = pytester.runpytest_subprocess(*(f"-p{name}" for name in PLUGIN))
    result.assert_outcomes(passed=3)
