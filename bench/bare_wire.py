"""What a cached one-shard statement costs the router beyond its PostgreSQL wire.

    python -m bench.bare_wire            [--seconds 5] [--runs 3]

Two servers take turns under the same load (bench.load: 16 asyncpg connections, prepared SELECT by
primary key, one statement in flight on each): `shardrouter up` with one node and one shard, where
the node is a process of its own; and the same pgwire and pgserver over a session that answers
every statement with one fixed row at once. The difference of their CPU time per statement, system
calls included, is what planning caches, routing, framing and the network to the node cost.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import asyncpg
import click

from bench.clusters import WITHOUT_TLS, running_up
from bench.load import SQL
from bench.machine import commit, cpu_seconds, machine
from bench.open_router import child, said
from nodes.protocol import OutputColumn
from nodes.values import INT8, TEXT, encode_data_rows
from shardrouter.errors import RouterError
from shardrouter.execution import Execution, Outcome, Prepared
from shardrouter.pgserver import PgServer
from shardrouter.pgwire import Status
from shardrouter.planned import OneShard, ResultColumn
from shardrouter.roles import Role

CONNECTIONS: Final = 16
ROWS: Final = 1000
TARGET_US: Final = 25.0
_VALUE: Final = "v" * 96


class FixedSession:
    """Every statement is the SELECT of the load, and has the same answer."""

    status: Status = "I"
    idle_timeout_s = 0.0
    pid = 0

    def __init__(self, _role: Role) -> None:
        columns = (ResultColumn("val", TEXT),)
        # Of one shard, as what it is compared with: the wire knows how those come.
        plan = OneShard("SELECT", (), "", "bigint", (), True, columns, (INT8,))
        self._prepared = Prepared("", plan, (INT8,), columns)
        rows = encode_data_rows([(_VALUE,)], (OutputColumn(TEXT, True),))
        self._answer = [Outcome("SELECT 1", 1, rows)]
        self.statements: dict[str, Prepared] = {}

    def prepared(self, _text: str, _oids: tuple[int, ...] = ()) -> Prepared | None:
        return self._prepared

    async def prepare(self, text: str, oids: tuple[int, ...] = ()) -> Prepared:
        raise AssertionError("everything is prepared")

    def execute_unit(
        self,
        _unit: Sequence[Execution],
        done: Callable[[list[Outcome] | RouterError], None],
        *,
        timeout_s: float | None = None,
    ) -> None:
        done(self._answer)

    async def run(
        self, _unit: Sequence[Execution], timeout_s: float | None = None
    ) -> list[Outcome]:
        return self._answer

    def copy_in(self, _prepared: Prepared) -> NoReturn:
        raise AssertionError("nothing is copied")

    def cursor_columns(self, _name: str) -> NoReturn:
        raise AssertionError("no cursor is declared")

    def cancel(self) -> None: ...

    has_unit = False

    def open_unit(self) -> None: ...

    async def close_unit(self) -> None: ...

    def note_failure(self) -> None: ...

    async def configure(self, _texts: Iterable[str]) -> None: ...

    def wants(self, _severity: str) -> bool:
        return True

    def parameter_status(self) -> Sequence[tuple[str, str]]:
        return [("server_version", "15.0"), ("client_encoding", "UTF8")]

    async def close(self) -> None: ...


async def serve() -> None:
    server = PgServer(FixedSession, host="127.0.0.1", port=0)
    address = await server.start()
    print(json.dumps(f"postgresql://bench@{address}/shardrouter{WITHOUT_TLS}"), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.close(1)


async def load(dsn: str, pid: int, seconds: float) -> dict[str, float]:
    """Statements per second, and CPU of the server's process for each."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load", dsn, "select"),
        *(str(CONNECTIONS), str(seconds), str(ROWS)),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()  # measuring
    before = cpu_seconds(pid)
    await process.stdout.readline()  # measured
    used = cpu_seconds(pid) - before
    result = json.loads(await process.stdout.readline())
    await process.wait()
    return {"per_second": result["per_second"], "cpu_us": used / result["operations"] * 1e6}


async def fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE bench (id bigint PRIMARY KEY, val text)")
    await connection.executemany(SQL["insert"], [(key, _VALUE) for key in range(ROWS)])
    await connection.close()


async def measure(directory: Path, seconds: float, runs: int) -> dict[str, Any]:
    figures: dict[str, list[dict[str, float]]] = {"router": [], "bare wire": []}
    async with (
        running_up(directory, nodes=1, replicas=1) as up,
        child("bench.bare_wire", "--serve") as bare,
    ):
        bare_dsn = await said(bare)
        await fill(up.dsn)
        for _ in range(runs):
            figures["router"].append(await load(up.dsn, up.router, seconds))
            figures["bare wire"].append(await load(bare_dsn, bare.pid, seconds))
            click.echo({name: results[-1] for name, results in figures.items()}, err=True)
    median = {
        name: {
            key: round(statistics.median(result[key] for result in results), 1)
            for key in ("per_second", "cpu_us")
        }
        for name, results in figures.items()
    }
    over = round(median["router"]["cpu_us"] - median["bare wire"]["cpu_us"], 1)
    return {"commit": commit(), **machine(), **median, "over_bare_us": over, "target": TARGET_US}


@click.command()
@click.option("--seconds", default=5.0)
@click.option("--runs", default=3)
@click.option("--serve", "serves", is_flag=True, hidden=True)
def main(seconds: float, runs: int, serves: bool) -> None:
    if serves:
        try:
            import uvloop
        except ImportError:
            asyncio.run(serve())
        else:
            uvloop.run(serve())
        return
    with tempfile.TemporaryDirectory() as directory:
        click.echo(json.dumps(asyncio.run(measure(Path(directory) / "data", seconds, runs))))


if __name__ == "__main__":
    main()
