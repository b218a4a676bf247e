"""Faults are believed only when verified: each is faked here, and the fake is found out."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from jepsen_like import faults
from jepsen_like.adapters.database import DatabaseError, RunningDatabase
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.dispatch import Clock
from jepsen_like.faults.targets import Host, LeaderOf, TargetError, draw_target, role
from jepsen_like.kernel import kernel
from jepsen_like.load import Call
from jepsen_like.result import FaultRecord
from jepsen_like.workloads.register import register
from tests.jepsen_like.networks import IdleDatabase
from tests.jepsen_like.register_db import GROUP, RegisterClient, RegisterDb, RunningRegisters

pytestmark = pytest.mark.processes

HOSTS = ("n1", "n2", "n3")


# ------------------------------------------------------------------------------ plans


def test_targets_say_what_they_mean() -> None:
    assert str(faults.leader_of("shard-1")) == "leader of shard-1"
    assert str(faults.partition(faults.isolate(faults.leader_of("s"))).name) == (
        "partition isolate(leader of s)"
    )
    assert faults.kill(faults.host("n2")).name == "kill -9 n2"


def test_lots_are_drawn_once_from_the_seed() -> None:
    schedule = [faults.kill(faults.one()) for _ in range(20)]
    drawn = faults.draw(schedule, HOSTS, random.Random(5))
    assert drawn == faults.draw(schedule, HOSTS, random.Random(5))
    assert {cast("faults.ProcessFault", fault).target for fault in drawn} == {
        Host(h) for h in HOSTS
    }


def test_an_impossible_fault_is_refused_before_the_run() -> None:
    rng = random.Random(0)
    with pytest.raises(TargetError, match="no host n9"):
        draw_target(Host("n9"), HOSTS, rng)


def test_roles_in_words() -> None:
    leaders = {"meta": "n1", "shard-1": "n1", "shard-2": "n2"}
    assert role("n1", leaders) == "leader of meta, shard-1"
    assert role("n3", leaders) == "follower"
    assert LeaderOf("meta") == faults.leader_of("meta")


# ------------------------------------------------------------------------------ processes


def test_the_kernel_says_how_a_process_is() -> None:
    assert kernel().state(os.getpid()) in "RS"
    assert kernel().state(2**22 + 1) == ""  # above the largest process id


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[tuple[faults.Site, RunningRegisters]]:
    mesh = Mesh(HOSTS)
    running = await RegisterDb().start(mesh, tmp_path, lambda _: None)
    async with Prober(mesh) as prober:
        yield faults.Site(running, mesh, prober, Clock(), lambda _: None), running
    await running.stop()
    await mesh.close()


@pytest.mark.slow
async def test_a_kill_and_a_pause_are_verified(
    database: tuple[faults.Site, RunningRegisters],
) -> None:
    site, running = database
    before = running.pid("n1")
    record = await faults.kill(faults.leader_of(GROUP), hold="50ms").run(site)
    assert record.verified, record.evidence
    assert running.pid("n1") != before
    record = await faults.pause(faults.host("n2"), hold="50ms").run(site)
    assert record.verified, record.evidence
    assert record.role_before == "follower"


@pytest.mark.slow
async def test_several_processes_are_struck_at_once(
    database: tuple[faults.Site, RunningRegisters],
) -> None:
    site, running = database
    before = {host: running.pid(host) for host in HOSTS}
    majority = faults.restart("majority").drawn(HOSTS, random.Random(1))
    record = await majority.run(site)
    assert record.verified, record.evidence
    hit = record.target.split()
    assert len(hit) == 2
    assert {host for host in HOSTS if running.pid(host) != before[host]} == set(hit)
    assert any("after SIGTERM" in line for line in record.evidence)
    assert "; " in record.role_before


@pytest.mark.slow
async def test_signals_that_do_nothing_are_not_verified(
    database: tuple[faults.Site, RunningRegisters], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = database
    monkeypatch.setattr("jepsen_like.faults.processes.SETTLE_S", 0.05)
    monkeypatch.setattr("jepsen_like.faults.processes.ANSWER_WAIT_S", 0.2)

    def nothing(pid: int, number: int) -> None:
        assert number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL)

    monkeypatch.setattr("jepsen_like.kernel.os.kill", nothing)
    for fault in (faults.pause(faults.host("n2"), "50ms"), faults.kill(faults.host("n2"), "50ms")):
        record = await fault.run(site)
        assert not record.verified_start
        assert not record.verified_end


@pytest.mark.slow
async def test_a_process_that_does_not_start_again_is_a_finding(
    database: tuple[faults.Site, RunningRegisters],
) -> None:
    site, running = database
    process = running.processes["n1"]
    process.argv = (*process.argv, "--no-such-option")
    record = await faults.kill(faults.leader_of(GROUP), hold="50ms").run(site)
    assert record.verified_start
    assert not record.verified_end
    assert "--no-such-option" in record.evidence[-1]


@pytest.mark.slow
async def test_a_paused_process_is_woken_when_the_run_is_cancelled(
    database: tuple[faults.Site, RunningRegisters],
) -> None:
    site, running = database
    pid = running.pid("n2")
    task = asyncio.ensure_future(faults.pause(faults.host("n2"), hold="60s").run(site))
    async with asyncio.timeout(5):
        while kernel().state(pid) != "T":  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    client: RegisterClient = await running.connect("n2", [register()], 5.0)
    assert (await client.invoke(Call("write", 1, 1))).outcome == "ok"
    client.abort()


# ------------------------------------------------------------------------------ members


class MovableDatabase:
    """A group on three of four hosts. `lies` says that it has moved what it has not."""

    def __init__(self, *, lies: bool = False, refuses: bool = False) -> None:
        self._lies = lies
        self._refuses = refuses
        self._voters = ["n1", "n2", "n3"]
        self._leader = "n1"

    async def leaders(self) -> Mapping[str, str]:
        return {"g": self._leader}

    async def voters(self, group: str) -> Sequence[str]:
        return tuple(self._voters)

    async def transfer(self, group: str, to: str) -> None:
        self._may_be_told()
        if not self._lies:
            self._leader = to

    async def move_replica(self, group: str, source: str, to: str) -> None:
        self._may_be_told()
        if not self._lies:
            self._voters = sorted({*self._voters, to} - {source})
            self._leader = self._voters[0]

    def _may_be_told(self) -> None:
        if self._refuses:
            raise DatabaseError("node n4 does not answer.")


async def operate(database: object, fault: faults.Transfer | faults.MoveReplica) -> FaultRecord:
    async with AsyncExitStack() as stack:
        mesh = Mesh(("n1", "n2", "n3", "n4"))
        stack.push_async_callback(mesh.close)
        prober = await stack.enter_async_context(Prober(mesh))
        db = cast("RunningDatabase", database)
        return await fault.run(faults.Site(db, mesh, prober, Clock(), lambda _: None))


async def test_a_transfer_is_verified_by_who_leads_then() -> None:
    record = await operate(MovableDatabase(), faults.transfer("g"))
    assert record.verified, record.evidence
    assert record.evidence == ("before: n1 led g", "after: n2 led g")
    assert (record.role_before, record.role_after) == ("leader of g", "follower")


async def test_a_move_is_verified_by_who_votes_then() -> None:
    record = await operate(MovableDatabase(), faults.move_replica("g"))
    assert record.verified, record.evidence
    assert record.target == "n1"
    assert record.evidence[1] == "after: g had its voters on n2, n3, n4"


@pytest.mark.parametrize("fault", [faults.transfer("g"), faults.move_replica("g")])
@pytest.mark.parametrize("how", [{"lies": True}, {"refuses": True}])
async def test_what_was_not_moved_is_not_verified(
    fault: faults.Transfer | faults.MoveReplica, how: dict[str, bool]
) -> None:
    record = await operate(MovableDatabase(**how), fault)
    assert not record.verified_end
    assert record.evidence[1].startswith("NOT VERIFIED")


async def test_what_was_there_already_is_not_verified() -> None:
    to_the_leader = await operate(MovableDatabase(), faults.transfer("g", faults.host("n1")))
    assert not to_the_leader.verified_start
    to_a_voter = await operate(MovableDatabase(), faults.move_replica("g", to=faults.host("n2")))
    assert not to_a_voter.verified_start


async def test_a_database_that_cannot_be_operated_has_no_such_faults() -> None:
    with pytest.raises(TargetError, match="no replicas or leaders"):
        await operate(IdleDatabase("n2"), faults.transfer("g"))


def test_lots_of_moves_are_drawn_before_the_run() -> None:
    rng = random.Random(1)
    drawn = faults.move_replica("g", faults.one(), faults.one()).drawn(HOSTS, rng)
    assert isinstance(drawn.source, Host)
    assert isinstance(drawn.to, Host)
    with pytest.raises(TargetError, match="no host n9"):
        faults.transfer("g", faults.host("n9")).drawn(HOSTS, rng)
