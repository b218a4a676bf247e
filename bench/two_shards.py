"""What a transaction over two shards takes, beside one of the same statements on one shard: a block
of two updates, a unit of commit of two, one statement of two rows.

    python -m bench.two_shards [--rounds N]

Three node processes on this machine, the embedded router, one client. The two kinds take turns, so
that whatever else the machine does meets both; the medians are compared.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import click

from bench.machine import commit, machine
from nodes.config import RaftConfig, format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from shardrouter.execution import Execution
from shardrouter.placement import place_replicas
from shardrouter.router import Router

__all__ = ["TARGET", "measure"]

TARGET: Final = 2.2
"""Times the latency on one shard, at most."""

_GROUPS: Final = ("meta", "shard-1", "shard-2", "shard-3")
_ADD: Final = "UPDATE t SET n = n + 1 WHERE id = $1"
_BOTH: Final = (
    "INSERT INTO t VALUES ($1, 0), ($2, 0) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n"
)


async def measure(directory: Path, rounds: int) -> dict[str, float]:
    """Medians in milliseconds, and their ratios."""
    *ports, router_port = free_ports(4)
    config = new_cluster_config(
        placement=place_replicas(dict.fromkeys(("n1", "n2", "n3"), 1), _GROUPS, 3),
        ports=ports,
        router_port=router_port,
        raft=RaftConfig(),
    )
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    async with LocalCluster(config, directory) as cluster:
        await cluster.start()
        async with Router.open(path) as db:
            await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
            by_shard: dict[str, list[int]] = {}
            for key in range(40):
                by_shard.setdefault((await db.where("t", key)).shard, []).append(key)
                await db.execute("INSERT INTO t VALUES ($1, 0)", key)
            here, there, *_ = by_shard.values()
            return await _compare(db, (here[0], here[1]), (here[0], there[0]), rounds)


async def _compare(
    db: Router, one: tuple[int, int], two: tuple[int, int], rounds: int
) -> dict[str, float]:
    async def block(keys: tuple[int, int]) -> None:
        async with db.transaction() as connection:
            for key in keys:
                await connection.execute(_ADD, key)

    async def unit(keys: tuple[int, int]) -> None:
        session = db.new_session()
        prepared = await session.prepare(_ADD)
        await session.run([Execution(prepared, (key,)) for key in keys])
        await session.close()

    async def statement(keys: tuple[int, int]) -> None:
        await db.execute(_BOTH, *keys)

    found: dict[str, float] = {}
    works: tuple[tuple[str, Callable[[tuple[int, int]], Awaitable[None]]], ...] = (
        ("block", block),
        ("unit", unit),
        ("statement", statement),
    )
    for name, work in works:
        took: dict[str, list[float]] = {"one": [], "two": []}
        for _ in range(rounds):
            for kind, keys in (("one", one), ("two", two)):
                began = time.perf_counter()
                await work(keys)
                took[kind].append(time.perf_counter() - began)
        medians = {kind: statistics.median(times) * 1000 for kind, times in took.items()}
        found |= {f"{name}_{kind}_shard_ms": median for kind, median in medians.items()}
        found[f"{name}_ratio"] = medians["two"] / medians["one"]
    return found


@click.command()
@click.option("--rounds", default=500, show_default=True)
@click.option("--quick", is_flag=True, help="Few rounds: does it run at all?")
@click.option("--out", type=click.Path(path_type=Path), default=None)
def main(rounds: int, quick: bool, out: Path | None) -> None:
    """Compare transactions over two shards with those on one."""
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(measure(Path(directory), 20 if quick else rounds))
    for name, value in found.items():
        click.echo(f"{name:26} {value:8.2f}")
    click.echo(f"target of the ratios: {TARGET}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "commit": commit(), "results": found}
        (out / "two_shards.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
