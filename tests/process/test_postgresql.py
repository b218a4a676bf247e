"""PostgreSQL under test: real members, cuts and failovers. One setup loses writes, one does not."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from jepsen_like import checks, faults, leader_of, load, workloads
from jepsen_like.adapters.database import DatabaseError
from jepsen_like.adapters.postgresql import PostgreSQL
from jepsen_like.adapters.postgresql_programs import find_programs
from jepsen_like.backends.proxy import Mesh
from jepsen_like.load import Call
from jepsen_like.result import RunResult
from jepsen_like.runner import run
from jepsen_like.spec import Test
from jepsen_like.spec_files import load_test
from tests.jepsen_like.networks import require_namespaces

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]


@pytest.fixture(autouse=True)
def _is_installed() -> None:
    try:
        find_programs()
    except DatabaseError as exc:
        pytest.skip(str(exc))


async def test_calls_mean_what_they_say_and_a_former_primary_comes_back(tmp_path: Path) -> None:
    workload = workloads.register(keys=2)
    database = PostgreSQL(synchronous=True, reads="standby")
    mesh = Mesh(database.hosts)
    db = await database.start(mesh, tmp_path, lambda _: None)
    scratch = db.data_directory("n1").parent
    try:
        await db.prepare(workload, [1, 2])
        assert await db.leaders() == {"postgresql": "n1"}
        client = await db.connect("n2", [workload], 5.0)

        async def ask(f: str, value: object = None, key: int = 1) -> object:
            answer = await client.invoke(Call(f, key, value, workload.name))
            assert answer.outcome == "ok", answer
            return answer.output

        async def is_led_by_another() -> bool:
            return bool(set((await db.leaders()).values()) - {"n1"})

        assert await ask("read", key=2) == workload.initial
        assert await ask("write", 7) is None
        assert await ask("cas", (7, 8)) is True
        assert await ask("cas", (7, 9)) is False
        assert await ask("read") in (0, 7, 8)  # the standby's own: maybe not there yet
        await db.until(db.has_replicated, "the standbys did not follow")
        assert await ask("read") == 8

        # A commit that waits for a standby is ended by no statement_timeout, or its 57014 would
        # be taken for definite.
        waiting = await db.connect("n1", [workload], 0.1)
        links = [(a, b) for a in mesh.hosts for b in mesh.hosts if (a == "n1") != (b == "n1")]
        await mesh.cut(links)
        asyncio.get_running_loop().call_later(1.0, waiting.abort)
        answer = await waiting.invoke(Call("write", 2, 9, workload.name))
        assert answer.outcome == "info", answer
        await mesh.heal(links)
        await db.until(db.is_replicating, "the standbys did not come back")

        pid = db.pid("n1")
        os.kill(pid, signal.SIGKILL)
        answer = await client.invoke(Call("write", 1, 10, workload.name))
        assert answer.outcome == "info"
        client.abort()
        await db.until(is_led_by_another, "nobody was promoted")
        assert await db.answering_pid("n1") is None
        await db.restart("n1")
        assert await db.answering_pid("n1") == db.pid("n1") != pid
        assert await is_led_by_another()
        await db.until(db.is_replicating, "the former primary does not follow")
        client = await db.connect("n1", [workload], 5.0)
        assert await ask("write", 12) is None
        await db.until(db.has_replicated, "the former primary does not follow")
        assert await ask("read") == 12
        client.abort()
    finally:
        await db.stop()
        await mesh.close()
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("setup", "validity"),
    [
        (PostgreSQL(failover_after="2s"), "invalid"),
        (PostgreSQL(failover_after="2s", fence_after="1s", synchronous=True), "valid"),
    ],
    ids=["asynchronous", "synchronous"],
)
def test_a_failover_loses_what_only_the_old_primary_had(
    tmp_path: Path, setup: PostgreSQL, validity: str
) -> None:
    require_namespaces()
    test = Test(
        name="postgresql",
        db=setup,
        workloads=[workloads.register(keys=6, calls_per_key=15)],
        load=load.open_loop(rate=90, deadline="500ms", clients=25),
        faults=[
            faults.healthy("500ms"),
            faults.partition(faults.isolate(leader_of("postgresql")), hold="5s", rest="6s"),
        ],
        checks=[checks.lost_writes(), checks.linearizable(), checks.availability()],
        seed=5,
        backend="netns",
    )
    result: RunResult = run(test, out=tmp_path)
    (cut,) = result.faults
    assert cut.verified, cut.evidence
    assert (cut.role_before, cut.role_after) == ("leader of postgresql", "follower")
    verdicts = {verdict.check: verdict for verdict in result.verdicts}
    assert verdicts["lost writes"].validity == validity, verdicts["lost writes"].reason
    assert verdicts["linearizable"].validity == validity, verdicts["linearizable"].reason
    assert verdicts["final reads"].validity == "valid"
    if validity == "invalid":
        assert "was acknowledged, and all that is left is" in verdicts["lost writes"].reason
    said = (tmp_path / "logs" / "failover.log").read_text()
    assert "is primary now" in said
    assert ("its agent stops it" in said) == (setup.fence_after is not None)
    logs = "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert "passfile=" in logs, "a server says which setting was changed"
    assert "password=" not in logs


@pytest.mark.nightly
def test_a_standby_that_is_cut_off_answers_what_is_old(tmp_path: Path) -> None:
    test = replace(load_test("examples/postgresql.py:standby"), backend="proxy")
    result = run(test, out=tmp_path)
    (cut,) = result.faults
    assert cut.verified, cut.evidence
    assert (cut.role_before, cut.role_after) == ("follower", "follower")
    verdicts = {verdict.check: verdict for verdict in result.verdicts}
    assert verdicts["lost writes"].validity == "valid", verdicts["lost writes"].reason
    assert verdicts["linearizable"].validity == "invalid"
    assert verdicts["staleness"].validity == "valid", verdicts["staleness"].reason
    stalest_ns = max(read.stale_ns for reads in result.reads for read in reads.worst)
    assert stalest_ns > 1e9, "it was cut off for 8 s"
