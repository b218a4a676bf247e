"""A cluster as those see it who watch over it: its metrics, its logs, its routers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodes.cluster_file import load_cluster
from nodes.config import Address
from shardrouter.router_port import WORKER_SHIFT
from tests.process.conftest import (
    Up,
    alive,
    children,
    free_base_port,
    shardrouter,
    start_up,
    wait_until,
)

pytestmark = pytest.mark.slow

CONNECTIONS = 16
SECRET = "Ann-Smith-1971"
OPERATIONS = Path(__file__).parent.parent.parent / "docs" / "operations.md"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = tmp_path_factory.mktemp("watched") / "data"
    options = ("--metrics-port", str(free_base_port()), "--log-format", "json")
    up = start_up(
        directory, "--shards", "1", *options, "--slow-statement-ms", "300", "--workers", "2"
    )
    yield up
    up.stop()


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        connection.terminate()


def is_worker(pid: int) -> bool:
    return b"--worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


class Scraped:
    """What a page said."""

    def __init__(self, address: Address) -> None:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            self.families = list(text_string_to_metric_families(answer.read().decode()))

    def names(self) -> set[str]:
        return {
            f"{each.name}_total" if each.type == "counter" else each.name for each in self.families
        }

    def sum(self, name: str, **labels: str) -> float:
        """Of the samples of that name which have these labels; a label comes with its event."""
        found = [s for each in self.families for s in each.samples if s.name == name]
        assert found, f"there is no {name}"
        return sum(s.value for s in found if labels.items() <= s.labels.items())


def pages(up: Up) -> tuple[Scraped, list[Scraped]]:
    """Of the router, and of the nodes."""
    config = load_cluster(up.directory / "cluster.toml")
    assert config.router_metrics is not None
    addresses = [node.metrics for node in config.nodes.values()]
    return Scraped(config.router_metrics), [Scraped(each) for each in addresses if each is not None]


async def test_the_numbers_move_with_what_is_done(watched: Up) -> None:
    before, nodes_before = pages(watched)
    one = await asyncpg.connect(watched.dsn)
    other = await asyncpg.connect(watched.dsn)
    await one.execute("CREATE TABLE counted (id bigint PRIMARY KEY, n bigint NOT NULL)")
    for number in range(20):
        await one.execute("INSERT INTO counted VALUES ($1, 0)", number)
        await one.fetchval("SELECT n FROM counted WHERE id = $1", number)
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await one.execute("SELEC 1")
    await one.execute("BEGIN")
    await one.fetchval("SELECT n FROM counted WHERE id = 1")
    await other.execute("UPDATE counted SET n = n + 1 WHERE id = 1")
    with pytest.raises(asyncpg.SerializationError):
        await one.execute("UPDATE counted SET n = n + 2 WHERE id = 1")
    await one.execute("ROLLBACK")
    after, nodes_after = pages(watched)

    def moved(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    def moved_in_nodes(name: str, **labels: str) -> float:
        return sum(page.sum(name, **labels) for page in nodes_after) - sum(
            page.sum(name, **labels) for page in nodes_before
        )

    assert moved("shardrouter_statements_total", kind="write", outcome="done") >= 21
    assert moved("shardrouter_statements_total", kind="schema", outcome="done") == 1
    assert moved("shardrouter_statements_total", kind="unplanned", outcome="failed") == 1
    assert moved("shardrouter_statements_total", outcome="unknown") == 0
    assert moved("shardrouter_statement_seconds_count", kind="read") >= 20
    assert moved("shardrouter_statement_seconds_sum", kind="read") > 0
    assert moved("shardrouter_errors_total", sqlstate="40001") == 1
    assert moved("shardrouter_clients_accepted_total") >= 2
    assert after.sum("shardrouter_clients", state="in") >= 2
    assert moved("shardrouter_router_sends_total", copy="first") >= 41
    assert moved_in_nodes("shardrouter_node_requests_total", kind="write") >= 21
    assert moved_in_nodes("shardrouter_node_answers_total", answer="done") >= 41
    assert moved_in_nodes("shardrouter_log_fsync_seconds_count") >= 20
    assert moved_in_nodes("shardrouter_raft_commit_seconds_count", group="shard-1") >= 20
    assert moved_in_nodes("shardrouter_raft_applied_index", group="shard-1") >= 3 * 20
    leaders = sum(page.sum("shardrouter_raft_role", role="leader") for page in nodes_after)
    won = sum(page.sum("shardrouter_raft_elections_won_total") for page in nodes_after)
    assert leaders == 2 <= won, "meta and one shard"
    assert all(page.sum("process_resident_memory_bytes") > 1e6 for page in [after, *nodes_after])
    await one.close()
    await other.close()


async def test_slow_statements_are_objects_in_the_log_without_values(watched: Up) -> None:
    connection = await asyncpg.connect(watched.dsn)
    await connection.execute("CREATE TABLE slow (name text PRIMARY KEY)")
    await connection.execute(f"INSERT INTO slow VALUES ('{SECRET}-quick')")
    await connection.execute(f"SELECT pg_sleep(0.4) -- {SECRET}")
    await connection.execute("SET log_min_duration_statement = 0")
    await connection.execute("INSERT INTO slow VALUES ($1)", SECRET)
    await connection.close()
    text = watched.progress.read_text()
    assert SECRET not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert any(line["message"].startswith("ready after") for line in lines), "progress too"
    slow = [line for line in lines if line["message"].startswith("slow: ")]
    by_statement = {line["message"].partition(": ")[2].partition(": ")[2]: line for line in slow}
    slept = by_statement["SELECT pg_sleep(?) -> done"]
    inserted = by_statement["INSERT INTO slow VALUES ($1) -> done"]
    assert slept["milliseconds"] >= 400
    assert inserted["group"] == "shard-1"
    assert inserted["user"] == "shardrouter"
    assert slept["request"].partition(".")[0] == inserted["request"].partition(".")[0]
    said = (watched.directory / "n1" / "node.log").read_text().splitlines()
    assert all(line["process"] == "n1" for line in map(json.loads, said))
    led = [
        line
        for log in watched.directory.glob("n*/node.log")
        for line in map(json.loads, log.read_text().splitlines())
        if line["message"].startswith("leads group")
    ]
    assert {line["group"] for line in led} == {"meta", "shard-1"}
    assert all(line["term"] >= 1 for line in led)


async def test_top_shows_what_is_done_just_now(watched: Up) -> None:
    async with connected(watched.dsn) as connection:
        await connection.execute("CREATE TABLE shown (id bigint PRIMARY KEY)")
        top = asyncio.to_thread(watched.run, "top", "--once", "--json", "--interval", "1")
        looking = asyncio.ensure_future(top)
        number = 0
        while not looking.done():
            await connection.execute("INSERT INTO shown VALUES ($1)", number)
            number += 1
        said = await looking
        seen = json.loads(said.stdout)
        [router] = seen["routers"].values()
        assert router["statements_s"] > 1
        assert 0 < router["p50_ms"] <= router["p99_ms"]
        assert seen["groups"]["shard-1"]["entries_s"] > 1
        assert seen["groups"]["shard-1"]["commit_p99_ms"] > 0
        assert seen["groups"]["shard-1"]["leader"] in seen["nodes"]
        assert {node["answers"] for node in seen["nodes"].values()} == {True}
        assert sum(node["requests_s"] for node in seen["nodes"].values()) > 1
    screen = await asyncio.to_thread(watched.run, "top", "--once", "--interval", "0.2")
    assert screen.returncode == 0, screen.stderr
    assert re.search(r"^shard-1 +n\d ", screen.stdout, re.MULTILINE)


async def test_a_cancel_finds_its_worker_and_one_that_dies_is_back(watched: Up) -> None:
    """Connections come to either worker, and so do cancels for them."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(watched.dsn)) for _ in range(CONNECTIONS)
        ]
        of_worker = [client.get_server_pid() >> WORKER_SHIFT for client in clients]
        assert set(of_worker) == {1, 2}, "2 ** -15 of all runs have bad luck"
        for client in clients:
            await client.execute("SET statement_timeout = '60s'")
            with pytest.raises(TimeoutError):  # asyncpg cancels, through a new connection
                await client.execute("SELECT pg_sleep(60)", timeout=0.1)
            assert await client.fetchval("SELECT 1", timeout=30) == 1
        before, _ = pages(watched)
        workers = {pid for pid in children(watched.process.pid) if is_worker(pid)}
        victim = next(iter(workers))
        os.kill(victim, signal.SIGKILL)
        answered = []
        for client in clients:
            try:
                answered.append(await client.fetchval("SELECT 1"))
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
                continue
        assert 0 < len(answered) < CONNECTIONS, "those of the other worker"
    for _ in range(5):
        async with connected(watched.dsn) as client:  # nobody is sent to the dead one
            assert await client.fetchval("SELECT 1") == 1
    wait_until(
        lambda: pages(watched)[0].sum("shardrouter_workers", state="up") == 2, 30, "it is back"
    )
    assert victim not in children(watched.process.pid)
    after, _ = pages(watched)
    restarts = "shardrouter_worker_restarts_total"
    assert after.sum(restarts) - before.sum(restarts) == 1
    assert before.sum("shardrouter_cancels_total") >= CONNECTIONS


