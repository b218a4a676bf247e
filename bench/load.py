"""A closed-loop load from its own process: N asyncpg connections, each one statement in flight.

    python -m bench.load DSN insert|select CONNECTIONS SECONDS ROWS

Prints one JSON object: operations per second, latency percentiles in milliseconds, and the
CPU seconds of this client.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import asyncpg

WARM_UP_S = 1.0

SQL = {
    "insert": "INSERT INTO bench (id, val) VALUES ($1, $2)",
    "select": "SELECT val FROM bench WHERE id = $1",
}


async def worker(
    connection: asyncpg.Connection[Any], kind: str, first: int, step: int, rows: int, until: float
) -> list[tuple[float, float]]:
    """(end time, seconds) of each operation."""
    statement = await connection.prepare(SQL[kind])
    rng = random.Random(first)
    done: list[tuple[float, float]] = []
    key = first
    while (start := time.perf_counter()) < until:
        if kind == "insert":
            await statement.fetch(key, "v" * 96)
            key += step
        else:
            await statement.fetch(rng.randrange(rows))
        end = time.perf_counter()
        done.append((end, end - start))
    return done


async def main(dsn: str, kind: str, connections: int, seconds: float, rows: int) -> dict[str, Any]:
    pool = [await asyncpg.connect(dsn) for _ in range(connections)]
    begin = time.perf_counter()
    until = begin + WARM_UP_S + seconds
    base = rows + random.SystemRandom().randrange(1, 1_000_000) * 1_000_000
    cpu = time.process_time()
    results = await asyncio.gather(
        *(
            worker(c, kind, base + i if kind == "insert" else i, connections, rows, until)
            for i, c in enumerate(pool)
        )
    )
    cpu = time.process_time() - cpu
    for connection in pool:
        connection.terminate()
    every = [pair for result in results for pair in result]
    counted = sorted(took for end, took in every if end > begin + WARM_UP_S)
    return {
        "operations": len(counted),
        "per_second": round(len(counted) / seconds),
        "p50_ms": round(counted[len(counted) // 2] * 1e3, 2),
        "p99_ms": round(counted[int(len(counted) * 0.99)] * 1e3, 2),
        "client_cpu_us_per_operation": round(cpu / len(every) * 1e6, 1),
    }


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    arguments = sys.argv[1:]
    print(
        json.dumps(
            run(
                main(
                    arguments[0],
                    arguments[1],
                    int(arguments[2]),
                    float(arguments[3]),
                    int(arguments[4]),
                )
            )
        )
    )
