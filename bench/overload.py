"""What three times the capacity does to a router: goodput, latency of what is let in, recovery.

    python -m bench.overload            [--seconds 60] [--factor 3]

One cluster (3 nodes, 3 shards x 3 replicas), one router, clients in a process of their own
(`bench.overload_clients`) that send prepared SELECTs and UPDATEs of one row, half of each. First
what it can do, in a closed loop; then statements that arrive by chance, whatever became of those
before: at 80 % of that, at `factor` times it, and at 80 % again. Last what it can do now, in the
closed loop that was the best.

The clients pay for what they do on the same cores: their share is shown. What else a machine does
takes from all of them, and not from each phase alike, so beside the rates there is what a second of
CPU time brought (`answers_per_core_s`), with the clients' and without: the share of the peak's that
an overload has of these says what refusing costs, whatever the machine had to give.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from bench.machine import commit, cpu_seconds, machine
from nodes.config import format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from shardrouter.placement import place_replicas

ROWS: Final = 2000
CONNECTIONS: Final = 900
ACTIVE: Final = (32, 64, 128, 192)
"""Connections of the closed loop: the best of them is the peak. More may be refused."""

CALM: Final = 0.8
WINDOW: Final = 5
"""Tenths of a second in which the latencies of a recovery are looked at."""

RECOVERED: Final = 2.0
"""Times the p99 of before: what counts as recovered."""

ANSWERED: Final = 0.9
"""Of what arrives, in a time that counts as recovered."""

EVEN: Final = 0.9
"""Of the cores that the peak had: with fewer a ratio of rates says what else the machine did."""


async def serve_router(path: Path) -> None:
    """A router without passwords on a port of its own, until standard input ends."""
    from shardrouter.admission import REFUSE_ABOVE
    from shardrouter.pgserver import PgServer
    from shardrouter.router import Router

    async with Router.open(path, name="overload", refuse_above=REFUSE_ABOVE) as router:
        await router.execute("CREATE TABLE bench (id bigint PRIMARY KEY, val text)")
        values = ", ".join(f"({row}, 'v')" for row in range(ROWS))
        await router.execute(f"INSERT INTO bench (id, val) VALUES {values}")
        server = PgServer(router.new_session, host="127.0.0.1", port=0)
        address = await server.start()
        print(address.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await server.close(1.0)


@asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of this program, that ends with its standard input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the benchmark has ended")
    return json.loads(line)


def _cpu(pids: dict[str, list[int]]) -> dict[str, float]:
    return {name: sum(cpu_seconds(pid) for pid in each) for name, each in pids.items()}


async def measure(directory: Path, seconds: float, factor: float, calm_s: float) -> dict[str, Any]:
    names, groups = ("n1", "n2", "n3"), ("meta", "shard-1", "shard-2", "shard-3")
    *ports, router_port = free_ports(4)
    config = new_cluster_config(
        placement=place_replicas(dict.fromkeys(names, 1), groups, 3),
        ports=ports,
        router_port=router_port,
    )
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    async with LocalCluster(config, directory) as cluster:
        await cluster.start()
        async with child("bench.overload", "--route", str(path)) as router:
            port = str(await said(router))
            arguments = ("bench.overload_clients", port, str(CONNECTIONS), str(ROWS))
            async with child(*arguments) as clients:
                await said(clients)

                pids = {
                    "router": [router.pid],
                    "nodes": [cluster.node(name).pid for name in names],
                    "clients": [clients.pid],
                }

                async def phase(**asked: float) -> dict[str, Any]:
                    assert clients.stdin is not None
                    before, began = _cpu(pids), time.monotonic()
                    clients.stdin.write(json.dumps(asked).encode() + b"\n")
                    found: dict[str, Any] = await said(clients)
                    answers = found["per_second"] * asked["seconds"]
                    used = {name: after - before[name] for name, after in _cpu(pids).items()}
                    found["cpu_us_per_answer"] = {
                        name: round(spent / max(1, answers) * 1e6, 1)
                        for name, spent in used.items()
                    }
                    found["cores"] = round(sum(used.values()) / (time.monotonic() - began), 2)
                    found["answers_per_core_s"] = {
                        "in all": round(answers / max(0.01, sum(used.values()))),
                        "without clients": round(
                            answers / max(0.01, used["router"] + used["nodes"])
                        ),
                    }
                    return found

                loops = [await phase(seconds=calm_s, rate=0, active=active) for active in ACTIVE]
                peak = max(found["per_second"] for found in loops)
                best = max(range(len(loops)), key=lambda place: loops[place]["per_second"])
                return {
                    "closed": loops,
                    "peak": peak,
                    "best": best,
                    "calm": await phase(seconds=calm_s * 2, rate=CALM * peak),
                    "overload": await phase(seconds=seconds, rate=factor * peak),
                    "after": await phase(seconds=calm_s * 2, rate=CALM * peak),
                    "closed_again": await phase(seconds=calm_s, rate=0, active=ACTIVE[best]),
                }


def recovery_s(found: dict[str, Any]) -> float:
    """When it was as before again, to stay so for a while: nearly all that arrived was answered,
    each tenth of a second had answers, mostly as quick as before, and nothing was refused or
    failed. Infinite: never."""
    limit = RECOVERED * found["calm"]["p99_ms"]
    after = found["after"]
    p99, arrived, answered = (
        after[f"{name}_of_each_tenth"] for name in ("p99_ms", "arrived", "answered")
    )
    unserved = [
        refused + failed
        for refused, failed in zip(
            after["refused_of_each_tenth"], after["failed_of_each_tenth"], strict=True
        )
    ]
    for start in range(len(p99) - WINDOW + 1):
        window = slice(start, start + WINDOW)
        if (
            all(answered[window])
            and not any(unserved[window])
            and sum(answered[window]) >= ANSWERED * sum(arrived[window])
            and sorted(p99[window])[WINDOW // 2] <= limit
        ):
            return start / 10
    return float("inf")


def judged(found: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """What is asked of an overload, with what was found."""
    goodput = found["overload"]["per_second"] / found["peak"]
    slower = found["overload"]["p99_ms"] / max(0.01, found["calm"]["p99_ms"])
    back = recovery_s(found)
    best = found["closed"][found["best"]]["answers_per_core_s"]
    of_a_core = {
        whose: answers / max(1, best[whose])
        for whose, answers in found["overload"]["answers_per_core_s"].items()
    }
    return [
        ("goodput, of the peak", round(goodput, 3), ">= 0.8", goodput >= 0.8),
        *(
            (f"goodput of a second of CPU time {whose}, of the peak's", round(share, 3), *asked)
            for whose, share in of_a_core.items()
            for asked in [(">= 0.8", share >= 0.8)]
        ),
        ("p99 of what was let in, times that at 80 %", round(slower, 2), "<= 3", slower <= 3),
        ("recovery, s", back, "<= 2", back <= 2),
    ]


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="Of overload.")
@click.option("--factor", default=3.0, show_default=True, help="Times the capacity.")
@click.option("--quick", is_flag=True, help="A second of each: does it work?")
@click.option("--route", type=click.Path(path_type=Path), hidden=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(__file__).with_name("results"),
    help="Where the JSON goes.",
)
def main(seconds: float, factor: float, quick: bool, route: Path | None, out: Path) -> None:
    """Measure what a router does with more than it can do."""
    from rich.console import Console
    from rich.table import Table

    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    if route is not None:
        run(serve_router(route))
        return
    with tempfile.TemporaryDirectory(prefix="bench-overload-") as directory:
        calm_s = 1.0 if quick else 5.0
        found = run(measure(Path(directory), 1.0 if quick else seconds, factor, calm_s))
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "figures": judged(found),
        **found,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"overload-{commit()}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    table = Table(title=f"commit {commit()}, {machine()}")
    titles = "phase|answers/s|p50 ms|p99 ms|refused|failed|cores|CPU us of an answer"
    for title in titles.split("|"):
        table.add_column(title)
    phases = {f"closed loop of {n}": f for n, f in zip(ACTIVE, found["closed"], strict=True)}
    phases |= {
        f"{CALM:g} of the peak": found["calm"],
        f"{factor:g} of the peak": found["overload"],
        f"{CALM:g} again": found["after"],
        f"closed loop of {ACTIVE[found['best']]} again": found["closed_again"],
    }
    for name, each in phases.items():
        failed = sum(each["failed"].values())
        shares = " ".join(f"{who} {us:.0f}" for who, us in each["cpu_us_per_answer"].items())
        table.add_row(
            *(name, str(each["per_second"]), f"{each['p50_ms']:g}", f"{each['p99_ms']:g}"),
            *(str(each["refused"]), str(failed), f"{each['cores']:g}", shares),
        )
    console = Console(width=130)
    console.print(table)
    for name, value, target, is_met in judged(found):
        console.print(f"{name}: {value:g} ({target}: {'met' if is_met else 'missed'})")
    had, has = found["closed"][found["best"]]["cores"], found["overload"]["cores"]
    if has < EVEN * had:
        console.print(
            f"The machine gave the overload {has:g} cores and the peak {had:g}: "
            "rates, latencies and recovery say what else it did."
        )
    click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
