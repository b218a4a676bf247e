"""Replicas that come and go, on real nodes: four or five in one process, with logs and files."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from nodes import belonging
from nodes import hosting as hosting_module
from nodes.config import ClusterConfig, RaftConfig
from nodes.protocol import (
    Changed,
    ChangeReplicas,
    Denied,
    Done,
    Envelope,
    MoveLeadership,
    NoSuchGroup,
    NotLeader,
    Opened,
    OpenSession,
    PeerBatch,
    ReplicaStatus,
    ResponseBody,
)
from nodes.raft.membership import is_removed, with_learner, without
from nodes.raft.messages import (
    AppendRequest,
    AppendResponse,
    Inquiry,
    LogEntry,
    Membership,
    PreVoteRequest,
    RaftMessage,
    Removed,
    VoteRequest,
    VoteResponse,
)
from nodes.raft_engine import RaftEngine
from tests.nodes.test_node import Nodes, config_of, insert, make_table, select

pytestmark = pytest.mark.slow  # real elections and files

Step = Literal["learner", "voter", "remove"]


class Cluster(Nodes):
    """Nodes that can be started and stopped one by one."""

    def __init__(self, config: ClusterConfig, directory: Path) -> None:
        super().__init__(config, directory)
        self.stacks: dict[str, AsyncExitStack] = {}

    async def up(self, *names: str) -> None:
        for name in names:
            self.stacks[name] = AsyncExitStack()
        await asyncio.gather(*(self.start(name, self.stacks[name]) for name in names))

    async def down(self, name: str) -> None:
        del self.running[name]
        await self.stacks.pop(name).aclose()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.005)

    def has_none(self, node: str, group: str) -> bool:
        return self.find(node, group) is None

    async def change(self, group: str, step: Step, replica: int, node: str = "") -> ResponseBody:
        return await self.call(group, ChangeReplicas(step, replica, node))

    async def must_change(self, group: str, step: Step, replica: int, node: str = "") -> None:
        """As a tool does it: a step that has to wait for something is asked for again."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.change(group, step, replica, node)
                if isinstance(answer, Changed):
                    return
                assert isinstance(answer, Denied), answer
                assert answer.reason.endswith("ask again."), answer
                await asyncio.sleep(0.01)

    async def add(self, group: str, replica: int, node: str) -> None:
        await self.must_change(group, "learner", replica, node)
        await self.until(lambda: self.find(node, group) is not None)
        await self.must_change(group, "voter", replica)

    async def leading(self, group: str) -> ReplicaStatus:
        return self.replica(await self.leader(group), group)

    async def is_applied_by(self, group: str, answer: Done, *names: str) -> None:
        await self.until(
            lambda: all(self.replica(name, group).applied >= answer.index for name in names)
        )


@asynccontextmanager
async def cluster(
    directory: Path,
    *,
    nodes: int = 4,
    s1: tuple[str, ...] = ("n1", "n2", "n3"),
    log_entries: int = RaftConfig().log_entries,
) -> AsyncIterator[Cluster]:
    """`meta` and `s1`, both on n1 to n3 if nothing else is said, and nodes without a replica."""
    names = [f"n{number}" for number in range(1, nodes + 1)]
    config = config_of({"meta": ["n1", "n2", "n3"], "s1": list(s1)}, nodes=names)
    config = replace(config, raft=replace(config.raft, log_entries=log_entries))
    found = Cluster(config, directory)
    try:
        await found.up(*names)
        yield found
    finally:
        for client in found.clients.values():
            await client.close()
        for name in list(found.stacks):
            await found.down(name)


def members(status: ReplicaStatus) -> list[tuple[int, str, bool]]:
    return [(m.replica, m.node, m.is_voter) for m in status.members]


async def write(nodes: Cluster, opened: Opened, key: int) -> Done:
    answer = await nodes.call("s1", insert(opened, 2 + key, key))
    assert isinstance(answer, Done), answer
    return answer


def rows(nodes: Cluster, node: str) -> int:
    """How many rows the replica of s1 on `node` holds."""
    read = nodes.running[node]._hosting.running["s1"].machine.read(select("SELECT k FROM t"))
    assert isinstance(read, Done), read
    return len(read.results[0].values)


