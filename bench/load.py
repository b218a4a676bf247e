"""A closed-loop load from its own process: N asyncpg connections, each one statement in flight.

    python -m bench.load DSN OPERATION CONNECTIONS SECONDS ROWS [WARM_UP_SECONDS]

OPERATION is connect (a connection for one statement), insert, select, select:LEVEL (a level of
consistency of this database), or one of ycsb-a, ycsb-b and ycsb-c (reads and updates of keys, of
which some are much more wanted than others); all of table `bench`, whose ids 0 to ROWS - 1 are
there. Prints `measuring` when the warm-up is over, `measured` when the time is, then one JSON
object: operations per second, latencies in milliseconds, and the CPU of this client.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import accumulate
from typing import Any, Final, TypeAlias

import asyncpg

from bench.machine import own_cpu_s

__all__ = ["SQL", "TABLE", "VALUE"]

WARM_UP_S = 1.0
ZIPFIAN: Final = 0.99
"""The constant of YCSB."""

UPDATES: Final = {"ycsb-a": 0.5, "ycsb-b": 0.05, "ycsb-c": 0.0}
"""Share of the operations; the others read."""

VALUE: Final = "v" * 96
TABLE: Final = "CREATE TABLE bench (id bigint PRIMARY KEY, val text NOT NULL)"
SQL: Final = {
    "insert": "INSERT INTO bench (id, val) VALUES ($1, $2)",
    "select": "SELECT val FROM bench WHERE id = $1",
    "update": "UPDATE bench SET val = $2 WHERE id = $1",
}

Connection: TypeAlias = "asyncpg.Connection[Any]"
Operation = Callable[[], Awaitable[object]]


async def inserting(connection: Connection, number: int, step: int, base: int) -> Operation:
    fetch = (await connection.prepare(SQL["insert"])).fetch
    keys = iter(range(base + number, 2**62, step))
    return lambda: fetch(next(keys), VALUE)


async def selecting(connection: Connection, number: int, rows: int, level: str) -> Operation:
    if level:
        await connection.execute(f"SET shardrouter.consistency = {level}")
    fetch = (await connection.prepare(SQL["select"])).fetch
    draw = random.Random(number).randrange
    return lambda: fetch(draw(rows))


async def mixing(connection: Connection, number: int, rows: int, updates: float) -> Operation:
    read = (await connection.prepare(SQL["select"])).fetch
    write = (await connection.prepare(SQL["update"])).fetch
    rng = random.Random(number)
    keys = list(range(rows))
    random.Random(0).shuffle(keys)  # the wanted ones are anywhere
    weights = list(accumulate(1 / (rank + 1) ** ZIPFIAN for rank in range(rows)))

    def one() -> Awaitable[object]:
        [key] = rng.choices(keys, cum_weights=weights)
        return write(key, VALUE) if rng.random() < updates else read(key)

    return one


async def connecting(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT 1")
    await connection.close()


async def operations(operation: str, pool: list[Connection], rows: int) -> list[Operation]:
    """One for each connection."""
    kind, _, level = operation.partition(":")
    base = rows + random.SystemRandom().randrange(1, 1_000_000) * 1_000_000
    found: list[Operation] = []
    for number, connection in enumerate(pool):
        if kind == "insert":
            found.append(await inserting(connection, number, len(pool), base))
        elif kind == "select":
            found.append(await selecting(connection, number, rows, level))
        else:
            found.append(await mixing(connection, number, rows, UPDATES[kind]))
    return found


async def main(
    dsn: str,
    operation: str,
    connections: int,
    seconds: float,
    rows: int,
    warm_up_s: float = WARM_UP_S,
) -> dict[str, Any]:
    pool = [await asyncpg.connect(dsn) for _ in range(connections)]
    if operation == "connect":
        ways: list[Operation] = [partial(connecting, dsn)] * connections
    else:
        ways = await operations(operation, pool, rows)
    now = time.perf_counter
    took: list[float] = []
    running = True

    async def loop(one: Operation) -> None:
        while running:
            began = now()
            await one()
            took.append(now() - began)

    work = asyncio.gather(*map(loop, ways))
    await asyncio.wait([work], timeout=warm_up_s)
    took.clear()
    print("measuring", flush=True)
    begin, cpu_before = now(), own_cpu_s()
    await asyncio.wait([work], timeout=seconds)
    length, cpu_after = now() - begin, own_cpu_s()
    print("measured", flush=True)  # connections are open still: what they cost is there to see
    measured = sorted(took)
    running = False
    await work  # raises what a statement raised
    for connection in pool:
        connection.terminate()
    count = len(measured)
    return {
        "operations": count,
        "per_second": round(count / length),
        "p50_ms": round(measured[count // 2] * 1e3, 3),
        "p99_ms": round(measured[int(count * 0.99)] * 1e3, 3),
        "client_cpu_s": cpu_after[0] - cpu_before[0],
        "client_system_s": cpu_after[1] - cpu_before[1],
    }


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    where, what, clients, length, keys, *warm_up = sys.argv[1:]
    print(
        json.dumps(
            run(main(where, what, int(clients), float(length), int(keys), *map(float, warm_up)))
        )
    )
