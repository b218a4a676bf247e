"""`make pgbench`: Debian's pgbench, each protocol, and the books balanced after each run.

The last run loses the leader of the shard that holds its tables. Exit code 1 if a run failed, the
sums differ, or the replicas differ afterwards.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

import asyncpg
import click

from tests.suites.pgbench.running import Bench, PgbenchFailed, Run
from tests.suites.postgres import PostgresMissing, running_postgres
from tests.suites.replay import Disagreement
from tests.suites.served import Served, served

PROTOCOLS: Final = ("simple", "extended", "prepared")

SUMS: Final = (
    "SELECT sum(abalance) FROM pgbench_accounts",
    "SELECT sum(tbalance) FROM pgbench_tellers",
    "SELECT sum(bbalance) FROM pgbench_branches",
    "SELECT sum(delta) FROM pgbench_history",
)


class OutOfBalance(Exception):
    """A transaction was done in part, or twice, or not at all."""


async def balance(dsn: str, done: int, unsure: int) -> int:
    """The sum that all four tables agree on. The history has a row for each of the `done`
    transactions, and may have one for each of `unsure` more. Raises OutOfBalance."""
    connection = await asyncpg.connect(dsn)
    try:
        sums = [int(await connection.fetchval(sql) or 0) for sql in SUMS]
        rows = await connection.fetchval("SELECT count(*) FROM pgbench_history")
    finally:
        await connection.close()
    if len(set(sums)) > 1:
        raise OutOfBalance(f"accounts, tellers, branches, history: {sums}")
    if not done <= rows <= done + unsure:
        raise OutOfBalance(f"{rows} rows of history for {done} to {done + unsure} transactions")
    return sums[0]


class Suite:
    """All runs on one server."""

    def __init__(self, bench: Bench, dsn: str, clients: int, seconds: int) -> None:
        self._bench = bench
        self._dsn = dsn
        self._clients = clients
        self._seconds = seconds
        self._done = self._unsure = 0

    async def protocol(self, name: str) -> None:
        tpcb = await self._bench.run(name, self._seconds, self._clients)
        self._note(f"TPC-B {name}", tpcb)
        if tpcb.failed or tpcb.aborted:
            raise OutOfBalance(f"{tpcb.failed} failed, {tpcb.aborted} clients gave up: {name}")
        await self._check()
        reads = await self._bench.run(name, self._seconds, self._clients, reads=True)
        print(f"  -S {name}: {reads.transactions} transactions, {reads.tps:.0f} tps", flush=True)

    async def without_a_leader(self, database: Served, group: str) -> None:
        """Clients whose transaction met the loss give up, by pgbench's rules; the rest go on."""
        run = asyncio.ensure_future(self._bench.run("prepared", 2 * self._seconds, self._clients))
        await asyncio.sleep(self._seconds / 2)
        node = await database.kill_leader(group)
        await database.start_node(node)
        found = await run
        self._note(f"TPC-B while {node}, which led {group}, is killed", found)
        await self._check()

    def _note(self, what: str, run: Run) -> None:
        self._done += run.transactions
        self._unsure += run.failed + run.aborted
        print(
            f"  {what}: {run.transactions} transactions, {run.tps:.0f} tps, {run.retried} retried, "
            f"{run.failed} failed, {run.aborted} of {self._clients} clients gave up",
            flush=True,
        )

    async def _check(self) -> None:
        total = await balance(self._dsn, self._done, self._unsure)
        print(
            f"  the books balance: {total} in accounts, tellers, branches and history", flush=True
        )

    @property
    def done(self) -> int:
        return self._done


@click.command()
@click.option("--scale", default=10, show_default=True, help="100 000 accounts each.")
@click.option("--clients", default=8, show_default=True)
@click.option("--seconds", default=10, show_default=True, help="Of each run.")
@click.option("--oracle", is_flag=True, help="Ask a real PostgreSQL instead.")
def main(scale: int, clients: int, seconds: int, oracle: bool) -> None:
    """Run pgbench."""
    began = time.monotonic()
    try:
        if oracle:
            with running_postgres() as postgres:
                bench = Bench(postgres.port, user="postgres", database="postgres")
                suite = Suite(bench, postgres.dsn, clients, seconds)
                asyncio.run(_all(suite, bench, scale))
            done = suite.done
        else:
            done = asyncio.run(_served(scale, clients, seconds))
    except (OutOfBalance, PgbenchFailed, Disagreement, PostgresMissing) as exc:
        print(f"pgbench: {type(exc).__name__}: {exc}")
        sys.exit(1)
    print(
        f"pgbench: scale {scale}, {clients} clients, {len(PROTOCOLS)} protocols: {done} "
        f"transactions of TPC-B, all sums equal, {time.monotonic() - began:.0f} s"
    )


async def _all(suite: Suite, bench: Bench, scale: int) -> None:
    began = time.monotonic()
    await bench.initialize(scale)
    print(f"  pgbench -i -s {scale}: {time.monotonic() - began:.1f} s", flush=True)
    for protocol in PROTOCOLS:
        await suite.protocol(protocol)


async def _served(scale: int, clients: int, seconds: int) -> int:
    async with served() as database:
        bench = Bench(
            database.port,
            user="shardrouter",
            database="shardrouter",
            password=database.password,
            options="-c default_placement=home",
        )
        suite = Suite(bench, database.dsn, clients, seconds)
        await _all(suite, bench, scale)
        await suite.without_a_leader(database, await database.home())
        print(await database.audit())
        return suite.done


if __name__ == "__main__":
    main()