@pytest.mark.skipif(
    shutil.which("psql") is None, reason="psql is missing: apt-get install postgresql-client"
)
async def test_clients_go_to_the_host_that_is_there_and_takes_writes(watched: Up) -> None:
    login, _, place = watched.dsn.rpartition("@")
    dead = Address("127.0.0.1", free_base_port())
    several = f"{login}@{dead},{place}?target_session_attrs=read-write"
    async with connected(several) as connection:
        assert await connection.fetchval("SHOW transaction_read_only") == "off"
    for command in (["psql", "-X"], shardrouter("sql")):
        run = partial(subprocess.run, capture_output=True, text=True, timeout=60)
        said = await asyncio.to_thread(run, [*command, several, "-t", "-c", "SELECT 7"])
        assert said.stdout.strip() == "7", said.stderr
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await asyncpg.connect(f"{watched.dsn}?target_session_attrs=standby")


def test_every_metric_is_in_the_handbook_and_none_else(watched: Up) -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    section = text[text.index("## Metrics") :].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    router, nodes = pages(watched)
    shown = router.names().union(*(page.names() for page in nodes))
    assert shown == documented


async def test_a_stop_lets_statements_end_in_every_worker(watched: Up) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(watched.dsn)) for _ in range(4)]
        sleeping = [asyncio.ensure_future(each.execute("SELECT pg_sleep(1)")) for each in clients]
        heard: set[int] = set()
        while heard != {1, 2}:  # what a worker answers it has read after what came before
            probe = await stack.enter_async_context(connected(watched.dsn))
            assert await probe.fetchval("SELECT 1") == 1
            heard.add(probe.get_server_pid() >> WORKER_SHIFT)
        workers = {pid for pid in children(watched.process.pid) if is_worker(pid)}
        code = await asyncio.to_thread(watched.stop)
        assert await asyncio.gather(*sleeping) == ["SELECT 1"] * 4
    assert code == 0
    assert len(workers) == 2
    assert not any(alive(pid) for pid in workers)
