"""How fast three copies agree: our nodes with either engine, pysyncobj as shipped, etcd.

    python bench/raft.py
    python bench/raft.py --quick     one short round, to see that it works

Three processes on loopback, one client in a process of its own, connected to the leader, with
64 or 256 commands in flight. The systems take turns, A B C D A B C D, each on a fresh directory,
so that whatever else the machine does hits all of them; the medians count. Ratios travel
further than the figures, and the client is part of both: its share of all CPU time is shown,
and a ratio in which it is over half is called client-bound.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

from bench.machine import commit, cpu_seconds, machine
from bench.raft_systems import ETCD_MISSING, SYSTEMS, Running, System

ROOT = Path(__file__).resolve().parents[1]
IN_FLIGHT = (64, 256)
CLIENT_BOUND = 0.5  # of all CPU time
TRIES = 3  # of one system in one round; on a busy machine a leader may lose its office


@dataclass(frozen=True)
class Target:
    """`system` is to be so many times as fast as `other`."""

    system: str
    other: str
    in_flight: int
    ratio: float


TARGETS = (
    Target("core", "etcd", 256, 4.0),
    Target("core", "etcd", 64, 2.5),
    Target("core", "stock", 256, 2.0),
    Target("pysyncobj", "stock", 256, 1.5),
    Target("core, bare", "etcd", 256, 4.0),
    Target("core, bare", "stock", 256, 2.0),
)


class RunFailed(Exception):
    """The client was refused something, and has said what."""


async def load(system: System, running: Running, in_flight: int, seconds: float) -> dict[str, Any]:
    """One run of the client; the CPU time of every process while it measured."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.raft_load", system.kind, running.leader),
        *(running.cluster_id, str(in_flight), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    if (await process.stdout.readline()).strip() != b"measuring":
        raise RunFailed(f"the client of {system.name} failed")
    before = [cpu_seconds(pid) for pid in running.pids]
    line = await process.stdout.readline()
    after = [cpu_seconds(pid) for pid in running.pids]
    if await process.wait() or not line:
        raise RunFailed(f"the client of {system.name} failed")
    result: dict[str, Any] = json.loads(line)
    used = [b - a for a, b in zip(before, after, strict=True)]
    operations = result["operations"]
    return result | {
        "in_flight": in_flight,
        "cpu_us_per_operation": {
            "leader": round(used[0] / operations * 1e6, 1),
            "follower": round(sum(used[1:]) / 2 / operations * 1e6, 1),
            "client": round(result["client_cpu_s"] / operations * 1e6, 1),
        },
        "client_share": round(result["client_cpu_s"] / (sum(used) + result["client_cpu_s"]), 2),
    }


async def measure(
    systems: Sequence[System], rounds: int, seconds: float, directory: Path
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """System -> in flight -> one result for each round."""
    results: dict[str, dict[int, list[dict[str, Any]]]] = {
        system.name: {n: [] for n in IN_FLIGHT} for system in systems
    }
    for number in range(rounds):
        for system in systems:
            for result in await one_round(system, seconds, directory, number):
                results[system.name][result["in_flight"]].append(result)
    return results


async def one_round(
    system: System, seconds: float, directory: Path, number: int
) -> list[dict[str, Any]]:
    """One result for each of IN_FLIGHT, from one start of the system. A start in which a leader
    lost its office is measured again."""
    for left in reversed(range(TRIES)):
        fresh = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=directory))
        try:
            async with system.started(fresh) as running:
                found = [await load(system, running, n, seconds) for n in IN_FLIGHT]
        except RunFailed as exc:
            if not left:
                raise
            click.echo(f"{exc}; once more", err=True)
        else:
            for result in found:
                click.echo(f"{system.name} {result['in_flight']}: {result}", err=True)
            return found
    raise AssertionError("the last try returns or raises")


def median(runs: Sequence[dict[str, Any]], figure: str) -> float:
    return float(statistics.median(run[figure] for run in runs))


def judged(results: dict[str, dict[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """The targets whose systems were measured."""
    found = []
    for target in TARGETS:
        if target.system not in results or target.other not in results:
            continue
        mine, other = (results[name][target.in_flight] for name in (target.system, target.other))
        ratio = median(mine, "per_second") / median(other, "per_second")
        shares = (median(mine, "client_share"), median(other, "client_share"))
        found.append(
            {
                "ratio": f"{target.system} / {target.other}",
                "in_flight": target.in_flight,
                "measured": round(ratio, 2),
                "target": target.ratio,
                "met": ratio >= target.ratio,
                "client_bound": max(shares) > CLIENT_BOUND,
            }
        )
    return found


def show(results: dict[str, dict[int, list[dict[str, Any]]]], ratios: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"writes to three copies, commit {commit()}, {machine()}")
    for title in ("system", "in flight", "writes/s (min-max)", "p50 ms", "p99 ms"):
        table.add_column(title)
    for title in ("CPU us/op leader", "follower", "client", "client's share"):
        table.add_column(title)
    for name, by_in_flight in results.items():
        for in_flight, runs in by_in_flight.items():
            speeds = sorted(run["per_second"] for run in runs)
            cpu = [run["cpu_us_per_operation"] for run in runs]
            table.add_row(
                *(name, str(in_flight)),
                f"{median(runs, 'per_second'):.0f} ({speeds[0]}-{speeds[-1]})",
                *(f"{median(runs, figure):g}" for figure in ("p50_ms", "p99_ms")),
                *(f"{median(cpu, process):.0f}" for process in ("leader", "follower", "client")),
                f"{median(runs, 'client_share'):.0%}",
            )
    for ratio in ratios:
        met = "met" if ratio["met"] else "missed"
        table.add_row(
            *(ratio["ratio"], str(ratio["in_flight"])),
            f"{ratio['measured']:g} times, target {ratio['target']:g}: {met}",
            "client-bound" if ratio["client_bound"] else "",
        )
    Console(width=140).print(table)
    for system in SYSTEMS:
        click.echo(f"{system.name}: {system.work}")


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="Length of one run.")
@click.option("--rounds", default=5, show_default=True, help="Rounds; the medians count.")
@click.option("--quick", is_flag=True, help="One round of half a second: does it work?")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(__file__).with_name("results"),
    help="Where the JSON goes.",
)
def main(seconds: float, rounds: int, quick: bool, out: Path) -> None:
    """Compare the consensus of our nodes with pysyncobj's and etcd's."""
    if quick:
        seconds, rounds = 0.5, 1
    systems = [system for system in SYSTEMS if system.is_installed]
    if len(systems) < len(SYSTEMS):
        click.echo(ETCD_MISSING, err=True)
    with tempfile.TemporaryDirectory(prefix="bench-raft-") as directory:
        results = asyncio.run(measure(systems, rounds, seconds, Path(directory)))
    ratios = judged(results)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"raft-{commit()}.json"
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "seconds": seconds,
        "ratios": ratios,
        "results": results,
        "work": {system.name: system.work for system in systems},
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    show(results, ratios)
    click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
