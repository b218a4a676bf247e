"""The clients of `bench.overload`: raw bytes over many connections, closed or open loop.

    python -m bench.overload_clients PORT CONNECTIONS ROWS    and a JSON object per line on stdin:
    {"seconds": 10, "rate": 0}

Rate 0 is a closed loop of as many connections as `active` says: what the system can do. It begins
when nobody waits for an answer any more. Otherwise statements arrive by chance at that rate,
whatever became of those before; one that finds no idle connection is lost, and counted. A latency
counts from the arrival, and all of a statement counts for the tenth of a second in which it
arrived, or was answered. Bytes are made beforehand, so that a client costs little beside what it
loads. Each phase is answered with a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, cast

from shardrouter.pgwire import messages as m

SQL = {
    "select": "SELECT val FROM bench WHERE id = $1",
    "update": "UPDATE bench SET val = $2 WHERE id = $1",
}
PACE_S = 0.001
REFUSED = b"C53300\0"
READY = b"Z\0\0\0\x05I"
BUCKET_S = 0.1


class Connection(asyncio.Protocol):
    """One at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._said = b""
        self.arrived: float | None = None  # of what it waits for
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        parameters = (("user", "bench"), ("database", "shardrouter"))
        parses = [m.encode(m.Parse(kind, sql, ())) for kind, sql in SQL.items()]
        startup = m.encode(m.StartupMessage(3, 0, parameters))
        self.transport.write(startup + b"".join(parses) + m.encode(m.Sync()))

    def data_received(self, data: bytes) -> None:
        self._said += data
        if not self.ready.done():
            if self._said.count(READY) == 2:  # the greeting, and the statements
                self._said = b""
                self.ready.set_result(None)
        elif self._said.endswith(READY):
            said, self._said = self._said, b""
            arrived, self.arrived = self.arrived, None
            assert arrived is not None
            self._load.ended(self, arrived, said)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._load.is_over:
            raise RuntimeError(f"a connection was lost: {exc}")


class Load:
    """All connections, and what they are to do."""

    def __init__(self, rows: int) -> None:
        self.is_over = False
        self._rng = random.Random(7)
        value = b"v" * 96
        self._messages = [
            m.encode(m.Bind("", kind, (1,), (struct.pack(">q", row), *more), (1,)))
            + m.encode(m.Execute("", 0))
            + m.encode(m.Sync())
            for row in range(rows)
            for kind, more in (("select", ()), ("update", (value,)))
        ]
        self.idle: deque[Connection] = deque()
        self._connections = 0
        self._all_idle = asyncio.Event()
        self._closed_until = 0.0
        self._done: list[tuple[float, float]] = []  # when it ended, what it took
        self._refused: list[float] = []
        self._failed: list[tuple[float, str]] = []
        self._arrived: list[float] = []

    def add(self, connection: Connection) -> None:
        self._connections += 1
        self._rests(connection)

    def _rests(self, connection: Connection) -> None:
        self.idle.append(connection)
        if len(self.idle) == self._connections:
            self._all_idle.set()

    def begin(self, arrived: float) -> None:
        connection = self.idle.popleft()
        self._all_idle.clear()
        connection.arrived = arrived
        connection.transport.write(self._rng.choice(self._messages))

    def ended(self, connection: Connection, arrived: float, said: bytes) -> None:
        now = time.perf_counter()
        if REFUSED in said:
            self._refused.append(now)
        elif said[:1] == b"E" or b"SERROR" in said:
            code = said[said.index(b"\0C") + 2 :][:5].decode()
            self._failed.append((now, code))
        else:
            self._done.append((now, now - arrived))
        self._rests(connection)
        if now < self._closed_until:
            self.begin(now)

    async def phase(self, seconds: float, rate: float, active: int) -> dict[str, Any]:
        if not rate:
            await self._all_idle.wait()
        began = time.perf_counter()
        until = began + seconds
        cpu = time.process_time()
        self._done, self._refused, self._failed, self._arrived = [], [], [], []
        without = 0
        if not rate:
            self._closed_until = until
            for _ in range(active):
                self.begin(time.perf_counter())
            await asyncio.sleep(seconds)
        else:
            due = began
            while (now := time.perf_counter()) < until:
                while due <= now:
                    if self.idle:
                        self.begin(due)
                    else:
                        without += 1
                    self._arrived.append(due)
                    due += self._rng.expovariate(rate)
                await asyncio.sleep(PACE_S)
        cpu = time.process_time() - cpu
        await asyncio.sleep(1.5 if not rate else 0.2)
        return self._figures(began, seconds, without, cpu)

    def _figures(self, began: float, seconds: float, left: int, cpu: float) -> dict[str, Any]:
        took = sorted(latency for _, latency in self._done)
        count = max(1, round(seconds / BUCKET_S))
        buckets: list[list[float]] = [[] for _ in range(count)]
        for at, latency in self._done:
            place = int((at - began) / BUCKET_S)
            if place < count:
                buckets[place].append(latency)

        def of_each_tenth(moments: Iterable[float]) -> list[int]:
            found = [0] * count
            for at in moments:
                place = int((at - began) / BUCKET_S)
                if place < count:
                    found[place] += 1
            return found

        return {
            "per_second": round(len([0 for at, _ in self._done if at < began + seconds]) / seconds),
            "p50_ms": _percentile(took, 0.5),
            "p99_ms": _percentile(took, 0.99),
            "arrivals": len(self._arrived),
            "refused": len(self._refused),
            "failed": dict(Counter(code for _, code in self._failed)),
            "without_connection": left,
            "client_cpu_share": round(cpu / seconds, 2),
            "p99_ms_of_each_tenth": [_percentile(sorted(bucket), 0.99) for bucket in buckets],
            "arrived_of_each_tenth": of_each_tenth(self._arrived),
            "answered_of_each_tenth": [len(bucket) for bucket in buckets],
            "refused_of_each_tenth": of_each_tenth(self._refused),
            "failed_of_each_tenth": of_each_tenth(at for at, _ in self._failed),
        }


def _percentile(took: list[float], share: float) -> float:
    return round(took[int(len(took) * share)] * 1e3, 2) if took else 0.0


async def main(port: int, connections: int, rows: int) -> None:
    loop = asyncio.get_running_loop()
    load = Load(rows)
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
        await connection.ready
        load.add(connection)
    print(json.dumps("ready"), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        figures = await load.phase(asked["seconds"], asked["rate"], asked.get("active", 0))
        print(json.dumps(figures), flush=True)
    load.is_over = True


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    run(main(*(int(argument) for argument in sys.argv[1:4])))
