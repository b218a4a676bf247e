"""What a shard without a quorum does to the others: the latency of their statements, before and
while it has none.

    python -m bench.lost_shard            [--rounds 6] [--seconds 4]

Five node processes: shard-1, and the catalog, on three of them, shard-2 on the other two, of which
one is stopped (SIGSTOP) and goes on, in turns. The router has a process of its own; clients come
over the wire. Statements for either shard arrive by chance at a rate of their own, on connections
of their own, whatever became of those before. Those of shard-2 wait while it is lost, as many as
its connections are. The latencies of shard-1 are compared in turns, so that whatever else the
machine does meets both.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import struct
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Final, cast

import click

from bench.machine import commit, cpu_seconds, machine
from bench.overload import child, said
from nodes.config import format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from shardrouter.pgwire import messages as m
from shardrouter.router import Router

__all__ = ["TARGET", "measure"]

TARGET: Final = 1.2
"""Times the p99 of before, at most."""

ROWS: Final = 200
CONNECTIONS: Final = 300
"""For each shard: those of the lost one are more than a router lets in at first."""

RATE: Final = 200.0
"""Statements a second for each shard."""

SETTLE_S: Final = 1.0
"""After a stop, or its end, that is not counted as the state that follows; the first is shown."""

_READY: Final = b"Z\0\0\0\x05I"
_SELECT: Final = "SELECT val FROM bench WHERE id = $1"
_UPDATE: Final = "UPDATE bench SET val = 'w' WHERE id = $1"


class Connection(asyncio.Protocol):
    """One statement at a time, of one shard."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._heard = b""
        self._arrived: float | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        startup = m.StartupMessage(
            3, 0, (("user", "bench"), ("database", "shardrouter"), ("statement_timeout", "60s"))
        )
        parses = (m.Parse("select", _SELECT, ()), m.Parse("update", _UPDATE, ()))
        said = (startup, *parses, m.Sync())
        self.transport.write(b"".join([m.encode(message) for message in said]))

    def say(self, data: bytes, arrived: float) -> None:
        self._arrived = arrived
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if self._arrived is not None and self._heard.endswith(_READY):
            heard, self._heard = self._heard, b""
            arrived, self._arrived = self._arrived, None
            self._load.ended(self, arrived, heard)
        elif self._arrived is None and self._heard.count(_READY) == 2:
            self._heard = b""
            self.ready.set_result(None)


class Load:
    """Of one shard."""

    def __init__(self, keys: list[int], seed: int) -> None:
        self._rng = random.Random(seed)
        self._said = [
            m.encode(m.Bind("", kind, (1,), (struct.pack(">q", key),), (1,)))
            + m.encode(m.Execute("", 0))
            + m.encode(m.Sync())
            for key in keys
            for kind in ("select", "update")
        ]
        self.idle: deque[Connection] = deque()
        self.without = 0
        """Statements that found no connection: all of them wait."""
        self.took: list[float] = []
        self.failed: dict[str, int] = {}
        """By SQLSTATE."""

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(
                lambda: Connection(self), "127.0.0.1", port
            )
            await connection.ready
            self.idle.append(connection)

    def ended(self, connection: Connection, arrived: float, heard: bytes) -> None:
        self.idle.append(connection)
        if b"SERROR" in heard:
            code = heard[heard.index(b"\0C") + 2 :][:5].decode()
            self.failed[code] = self.failed.get(code, 0) + 1
        else:
            self.took.append(time.perf_counter() - arrived)

    async def run(self) -> None:
        """Until it is cancelled."""
        due = time.perf_counter()
        while True:
            while due <= (now := time.perf_counter()):
                if self.idle:
                    self.idle.popleft().say(self._rng.choice(self._said), due)
                else:
                    self.without += 1
                due += self._rng.expovariate(RATE)
            await asyncio.sleep(max(0.0, due - now))


def _p99_ms(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)] * 1000 if took else float("inf")


async def _compare(
    cluster: LocalCluster,
    router: tuple[int, int],
    keys: dict[str, list[int]],
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """router: its pid, and its port."""
    pid, port = router
    healthy, other = Load(keys["shard-1"], 1), Load(keys["shard-2"], 2)
    for load in (healthy, other):
        await load.connect(port)
    running = [asyncio.ensure_future(load.run()) for load in (healthy, other)]

    async def phase(length: float) -> list[float]:
        healthy.took = []
        await asyncio.sleep(length)
        return healthy.took

    found: dict[str, list[float]] = {"before": [], "at_the_loss": [], "while": []}
    before = while_lost = 0
    busy = {"before": 0.0, "while": 0.0}

    async def measured(name: str) -> None:
        used = cpu_seconds(pid)
        found[name].append(_p99_ms(await phase(seconds)))
        busy[name] += (cpu_seconds(pid) - used) / seconds / rounds

    try:
        await phase(SETTLE_S)
        for _ in range(rounds):
            other.took = []
            await measured("before")
            before += len(other.took)
            cluster.node("n5").pause()
            found["at_the_loss"].append(_p99_ms(await phase(SETTLE_S)))
            other.took = []
            await measured("while")
            while_lost += len(other.took)
            cluster.node("n5").resume()
            await phase(SETTLE_S)
    finally:
        for task in running:
            task.cancel()
    medians = {f"p99_ms_{name}": round(statistics.median(of), 2) for name, of in found.items()}
    return medians | {
        "ratio": round(medians["p99_ms_while"] / medians["p99_ms_before"], 3),
        "router_cores": {name: round(cores, 3) for name, cores in busy.items()},
        "failed": healthy.failed,
        "answers_of_the_other_before": before,
        "answers_of_the_other_while": while_lost,
        "p99_ms_of_each_round": {name: [round(p99, 2) for p99 in of] for name, of in found.items()},
    }


async def measure(directory: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Medians over the rounds, in milliseconds, and their ratio."""
    *ports, router_port = free_ports(6)
    first = ["n1", "n2", "n3"]
    config = new_cluster_config(
        placement={"meta": first, "shard-1": first, "shard-2": ["n4", "n5"]},
        ports=ports,
        router_port=router_port,
    )
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    async with LocalCluster(config, directory) as cluster:
        await cluster.start()
        async with child("bench.overload", "--route", str(path)) as router:
            port = int(await said(router))
            keys: dict[str, list[int]] = {}
            async with Router.open(path) as db:
                for key in range(ROWS):
                    keys.setdefault((await db.where("bench", key)).shard, []).append(key)
            return await _compare(cluster, (router.pid, port), keys, rounds, seconds)


@click.command()
@click.option("--rounds", default=6, show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Of each state, in each round.")
@click.option("--quick", is_flag=True, help="One short round: does it run at all?")
@click.option("--out", type=click.Path(path_type=Path), default=None)
def main(rounds: int, seconds: float, quick: bool, out: Path | None) -> None:
    """Compare a shard's latencies before and while another has no quorum."""
    if quick:
        rounds, seconds = 1, 0.5
    with tempfile.TemporaryDirectory(prefix="bench-lost-shard-") as directory:
        found = asyncio.run(measure(Path(directory), rounds, seconds))
    for name, value in found.items():
        click.echo(f"{name:30} {value}")
    click.echo(f"target of the ratio: at most {TARGET}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "commit": commit(), "results": found}
        (out / "lost_shard.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
