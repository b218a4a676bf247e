"""`python -m bench.idle`: what idle groups cost a node, in CPU seconds and memory.

Three node processes, each with a replica of every group, and nobody who asks for anything. CPU is
what the kernel counted for the process (user and system), so other load on the machine lengthens
the run but hardly the figure.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

import click

from bench.machine import commit, cpu_seconds, machine, rss_mb
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config

NODES = ("n1", "n2", "n3")


async def measure(directory: Path, groups: int, settle: float, seconds: float) -> dict[str, object]:
    *ports, router_port = free_ports(len(NODES) + 1)
    names = ["meta", *(f"shard-{number}" for number in range(1, groups))]
    placement = {
        name: [NODES[(at + turn) % len(NODES)] for turn in range(len(NODES))]
        for at, name in enumerate(names)
    }
    config = new_cluster_config(placement=placement, ports=ports, router_port=router_port)
    async with LocalCluster(config, directory) as cluster:
        await cluster.start()
        await cluster.wait_for_leaders()
        await asyncio.sleep(settle)
        pids = {name: cluster.node(name).pid for name in NODES}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        begin = time.perf_counter()
        await asyncio.sleep(seconds)
        length = time.perf_counter() - begin
        return {
            name: {
                "cpu_percent_of_a_core": round((cpu_seconds(pid) - before[name]) / length * 100, 2),
                "rss_mb": round(rss_mb(pid), 1),
            }
            for name, pid in pids.items()
        }


@click.command()
@click.option("--groups", default=100, show_default=True, help="Groups, each on all three nodes.")
@click.option("--settle", default=3.0, show_default=True, help="Seconds before counting begins.")
@click.option("--seconds", default=20.0, show_default=True, help="How long to count.")
def main(groups: int, settle: float, seconds: float) -> None:
    """Print JSON: CPU and memory of each node while its groups are idle."""
    with tempfile.TemporaryDirectory(prefix="shardrouter-bench-") as directory:
        result = asyncio.run(measure(Path(directory), groups, settle, seconds))
    click.echo(
        json.dumps(
            {"commit": commit(), "machine": machine(), "groups": groups, "nodes": result}, indent=2
        )
    )


if __name__ == "__main__":
    main()
