"""A node that is told to stop leaves so that no client notices: statements under load, none fails.

Nobody prepares the stop: SIGTERM is all there is. The node hands over what it leads, lets large
results be read to their end, and answers what it has taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shardrouter.health import health_of
from shardrouter.router import Router, node_answers
from tests.process.test_router_failover import NODES, three_nodes

pytestmark = pytest.mark.slow

ROWS = 20_000
ELECTION_S = 0.4
"""What the shortest election takes; a handover takes a round trip or two."""


async def test_every_node_is_stopped_and_started_and_no_statement_fails(tmp_path: Path) -> None:
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL)")
        await db.execute("CREATE TABLE large (id bigint PRIMARY KEY, v text) WITH (home)")
        await db.execute(
            f"INSERT INTO large SELECT i, repeat('v', 100) FROM generate_series(1, {ROWS}) AS g(i)"
        )
        for number in range(24):
            await db.execute("INSERT INTO t VALUES ($1, 0)", number)
        done = dict.fromkeys(("write", "read", "any", "transaction", "scan"), 0)
        longest = dict.fromkeys(done, 0.0)
        stopping = False

        async def repeat(kind: str, statement: Callable[[int], Awaitable[object]]) -> None:
            number = 0
            while not stopping:
                begun = time.monotonic()
                await statement(number % 24)
                longest[kind] = max(longest[kind], time.monotonic() - begun)
                done[kind] += 1
                number += 1

        async def transaction(number: int) -> None:
            async with db.transaction() as t:
                n = await t.fetchval("SELECT n FROM t WHERE id = $1", number)
                await t.execute("UPDATE t SET n = $2 WHERE id = $1", number, n)

        async with db.acquire() as old:
            await old.execute("SET shardrouter.consistency = any")

            async def scan(_number: int) -> None:
                async with db.transaction() as t:
                    seen = 0
                    async for _ in t.cursor("SELECT id, v FROM large"):
                        seen += 1
                    assert seen == ROWS

            async with asyncio.timeout(60), asyncio.TaskGroup() as load:
                for kind, statement in {
                    "write": lambda i: db.execute("UPDATE t SET n = n + 1 WHERE id = $1", i),
                    "read": lambda i: db.fetchval("SELECT n FROM t WHERE id = $1", i),
                    "any": lambda i: old.fetchval("SELECT n FROM t WHERE id = $1", i),
                    "transaction": lambda i: db.transaction_with_retry(
                        lambda t: t.execute("UPDATE t SET n = n + 1 WHERE id = $1", i)
                    ),
                    "scan": scan,
                }.items():
                    load.create_task(repeat(kind, statement))
                for node in NODES:
                    await cluster.node(node).terminate()
                    await cluster.start_node(node)
                    while health_of(cluster.config, await node_answers(cluster.config)).missing:
                        pass
                before = dict(done)
                while any(done[kind] <= before[kind] for kind in done):
                    await db.fetchval("SELECT n FROM t WHERE id = 0")
                stopping = True
        assert min(done.values()) > 0, done
        print({kind: (done[kind], round(longest[kind], 3)) for kind in done})
