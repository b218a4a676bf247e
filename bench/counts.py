"""What an operation takes that no machine changes: calls, writes to sockets, bytes, fsyncs.

    python -m bench.counts        seven key paths, as JSON: as tests/bench/test_counts.py expects

A cluster of three nodes, a router and a client over asyncpg, all of them as they ship, in one
process on virtual time (docs/simulation.md): the same code gives the same counts. What is counted
is what router and nodes do: calls of their own Python functions, writes to their sockets, the bytes
of these, statements given to SQLite, and COMMITs of the nodes' logs, each of which is an fsync.
Comprehensions are no calls here, as in Python 3.12. Time passes between operations of one client,
so a little of what nodes do without being asked is in it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from jepsen_like.kernel import replace_kernel
from jepsen_like.sim.disk import Connection
from jepsen_like.sim.kernel import SimulatedKernel
from jepsen_like.sim.network import Transport
from jepsen_like.sim.processes import CURRENT

if TYPE_CHECKING:  # at run time they are imported when the clocks have been replaced
    from asyncpg import Connection as Client

__all__ = ["PATHS", "measure"]

PATHS: Final = ("raft_entry", "select", "insert", "two_shards", "scatter", "copy_row", "block")
SEED: Final = 1
TIMES: Final = 40
COPIED: Final = 500
COPIES: Final = 10
"""Enough that a heartbeat more or less, in the pauses, is no part of a twentieth."""
REST_S: Final = 0.1
SHOWN: Final = 60
"""Functions."""
NODES: Final = ("n1", "n2", "n3")
_OURS: Final = ("nodes.", "shardrouter.")
_NOT_CALLS: Final = ("<listcomp>", "<dictcomp>", "<setcomp>")
_PROCESSES: Final = (*NODES, "router")

Counts = dict[str, float]
Work = Callable[[], Awaitable[object]]


class Tally:
    """Between `begin` and `end`, by what is counted."""

    def __init__(self, shown: str = "") -> None:
        """shown: the path whose functions are printed."""
        self.shown = shown
        self._counts: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        """Calls of each since `begin`."""
        self._is_counting = False

    def begin(self) -> None:
        self._counts.clear()
        self.functions.clear()
        self._is_counting = True
        sys.setprofile(self._look)

    def end(self) -> Counter[str]:
        sys.setprofile(None)
        self._is_counting = False
        return self._counts

    def executed(self, path: str, sql: str) -> None:
        if not self._is_counting or self._process() is None:
            return
        self._counts["sqlite_statements"] += 1
        if sql == "COMMIT" and path.endswith("log.db"):
            self._counts["fsyncs"] += 1

    def _look(self, frame: FrameType, event: str, _arg: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code is Transport.write.__code__:
            if self._process() is not None:
                self._counts["writes"] += 1
                self._counts["bytes"] += len(frame.f_locals["data"])
        elif (
            str(frame.f_globals.get("__name__")).startswith(_OURS)
            and code.co_name not in _NOT_CALLS
            and (process := self._process()) is not None
        ):
            where = "router" if process == "router" else "nodes"
            self._counts[f"{where}_calls"] += 1
            self.functions[f"{where} {frame.f_globals['__name__']}.{code.co_qualname}"] += 1

    @staticmethod
    def _process() -> str | None:
        process = CURRENT.get()
        return process.name if process is not None and process.name in _PROCESSES else None


def _watch_sqlite(tally: Tally) -> None:
    """The connections that are opened from now on say what they are given."""
    true_connect = sqlite3.connect

    class Watched(Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            tally.executed(self._path, sql)
            return super().execute(sql, *parameters)

        def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            tally.executed(self._path, sql)
            return super().executemany(sql, *parameters)

    def connect(*arguments: Any, **options: Any) -> Any:
        return true_connect(*arguments, **{"factory": Watched, **options})

    sqlite3.connect = connect


async def _run(directory: Path, loop: Any, tally: Tally) -> dict[str, Counts]:
    """Start everything, each in a process of its own, and count from the client's."""
    from nodes.config import format_cluster
    from nodes.local_cluster import new_cluster_config
    from nodes.node import Node
    from shardrouter.pgserver import PgServer
    from shardrouter.placement import place_replicas
    from shardrouter.router import Router

    config = new_cluster_config(
        placement=place_replicas(dict.fromkeys(NODES, 1), ("meta", "shard-1", "shard-2"), 3),
        ports=(15_001, 15_002, 15_003),
        router_port=15_004,
    )
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    stop = asyncio.Event()
    found: asyncio.Future[dict[str, Counts]] = loop.create_future()

    async def node(name: str) -> None:
        async with Node(config, name, directory / name):
            await stop.wait()

    async def router() -> None:
        async with Router.open(path, name="router") as db:
            server = PgServer(db.new_session, host="127.0.0.1", port=config.router.port)
            await server.start()
            loop.spawn(loop.process("client", "harness"), client())
            await stop.wait()
            await server.close(1)

    async def client() -> None:
        try:
            found.set_result(await _count(config, tally))
        except BaseException as exc:
            found.set_exception(exc)

    running = [loop.spawn(loop.process(name, "harness"), node(name)) for name in NODES]
    running.append(loop.spawn(loop.process("router", "harness"), router()))
    try:
        await asyncio.wait([found, *running], return_when=asyncio.FIRST_COMPLETED)
        return await found if found.done() else await running[0] or {}
    finally:
        stop.set()
        await asyncio.gather(*running)


