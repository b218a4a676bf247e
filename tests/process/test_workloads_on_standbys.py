"""What no single PostgreSQL shows, shown by one with a standby, step by step: two orders of two
writes, a write without one that was acknowledged before it, a table that is missing.

Each is convicted by the workload that looks for it, and the same calls to the primary are valid.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import asyncpg
import pytest

from jepsen_like import workloads
from jepsen_like.checks.of_workloads import BY_NAME
from jepsen_like.checks.values import Evidence
from jepsen_like.checks.values import linearizable as linearizable_of
from jepsen_like.clients import SqlClient, connect_sql
from jepsen_like.history import Operation
from jepsen_like.load import Call
from jepsen_like.result import Verdict
from jepsen_like.workloads import SqlCall, Workload
from jepsen_like.workloads.workload import sql_of
from tests.suites.postgres import Postgres, PostgresMissing, running_postgres, running_standby

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

KEY: Final = 1
POLL_S: Final = 0.01
DEADLINE_S: Final = 20.0


@pytest.fixture
def both() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary, and its standby."""
    try:
        with running_postgres() as primary, running_standby(primary) as standby:
            yield primary, standby
    except PostgresMissing as missing:
        pytest.skip(str(missing))


@dataclass
class Recorded:
    """Calls to either server, as one history."""

    workload: Workload
    operations: list[Operation] = field(default_factory=list)
    clients: list[SqlClient] = field(default_factory=list)

    async def client(self, server: Postgres, **settings: str) -> Callable[[Call], Awaitable[Any]]:
        """What makes a call over a connection of its own, and answers its output."""
        process = len(self.clients)
        client = await connect_sql(
            *("127.0.0.1", server.port, sql_of([self.workload])),
            user="postgres",
            database="postgres",
            deadline_s=DEADLINE_S,
            definite_codes=(),
            settings={"default_transaction_isolation": "repeatable read", **settings},
        )
        self.clients.append(client)

        async def call(asked: Call) -> Any:
            sent = time.monotonic_ns()
            answer = await client.invoke(replace(asked, workload=self.workload.name))
            assert answer.outcome == "ok", answer
            self.operations.append(
                Operation(process, asked.f, asked.key, asked.value, "ok", answer.output,
                          sent, sent, time.monotonic_ns(), "n1", "")
            )  # fmt: skip
            return answer.output

        return call

    async def load(self, primary: Postgres) -> None:
        """The table, and the rows of KEY; the standby has them as well."""
        await self.client(primary, synchronous_commit="remote_apply")
        client = self.clients[-1]
        await client.load(SqlCall(self.workload.create_sql(), (), "done"))
        for row in cast("tuple[SqlCall, ...]", self.workload.load_sql(KEY) or ()):
            await client.load(row)

    def verdict(self, check: str) -> Verdict:
        workload = self.workload
        evidence = Evidence(tuple(self.operations), (), (), {}, workload.model(), workload.initial)
        judge = linearizable_of() if check == "linearizable" else BY_NAME[check]
        return judge.judge(evidence).verdicts[0]


@asynccontextmanager
async def recorded(workload: Workload) -> AsyncIterator[Recorded]:
    found = Recorded(workload)
    try:
        yield found
    finally:
        for client in found.clients:
            client.abort()


class Operator:
    """Whoever runs a server."""

    def __init__(self, server: Postgres) -> None:
        self._dsn = server.dsn

    async def do(self, *statements: str) -> Any:
        """The value that the last one answers."""
        connection = await asyncpg.connect(self._dsn, ssl=False)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    async def until(self, question: str) -> None:
        """It answers true."""
        async with asyncio.timeout(DEADLINE_S):
            while not await self.do(question):  # noqa: ASYNC110 -- a server has no event
                await asyncio.sleep(POLL_S)


async def test_two_writes_are_seen_in_two_orders(both: tuple[Postgres, Postgres]) -> None:
    """A primary shows a write when its standbys have acknowledged it, and those show it before: of
    two writes, one of which waits for no standby, each server shows another one first."""
    primary, standby = both
    operator = Operator(primary)
    async with recorded(workloads.long_fork(keys=1)) as run:
        waits = await run.client(primary, synchronous_commit="on")
        is_quick = await run.client(primary, synchronous_commit="off")
        here, there = await run.client(primary), await run.client(standby)
        await run.load(primary)
        await operator.do(
            "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 2 (*)'", "SELECT pg_reload_conf()"
        )
        await operator.until("SELECT current_setting('synchronous_standby_names') LIKE 'FIRST 2%'")
        first = asyncio.ensure_future(waits(Call("write", KEY, 0)))
        row = f"SELECT val = 1 FROM {run.workload.table} WHERE id = {KEY}"
        await Operator(standby).until(row)
        assert await there(Call("read", KEY)) == (1, 0, 0, 0)
        await is_quick(Call("write", KEY, 1))
        assert await here(Call("read", KEY)) == (0, 1, 0, 0)
        assert not first.done()
        await operator.do(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )
        await first
        assert await here(Call("walk", KEY)) == (1, 1, 0, 0)
        convicted = run.verdict("long fork")
        assert convicted.validity == "invalid", convicted
        assert {o.process for o in convicted.offending} >= {2, 3}
        of_primary = [o for o in run.operations if o.process != 3]
        run.operations = of_primary
        assert run.verdict("long fork").validity == "valid"
        assert run.verdict("causal reverse").validity == "valid"


async def test_a_write_is_seen_without_one_that_was_acknowledged_before(
    both: tuple[Postgres, Postgres],
) -> None:
    """A standby that was behind is promoted, and has what is written to it. (A server by itself
    shows what it acknowledged, and so does a standby: each has the primary's log from its start up
    to somewhere.)"""
    primary, standby = both
    operator, successor = Operator(primary), Operator(standby)
    async with recorded(workloads.long_fork(keys=1)) as run:
        before = await run.client(primary, synchronous_commit="remote_apply")
        after = await run.client(standby)
        await run.load(primary)
        await before(Call("write", KEY, 0))
        assert await after(Call("read", KEY)) == (1, 0, 0, 0)
        await operator.do(
            "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"
        )
        await operator.until("SELECT current_setting('synchronous_standby_names') = ''")
        await successor.do("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        await successor.until("SELECT count(*) = 0 FROM pg_stat_wal_receiver")
        await before(Call("write", KEY, 1))
        assert await before(Call("read", KEY)) == (1, 1, 0, 0)
        assert run.verdict("causal reverse").validity == "valid"
        await successor.do("SELECT pg_promote()")
        await after(Call("write", KEY, 2))
        assert await after(Call("read", KEY)) == (1, 0, 1, 0)
        convicted = run.verdict("causal reverse")
        assert convicted.validity == "invalid", convicted


async def test_a_table_that_was_made_is_missing(both: tuple[Postgres, Postgres]) -> None:
    """Where it is asked for at a standby that is behind."""
    primary, standby = both
    async with recorded(workloads.schema_change(keys=1)) as run:
        here, there = await run.client(primary), await run.client(standby)
        await Operator(standby).do("SELECT pg_wal_replay_pause()")
        await here(Call("create", KEY))
        await here(Call("add", KEY, 7))
        assert await here(Call("read", KEY)) == (7,)
        assert await here(Call("create", KEY)) is False
        assert run.verdict("linearizable").validity == "valid"
        assert await there(Call("read", KEY)) == workloads.schema_change().initial
        convicted = run.verdict("linearizable")
        assert convicted.validity == "invalid", convicted
        await Operator(standby).do("SELECT pg_wal_replay_resume()")
