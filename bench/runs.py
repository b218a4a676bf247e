"""One run: a client in a process of its own loads one contestant, and what that cost is counted.

Costs are taken between the end of the client's warm-up and the end of its measurement, while its
connections are open, for all processes of the contestant and for the client.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from bench.contestants import Started
from bench.costs import CLIENT, Costs, Meter
from bench.question import Setting
from tests.suites.postgres import find_programs

__all__ = [
    "Figures",
    "RunFailed",
    "costs_each",
    "fill",
    "pgbench",
    "pgbench_words",
    "python_client",
    "why_it_ended",
]

Figures = dict[str, float]

_ROOT: Final = Path(__file__).parents[1]
_POLL_S: Final = 0.02
_START_S: Final = 60.0
"""In which a client has connected, or has failed."""


class RunFailed(Exception):
    """The client has ended too early; the message is what it said."""


@asynccontextmanager
async def _client(*argv: str, **options: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that has ended when this is left, by a signal if need be."""
    process = await asyncio.create_subprocess_exec(*argv, **options)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def python_client(
    started: Started,
    setting: Setting,
    module: str,
    *arguments: str,
    at_ends: Callable[[], None] = lambda: None,
) -> Figures:
    """`python -m MODULE ARGUMENTS`, which prints `measuring`, `measured`, and then its figures.
    `at_ends` is called at the first two."""
    with tempfile.TemporaryFile(dir=setting.directory) as errors:
        argv = (sys.executable, "-m", module, *arguments)
        async with _client(*argv, stdout=subprocess.PIPE, stderr=errors, cwd=_ROOT) as process:
            assert process.stdout is not None
            found: Figures = {}
            if (await process.stdout.readline()).strip() == b"measuring":
                at_ends()
                meter = Meter(started.roots)
                if (await process.stdout.readline()).strip() == b"measured":
                    at_ends()
                    cost, memory = meter.read()
                    found = json.loads(await process.stdout.readline() or b"{}")
            if found:
                await process.wait()
        if not found:
            errors.seek(0)
            raise RunFailed(why_it_ended(errors.read().decode(errors="replace")))
    operations = int(found.pop("operations"))
    cost.cpu_s[CLIENT] = found.pop("client_cpu_s")
    cost.system_s[CLIENT] = found.pop("client_system_s")
    return found | costs_each(cost, memory, operations)


def why_it_ended(said: str) -> str:
    """One line of what a Python client said at its end: the last exception with its message,
    without the way to it and what its tasks said after it; or the last line, if none was raised.
    """
    _before, is_raised, after = said.rpartition("Traceback (most recent call last):\n")
    lines = after.splitlines()
    if is_raised:
        first = next((n for n, line in enumerate(lines) if line and line[0] != " "), 0)
        ends = (n for n, line in enumerate(lines) if line.startswith("Task "))
        lines = lines[first : next(ends, None)]
    else:
        lines = lines[-1:]
    return " ".join(" ".join(lines).split()) or "it was told to end"


def costs_each(cost: Costs, memory: dict[str, float], operations: int) -> Figures:
    """For each operation; one of the processes may be the client."""
    each = 1e6 / max(operations, 1)
    all_s = sum(cost.cpu_s.values())
    client = cost.cpu_s.get(CLIENT)
    share = {} if client is None else {"client_share": client / max(all_s, 1e-9)}
    return {
        "cpu_us": all_s * each,
        **{f"cpu_us {name}": s * each for name, s in cost.cpu_s.items()},
        "system_us": sum(cost.system_s.values()) * each,
        **{f"system_us {name}": s * each for name, s in cost.system_s.items()},
        **share,
        "disk_bytes": cost.disk_bytes / max(operations, 1),
        "wire_bytes": cost.wire_bytes / max(operations, 1),
        "peak_memory_mb": sum(memory.values()),
        **{f"peak_memory_mb {name}": megabytes for name, megabytes in memory.items()},
    }


def pgbench_words(dsn: str) -> tuple[list[str], dict[str, str]]:
    """(words, environment) that lead pgbench to the server of a DSN."""
    url = urlsplit(dsn)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment = {**kept, "PGPASSWORD": unquote(url.password or ""), "PGSSLMODE": "disable"}
    where = ["-h", url.hostname or "", "-p", str(url.port), "-U", unquote(url.username or "")]
    return [str(find_programs() / "pgbench"), *where, url.path.lstrip("/")], environment


async def pgbench(
    started: Started,
    setting: Setting,
    clients: int,
    *words: str,
    scripts: Sequence[tuple[str, float]] = (),
    protocol: str = "prepared",
    options: str = "",
) -> Figures:
    """The compiled client. `words` choose its transaction, or `scripts` are them, each with its
    share. `options` are those of a session, as PGOPTIONS has them."""
    program, environment = pgbench_words(started.address)
    if options:
        environment["PGOPTIONS"] = options
    with tempfile.TemporaryDirectory(dir=setting.directory) as scratch:
        for number, (script, share) in enumerate(scripts):
            path = Path(scratch) / f"{number}.sql"
            path.write_text(script)
            words = (*words, "-f", f"{path}@{round(share * 100)}")
        most = str(round(_START_S + setting.warm_up_s + setting.run_s))
        said = Path(scratch) / "said"
        with said.open("wb") as output:
            argv = (
                *program[:-1],
                *("-n", "-M", protocol, "-c", str(clients), "-j", str(min(clients, 2))),
                *("-T", most, "-l", "--log-prefix", f"{scratch}/log", *words, program[-1]),
            )
            async with _client(*argv, stdout=output, stderr=output, env=environment) as process:
                roots = {**started.roots, CLIENT: process.pid}
                ended = asyncio.ensure_future(process.wait())
                await _until_it_runs(Path(scratch), ended)
                await asyncio.wait([ended], timeout=setting.warm_up_s)
                begin, meter = time.time(), Meter(roots)
                await asyncio.wait([ended], timeout=setting.run_s)
                end = time.time()
                cost, memory = meter.read()
                has_lasted = not ended.done()
                if has_lasted:
                    # As when its time is over: it ends its transactions, and writes its log.
                    process.send_signal(signal.SIGALRM)
                await ended
        if process.returncode or not has_lasted:
            raise RunFailed(said.read_text(errors="replace"))
        took = sorted(_latencies_ms(Path(scratch), begin, end))
    if not took:
        raise RunFailed(f"no transaction ended within {setting.run_s:g} s")
    figures = {
        "per_second": len(took) / (end - begin),
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[int(len(took) * 0.99)],
    }
    return figures | costs_each(cost, memory, len(took))


async def _until_it_runs(scratch: Path, ended: asyncio.Future[int]) -> None:
    """It has connected when the first buffer of its log is full."""
    until = time.monotonic() + _START_S
    while not ended.done() and time.monotonic() < until:
        if _has_begun(scratch):
            return
        await asyncio.wait([ended], timeout=_POLL_S)


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

    connection = await asyncpg.connect(dsn, server_settings={"statement_timeout": "0"})
    for statement in (*statements, TABLE):
        await connection.execute(statement)
    if rows:
        records = [(key, VALUE) for key in range(rows)]
        await connection.copy_records_to_table("bench", records=records)
    await connection.close()
