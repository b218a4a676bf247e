"""CHECKSUM entries: every replica computes the same of the same state, beside its work."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nodes.comparison import Comparison, compare
from nodes.engine import Answers, Committed
from nodes.protocol import (
    Checksum,
    Checksums,
    Done,
    GetChecksum,
    NoChecksum,
    RangeSum,
    ResponseBody,
)
from tests.nodes.replica import INSERT, Replica, statement
from tests.nodes.test_node import insert, make_table, running, three
from tests.nodes.test_raft_engine import Group, command


async def asked(replica: Replica, index: int, table: str = "", level: int = 0) -> ResponseBody:
    async with asyncio.timeout(10):
        while True:
            answer = replica.machine.checksum(GetChecksum(index, table, level))
            if not (isinstance(answer, NoChecksum) and answer.pending):
                return answer
            await asyncio.sleep(0.001)


async def roots(replica: Replica, index: int) -> dict[str, RangeSum]:
    answer = await asked(replica, index)
    assert isinstance(answer, Checksums), answer
    return {node.table: node for node in answer.ranges}


async def test_replicas_of_the_same_log_agree_and_are_told_apart_by_one_value(
    tmp_path: Path,
) -> None:
    replicas = [Replica(tmp_path / str(number), replica=number) for number in (1, 2, 3)]
    body = replicas[0].command(*(statement(INSERT, key, "x") for key in range(3000)))
    for replica in replicas:
        assert isinstance(replica.apply(body), Done)
    await replicas[2].machine.close()
    with sqlite3.connect(tmp_path / "3" / "data-1.db") as connection:
        connection.execute("UPDATE t SET name = 'y' WHERE id = 1500")
    connection.close()
    replicas[2].machine = replicas[2].open()
    done = [replica.apply(Checksum()) for replica in replicas]
    assert isinstance(done[0], Done)
    index = done[0].index
    found = [await roots(replica, index) for replica in replicas]
    assert found[0] == found[1]
    own = {"_sessions", "_stages", "_answers", "_versions", "_prepared", "_outcomes"}
    assert {"t", "sqlite_schema", *own} == set(found[0])
    assert {table for table in found[0] if found[0][table] != found[2][table]} == {"t"}
    mine, other = [await asked(replicas[i], index, "t", 1) for i in (0, 2)]
    assert isinstance(mine, Checksums)
    assert isinstance(other, Checksums)
    differing = [a for a, b in zip(mine.ranges, other.ranges, strict=True) if a.hash != b.hash]
    assert [(node.first, node.last) for node in differing] == [((1024,), (2047,))]
    for replica in replicas:
        await replica.machine.close()


async def test_it_is_of_the_state_at_its_entry_though_writes_go_on(tmp_path: Path) -> None:
    first, second = Replica(tmp_path / "a"), Replica(tmp_path / "b")
    body = first.command(*(statement(INSERT, key, "x") for key in range(5000)))
    for replica in (first, second):
        assert isinstance(replica.apply(body), Done)
    done = first.apply(Checksum())
    second.apply(Checksum())
    assert isinstance(done, Done)
    for key in range(200):  # while it is computed
        first.write(statement("UPDATE t SET n = n + 1 WHERE id = ?1", key))
    assert await roots(first, done.index) == await roots(second, done.index)
    for replica in (first, second):
        await replica.machine.close()


def test_the_batch_ends_with_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be applied with it, behind it, would be in the state as well."""
    group = Group()
    group.ticks(3)
    machine = group.members[1].machine
    apply, batches = machine.apply, list[list[int]]()

    def spied(batch: Sequence[Committed]) -> list[Answers]:
        batches.append([index for index, _, _ in batch])
        return apply(batch)

    monkeypatch.setattr(machine, "apply", spied)
    for body in (command(1), command(2), Checksum(), command(3), command(4)):
        group.propose(1, body)
    group.settle()
    assert batches == [[2, 3, 4], [5, 6]]


async def test_unknown_and_second_checksums_are_said_to_be_missing(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    answer = await asked(replica, 77)
    assert answer == NoChecksum("it is not kept, or not applied, here", pending=False)
    first = replica.apply(Checksum())
    assert isinstance(first, Done)
    await roots(replica, first.index)
    for _ in range(3):
        later = replica.apply(Checksum())
        assert isinstance(later, Done)
        await asked(replica, later.index)
    assert isinstance(await asked(replica, first.index), NoChecksum), "old ones are forgotten"
    await replica.machine.close()


@pytest.mark.slow
async def test_the_replicas_of_a_group_are_compared_while_it_serves(tmp_path: Path) -> None:
    config = three()
    async with running(config, tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        for number in range(40):
            assert isinstance(await nodes.call("s1", insert(opened, 2 + number, number)), Done)
        found = await compare("s1", nodes.clients, timeout_s=10)
        assert isinstance(found, Comparison)
        assert (found.differences, found.silent) == ((), {})
        assert set(found.compared) == {"n1", "n2", "n3"}

        leader = await nodes.leader("s1")
        away = next(name for name in nodes.running if name != leader)
        await nodes.running[away].__aexit__(None, None, None)
        with sqlite3.connect(tmp_path / away / "s1" / "data-1.db") as connection:
            connection.execute("DELETE FROM t WHERE k = 17")
        connection.close()
        with sqlite3.connect(tmp_path / away / "log.db") as log:
            log.execute("UPDATE replicas SET seal = x''")  # a crash leaves none
        log.close()
        async with AsyncExitStack() as stack:
            nodes.running[away] = await stack.enter_async_context(
                type(nodes.running[away])(config, away, tmp_path / away, rng=random.Random(1))
            )
            found = await compare("s1", nodes.clients, timeout_s=10)
            assert isinstance(found, Comparison)
            assert [(d.node, d.table) for d in found.differences] == [(away, "t")]
            (difference,) = found.differences
            assert (difference.rows, difference.rows_of_others) == (39, 40)
            assert (difference.first, difference.last) == ((0,), (39,))
        del nodes.running[away]
        found = await compare("s1", nodes.clients, timeout_s=0.5)
        assert isinstance(found, Comparison)
        assert set(found.silent) == {away}
