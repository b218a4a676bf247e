"""`make bench`: how fast a whole local cluster is here, and what it costs at rest.

One cluster as `shardrouter up` makes it (3 nodes, 3 shards x 3 replicas, one router), a client
in its own process over 16 asyncpg connections. Inserts and selects alternate, the median run
counts. Figures of one machine do not travel; the JSON says which machine and commit.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import click

from bench.machine import commit, cpu_seconds, machine, rss_mb
from nodes.config import parse_cluster
from nodes.local_cluster import free_ports
from shardrouter.router import node_statuses

ROWS = 10_000
CONNECTIONS = 16
REST_S = 10.0

TARGETS = {
    "ready_s": ("<=", 5.0),
    "node_rss_mb": ("<=", 50.0),
    "node_cpu_percent": ("<=", 3.0),
    "router_rss_mb": ("<=", 100.0),
    "inserts_per_s": (">=", 1500.0),
    "selects_per_s": (">=", 5000.0),
}


async def load(dsn: str, kind: str, seconds: float) -> dict[str, Any]:
    """Run one client process; raises RuntimeError with what it printed if it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        dsn,
        kind,
        str(CONNECTIONS),
        str(seconds),
        str(ROWS),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(err.decode(errors="replace"))
    result: dict[str, Any] = json.loads(out)
    return result


async def fill(dsn: str) -> None:
    connections = [await asyncpg.connect(dsn) for _ in range(CONNECTIONS)]
    await connections[0].execute("CREATE TABLE bench (id bigint PRIMARY KEY, val text NOT NULL)")

    async def some(index: int) -> None:
        statement = await connections[index].prepare("INSERT INTO bench (id, val) VALUES ($1, $2)")
        for key in range(index, ROWS, CONNECTIONS):
            await statement.fetch(key, "v" * 96)

    await asyncio.gather(*(some(i) for i in range(CONNECTIONS)))
    for connection in connections:
        connection.terminate()


async def measure(directory: Path, seconds: float, runs: int) -> dict[str, Any]:
    port = free_ports(1)[0]
    begin = time.perf_counter()
    up = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shardrouter.cli", "up", str(directory), "--port", str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert up.stdout is not None
    assert up.stderr is not None
    try:
        if not (await up.stdout.readline()).startswith(b"ready: "):
            raise RuntimeError((await up.stderr.read()).decode(errors="replace"))
        ready_s = time.perf_counter() - begin
        click.echo(f"ready after {ready_s:.1f} s", err=True)
        # Without TLS: what is measured is the database, and clients of a bench are local.
        dsn = (directory / "dsn").read_text().strip() + "?sslmode=disable"
        config = parse_cluster((directory / "cluster.toml").read_text())
        pids = {n: s.pid for n, s in (await node_statuses(config, timeout=5)).items() if s}
        everyone = {**pids, "router": up.pid}

        async def cpu_over(work: Any) -> tuple[Any, dict[str, float]]:
            before = {name: cpu_seconds(pid) for name, pid in everyone.items()}
            result = await work
            return result, {n: cpu_seconds(p) - before[n] for n, p in everyone.items()}

        _, rest = await cpu_over(asyncio.sleep(REST_S))
        at_rest = {
            name: {
                "rss_mb": round(rss_mb(pid), 1),
                "cpu_percent": round(rest[name] / REST_S * 100, 2),
            }
            for name, pid in everyone.items()
        }
        click.echo(f"at rest: {at_rest}", err=True)
        await fill(dsn)
        figures: dict[str, list[dict[str, Any]]] = {"insert": [], "select": []}
        for _ in range(runs):
            for kind, results in figures.items():
                result, cpu = await cpu_over(load(dsn, kind, seconds))
                # The servers' CPU includes the warm-up second; so does this count.
                operations = result["per_second"] * (seconds + 1)
                result["server_cpu_us_per_operation"] = {
                    name: round(used / operations * 1e6, 1) for name, used in cpu.items()
                }
                results.append(result)
                click.echo(f"{kind}: {result}", err=True)
        loaded = {name: round(rss_mb(pid), 1) for name, pid in everyone.items()}
        return {
            "ready_s": round(ready_s, 2),
            "at_rest": at_rest,
            "rss_mb_after_load": loaded,
            "insert": figures["insert"],
            "select": figures["select"],
        }
    finally:
        up.terminate()
        await up.communicate()


def summary(result: dict[str, Any]) -> dict[str, float]:
    """The figures that have a target."""
    nodes = [v for name, v in result["at_rest"].items() if name != "router"]
    return {
        "ready_s": result["ready_s"],
        "node_rss_mb": max(v["rss_mb"] for v in nodes),
        "node_cpu_percent": max(v["cpu_percent"] for v in nodes),
        "router_rss_mb": result["at_rest"]["router"]["rss_mb"],
        "inserts_per_s": statistics.median(r["per_second"] for r in result["insert"]),
        "selects_per_s": statistics.median(r["per_second"] for r in result["select"]),
    }


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="Length of one run.")
@click.option("--runs", default=3, show_default=True, help="Runs of each load; the median counts.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bench/results"),
    show_default=True,
    help="Where the JSON goes.",
)
def main(seconds: float, runs: int, out: Path) -> None:
    """Measure a local cluster: start, rest, autocommit inserts, linearizable point selects."""
    from rich.console import Console
    from rich.table import Table

    with tempfile.TemporaryDirectory(prefix="shardrouter-bench-") as directory:
        result = asyncio.run(measure(Path(directory) / "cluster", seconds, runs))
    result = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "connections": CONNECTIONS,
        "seconds": seconds,
        "figures": summary(result),
        **result,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"cluster-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    table = Table(title=f"commit {result['commit']}, {result['machine']}")
    for title in ("figure", "measured", "target", ""):
        table.add_column(title)
    for name, value in result["figures"].items():
        sign, target = TARGETS[name]
        met = value <= target if sign == "<=" else value >= target
        table.add_row(name, f"{value:g}", f"{sign} {target:g}", "met" if met else "missed")
    Console().print(table)
    click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
