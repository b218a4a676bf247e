"""One bulk operation from its own process, over asyncpg.

    python -m bench.bulk_client DSN copy-in|copy-out|select ROWS home|-

copy-in makes table pgbench_accounts anew, on the home shard if it is said so; the others read it
whole. Prints `measuring` before the operation, `measured` after it, then one JSON object, of which
an operation is a row.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

from bench.machine import own_cpu_s

TABLE: Final = (
    "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler text){}"
)
PIECE_ROWS: Final = 1_000


async def accounts(rows: int) -> AsyncIterator[bytes]:
    """As pgbench writes them."""
    for start in range(1, rows + 1, PIECE_ROWS):
        numbers = range(start, min(start + PIECE_ROWS, rows + 1))
        yield b"".join(b"%d\t%d\t0\t\n" % (n, (n - 1) // 100_000 + 1) for n in numbers)


async def copy_in(connection: asyncpg.Connection[Any], rows: int) -> int:
    said = await connection.copy_to_table("pgbench_accounts", source=accounts(rows))
    return int(said.split()[-1])


async def copy_out(connection: asyncpg.Connection[Any], _rows: int) -> int:
    lines = 0

    async def count(data: bytes) -> None:
        nonlocal lines
        lines += data.count(b"\n")

    await connection.copy_from_table("pgbench_accounts", output=count)
    return lines


async def select(connection: asyncpg.Connection[Any], _rows: int) -> int:
    return len(await connection.fetch("SELECT * FROM pgbench_accounts"))


KINDS: Final = {"copy-in": copy_in, "copy-out": copy_out, "select": select}


async def main(dsn: str, kind: str, rows: int, *, home: bool) -> dict[str, float]:
    connection = await asyncpg.connect(dsn, timeout=60)
    if kind == "copy-in":
        await connection.execute("DROP TABLE IF EXISTS pgbench_accounts")
        await connection.execute(TABLE.format(" WITH (home = true)" if home else ""))
    print("measuring", flush=True)
    began, cpu_before = time.perf_counter(), own_cpu_s()
    found = await KINDS[kind](connection, rows)
    length, cpu_after = time.perf_counter() - began, own_cpu_s()
    print("measured", flush=True)
    if found != rows:
        raise RuntimeError(f"{found} rows of {rows}")
    await connection.close()
    return {
        "operations": rows,
        "per_second": rows / length,
        "seconds": length,
        "client_cpu_s": cpu_after[0] - cpu_before[0],
        "client_system_s": cpu_after[1] - cpu_before[1],
    }


if __name__ == "__main__":
    where, what, count, placement = sys.argv[1:]
    print(json.dumps(asyncio.run(main(where, what, int(count), home=placement == "home"))))