async def test_a_group_of_three_grows_to_four(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        for key in range(5):
            await write(nodes, opened, key)
        assert await nodes.call("s1", select(), "n4") == NoSuchGroup()
        assert isinstance(await nodes.change("s1", "learner", 4, "n4"), Changed)
        await nodes.until(lambda: nodes.find("n4", "s1"))
        assert members(await nodes.leading("s1"))[-1] == (4, "n4", False)
        await nodes.must_change("s1", "voter", 4)
        last = await write(nodes, opened, 5)
        await nodes.is_applied_by("s1", last, "n4")
        assert rows(nodes, "n4") == 6
        status = nodes.replica("n4", "s1")
        assert members(status) == [(n, f"n{n}", True) for n in (1, 2, 3, 4)]
        assert (status.last_id, status.is_changing) == (4, False)
        # Four voters need three: with n4 the group survives the loss of its leader.
        await nodes.down(await nodes.leader("s1"))
        await write(nodes, opened, 6)


async def test_a_replica_moves_to_a_new_node_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.add("s1", 4, "n4")
        await nodes.must_change("s1", "remove", 3)
        await nodes.until(lambda: nodes.find("n3", "s1") is None)
        assert not (tmp_path / "n3" / "s1").exists()
        assert [r.group for r in nodes.running["n3"].status().replicas] == ["meta"]
        last = await write(nodes, opened, 1)
        await nodes.is_applied_by("s1", last, "n1", "n2", "n4")
        assert await nodes.call("s1", select(), "n3") == NoSuchGroup()
        # Started again it hosts what its log store says, not what cluster.toml founded.
        await nodes.down("n3")
        await nodes.up("n3")
        assert nodes.find("n3", "s1") is None
        assert isinstance(await nodes.call("meta", OpenSession("test")), Opened)
        # The same node may get the group again, with a new id.
        await nodes.add("s1", 5, "n3")
        last = await write(nodes, opened, 2)
        await nodes.is_applied_by("s1", last, "n3")
        assert rows(nodes, "n3") == 2


async def test_a_leader_hands_over_and_is_removed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        old = await nodes.leading("s1")
        assert isinstance(await nodes.call("s1", MoveLeadership(2)), Changed)
        assert await nodes.leader("s1") == "n2"
        await nodes.must_change("s1", "remove", old.replica)
        await nodes.until(lambda: nodes.find(f"n{old.replica}", "s1") is None)
        await write(nodes, opened, 1)


async def test_a_leader_that_removes_itself_steps_down_when_that_is_committed(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        leader = await nodes.leading("s1")
        name = f"n{leader.replica}"
        assert isinstance(await nodes.change("s1", "remove", leader.replica), Changed)
        await nodes.until(lambda: nodes.find(name, "s1") is None)
        await write(nodes, opened, 1)
        assert leader.replica not in [m.replica for m in (await nodes.leading("s1")).members]


# --------------------------------------------------------------------------- who was not there


async def test_a_node_that_was_down_learns_that_its_replica_was_removed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.add("s1", 4, "n4")
        await nodes.down("n3")
        await nodes.must_change("s1", "remove", 3)
        await write(nodes, opened, 1)
        await nodes.up("n3")
        assert nodes.replica("n3", "s1").replica == 3
        await nodes.until(lambda: nodes.find("n3", "s1") is None)
        assert not (tmp_path / "n3" / "s1").exists()
        assert nodes.replica("n3", "meta").role == "follower"


async def test_a_replica_that_was_removed_learns_it_although_all_it_knew_are_gone(
    tmp_path: Path,
) -> None:
    """The group moves from n1 to n2 while n1's replica is cut off: nobody whom it knows hosts
    the group any more."""
    async with cluster(tmp_path, nodes=5, s1=("n1", "n2", "n3")) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.call("s1", MoveLeadership(2))
        await nodes.down("n1")
        await nodes.must_change("s1", "remove", 1)
        for replica, node, old in ((4, "n4", 3), (5, "n5", 2)):
            await nodes.add("s1", replica, node)
            if (await nodes.leading("s1")).replica == old:
                await nodes.call("s1", MoveLeadership(4))
            await nodes.must_change("s1", "remove", old)
            await nodes.until(partial(nodes.has_none, f"n{old}", "s1"))
        await nodes.up("n1")
        await nodes.until(lambda: nodes.find("n1", "s1") is None)
        await write(nodes, opened, 1)
        assert members(await nodes.leading("s1")) == [(4, "n4", True), (5, "n5", True)]


async def test_a_damaged_replica_is_removed_like_any_other(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        last = await write(nodes, opened, 1)
        await nodes.is_applied_by("s1", last, "n3")
        await nodes.down("n3")
        damage(tmp_path / "n3" / "log.db", "s1")
        await nodes.up("n3")
        assert "missing or damaged" in nodes.replica("n3", "s1").stopped
        await nodes.must_change("s1", "remove", 3)
        await nodes.until(lambda: nodes.find("n3", "s1") is None)
        await nodes.add("s1", 4, "n3")
        last = await write(nodes, opened, 2)
        await nodes.is_applied_by("s1", last, "n3")
        assert rows(nodes, "n3") == 2


async def test_a_new_id_on_the_same_node_takes_the_place_of_the_old_one_at_once(
    tmp_path: Path,
) -> None:
    """The leader's message to it says that the old one is removed: nobody has to ask."""
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.call("s1", MoveLeadership(1))
        await nodes.down("n3")
        await nodes.must_change("s1", "remove", 3)
        await nodes.up("n3")
        nodes.running["n3"]._hosting.tick = lambda ticks=1: None  # type: ignore[method-assign]  # no question
        assert nodes.replica("n3", "s1").replica == 3
        await nodes.must_change("s1", "learner", 4, "n3")
        await nodes.until(lambda: (r := nodes.find("n3", "s1")) and r.replica == 4)
        await nodes.must_change("s1", "voter", 4)
        last = await write(nodes, opened, 1)
        await nodes.is_applied_by("s1", last, "n3")


@pytest.mark.parametrize("notice", ["arrives", "is lost"])
async def test_a_quiet_replica_learns_of_its_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notice: str
) -> None:
    """It expects to hear nothing, so it is told; and it asks, but seldom."""
    if notice == "is lost":
        monkeypatch.setattr(RaftEngine, "_part_from_removed", lambda engine: None)
        monkeypatch.setattr(belonging, "QUIET_INQUIRIES", 2)
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.add("s1", 4, "n4")
        hosted = nodes.running["n4"]._hosting.running["s1"]
        await nodes.until(lambda: hosted.engine.is_quiet)
        assert isinstance(await nodes.change("s1", "remove", 4), Changed)
        await nodes.until(lambda: nodes.find("n4", "s1") is None)
        await write(nodes, opened, 1)


# --------------------------------------------------------------------------- what comes too late


async def test_delayed_messages_of_and_to_a_removed_replica_change_nothing(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.add("meta", 4, "n4")
        await nodes.add("s1", 4, "n4")
        await nodes.must_change("s1", "remove", 4)
        await nodes.until(lambda: nodes.find("n4", "s1") is None)
        leader = await nodes.leading("s1")
        term, last = leader.term, leader.last

        def receive(node: str, sender: str, *messages: RaftMessage) -> None:
            batch = PeerBatch(tuple(Envelope("s1", message) for message in messages))
            nodes.running[node].on_peer_batch(sender, batch)

        # What its leaders wrote to it, also one of a later term: its id is of the past.
        receive("n4", "n1", AppendRequest(1, 4, term, last, term, last, 1))
        receive("n4", "n1", AppendRequest(1, 4, term + 9, 0, 0, 0, 1, (LogEntry(1, b""),)))
        assert nodes.find("n4", "s1") is None
        assert nodes.replica("n4", "meta").stopped == ""
        # What it wrote: answers, and requests for votes of the next terms.
        for node in ("n1", "n2", "n3"):
            receive(
                node,
                "n4",
                AppendResponse(4, leader.replica, term, True, last + 100, 10**6),
                PreVoteRequest(4, nodes.replica(node, "s1").replica, term + 1, last + 100, term),
                VoteRequest(4, nodes.replica(node, "s1").replica, term + 1, last + 100, term),
                VoteResponse(4, leader.replica, term, True),
            )
        await write(nodes, opened, 1)
        now = await nodes.leading("s1")
        assert (now.replica, now.term) == (leader.replica, term)
        # A removal is of one id: a notice for an old one does not touch the new one.
        await nodes.add("s1", 5, "n4")
        receive("n4", "n1", Removed(1, 4, 0), Removed(1, 6, 0))
        last_write = await write(nodes, opened, 2)
        await nodes.is_applied_by("s1", last_write, "n4")
        assert nodes.replica("n4", "s1").replica == 5


async def test_only_a_leader_makes_a_replica_and_only_of_a_group_of_the_cluster(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(tmp_path) as nodes:
        await make_table(nodes, "s1")
        node = nodes.running["n4"]
        for group in ("s1", "s9", "../n3"):
            for message in (
                VoteRequest(1, 9, 5, 3, 3),
                PreVoteRequest(1, 9, 5, 3, 3),
                AppendResponse(1, 9, 5, True, 3, 3),
                Inquiry(1, 9, 0),
                Removed(1, 9, 0),
            ):
                node.on_peer_batch("n1", PeerBatch((Envelope(group, message),)))
        for group in ("s9", "../n3"):
            request = Envelope(group, AppendRequest(1, 9, 5, 0, 0, 0, 1))
            node.on_peer_batch("n1", PeerBatch((request, request)))
        lines = [record.getMessage() for record in caplog.records]
        assert sum("which this node does not know" in line for line in lines) == 2
        assert node.status().replicas == ()
        assert sorted(path.name for path in (tmp_path / "n4").glob("*")) == [
            path.name for path in sorted((tmp_path / "n4").glob("log.db*"))
        ]


def test_who_lags_removes_nobody() -> None:
    """A member whose log does not know the newcomer yet must not say that it was removed."""
    membership = Membership.of({1, 2, 3}, {1: "n1", 2: "n2", 3: "n3"})
    assert not is_removed(membership, 4, "n4")
    assert not is_removed(membership, 3, "n3")
    assert is_removed(membership, 3, "n4")  # the id was given to another node
    membership = with_learner(membership, 4, "n4")
    assert not is_removed(membership, 4, "n4")
    membership = without(membership, 4)
    assert is_removed(membership, 4, "n4")
    assert not is_removed(membership, 5, "n5")


# --------------------------------------------------------------------------- under load, in trouble


async def test_a_learner_catches_up_by_snapshot_while_the_group_serves(tmp_path: Path) -> None:
    async with cluster(tmp_path, log_entries=30) as nodes:
        opened = await make_table(nodes, "s1")
        for key in range(80):
            await write(nodes, opened, key)
            await asyncio.sleep(0.002)  # cuts happen with ticks
        key = 80
        adding = asyncio.create_task(nodes.add("s1", 4, "n4"))
        while not adding.done():
            await write(nodes, opened, key)
            key += 1
        await adding
        last = await write(nodes, opened, key)
        await nodes.is_applied_by("s1", last, "n4")
        assert rows(nodes, "n4") == key + 1
        assert nodes.running["n4"]._hosting.running["s1"].machine.generation > 1
        await nodes.down("n4")
        await nodes.up("n4")
        assert members(nodes.replica("n4", "s1")) == [(n, f"n{n}", True) for n in (1, 2, 3, 4)]


async def test_a_replica_that_cannot_begin_harms_no_other(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        (tmp_path / "n4" / "s1").write_text("no directory", encoding="utf-8")
        await nodes.add("meta", 4, "n4")
        assert isinstance(await nodes.change("s1", "learner", 4, "n4"), Changed)
        await nodes.until(lambda: (r := nodes.find("n4", "s1")) and r.stopped)
        await write(nodes, opened, 1)
        answer = await nodes.call("meta", OpenSession("test"))
        assert isinstance(answer, Opened)
        await nodes.until(lambda: nodes.replica("n4", "meta").applied >= answer.session.index)
        # It is taken away again like any other, once what is in the way is gone.
        (tmp_path / "n4" / "s1").unlink()
        await nodes.must_change("s1", "remove", 4)
        await nodes.until(lambda: nodes.find("n4", "s1") is None)


async def test_files_that_cannot_be_deleted_harm_no_other_and_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.add("s1", 4, "n4")
        await nodes.add("meta", 4, "n4")
        with monkeypatch.context() as patch:
            patch.setattr(hosting_module, "remove_files", refuse_to_delete)
            await nodes.must_change("s1", "remove", 4)
            await nodes.until(lambda: (r := nodes.find("n4", "s1")) and "delete it" in r.stopped)
        await write(nodes, opened, 1)
        answer = await nodes.call("meta", OpenSession("test"))
        assert isinstance(answer, Opened)
        await nodes.until(lambda: nodes.replica("n4", "meta").applied >= answer.session.index)
        await nodes.down("n4")
        await nodes.up("n4")
        assert nodes.find("n4", "s1") is None
        assert not (tmp_path / "n4" / "s1").exists()


# --------------------------------------------------------------------------- what is refused


async def test_a_step_that_would_leave_no_majority_that_is_up_is_denied(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.call("s1", MoveLeadership(1))
        await nodes.down("n3")
        await nodes.until(lambda: is_silent(nodes.replica("n1", "s1"), 3))
        before = nodes.replica("n1", "s1")
        answer = await nodes.change("s1", "remove", 2)
        assert answer == Denied(
            "1 of the 2 voters would be up, which is no majority (silent: replica 3 on n3); start "
            "these nodes, or remove their replicas first."
        )
        assert nodes.replica("n1", "s1").last == before.last
        await nodes.must_change("s1", "remove", 3)
        await nodes.must_change("s1", "remove", 2)
        await write(nodes, opened, 1)
        assert await nodes.change("s1", "remove", 1) == Denied("Replica 1 is the last voter.")


async def test_steps_that_make_no_sense_are_denied_with_a_sentence(tmp_path: Path) -> None:
    async with cluster(tmp_path, nodes=5) as nodes:
        await make_table(nodes, "s1")
        await nodes.call("s1", MoveLeadership(1))
        await nodes.down("n5")
        for request, sentence in (
            (ChangeReplicas("learner", 4, "n9"), "Node n1 knows no node n9, only n1, n2, n3"),
            (ChangeReplicas("learner", 5, "n4"), "gets the id 4, not 5; look at its status again"),
            (ChangeReplicas("learner", 4, "n2"), "Node n2 has replica 2 of the group; a node has"),
            (ChangeReplicas("voter", 4), "Replica 4 does not belong to the group"),
            (ChangeReplicas("remove", 4), "Replica 4 never belonged to the group"),
            (MoveLeadership(4), "Replica 4 does not belong to the group"),
        ):
            answer = await nodes.call("s1", request)
            assert isinstance(answer, Denied), answer
            assert sentence in answer.reason
        assert isinstance(await nodes.change("s1", "learner", 4, "n5"), Changed)
        await nodes.until(lambda: is_silent(nodes.replica("n1", "s1"), 4))
        answer = await nodes.change("s1", "voter", 4)
        assert isinstance(answer, Denied)
        assert "Learner 4 on node n5 does not answer" in answer.reason
        answer = await nodes.call("s1", MoveLeadership(4))
        assert answer == Denied("Replica 4 is a learner; it has to become a voter first.")
        # What is so already is no error: a tool that died asks again.
        for request in (
            ChangeReplicas("learner", 4, "n5"),
            ChangeReplicas("voter", 2),
            MoveLeadership(1),
        ):
            assert isinstance(await nodes.call("s1", request), Changed)
        assert isinstance(await nodes.change("s1", "remove", 4), Changed)
        assert isinstance(await nodes.change("s1", "remove", 4), Changed)
        assert await nodes.call("s1", ChangeReplicas("remove", 2), "n2") == NotLeader("n1")


@pytest.mark.parametrize("engine", ["local", "pysyncobj"])
async def test_other_engines_change_nothing_and_say_where_to_read(
    tmp_path: Path, engine: str
) -> None:
    config = config_of({"meta": ["n1"], "s1": ["n1"]}, engine, nodes=["n1", "n2"])
    nodes = Cluster(config, tmp_path)
    try:
        await nodes.up("n1")
        await make_table(nodes, "s1")
        answer = await nodes.change("s1", "learner", 2, "n2")
        assert isinstance(answer, Denied)
        assert "docs/engines.md" in answer.reason
    finally:
        for client in nodes.clients.values():
            await client.close()
        await nodes.down("n1")


def is_silent(status: ReplicaStatus, replica: int) -> bool:
    return not next(m for m in status.members if m.replica == replica).is_active


def refuse_to_delete(directory: Path) -> None:
    raise PermissionError(13, "Permission denied", str(directory))


def damage(path: Path, group: str) -> None:
    """Change every entry of the group."""
    with sqlite3.connect(path) as log:
        (number,) = log.execute("SELECT number FROM replicas WHERE name = ?", (group,)).fetchone()
        log.execute("UPDATE entries SET term = term + 1 WHERE key >> 44 = ?", (number,))
    log.close()