async def _count(config: Any, tally: Tally) -> dict[str, Counts]:
    import asyncpg

    dsn = f"postgresql://bench@{config.router}/shardrouter?sslmode=disable"
    client: Client[Any] = await asyncpg.connect(dsn)
    await client.execute("CREATE TABLE bench (id bigint PRIMARY KEY, val text NOT NULL)")
    await client.executemany(
        "INSERT INTO bench VALUES ($1, $2)", [(key, "v" * 96) for key in range(200)]
    )
    one, other = await _on_two_shards(client)
    select = await client.prepare("SELECT val FROM bench WHERE id = $1")
    insert = await client.prepare("INSERT INTO bench (id, val) VALUES ($1, $2)")
    update = await client.prepare("UPDATE bench SET val = $2 WHERE id = $1")
    scatter = await client.prepare("SELECT count(*) FROM bench")
    keys = iter(range(1000, 10**9))

    async def one_insert() -> None:
        await insert.fetch(next(keys), "v" * 96)

    async def two_shards() -> None:
        async with client.transaction():
            await update.fetch(one, "w" * 96)
            await update.fetch(other, "w" * 96)

    async def block() -> None:
        async with client.transaction():
            for value in ("x", "y", "z"):
                await update.fetch(one, value * 96)
            await select.fetch(one)

    async def copy() -> None:
        rows = [(next(keys), "v" * 96) for _ in range(COPIED)]
        await client.copy_records_to_table("bench", records=rows)
        # What comes behind the answer is counted with it, and shares no fsync with the next COPY.
        await asyncio.sleep(REST_S)

    entry, close = await _proposer(config)
    found = {
        # First: what has no guards is kept out by what a COPY leaves prepared for a while.
        "raft_entry": await _counted(tally, "raft_entry", entry, TIMES),
        "select": await _counted(tally, "select", lambda: select.fetch(7), TIMES),
        "insert": await _counted(
            tally, "insert", lambda: insert.fetch(next(keys), "v" * 96), TIMES
        ),
        "two_shards": await _counted(tally, "two_shards", two_shards, TIMES // 2),
        "scatter": await _counted(tally, "scatter", scatter.fetch, TIMES // 2),
        "copy_row": await _counted(tally, "copy_row", copy, COPIES, each=COPIED),
        "block": await _counted(tally, "block", block, TIMES // 2),
    }
    await close()
    await client.close()
    return found


async def _counted(tally: Tally, path: str, work: Work, times: int, each: int = 1) -> Counts:
    """For each of so many operations, of which `work` does `each`; the first is not counted."""
    await work()
    await asyncio.sleep(0.5)  # what is done behind an answer is done
    tally.begin()
    for _ in range(times):
        await work()
    counts = tally.end()
    if path == tally.shown:
        for name, calls in tally.functions.most_common(SHOWN):
            click.echo(f"{calls / times / each:10.2f}  {name}", err=True)
    digits = 4 if each > 1 else 2
    return {name: round(counts[name] / times / each, digits) for name in sorted(counts)}


async def _on_two_shards(client: Client[Any]) -> tuple[int, int]:
    """A key of each."""
    keys: dict[str, int] = {}
    for key in range(50):
        rows = await client.fetch(f"EXPLAIN (ROUTE) SELECT val FROM bench WHERE id = {key}")
        [shard, *_] = re.findall(r"shard-\d+", " ".join(str(row[0]) for row in rows))
        keys.setdefault(shard, key)
    one, other, *_ = keys.values()
    return one, other


async def _proposer(config: Any) -> tuple[Work, Callable[[], Awaitable[None]]]:
    """Writes one statement at the leader of a shard, without a router."""
    from nodes.client import NodeClient
    from nodes.protocol import Done, NotLeader, Opened, OpenSession, SetVersion, Statement, Write

    group, timeout_s = "shard-1", 10.0
    clients = {name: NodeClient.to(name, config, name="bench") for name in NODES}
    leader, session = None, None
    for name in NODES:
        answer = await clients[name].call(group, OpenSession("bench"), timeout_s)
        if isinstance(answer, Opened):
            leader, session = clients[name], answer.session
        else:
            assert isinstance(answer, NotLeader), answer
    assert leader is not None
    assert session is not None
    seq = 1
    create = "CREATE TABLE kv (k INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT, WITHOUT ROWID"
    made = Write(session, seq, 0, (Statement(create),), sets=(SetVersion("table:kv", 1),))
    assert isinstance(await leader.call(group, made, timeout_s), Done)

    async def one() -> None:
        nonlocal seq
        seq += 1
        statement = Statement("INSERT INTO kv VALUES (?1, ?2)", (seq, "v" * 96))
        body = Write(session, seq, seq - 1, (statement,), quick=True)
        answer = await leader.call(group, body, timeout_s)
        assert isinstance(answer, Done), answer

    async def close() -> None:
        for each in clients.values():
            await each.close()

    return one, close


def measure(kernel: SimulatedKernel, shown: str = "") -> dict[str, Counts]:
    """Of each of `PATHS`. The interpreter must be one that simulates."""
    tally = Tally(shown)
    _watch_sqlite(tally)
    loop = kernel.new_loop(SEED)()
    try:
        with tempfile.TemporaryDirectory(prefix="counts-") as directory:
            return loop.run_until_complete(_run(Path(directory), loop, tally))
    finally:
        loop.close()


@click.command()
@click.option("--functions", type=click.Choice(PATHS), help="Also name those it calls most.")
def main(functions: str | None) -> None:
    """Count what seven key paths take."""
    kernel = SimulatedKernel()
    replace_kernel(kernel)
    click.echo(json.dumps(measure(kernel, functions or ""), indent=1))


if __name__ == "__main__":
    main()
