"""One run: a client in a process of its own loads one contestant, and what that cost is counted.

Costs are taken between the end of the client's warm-up and the end of its measurement, for all
processes of the contestant and for the client.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from bench.contestants import Started
from bench.costs import Costs, costs_of, memory_mb, spent
from bench.question import Setting
from tests.suites.postgres import find_programs

__all__ = ["Figures", "RunFailed", "fill", "pgbench", "pgbench_words", "python_client"]

Figures = dict[str, float]

_ROOT: Final = Path(__file__).parents[1]
_POLL_S: Final = 0.02
_START_S: Final = 60.0

PGBENCH_SPARE_S: Final = (3.0, 12.0, 40.0)
"""Beyond the warm-up and the run: what it may take to connect, tried in turn."""


class RunFailed(Exception):
    """The client has ended too early; the message is what it said."""


async def python_client(
    started: Started, setting: Setting, module: str, *arguments: str
) -> Figures:
    """`python -m MODULE ARGUMENTS`, which prints `measuring`, and then its figures."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=_ROOT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        if (await process.stdout.readline()).strip() != b"measuring":
            raise RunFailed((await process.stderr.read()).decode(errors="replace"))
        before = costs_of(started.roots)
        line = await process.stdout.readline()
        after = costs_of(started.roots)
        if not line:
            raise RunFailed((await process.stderr.read()).decode(errors="replace"))
    finally:
        if process.returncode is None and not process.stdout.at_eof():
            await process.communicate()
    found = json.loads(line)
    figures = {name: found[name] for name in ("per_second", "p50_ms", "p99_ms")}
    cost = spent(before, after)
    return figures | _costs(started, cost, found["operations"], found["client_cpu_s"])


def _costs(started: Started, cost: Costs, operations: int, client_cpu_s: float) -> Figures:
    """For each operation."""
    operations = max(operations, 1)
    all_s = sum(cost.cpu_s.values()) + client_cpu_s
    parts = {f"cpu_us {name}": s / operations * 1e6 for name, s in cost.cpu_s.items()}
    return {
        "cpu_us": all_s / operations * 1e6,
        **parts,
        "cpu_us client": client_cpu_s / operations * 1e6,
        "client_share": client_cpu_s / max(all_s, 1e-9),
        "disk_bytes": cost.disk_bytes / operations,
        "wire_bytes": cost.wire_bytes / operations,
        "memory_mb": sum(memory_mb(started.roots).values()),
    }


def pgbench_words(dsn: str) -> tuple[list[str], dict[str, str]]:
    """(words, environment) that lead pgbench to the server of a DSN."""
    url = urlsplit(dsn)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment = {**kept, "PGPASSWORD": unquote(url.password or ""), "PGSSLMODE": "disable"}
    where = ["-h", url.hostname or "", "-p", str(url.port), "-U", unquote(url.username or "")]
    return [str(find_programs() / "pgbench"), *where, url.path.lstrip("/")], environment


async def pgbench(
    started: Started, setting: Setting, clients: int, *words: str, script: str = ""
) -> Figures:
    """The compiled client. `words` choose its transaction, or `script` is one."""
    for spare_s in PGBENCH_SPARE_S:
        found = await _pgbench(started, setting, clients, words, script, spare_s)
        if found is not None:
            return found
    raise RunFailed(f"pgbench had not connected its {clients} clients after {spare_s} s")


async def _pgbench(
    started: Started,
    setting: Setting,
    clients: int,
    words: tuple[str, ...],
    script: str,
    spare_s: float,
) -> Figures | None:
    """None if its time was over before the run was: it counts from its start, and connects
    first."""
    program, environment = pgbench_words(started.address)
    with tempfile.TemporaryDirectory(dir=setting.directory) as scratch:
        if script:
            (Path(scratch) / "script.sql").write_text(script)
            words = (*words, "-f", f"{scratch}/script.sql")
        seconds = str(round(setting.warm_up_s + setting.run_s + spare_s))
        process = await asyncio.create_subprocess_exec(
            *program[:-1],
            *("-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2))),
            *("-T", seconds, "-l", "--log-prefix", f"{scratch}/log", *words, program[-1]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        roots = {**started.roots, "client": process.pid}
        said = asyncio.ensure_future(process.communicate())
        try:
            await _until_it_runs(Path(scratch), said)
            await asyncio.wait([said], timeout=setting.warm_up_s)
            begin, before = time.time(), costs_of(roots)
            await asyncio.wait([said], timeout=setting.run_s)
            end, after = time.time(), costs_of(roots)
            is_short = said.done()
        finally:
            out, _ = await said
        if process.returncode:
            raise RunFailed(out.decode(errors="replace"))
        took = sorted(_latencies_ms(Path(scratch), begin, end))
    if is_short or not took:
        return None
    cost = spent(before, after)
    client_s = cost.cpu_s.pop("client")
    figures = {
        "per_second": len(took) / (end - begin),
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[int(len(took) * 0.99)],
    }
    return figures | _costs(started, cost, len(took), client_s)


async def _until_it_runs(scratch: Path, said: asyncio.Future[tuple[bytes, bytes]]) -> None:
    """It has connected when the first buffer of its log is full."""
    until = time.monotonic() + _START_S
    while not said.done() and time.monotonic() < until:
        if _has_begun(scratch):
            return
        await asyncio.wait([said], timeout=_POLL_S)


def _has_begun(scratch: Path) -> bool:
    return any(path.stat().st_size for path in scratch.glob("log.*"))


def _latencies_ms(scratch: Path, begin: float, end: float) -> list[float]:
    """Of the transactions that ended within these seconds since 1970: see pgbench(1), --log."""
    found = []
    for path in scratch.glob("log.*"):
        for line in path.read_text().splitlines():
            fields = line.split()
            if fields[2].isdigit() and begin <= int(fields[4]) + int(fields[5]) / 1e6 <= end:
                found.append(int(fields[2]) / 1e3)
    return found


async def fill(dsn: str, rows: int, statements: Sequence[str] = ()) -> None:
    """Make table `bench`, with as many rows."""
    import asyncpg

    from bench.load import TABLE, VALUE

    connection = await asyncpg.connect(dsn)
    for statement in (*statements, TABLE):
        await connection.execute(statement)
    if rows:
        records = [(key, VALUE) for key in range(rows)]
        await connection.copy_records_to_table("bench", records=records)
    await connection.close()
