"""`recover --unsafe`: a group without its majority goes on with the best of what is left, and
nothing of its former incarnation can be confused with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodes.comparison import Comparison, compare
from nodes.config import format_cluster
from nodes.incarnations import (
    ID_STRIDE,
    MARKS,
    are_rivals,
    first_id_after,
    incarnation_of,
    succeeds,
)
from nodes.protocol import (
    Changed,
    ChangeReplicas,
    Denied,
    Done,
    Envelope,
    Fence,
    MemberStatus,
    Opened,
    OpenSession,
    RecoverGroup,
    ReplicaStatus,
    Status,
    UnknownOutcome,
    UnknownSession,
)
from nodes.raft.messages import Inquiry, Removed
from nodes.recovery import renew_data
from shardrouter.mover import Mover
from shardrouter.moves import Goal
from shardrouter.repair import Survivor, survivor_of
from tests.nodes.test_members import Cluster, cluster, members, rows
from tests.nodes.test_node import insert, make_table
from tests.shardrouter.test_upgrades import command

MARK = 483_920_117
FIRST = first_id_after(3, MARK)


@pytest.mark.parametrize("mark", [0, 5, MARKS - 1])
def test_ids_of_two_incarnations_never_meet(mark: int) -> None:
    assert {incarnation_of(replica) for replica in (1, 999, ID_STRIDE)} == {1}
    first = first_id_after(7, mark)
    assert first == 1_000_000_000_000_000 + mark * 1_000_000 + 1
    assert incarnation_of(first) == incarnation_of(first + ID_STRIDE - 1)
    second = first_id_after(first + 3, 9)
    assert len({incarnation_of(replica) for replica in (1, first, second)}) == 3
    assert succeeds(first, 7)
    assert succeeds(second, first)
    assert succeeds(second, 7)
    assert not succeeds(first, first + 3)
    assert not succeeds(7, first)


def test_two_recoveries_of_the_same_are_rivals() -> None:
    one, other = first_id_after(3, 17), first_id_after(3, 18)
    assert are_rivals(one, other)
    assert are_rivals(other + 2, one + 1)
    assert not succeeds(one, other)
    assert not succeeds(other, one)
    assert not are_rivals(one, one + 1)
    assert not are_rivals(one, 3)
    assert not are_rivals(first_id_after(one, 5), other), "one of them was recovered again"


def said(number: int, last_term: int, last: int, *, stopped: str = "") -> Status:
    seats = tuple(MemberStatus(n, f"n{n}", True) for n in (1, 2, 3, 4, 5))
    status = ReplicaStatus(
        *("s1", number, "stopped" if stopped else "precandidate", None, 9, 1, 1, last, stopped),
        members=seats,
        last_term=last_term,
    )
    return Status(f"n{number}", 1, (status,))


def found(*statuses: Status) -> Survivor | str:
    by_node: dict[str, Status | None] = dict.fromkeys(f"n{n}" for n in (1, 2, 3, 4, 5))
    return survivor_of("s1", by_node | {status.node: status for status in statuses})


def test_the_newest_log_is_the_one_that_would_win_a_vote() -> None:
    survivor = found(said(1, 3, 90), said(4, 4, 80))
    assert isinstance(survivor, Survivor)
    assert (survivor.node, survivor.others, survivor.lost) == ("n4", ("n1",), ("n2", "n3", "n5"))
    assert "LOST FOR EVER" in survivor.warning()
    assert "index 80" in survivor.warning()
    survivor = found(said(1, 4, 81), said(4, 4, 80))
    assert isinstance(survivor, Survivor)
    assert survivor.node == "n1"


def test_it_refuses_where_there_is_a_majority_or_nothing() -> None:
    majority = found(said(1, 3, 90), said(2, 3, 90), said(3, 3, 90))
    assert isinstance(majority, str)
    assert "has a majority" in majority
    nothing = found(said(1, 3, 90, stopped="It is damaged."))
    assert isinstance(nothing, str)
    assert "no node that answers has a replica of s1 that works" in nothing


# --------------------------------------------------------------------------- real nodes


@asynccontextmanager
async def one_left(directory: Path) -> AsyncIterator[tuple[Cluster, Opened]]:
    """A cluster of three with 20 rows in s1, of which only n1 runs."""
    async with cluster(directory, nodes=3) as nodes:
        (directory / "cluster.toml").write_text(format_cluster(nodes.config), encoding="utf-8")
        opened = await make_table(nodes, "s1")
        for key in range(20):
            answer = await nodes.call("s1", insert(opened, 2 + key, key))
            assert isinstance(answer, Done), answer
            last = answer
        await nodes.is_applied_by("s1", last, "n1", "n2", "n3")
        for name in ("n2", "n3"):
            await nodes.down(name)
        yield nodes, opened


async def recovered(nodes: Cluster) -> None:
    replica = nodes.replica("n1", "s1").replica
    answer = await nodes.call("s1", RecoverGroup(replica, MARK), "n1")
    assert isinstance(answer, Changed), answer
    again = await nodes.call("s1", RecoverGroup(replica, MARK), "n1")
    assert isinstance(again, Changed), "asked for twice it is done once"


async def grow(nodes: Cluster, *names: str) -> None:
    async with Mover(nodes.config, report=lambda group, move: None) as mover:
        until = asyncio.get_running_loop().time() + 30
        for name in names:
            end = await mover.reach("s1", Goal(on=frozenset({name})), until)
            assert end.reached, end


@pytest.mark.slow
async def test_the_survivor_goes_on_and_the_former_majority_is_refused_for_ever(
    tmp_path: Path,
) -> None:
    async with one_left(tmp_path) as (nodes, opened):
        await recovered(nodes)
        assert await nodes.leader("s1") == "n1"
        assert members(await nodes.leading("s1")) == [(FIRST, "n1", True)]
        assert rows(nodes, "n1") == 20
        # What was sent before and is repeated now can no longer be told: indefinite.
        for body in (insert(opened, 21, 19), Fence(opened.session, 21, 0)):
            assert isinstance(await nodes.call("s1", body), UnknownSession)
        again = await nodes.call("s1", OpenSession("test"))
        assert isinstance(again, Opened)
        assert again.session.incarnation == incarnation_of(FIRST)
        assert isinstance(await nodes.call("s1", insert(again, 1, 100)), Done)
        # n2 and n3 come back: a majority among themselves, of what the group was.
        await nodes.up("n2", "n3")
        await nodes.until(lambda: nodes.find("n2", "s1") is None and nodes.find("n3", "s1") is None)
        for name, replica in (("n2", 2), ("n3", 3)):
            assert (tmp_path / name / f"s1.replica-{replica}" / "data-1.db").exists()
            assert not (tmp_path / name / "s1").exists()
        await grow(nodes, "n2", "n3")
        assert isinstance(await nodes.call("s1", insert(again, 2, 101)), Done)
        equal = await compare("s1", nodes.clients, timeout_s=20)
        assert isinstance(equal, Comparison)
        assert (equal.differences, equal.silent, len(equal.compared)) == ((), {}, 3)
        assert rows(nodes, "n1") == 22
        found = [replica for replica, _, _ in members(await nodes.leading("s1"))]
        assert found == [FIRST, FIRST + 1, FIRST + 2]
        # It holds after a restart of everything.
        for name in ("n1", "n2", "n3"):
            await nodes.down(name)
        await nodes.up("n1", "n2", "n3")
        assert isinstance(await nodes.call("s1", insert(again, 3, 102)), Done)
        answer = await nodes.call("s1", insert(opened, 99, 99))
        assert isinstance(answer, UnknownSession)


@pytest.mark.slow
async def test_what_is_in_the_log_and_was_never_known_to_be_committed_is_kept(
    tmp_path: Path,
) -> None:
    """It may have been acknowledged by those that are lost."""
    async with cluster(tmp_path, nodes=3) as nodes:
        opened = await make_table(nodes, "s1")
        leader = await nodes.leader("s1")
        for name in set(nodes.running) - {leader}:
            await nodes.down(name)
        last = nodes.replica(leader, "s1").last
        waiting = asyncio.ensure_future(nodes.call("s1", insert(opened, 2, 7), leader))
        await nodes.until(lambda: nodes.replica(leader, "s1").last > last)
        assert nodes.replica(leader, "s1").commit <= last
        replica = nodes.replica(leader, "s1").replica
        assert isinstance(await nodes.call("s1", RecoverGroup(replica, MARK), leader), Changed)
        assert isinstance(await waiting, UnknownOutcome)
        await nodes.leader("s1")
        await nodes.until(lambda: nodes.replica(leader, "s1").applied > last)
        await nodes.until(lambda: rows(nodes, leader) == 1)


@pytest.mark.slow
async def test_two_recoveries_from_two_sides_of_a_cut_refuse_each_other(tmp_path: Path) -> None:
    async with one_left(tmp_path) as (nodes, _):
        sessions: dict[str, Opened] = {}
        for name, mark in (("n1", 17), ("n2", 18)):  # neither sees the other
            for running in list(nodes.running):
                await nodes.down(running)
            await nodes.up(name)
            replica = nodes.replica(name, "s1").replica
            answer = await nodes.call("s1", RecoverGroup(replica, mark), name)
            assert isinstance(answer, Changed), answer
            assert await nodes.leader("s1") == name
            opened = await nodes.call("s1", OpenSession("test"), name)
            assert isinstance(opened, Opened)
            sessions[name] = opened
            done = await nodes.call("s1", insert(opened, 1, 100 + mark), name)
            assert isinstance(done, Done), done
        one, other = first_id_after(3, 17), first_id_after(3, 18)
        await nodes.up("n1", "n3")
        await nodes.until(lambda: nodes.replica("n1", "s1").role == "leader")
        await nodes.until(lambda: nodes.find("n3", "s1") is None)  # of the founders: put aside
        # The leader of one would have its new replica in the other's place.
        add = ChangeReplicas("learner", one + 1, "n2")
        assert isinstance(await nodes.call("s1", add, "n1"), Changed)
        await nodes.until(lambda: nodes.running["n2"]._hosting._belonging.rivals)
        # Nor is it told to go when it asks whether it is still a member.
        asks = Envelope("s1", Inquiry(other, 0, 0))
        nodes.running["n1"]._hosting.receive("n2", [asks])
        nodes.running["n2"]._hosting.receive("n1", [Envelope("s1", Removed(one, other, 0))])
        assert [nodes.replica(name, "s1").replica for name in ("n1", "n2")] == [one, other]
        assert [rows(nodes, name) for name in ("n1", "n2")] == [21, 21]
        # A session of one is none of the other, though both were the first of their time.
        assert sessions["n1"].session.index == sessions["n2"].session.index
        mine = insert(sessions["n1"], 2, 200)
        assert isinstance(await nodes.call("s1", mine, "n2"), UnknownSession)
        assert isinstance(await nodes.call("s1", mine, "n1"), Done)
        _, out, err = await command(tmp_path, "status")
        assert "s1 was recovered more than once, on n1 and on n2" in out + err


@pytest.mark.slow
async def test_another_id_or_a_stopped_replica_is_denied(tmp_path: Path) -> None:
    async with one_left(tmp_path) as (nodes, _):
        for group, replica, mark in (("s1", 7, MARK), ("s9", 1, MARK), ("s1", 1, MARKS)):
            assert isinstance(await nodes.call(group, RecoverGroup(replica, mark), "n1"), Denied)
        assert nodes.replica("n1", "s1").replica == 1


@pytest.mark.slow
async def test_a_crash_before_the_switch_leaves_the_former_replica(tmp_path: Path) -> None:
    """The next generation of the data file lies there, whole; the log store does not name it."""
    async with one_left(tmp_path) as (nodes, _):
        machine = nodes.running["n1"]._hosting.running["s1"].machine
        identity = machine.identity.of_replica(FIRST, machine.generation + 1)
        await asyncio.to_thread(renew_data, machine.path, identity)
        assert (tmp_path / "n1" / "s1" / "data-2.db").exists()
        await nodes.down("n1")
        await nodes.up("n1")
        assert nodes.replica("n1", "s1").replica == 1
        assert not (tmp_path / "n1" / "s1" / "data-2.db").exists()
        await recovered(nodes)
        assert await nodes.leader("s1") == "n1"
        assert rows(nodes, "n1") == 20


@pytest.mark.slow
async def test_a_crash_after_the_switch_leaves_the_new_one(tmp_path: Path) -> None:
    async with one_left(tmp_path) as (nodes, opened):
        hosting = nodes.running["n1"]._hosting
        hosting._open = lambda group, replica: None  # type: ignore[method-assign]
        replica = nodes.replica("n1", "s1").replica
        assert isinstance(await nodes.call("s1", RecoverGroup(replica, MARK), "n1"), Changed)
        await nodes.down("n1")
        await nodes.up("n1")
        assert nodes.replica("n1", "s1").replica == FIRST
        assert await nodes.leader("s1") == "n1"
        assert rows(nodes, "n1") == 20
        assert isinstance(await nodes.call("s1", insert(opened, 50, 50)), UnknownSession)


@pytest.mark.slow
async def test_the_verb_says_what_may_be_lost_and_asks(tmp_path: Path) -> None:
    async with one_left(tmp_path) as (nodes, _):
        code, _, err = await command(tmp_path, "recover", "s1")
        assert code == 2
        assert "recover --unsafe s1" in err
        code, _, err = await command(tmp_path, "recover", "--unsafe", "s1")
        assert code == 1, "nobody typed the name"
        assert "LOST FOR EVER" in err
        assert nodes.replica("n1", "s1").replica == 1
        code, out, err = await command(tmp_path, "recover", "--unsafe", "s1", "--yes-lose-writes")
        assert code == 0, err
        assert "shardrouter replica add s1 n2" in out
        assert await nodes.leader("s1") == "n1"
        code, _, err = await command(tmp_path, "recover", "--unsafe", "s1", "--yes-lose-writes")
        assert code == 1
        assert "s1 has a majority" in err
