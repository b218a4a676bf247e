"""`replica rebuild`: whatever happened to a replica's files, its group gets an equal one again,
while it is written to; and wherever the tool was killed, it is run again and ends well."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from nodes.cluster_file import load_cluster, write_cluster
from nodes.comparison import Comparison, compare
from nodes.protocol import (
    Done,
    MemberStatus,
    MoveLeadership,
    Opened,
    ReplicaStatus,
    Status,
)
from shardrouter.mover import End, Mover
from shardrouter.moves import Ask, Blocked, Goal, GroupView, Impossible, Move, Seat, next_step
from shardrouter.rebuilding import rebuild_node
from shardrouter.repair import rebuild_goals
from tests.nodes.test_members import Cluster, cluster, members, rows
from tests.nodes.test_node import config_of, insert, make_table

# --------------------------------------------------------------------------- the steps, pure

ABC = (Seat(1, "a", True, True, 9), Seat(2, "b", True, True, 9), Seat(3, "c", True, True, 9))


def view(*seats: Seat, leader: str = "a") -> GroupView:
    return GroupView("s1", seats, leader, 9, 3, frozenset("abc"))


def test_the_old_replica_goes_before_the_new_one_comes() -> None:
    goal = Goal(on=frozenset("c"), gone=frozenset({3}))
    first = next_step(view(*ABC), goal)
    assert isinstance(first, Ask)
    assert first.what == "s1: remove voter 3 on c"
    second = next_step(view(*ABC[:2]), goal)
    assert isinstance(second, Ask)
    assert second.what == "s1: add learner 4 on c"


def test_a_leader_hands_over_before_it_is_rebuilt() -> None:
    move = next_step(view(*ABC), Goal(on=frozenset("a"), gone=frozenset({1})))
    assert isinstance(move, Ask)
    assert isinstance(move.body, MoveLeadership)


def test_what_would_cost_the_majority_or_the_last_voter_is_refused() -> None:
    down = Seat(2, "b", True, False, 9)
    goal = Goal(on=frozenset("c"), gone=frozenset({3}))
    move = next_step(view(ABC[0], down, ABC[2]), goal)
    assert isinstance(move, Blocked)
    assert "only 1 of 2 voters" in move.why
    damaged = [Seat(n, node, True, False, 9, "It is damaged.") for n, node in ((2, "b"), (3, "c"))]
    move = next_step(view(ABC[0], *damaged), goal)
    assert isinstance(move, Blocked)
    assert "shardrouter recover --unsafe s1" in move.why
    move = next_step(view(ABC[0]), Goal(on=frozenset("a"), gone=frozenset({1})))
    assert isinstance(move, Impossible)


def test_a_second_run_goes_on_with_what_the_first_has_made() -> None:
    config = config_of({"meta": ["n1", "n2", "n3"], "s1": ["n1", "n2", "n3"]})

    def said(*seats: MemberStatus) -> dict[str, Status | None]:
        leader = ReplicaStatus("s1", 1, "leader", "n1", 1, 9, 9, 9, members=seats)
        return {"n1": Status("n1", 1, (leader,)), "n2": None, "n3": None}

    two = tuple(MemberStatus(number, f"n{number}", True) for number in (1, 2))
    before = said(*two, MemberStatus(3, "n3", True))
    assert rebuild_goals(config, "n3", before, only="s1") == {
        "s1": Goal(on=frozenset({"n3"}), gone=frozenset({3}))
    }
    on = Goal(on=frozenset({"n3"}))
    assert rebuild_goals(config, "n3", said(*two), only="s1") == {"s1": on}
    begun = said(*two, MemberStatus(4, "n3", False))
    assert rebuild_goals(config, "n3", begun, only="s1") == {"s1": on}
    assert set(rebuild_goals(config, "n3", before)) == {"meta", "s1"}


# --------------------------------------------------------------------------- real nodes


class Killed(Exception):
    """The tool dies here."""


def killing(at: int | None) -> Callable[[str, Move], None]:
    """A report that kills the tool right before it asks for that step."""
    asked = 0

    def report(_group: str, move: Move) -> None:
        nonlocal asked
        if isinstance(move, Ask):
            asked += 1
            if asked == at:
                raise Killed

    return report


async def rebuild(nodes: Cluster, node: str, *, dies_at: int | None = None) -> dict[str, End]:
    """What the verb does."""
    async with Mover(nodes.config, report=killing(dies_at)) as mover:
        goals = rebuild_goals(nodes.config, node, await mover.look(), only="s1")
        until = asyncio.get_running_loop().time() + 30
        return {name: await mover.reach(name, goal, until) for name, goal in goals.items()}


async def assert_equal(nodes: Cluster, group: str = "s1") -> None:
    found = await compare(group, nodes.clients, timeout_s=20)
    assert isinstance(found, Comparison), found
    assert (found.differences, found.silent) == ((), {})
    assert len(found.compared) == 3


class Writer:
    """Writes rows, one after the other, whatever happens to one replica."""

    def __init__(self, nodes: Cluster, opened: Opened) -> None:
        self._nodes = nodes
        self._opened = opened
        self._ends = False
        self.written = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self._ends:
            seq = 2 + self.written
            # All answers before it are there: a session has only so many open commands.
            body = replace(insert(self._opened, seq, self.written), watermark=seq - 1)
            try:
                answer = await self._nodes.call("s1", body)
            except ConnectionError:
                continue  # its node was stopped: the same (session, seq) again
            if isinstance(answer, Done):
                self.written += 1

    async def end(self) -> int:
        self._ends = True
        await self._task
        return self.written


def in_data(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda directory: damage(next((directory / "s1").glob("data-*.db")))


def in_log(*statements: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        with closing(sqlite3.connect(directory / "log.db", isolation_level=None)) as log:
            (number,) = log.execute("SELECT number FROM replicas WHERE name = 's1'").fetchone()
            for sql in statements:
                log.execute(sql.replace("NUMBER", str(number)))

    return damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def put_a_wal_beside(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(b"x" * 99)


def change_a_row(directory: Path) -> None:
    """As a bad machine or a bug would: the file is sound, and differs."""
    in_log("UPDATE replicas SET seal = x''")(directory)
    (path,) = (directory / "s1").glob("data-*.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as data:
        data.execute("UPDATE t SET v = v + 1 WHERE k = 0")


IN_THE_MIDDLE = (
    "key = (SELECT key FROM entries WHERE key >> 44 = NUMBER ORDER BY key DESC LIMIT 1 OFFSET 2)"
)

DAMAGES: dict[str, Callable[[Path], None]] = {
    "a byte of the data file": in_data(flip),
    "data file truncated": in_data(truncate),
    "data file missing": in_data(Path.unlink),
    "a strange -wal": in_data(put_a_wal_beside),
    "an entry changed": in_log(f"UPDATE entries SET term = term + 1 WHERE {IN_THE_MIDDLE}"),
    "an entry missing": in_log(f"DELETE FROM entries WHERE {IN_THE_MIDDLE}"),
    "the hard state changed": in_log("UPDATE replicas SET vote = vote + 1 WHERE number = NUMBER"),
    "a row changed": change_a_row,
}


@pytest.mark.slow
async def test_eight_damages_are_rebuilt_while_the_group_is_written_to(tmp_path: Path) -> None:
    async with cluster(tmp_path, nodes=3) as nodes:
        opened = await make_table(nodes, "s1")
        writer = Writer(nodes, opened)
        for number, (name, damage) in enumerate(DAMAGES.items()):
            victim = f"n{1 + number % 3}"
            old = nodes.replica(victim, "s1").replica
            await nodes.down(victim)
            damage(tmp_path / victim)
            await nodes.up(victim)
            status = nodes.replica(victim, "s1")
            assert bool(status.stopped) == (name != "a row changed"), (name, status.stopped)
            before = writer.written
            (end,) = (await rebuild(nodes, victim)).values()
            assert end.reached, (name, end)
            assert nodes.replica(victim, "s1").replica > old
            assert writer.written > before, "the group served"
            await assert_equal(nodes)
        written = await writer.end()
        assert rows(nodes, await nodes.leader("s1")) == written, "nothing lost, nothing twice"
        await assert_equal(nodes)


@pytest.mark.slow
@pytest.mark.parametrize("leads", [False, True])
async def test_killed_before_any_step_and_run_again_it_ends_well(
    tmp_path: Path, leads: bool
) -> None:
    async with cluster(tmp_path, nodes=3) as nodes:
        opened = await make_table(nodes, "s1")
        for dies_at in range(1, 6 if leads else 5):
            leader = await nodes.leader("s1")
            node = leader if leads else next(n for n in nodes.running if n != leader)
            old = nodes.replica(node, "s1").replica
            try:
                await rebuild(nodes, node, dies_at=dies_at)
            except Killed:
                await rebuild(nodes, node)
            else:
                assert dies_at == (5 if leads else 4), "every step was killed once"
            assert isinstance(await nodes.call("s1", insert(opened, 1 + dies_at, dies_at)), Done)
            assert nodes.replica(node, "s1").replica > old
            found = members(await nodes.leading("s1"))
            assert [is_voter for _, _, is_voter in found] == [True] * 3
            assert old not in [replica for replica, _, _ in found]
            await assert_equal(nodes)


async def rebuild_all(
    nodes: Cluster, directory: Path, node: str, *, dies_at: int | None = None
) -> dict[str, End]:
    """`replica rebuild --node`, as `rebuild`."""
    path = directory / "cluster.toml"
    if not path.exists():
        write_cluster(path, nodes.config)
    async with Mover(nodes.config, report=killing(dies_at)) as mover:
        until = asyncio.get_running_loop().time() + 30
        return await rebuild_node(mover, path, load_cluster(path), node, until)


@pytest.mark.slow
async def test_a_node_that_has_lost_its_disk_is_rebuilt_while_the_cluster_is_written_to(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, nodes=3) as nodes:
        opened = await make_table(nodes, "s1")
        writer = Writer(nodes, opened)
        await nodes.down("n2")
        shutil.rmtree(tmp_path / "n2")
        await nodes.up("n2")
        # It has forgotten what it promised: nobody listens to it, under its old ids least of all.
        before = nodes.replica("n2", "s1").replica
        found = await rebuild_all(nodes, tmp_path, "n2")
        assert {group: end.reached for group, end in found.items()} == {"meta": True, "s1": True}
        assert nodes.replica("n2", "s1").replica > before
        assert load_cluster(tmp_path / "cluster.toml").nodes["n2"].data_id
        written = await writer.end()
        assert rows(nodes, await nodes.leader("s1")) == written
        for group in ("meta", "s1"):
            await assert_equal(nodes, group)


@pytest.mark.slow
async def test_a_rebuild_of_a_node_that_was_killed_before_any_step_goes_on(tmp_path: Path) -> None:
    """The steps: each group removes, then each gets a learner and makes it a voter."""
    async with cluster(tmp_path, nodes=3) as nodes:
        opened = await make_table(nodes, "s1")
        for dies_at in range(1, 7):
            await nodes.down("n2")
            shutil.rmtree(tmp_path / "n2")
            await nodes.up("n2")
            with pytest.raises(Killed):
                await rebuild_all(nodes, tmp_path, "n2", dies_at=dies_at)
            assert isinstance(await nodes.call("s1", insert(opened, 1 + dies_at, dies_at)), Done)
            found = await rebuild_all(nodes, tmp_path, "n2")
            assert all(end.reached for end in found.values()), found
            for group in ("meta", "s1"):
                await assert_equal(nodes, group)


@pytest.mark.slow
async def test_a_node_that_does_not_answer_is_asked_for_when_its_replicas_are_gone(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, nodes=3) as nodes:
        await make_table(nodes, "s1")
        await nodes.down("n2")
        found = await rebuild_all(nodes, tmp_path, "n2")
        assert {end.reached for end in found.values()} == {False}
        assert "start it, with an empty data directory" in found["s1"].what
        shutil.rmtree(tmp_path / "n2")
        await nodes.up("n2")
        found = await rebuild_all(nodes, tmp_path, "n2")
        assert {end.reached for end in found.values()} == {True}
        await assert_equal(nodes)
