"""Two groups on one node show one instant: gates, pins and what is read there, over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodes import cursors, gates, instants
from nodes.protocol import (
    CloseCursor,
    CloseGate,
    ConfirmGate,
    Done,
    Fetch,
    Guard,
    NotLeader,
    NotPinned,
    Opened,
    OpenGate,
    Piece,
    Pinned,
    Read,
    ResponseBody,
    SqlFailure,
    Stale,
    Statement,
    Write,
)
from tests.nodes.test_node import Nodes, make_table, running, single, three

pytestmark = pytest.mark.slow  # real nodes

GUARDS = (Guard("table:t", 1),)
GROUPS = ("meta", "s1")
ALL = "SELECT k, v FROM t ORDER BY k"
BULK = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
    "INSERT INTO t SELECT i, i FROM n"
)


class Instant:
    """A cluster with a table `t` in each group."""

    def __init__(self, nodes: Nodes, opened: dict[str, Opened]) -> None:
        self.nodes = nodes
        self.opened = opened
        self.seq = dict.fromkeys(GROUPS, 1)

    async def write(self, group: str, sql: str) -> ResponseBody:
        self.seq[group] += 1
        session = self.opened[group].session
        write = Write(
            session, self.seq[group], 0, (Statement(sql),), GUARDS, quick="WITH" not in sql
        )
        return await self.nodes.call(group, write)

    async def pin(self, group: str, id_: bytes = b"one") -> int:
        answer = await self.nodes.call(group, CloseGate(id_, GUARDS))
        assert isinstance(answer, Pinned), answer
        assert answer.node == "n1"
        return answer.pin

    async def read(
        self, group: str, pin: int, sql: str = ALL, *, keep: bool = False
    ) -> ResponseBody:
        read = Read((Statement(sql),), GUARDS, stream=True, pin=pin, keeps_pin=keep)
        return await self.nodes.call(group, read)

    async def rows(self, group: str, pin: int, sql: str = ALL, *, keep: bool = False) -> object:
        answer = await self.read(group, pin, sql, keep=keep)
        assert isinstance(answer, Done), answer
        return answer.results[0].values


@asynccontextmanager
async def one_node(directory: Path) -> AsyncIterator[Instant]:
    async with running(single(), directory) as nodes:
        yield Instant(nodes, {group: await make_table(nodes, group) for group in GROUPS})


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, a gate is closed for as long as a test needs it."""
    monkeypatch.setattr(gates, "GATE_S_MAX", 20.0)
    monkeypatch.setattr(instants, "CONFIRM_S_MAX", 20.0)
    monkeypatch.setattr(cursors, "PIN_PLACE_S_MAX", 20.0)


@pytest.fixture
async def instant(tmp_path: Path, patient: None) -> AsyncIterator[Instant]:
    async with one_node(tmp_path) as found:
        yield found


async def test_what_is_pinned_is_read_and_what_waited_comes_after(instant: Instant) -> None:
    pins = {group: await instant.pin(group) for group in GROUPS}
    writes = [
        asyncio.ensure_future(instant.write(group, "INSERT INTO t VALUES (1, 1)"))
        for group in GROUPS
    ]
    for group in GROUPS:
        assert isinstance(await instant.nodes.call(group, ConfirmGate(b"one")), Done)
    assert all(isinstance(answer, Done) for answer in await asyncio.gather(*writes))
    for group in GROUPS:
        assert await instant.rows(group, pins[group], keep=True) == ()
        assert await instant.rows(group, pins[group], "SELECT count(*) FROM t") == ((0,),)
        answer = await instant.read(group, pins[group])
        assert isinstance(answer, SqlFailure), "its last read was its end"
        assert answer.sqlstate == "57P03"
    assert isinstance(await instant.nodes.call("meta", ConfirmGate(b"one")), NotPinned)


async def test_a_pin_is_read_in_pieces_and_then_once_more(instant: Instant) -> None:
    assert isinstance(await instant.write("s1", BULK), Done)
    pin = await instant.pin("s1")
    assert isinstance(await instant.nodes.call("s1", ConfirmGate(b"one")), Done)
    assert isinstance(await instant.write("s1", "DELETE FROM t"), Done)
    answer, count = await instant.read("s1", pin, keep=True), 0
    assert isinstance(answer, Piece)
    while isinstance(answer, Piece):
        count += answer.result.row_count
        refused = await instant.read("s1", pin)
        assert isinstance(refused, SqlFailure), "one statement at a time"
        answer = await instant.nodes.call("s1", Fetch(pin))
    assert isinstance(answer, Done)
    assert count + answer.results[0].row_count == 60000
    assert await instant.rows("s1", pin, "SELECT max(v) FROM t", keep=True) == ((60000,),)
    await instant.nodes.call("s1", CloseCursor(pin))
    assert isinstance(await instant.read("s1", pin), SqlFailure)


async def test_its_guards_are_compared_in_the_state_that_is_pinned(instant: Instant) -> None:
    pin = await instant.pin("s1")
    read = Read((Statement(ALL),), (Guard("table:t", 2),), stream=True, pin=pin)
    assert await instant.nodes.call("s1", read) == Stale("table:t", 1, 2)


async def test_a_gate_that_nobody_opens_does_and_its_pin_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instants, "CONFIRM_S_MAX", 0.01)
    async with one_node(tmp_path) as instant:
        pin = await instant.pin("s1")
        assert isinstance(await instant.write("s1", "INSERT INTO t VALUES (1, 1)"), Done)
        assert isinstance(await instant.nodes.call("s1", ConfirmGate(b"one")), NotPinned)
        assert isinstance(await instant.read("s1", pin), SqlFailure)


async def test_what_is_given_up_ends_at_once(instant: Instant) -> None:
    pin = await instant.pin("s1")
    await instant.nodes.call("s1", OpenGate(b"one"))
    assert isinstance(await instant.read("s1", pin), SqlFailure)
    assert isinstance(await instant.nodes.call("s1", OpenGate(b"one")), Done)


async def test_pins_are_bounded(instant: Instant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "CURSORS_MAX", 1)
    monkeypatch.setattr(cursors, "PIN_PLACE_S_MAX", 0.001)
    await instant.pin("s1", b"one")
    twice = await instant.nodes.call("s1", CloseGate(b"one", GUARDS))
    assert isinstance(twice, NotPinned), "a copy of what was asked"
    assert isinstance(await instant.nodes.call("s1", CloseGate(b"two", GUARDS)), NotPinned)
    await instant.nodes.call("s1", OpenGate(b"one"))
    await instant.pin("s1", b"three")


@pytest.mark.parametrize("engine", ["core", "pysyncobj"])
async def test_of_three_replicas_the_leader_pins(
    tmp_path: Path, engine: str, patient: None
) -> None:
    async with running(three(engine), tmp_path) as nodes:
        await make_table(nodes, "s1")
        assert await nodes.leader("s1") == "n2"
        assert await nodes.call("s1", CloseGate(b"one", GUARDS), "n1") == NotLeader("n2")
        answer = await nodes.call("s1", CloseGate(b"one", GUARDS))
        assert isinstance(answer, Pinned)
        assert answer.node == "n2"
        assert isinstance(await nodes.call("s1", ConfirmGate(b"one")), Done)
