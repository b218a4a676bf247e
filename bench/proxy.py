"""What a message pays for passing a proxy of the harness: round trips, direct and proxied in turns.

    python bench/proxy.py [--quick]

An echo server in a process of its own; the client and the proxies share one event loop, as in a
run of the harness. Messages leave at fixed times, 1 000 in a second, alternately over both
connections, so whatever else the machine does meets both alike. A round trip passes the proxy
twice; a hop is half of what it adds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import click

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import commit, machine  # noqa: E402 - a script is run by its path
from jepsen_like.backends.proxy import Mesh  # noqa: E402
from jepsen_like.runner import run_async  # noqa: E402

RATE: Final = 1000
MESSAGE: Final = b"x" * 100

TARGET_US: Final = 60.0
"""Of the median, per hop."""

SERVER: Final = """
import asyncio, sys
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


class Echoed(asyncio.Protocol):
    """One connection; a round trip is over when as many bytes are back as were sent."""

    def __init__(self, messages: int) -> None:
        self.seconds: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._messages = messages
        self._sent_s: list[float] = []
        self._bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        self._sent_s.append(time.perf_counter())
        self.transport.write(MESSAGE)

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        self._bytes += len(data)
        while len(self.seconds) < self._bytes // len(MESSAGE):
            self.seconds.append(now_s - self._sent_s[len(self.seconds)])
        if len(self.seconds) == self._messages:
            self.done.set_result(None)


async def measure(messages: int) -> dict[str, list[float]]:
    """Round trips in seconds, by connection, in the order in which they were sent."""
    loop = asyncio.get_running_loop()
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", SERVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    mesh = Mesh(("client", "server"))
    try:
        endpoint = ("127.0.0.1", int(await server.stdout.readline()))
        proxied_at = (await mesh.expose("server", "echo", endpoint))["client"]
        _, direct = await loop.create_connection(lambda: Echoed(messages // 2), *endpoint)
        _, proxied = await loop.create_connection(lambda: Echoed(messages // 2), *proxied_at)
        began_s = time.perf_counter()
        for number in range(messages):
            await asyncio.sleep(began_s + number / RATE - time.perf_counter())
            (direct, proxied)[number % 2].send()
        await asyncio.gather(direct.done, proxied.done)
        direct.transport.close()
        proxied.transport.close()
        return {"direct": direct.seconds, "proxied": proxied.seconds}
    finally:
        await mesh.close()
        server.stdin.close()
        await server.wait()


def figures(found: dict[str, list[float]]) -> dict[str, Any]:
    """Microseconds."""
    direct, proxied = ([one * 1e6 for one in found[way]] for way in ("direct", "proxied"))
    return {
        "messages": len(direct) + len(proxied),
        "direct_p50_us": round(statistics.median(direct), 1),
        "proxied_p50_us": round(statistics.median(proxied), 1),
        "hop_p50_us": round((statistics.median(proxied) - statistics.median(direct)) / 2, 1),
        "direct_p99_us": round(statistics.quantiles(direct, n=100)[98], 1),
        "proxied_p99_us": round(statistics.quantiles(proxied, n=100)[98], 1),
    }


@click.command()
@click.option("--quick", is_flag=True, help="Two seconds for ten, one run for five.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=ROOT / "bench" / "results",
    help="Where the JSON goes.",
)
def main(quick: bool, out: Path) -> None:
    """Measure what the proxy adds to a message at 1 000 messages a second."""
    seconds, rounds = (2, 1) if quick else (10, 5)
    results = []
    for number in range(rounds):
        result = figures(run_async(measure(seconds * RATE)))
        results.append(result)
        click.echo(
            f"round {number + 1}: direct {result['direct_p50_us']:g} us (99%: "
            f"{result['direct_p99_us']:g}), proxied {result['proxied_p50_us']:g} us (99%: "
            f"{result['proxied_p99_us']:g}); a hop adds {result['hop_p50_us']:g} us in the median"
        )
    hop_us = statistics.median(result["hop_p50_us"] for result in results)
    verdict = "met" if hop_us <= TARGET_US else "missed"
    click.echo(
        f"the proxy adds {hop_us:g} us per hop in the median of {rounds} rounds, at {RATE} "
        f"messages/s; target <= {TARGET_US:g} us: {verdict} (load {machine()['load']})"
    )
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "rate": RATE,
        "hop_p50_us": hop_us,
        "target_us": TARGET_US,
        "rounds": results,
    }
    path = out / f"proxy-{content['commit']}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
