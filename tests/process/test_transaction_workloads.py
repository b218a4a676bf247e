"""The workloads of transactions acquit whom they should and convict whom they should: a real
PostgreSQL at two isolation levels, and this database without its validation."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import cast

import pytest

from jepsen_like import Test, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.checks.of_workloads import BY_NAME
from jepsen_like.checks.values import Evidence
from jepsen_like.clients import connect_sql
from jepsen_like.history import Operation
from jepsen_like.result import Verdict
from jepsen_like.runner import run
from jepsen_like.workloads import SqlCall, Workload
from jepsen_like.workloads.workload import sql_of
from tests.suites.postgres import Postgres, PostgresMissing, running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

BLIND_NODE = (sys.executable, str(Path(__file__).with_name("blind_commit_node.py")))
CLIENTS = 6
CALLS_EACH = 50


async def judged(server: Postgres, workload: Workload, isolation: str) -> Verdict:
    """What clients at that level see, each one call after the other."""
    keys = workload.keys(CLIENTS * CALLS_EACH)
    history: list[Operation] = []
    clients = [
        await connect_sql(
            "127.0.0.1",
            server.port,
            sql_of([workload]),
            user="postgres",
            database="postgres",
            deadline_s=20,
            definite_codes={"40"},
            settings={"default_transaction_isolation": isolation},
        )
        for _ in range(CLIENTS)
    ]
    await clients[0].load(SqlCall(f"DROP TABLE IF EXISTS {workload.table}", (), "done"))
    await clients[0].load(SqlCall(workload.create_sql(), (), "done"))
    for key in keys:
        for row in cast("tuple[SqlCall, ...]", workload.load_sql(key) or ()):
            await clients[0].load(row)
    calls = workload.calls(Random(1), keys)

    async def work(process: int) -> None:
        for call in islice(calls, CALLS_EACH):
            sent = time.monotonic_ns()
            answer = await clients[process].invoke(replace(call, workload=workload.name))
            assert answer.outcome != "info", answer
            history.append(
                Operation(process, call.f, call.key, call.value, answer.outcome, answer.output,
                          sent, sent, time.monotonic_ns(), "n1", answer.error)
            )  # fmt: skip

    await asyncio.gather(*map(work, range(CLIENTS)))
    for client in clients:
        client.abort()
    evidence = Evidence(tuple(history), (), (), {}, None, workload.initial)
    (verdict,) = BY_NAME[workload.judged_by[0]].judge(evidence).verdicts
    assert sum(operation.outcome == "ok" for operation in history) > CALLS_EACH
    return verdict


async def test_postgresql_is_serializable_where_it_says_so() -> None:
    made = (
        workloads.append(keys=1),
        workloads.write_skew(keys=1),
        workloads.bank(keys=1),
        workloads.rw_register(keys=1),
    )
    try:
        with running_postgres() as server:
            for workload in made:
                verdict = await judged(server, workload, "serializable")
                assert verdict.validity == "valid", verdict
                verdict = await judged(server, workload, "read committed")
                assert verdict.validity == "invalid", verdict
            apart = (
                workloads.append(keys=1, over_shards=True),
                workloads.rw_register(keys=1, over_shards=True),
                workloads.bank(keys=1, over_shards=True),
                workloads.long_fork(keys=1),
                workloads.causal_reverse(keys=1),
            )
            for spread in apart:
                verdict = await judged(server, spread, "serializable")
                assert verdict.validity == "valid", verdict
            # Snapshot isolation keeps the bank's total, and lets writes skew.
            assert (await judged(server, made[2], "repeatable read")).validity == "valid"
            assert (await judged(server, made[1], "repeatable read")).validity == "invalid"
    except PostgresMissing as missing:
        pytest.skip(str(missing))


def test_commits_that_are_not_validated_are_convicted(tmp_path: Path) -> None:
    test = Test(
        name="blind-commits",
        db=ShardRouter(nodes=1, shards=1, replicas=1, node_command=BLIND_NODE),
        workloads=[workloads.append(keys=1), workloads.bank(keys=1)],
        load=load.open_loop(rate=200, deadline="1s", clients=30),
        faults=[faults.healthy("2s")],
    )
    result = run(test, out=tmp_path, seed=1)
    convicted = {v.check for v in result.verdicts if v.validity == "invalid"}
    assert convicted == {"strict serializable", "total kept"}, result.verdicts
