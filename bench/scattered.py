"""What `count(*)` of a table over eight shards takes, beside one of as many rows on one shard.

    python -m bench.scattered [--rounds N]

Three node processes on this machine, the embedded router, one client. The two tables have the same
rows, one is spread over the shards and one is whole on its home. The two take turns, so that
whatever else the machine does meets both; the medians are compared, for a table that is read in no
time, where what counts is what it takes to ask, and for one that takes long.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import click

from bench.machine import commit, machine
from nodes.config import RaftConfig, format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from shardrouter.placement import place_replicas
from shardrouter.router import Router

__all__ = ["TARGET", "measure"]

TARGET: Final = 1.6
"""Times the latency on one shard, at most."""

SHARDS: Final = 8
SIZES: Final = (1_000, 100_000)
_GROUPS: Final = ("meta", *(f"shard-{n}" for n in range(1, SHARDS + 1)))


async def measure(directory: Path, rounds: int, sizes: tuple[int, ...] = SIZES) -> dict[str, float]:
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
    found: dict[str, float] = {}
    async with LocalCluster(config, directory) as cluster:
        await cluster.start()
        async with Router.open(path) as db:
            for size in sizes:
                found |= await _compare(db, size, rounds)
    return found


async def _compare(db: Router, size: int, rounds: int) -> dict[str, float]:
    kinds = {"one": " WITH (home = true)", "all": ""}
    for kind, placement in kinds.items():
        name = f"{kind}_{size}"
        await db.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, n bigint){placement}")
        await db.copy_records_to_table(name, records=[(key, key % 7) for key in range(size)])
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            began = time.perf_counter()
            counted = await db.fetchval(f"SELECT count(*) FROM {kind}_{size}")
            took[kind].append(time.perf_counter() - began)
            assert counted == size
    medians = {kind: statistics.median(times) * 1000 for kind, times in took.items()}
    found = {f"count_{size}_{kind}_ms": median for kind, median in medians.items()}
    return found | {f"count_{size}_ratio": medians["all"] / medians["one"]}


@click.command()
@click.option("--rounds", default=300, show_default=True)
@click.option("--quick", is_flag=True, help="Few rounds: does it run at all?")
@click.option("--out", type=click.Path(path_type=Path), default=None)
def main(rounds: int, quick: bool, out: Path | None) -> None:
    """Compare count(*) over eight shards with one of one shard."""
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(measure(Path(directory), 20 if quick else rounds))
    for name, value in found.items():
        click.echo(f"{name:26} {value:8.2f}")
    click.echo(f"target of the ratios: {TARGET}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "commit": commit(), "results": found}
        (out / "scattered.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
