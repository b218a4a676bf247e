"""How fast a large COPY goes in, a large result comes out, and what the router holds meanwhile.

    python -m bench.bulk                        `make bench-bulk`
    python -m bench.bulk --rows 100000
    python -m bench.bulk --postgresql DSN       the same statements on a server that runs already

One cluster as `shardrouter up` makes it (3 nodes, 3 replicas of all, one router) and a client in
this process: pgbench_accounts as `pgbench -i` fills it, in text, into a table with its primary
key in place; then the whole table by a simple query, read as it comes and counted. The router's
memory is looked at ten times a second. Everything is durable on three replicas when COPY answers.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import click

from bench.machine import commit, cpu_seconds, machine, rss_mb
from nodes.cluster_file import load_cluster
from nodes.local_cluster import free_ports
from shardrouter.router import node_statuses

ROWS = 1_000_000
TARGETS = {"rows_in_per_s": 25_000, "router_mb_out": 150}
TABLE = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler text){}"
PIECE_ROWS = 1_000


class Memory:
    """The most that a process had, as far as was looked."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self.most_mb = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Memory:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _look(self) -> None:
        while self._pid is not None:
            self.most_mb = max(self.most_mb, rss_mb(self._pid))
            await asyncio.sleep(0.1)


async def accounts(rows: int) -> AsyncIterator[bytes]:
    """As pgbench writes them."""
    for start in range(1, rows + 1, PIECE_ROWS):
        numbers = range(start, min(start + PIECE_ROWS, rows + 1))
        yield b"".join(b"%d\t%d\t0\t\n" % (n, (n - 1) // 100_000 + 1) for n in numbers)


async def measure(
    dsn: str, rows: int, *, home: bool, router: int | None, pids: dict[str, int]
) -> dict[str, Any]:
    """COPY in, COPY out, SELECT."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE IF EXISTS pgbench_accounts")
    await connection.execute(TABLE.format(" WITH (home = true)" if home else ""))
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    result: dict[str, Any] = {"rows": rows}
    async with Memory(router) as memory:
        began = time.perf_counter()
        await connection.copy_to_table("pgbench_accounts", source=accounts(rows))
        seconds = time.perf_counter() - began
    result["rows_in_per_s"] = round(rows / seconds)
    result["router_mb_in"] = round(memory.most_mb, 1)
    result["cpu_us_per_row_in"] = {
        name: round((cpu_seconds(pid) - before[name]) / rows * 1e6, 1) for name, pid in pids.items()
    }
    async with Memory(router) as memory:
        began = time.perf_counter()
        size = 0

        async def count(data: bytes) -> None:
            nonlocal size
            size += len(data)

        await connection.copy_from_table("pgbench_accounts", output=count)
        seconds = time.perf_counter() - began
    result["rows_copied_out_per_s"] = round(rows / seconds)
    result["router_mb_copied_out"] = round(memory.most_mb, 1)
    async with Memory(router) as memory:
        began = time.perf_counter()
        found = len(await connection.fetch("SELECT * FROM pgbench_accounts"))
        seconds = time.perf_counter() - began
    if found != rows:
        raise RuntimeError(f"{found} rows came back of {rows}")
    result["rows_selected_per_s"] = round(rows / seconds)
    result["router_mb_out"] = round(memory.most_mb, 1)
    await connection.execute("DROP TABLE pgbench_accounts")
    await connection.close()
    return result


async def measure_here(directory: Path, rows: int) -> dict[str, Any]:
    """On a cluster of its own."""
    port = free_ports(1)[0]
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
        dsn = (directory / "dsn").read_text().strip() + "?sslmode=disable"
        config = load_cluster(directory / "cluster.toml")
        pids = {n: s.pid for n, s in (await node_statuses(config, timeout=5)).items() if s}
        pids["router"] = up.pid
        return await measure(dsn, rows, home=True, router=up.pid, pids=pids)
    finally:
        up.terminate()
        await up.communicate()


@click.command()
@click.option("--rows", default=ROWS, show_default=True)
@click.option("--postgresql", default="", help="DSN of a server to measure as well.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bench/results"),
    show_default=True,
    help="Where the JSON goes.",
)
def main(rows: int, postgresql: str, out: Path) -> None:
    """Measure COPY in, COPY out and a large SELECT."""
    with tempfile.TemporaryDirectory(prefix="shardrouter-bench-") as directory:
        here = asyncio.run(measure_here(Path(directory) / "cluster", rows))
    result: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "shardrouter": here,
    }
    if postgresql:
        result["postgresql"] = asyncio.run(
            measure(postgresql, rows, home=False, router=None, pids={})
        )
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"bulk-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(result, indent=2))
    met = here["rows_in_per_s"] >= TARGETS["rows_in_per_s"]
    click.echo(f"COPY in: {'met' if met else 'missed'} (target {TARGETS['rows_in_per_s']} rows/s)")
    met = here["router_mb_out"] <= TARGETS["router_mb_out"]
    click.echo(f"router: {'met' if met else 'missed'} (target {TARGETS['router_mb_out']} MB)")
    click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
