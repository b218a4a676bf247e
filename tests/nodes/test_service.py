"""GroupService: the deadline of a request, and reads that end with the node."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest

from nodes import service as service_module
from nodes.engine import Barrier, Proposed, Refuse
from nodes.protocol import (
    Busy,
    ChangeReplicas,
    Consistency,
    Done,
    EntryBody,
    MoveLeadership,
    NotLeader,
    OpenSession,
    ProtocolError,
    Read,
    ReplicaStatus,
    Request,
    RequestBody,
    ResponseBody,
    SqlFailure,
    Statement,
)
from nodes.service import GroupService, decode_body


@dataclass
class HeldEngine:
    """Keeps what it is asked until the test lets it go."""

    proposals: list[tuple[bytes, Proposed, Refuse | None]] = field(default_factory=list)
    barriers: list[Barrier] = field(default_factory=list)
    consistencies: list[Consistency] = field(default_factory=list)

    def propose(self, body: bytes, done: Proposed, *, refuse: Refuse | None = None) -> None:
        self.proposals.append((body, done, refuse))

    def read_barrier(self, consistency: Consistency, done: Barrier) -> None:
        self.consistencies.append(consistency)
        self.barriers.append(done)

    def change(self, request: ChangeReplicas | MoveLeadership, done: Proposed) -> None:
        raise AssertionError("nothing was asked to change")

    def status(self) -> ReplicaStatus:
        return ReplicaStatus("g", 1, "leader", "n1", 1, 1, 1, 1)


@dataclass
class Shelf:
    """Answers every read with its applied index; `broken` breaks, long reads wait."""

    broken: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self, body: EntryBody) -> SqlFailure | None:
        return SqlFailure("42601", "no") if body == OpenSession("bad") else None

    def read(self, read: Read) -> ResponseBody:
        if self.broken:
            raise OSError("the disk is gone")
        return Done((), 7)

    async def read_long(self, read: Read, timeout_s: float) -> ResponseBody:
        await self.gate.wait()
        return Done((), round(timeout_s))


class Fixture:
    def __init__(self) -> None:
        self.engine, self.machine = HeldEngine(), Shelf()
        self.failures: list[Exception] = []
        self.service = GroupService(self.engine, self.machine, failed=self.failures.append)
        self.answers: list[ResponseBody] = []
        self.answered = asyncio.Event()

    def _answer(self, answer: ResponseBody) -> None:
        self.answers.append(answer)
        self.answered.set()

    def ask(self, body: RequestBody, timeout_ms: int = 60_000) -> None:
        request = Request(1, "g", timeout_ms, msgspec.Raw(msgspec.msgpack.encode(body)))
        decoded = decode_body(request)
        if isinstance(decoded, Read):
            self.service.on_read(request, decoded, self._answer)
        else:
            assert isinstance(decoded, EntryBody)
            self.service.on_command(request, decoded, self._answer)


QUICK, LONG = Read((Statement("SELECT 1"),), quick=True), Read((Statement("SELECT 1"),))


async def test_a_command_travels_as_the_bytes_that_came() -> None:
    fixture = Fixture()
    fixture.ask(OpenSession("r"))
    body, done, refuse = fixture.engine.proposals[0]
    assert body == msgspec.msgpack.encode(OpenSession("r"))
    assert refuse is not None
    assert refuse() is None
    done(Done((), 1))
    assert fixture.answers == [Done((), 1)]


async def test_a_command_is_refused_when_its_time_is_over_or_its_sql_is_wrong() -> None:
    fixture = Fixture()
    fixture.ask(OpenSession("r"), timeout_ms=-1)
    fixture.ask(OpenSession("bad"))
    late, bad = (refuse for _, _, refuse in fixture.engine.proposals)
    assert late is not None
    assert isinstance(late(), Busy)
    assert bad is not None
    assert bad() == SqlFailure("42601", "no")


async def test_a_read_runs_after_its_barrier_unless_its_time_is_over() -> None:
    fixture = Fixture()
    for timeout_ms in (60_000, -1, 60_000):
        fixture.ask(QUICK, timeout_ms)
    assert fixture.answers == []
    first, second, third = fixture.engine.barriers
    assert fixture.engine.consistencies == ["linearizable"] * 3
    first(None)
    second(None)
    third(NotLeader("n2"))
    assert fixture.answers[0] == Done((), 7)
    assert isinstance(fixture.answers[1], Busy)
    assert fixture.answers[2] == NotLeader("n2")


async def test_a_long_read_gets_what_is_left_of_its_time() -> None:
    fixture = Fixture()
    fixture.ask(LONG, 60_000)
    fixture.engine.barriers[0](None)
    fixture.machine.gate.set()
    await fixture.answered.wait()
    assert fixture.answers == [Done((), 60)]


async def test_long_reads_are_bounded_and_end_with_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_module, "LONG_READS_MAX", 2)
    fixture = Fixture()
    for number in range(3):
        fixture.ask(LONG)
        fixture.engine.barriers[number](None)
    assert [type(answer) for answer in fixture.answers] == [Busy]
    await asyncio.sleep(0)  # they begin to wait
    await fixture.service.close()
    assert [type(answer) for answer in fixture.answers] == [Busy] * 3


async def test_a_read_that_breaks_the_machine_is_reported() -> None:
    fixture = Fixture()
    fixture.machine.broken = True
    fixture.ask(QUICK)
    fixture.engine.barriers[0](None)
    assert isinstance(fixture.answers[0], Busy)
    assert [str(failure) for failure in fixture.failures] == ["the disk is gone"]


def test_a_body_that_is_no_request_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="request 5 has no valid body"):
        decode_body(Request(5, "g", 1, msgspec.Raw(msgspec.msgpack.encode(["nonsense"]))))
