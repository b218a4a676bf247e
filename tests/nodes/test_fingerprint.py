"""Replicas that would execute differently do not: they vote, store, and say what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.fingerprint import facts_of_this_process, fingerprint_of, own_fingerprint
from nodes.machine import Machine, ReplicaFault
from nodes.protocol import (
    Busy,
    Done,
    NotLeader,
    SqlFailure,
    SwitchFingerprint,
)
from tests.nodes.replica import INSERT, Replica, committed, encode, statement
from tests.nodes.test_node import Nodes, insert, make_table, running, select, three

OLD, NEW = "sqlite-1-py1-old", "sqlite-2-py2-new"


def test_every_fact_is_in_the_fingerprint() -> None:
    facts = facts_of_this_process()
    assert {"sqlite source", "compile options", "limits", "python", "unicode"} <= facts.keys()
    assert "source of nodes.functions" in facts
    own = fingerprint_of(facts)
    assert own == own_fingerprint() == fingerprint_of(dict(reversed(facts.items())))
    others = {fingerprint_of({**facts, name: facts[name] + "x"}) for name in facts}
    assert len(others) == len(facts)
    assert own not in others


# --------------------------------------------------------------------------- the state machine


def opened(replica: Replica, fingerprint: str) -> Machine:
    return Machine.open(
        replica.directory, group="s1", replica=1, cluster_id="c1", fingerprint=fingerprint
    )


async def test_it_is_a_value_in_the_log_that_is_switched_by_compare_and_set(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    machine = replica.machine
    assert machine.fingerprint == ""
    assert machine.opening() == SwitchFingerprint(own_fingerprint(), "")
    assert isinstance(replica.apply(SwitchFingerprint(own_fingerprint(), "")), Done)
    assert machine.opening() is None
    assert machine.halted == ""
    assert isinstance(replica.apply(SwitchFingerprint(own_fingerprint(), "")), Done)
    refused = replica.apply(SwitchFingerprint(NEW, OLD))
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "55000"
    assert machine.fingerprint == own_fingerprint()
    await replica.reopen()
    assert replica.machine.fingerprint == own_fingerprint()
    assert isinstance(replica.apply(SwitchFingerprint(NEW, own_fingerprint())), Done)
    assert own_fingerprint() in replica.machine.halted
    assert NEW in replica.machine.halted
    await replica.machine.close()


async def test_a_machine_of_another_one_applies_no_write_and_proposes_none(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.apply(SwitchFingerprint(NEW, ""))
    write = replica.command(statement(INSERT, 1, "a"))
    assert isinstance(replica.machine.check(write, 100), Busy)
    with pytest.raises(ReplicaFault, match="shardrouter upgrade"):
        replica.apply(write)
    await replica.machine.close()
    machine = opened(replica, NEW)
    assert machine.check(write, 100) is None
    ((answer,),) = machine.apply([committed(machine.applied + 1, encode(write))])
    assert isinstance(answer, Done)
    await machine.close()


async def test_a_snapshot_brings_the_fingerprint_of_its_state(tmp_path: Path) -> None:
    sender = Replica(tmp_path / "sender")
    sender.apply(SwitchFingerprint(NEW, ""))
    receiver = Replica(tmp_path / "receiver", replica=2, setup=False)
    sent = sender.machine.make_snapshot()
    received = receiver.machine.receive_snapshot(2)
    received.write(0, sent.read(0, sent.size))
    received.finish(index=sent.index, term=1, size=sent.size, digest=sent.hash)
    sent.remove()
    assert receiver.machine.halted == ""
    await receiver.machine.switch_to(2)
    assert receiver.machine.fingerprint == NEW
    assert "shardrouter upgrade" in receiver.machine.halted
    await receiver.machine.close()
    await sender.machine.close()


# --------------------------------------------------------------------------- a cluster


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def level(nodes: Nodes, *names: str) -> Callable[[], bool]:
    """All of these replicas have applied all that any of them has in its log."""

    def is_level() -> bool:
        replicas = [nodes.replica(name, "s1") for name in names or nodes.running]
        return len({r.applied for r in replicas} | {r.last for r in replicas}) == 1

    return is_level


@pytest.mark.slow
async def test_a_replica_of_another_release_votes_and_stores_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    config = three()
    old = dict.fromkeys(config.nodes, OLD)
    async with running(config, tmp_path, old) as nodes:
        session = await make_table(nodes, "s1")
        await nodes.call("s1", insert(session, 2, 1))
        await until(level(nodes))
        assert {nodes.replica(name, "s1").fingerprint for name in config.nodes} == {OLD}
    async with running(config, tmp_path, old | {"n1": NEW}) as nodes:
        # n2 was placed to lead and does. With n3 gone no entry commits unless n1 stores it, and
        # no leader stays in office unless n1 votes and answers.
        assert await nodes.leader("s1") == "n2"
        await nodes.running["n3"].__aexit__(None, None, None)
        answer = await nodes.call("s1", insert(session, 3, 2), "n2")
        assert isinstance(answer, Done)
        await until(lambda: nodes.replica("n1", "s1").commit >= answer.index)
        status = nodes.replica("n1", "s1")
        assert status.stopped == ""
        assert status.applied < answer.index
        assert OLD in status.halted
        assert NEW in status.halted
        assert "shardrouter upgrade" in status.halted


@pytest.mark.slow
async def test_a_leader_of_another_release_takes_no_write_until_the_switch(tmp_path: Path) -> None:
    config = three()
    async with running(config, tmp_path, dict.fromkeys(config.nodes, OLD)) as nodes:
        session = await make_table(nodes, "s1")
        await nodes.call("s1", insert(session, 2, 1))
        await until(level(nodes))
    async with running(config, tmp_path, dict.fromkeys(config.nodes, NEW)) as nodes:
        answer = await nodes.call("s1", insert(session, 3, 2))
        assert isinstance(answer, Busy)
        assert "shardrouter upgrade" in answer.reason
        read = await nodes.call("s1", select())  # the state is all there, and may be read
        assert isinstance(read, Done)
        assert read.results[0].values == ((1, 10),)
        assert isinstance(await nodes.call("s1", SwitchFingerprint(NEW, OLD)), Done)
        assert isinstance(await nodes.call("s1", insert(session, 3, 2)), Done)
        await until(level(nodes))
        assert {nodes.replica(name, "s1").halted for name in config.nodes} == {""}


@pytest.mark.slow
async def test_the_office_goes_round_until_somebody_leads_who_may_execute(tmp_path: Path) -> None:
    config = three()
    async with running(config, tmp_path, dict.fromkeys(config.nodes, OLD)) as nodes:
        session = await make_table(nodes, "s1")
        await until(level(nodes))
    async with running(config, tmp_path, {"n1": OLD, "n2": NEW, "n3": NEW}) as nodes:
        assert await nodes.leader("s1") == "n2", "who was placed to lead, and may not execute"
        async with asyncio.timeout(20):
            while True:  # as a router repeats it
                if isinstance(await nodes.call("s1", insert(session, 2, 1)), Done):
                    break
                await asyncio.sleep(0.02)
        assert nodes.replica("n1", "s1").role == "leader"


@pytest.mark.slow
async def test_a_leader_behind_a_write_it_may_not_apply_answers_so(tmp_path: Path) -> None:
    config = three()
    async with running(config, tmp_path, dict.fromkeys(config.nodes, OLD)) as nodes:
        session = await make_table(nodes, "s1")
        await until(level(nodes))
    async with running(config, tmp_path, {"n1": NEW, "n2": OLD, "n3": NEW}) as nodes:
        assert await nodes.leader("s1") == "n2"
        assert isinstance(await nodes.call("s1", insert(session, 2, 1), "n2"), Done)
        await until(lambda: nodes.replica("n1", "s1").commit == nodes.replica("n2", "s1").commit)
        await until(lambda: nodes.replica("n3", "s1").commit == nodes.replica("n2", "s1").commit)
        await nodes.running.pop("n2").__aexit__(None, None, None)
        leader = await nodes.leader("s1")
        for body in (insert(session, 3, 2), select()):
            answer = await nodes.call("s1", body, leader)
            assert isinstance(answer, Busy | NotLeader), answer
            if isinstance(answer, Busy):
                assert "rebuild this replica" in answer.reason
