"""GroupService: the deadline of a request, and reads that end with the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from msgspec import structs

from nodes import dry_runs, speculations
from nodes import service as service_module
from nodes.bounds import STOPPED, Stop, Stopped
from nodes.config import WriteLimits
from nodes.engine import Barrier, Proposed, Refuse
from nodes.protocol import (
    Busy,
    ChangeReplicas,
    CloseCursor,
    Consistency,
    Done,
    EntryBody,
    Fetch,
    Forget,
    Lock,
    Locked,
    MoveLeadership,
    NotLeader,
    OpenSession,
    Piece,
    Ran,
    Read,
    ReplicaStatus,
    Request,
    RequestBody,
    ResponseBody,
    SessionId,
    Speculate,
    Speculated,
    SqlFailure,
    Stage,
    Staged,
    Statement,
    StatementResult,
    Transaction,
    TransactionId,
    Write,
)
from nodes.service import GroupService, decode_body
from nodes.two_phase import Touched
from nodes.work import UNWANTED, Work

HOLDER = TransactionId(1, 1, 1)


def _nothing() -> None:
    pass


@dataclass
class HeldEngine:
    """Keeps what it is asked until the test lets it go."""

    proposals: list[tuple[bytes, Proposed, Refuse | None]] = field(default_factory=list)
    barriers: list[Barrier] = field(default_factory=list)
    consistencies: list[Consistency] = field(default_factory=list)
    stops: list[Callable[[], None]] = field(default_factory=list)  # who has borrowed the file
    is_holding: bool = False
    leads: bool = True

    def __post_init__(self) -> None:
        self.turned: Callable[[], None] = _nothing

    def propose(
        self,
        body: bytes | msgspec.Raw,
        done: Proposed,
        *,
        command: EntryBody | None = None,
        refuse: Refuse | None = None,
    ) -> None:
        self.proposals.append((bytes(body), done, refuse))

    def read_barrier(
        self, consistency: Consistency, done: Barrier, *, at_follower: bool = False
    ) -> None:
        self.consistencies.append(consistency)
        self.barriers.append(done)

    def change(self, request: ChangeReplicas | MoveLeadership, done: Proposed) -> None:
        raise AssertionError("nothing was asked to change")

    def hold_proposals(self) -> None:
        self.is_holding = True

    def release_proposals(self) -> None:
        self.is_holding = False

    async def borrow_file(self, stop: Callable[[], None]) -> bool:
        self.stops.append(stop)
        return True

    def borrow_file_now(self, stop: Callable[[], None]) -> bool:
        self.stops.append(stop)
        return True

    def return_file(self) -> None:
        self.stops.pop()

    def status(self) -> ReplicaStatus:
        return ReplicaStatus("g", 1, "leader", "n1", 1, 1, 1, 1)

    def close_gate(
        self, id: bytes, touched: Touched, pin: Callable[[], None], done: Barrier
    ) -> None:
        raise AssertionError("nothing was asked to be pinned")

    def confirm_gate(self, id: bytes, done: Barrier) -> None:
        raise AssertionError("nothing was pinned")

    def open_gate(self, id: bytes) -> None:
        raise AssertionError("nothing was pinned")

    def look_at_gates(self) -> float | None:
        return None


@dataclass
class Shelf:
    """Answers every read with its applied index; `broken` breaks, long reads wait."""

    broken: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    tried: list[Stop] = field(default_factory=list)
    refusal: ResponseBody | None = None
    is_speculating: bool = False
    prepared: object = None

    async def read_stream(self, read: Read, timeout_s: float) -> ResponseBody:
        return Piece(StatementResult(1), 1, 9)

    async def reserve_pin(self, timeout_s: float) -> int | Busy | SqlFailure:
        raise AssertionError("nothing was asked to be pinned")

    def pin(self, number: int) -> None:
        raise AssertionError("nothing was asked to be pinned")

    async def read_pinned(self, read: Read, timeout_s: float) -> ResponseBody:
        raise AssertionError("nothing was pinned")

    async def fetch(self, asked: Fetch, timeout_s: float) -> ResponseBody:
        return Done((StatementResult(asked.cursor),), 1)

    def close_cursor(self, asked: CloseCursor) -> ResponseBody:
        return Done((), asked.cursor)

    def stage_refusal(self, piece: Stage, bytes_max: int) -> SqlFailure | None:
        return SqlFailure("54000", "too much") if len(piece.data) > bytes_max else None

    def check(self, body: EntryBody, size: int) -> SqlFailure | None:
        return SqlFailure("42601", "no") if body == OpenSession("bad") else None

    def read(self, read: Read) -> ResponseBody:
        if self.broken:
            raise OSError("the disk is gone")
        return self._locked() or Done((), 7)

    def _locked(self) -> Locked | None:
        return None if self.prepared is None else Locked(HOLDER)

    def needs_dry_run(self, body: EntryBody) -> bool:
        return isinstance(body, Write) and not body.quick and not body.bounded

    async def dry_run(
        self, write: Write, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped | None:
        if self.broken:
            raise OSError("the disk is gone")
        self.tried.append(stop)
        await self.gate.wait()
        return STOPPED if stop.is_set else self.refusal

    def speculate_now(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float
    ) -> ResponseBody | Stopped:
        if self.broken:
            raise OSError("the disk is gone")
        if locked := self._locked():
            return locked
        self.is_speculating = True
        return Speculated(StatementResult(1))

    async def speculate(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped:
        if locked := self._locked():
            return locked
        self.tried.append(stop)
        await self.gate.wait()
        if stop.is_set:
            return STOPPED
        self.is_speculating = True
        return Speculated(StatementResult(2))

    async def read_beside(self, asked: Speculate, timeout_s: float) -> ResponseBody:
        if locked := self._locked():
            return locked
        await self.gate.wait()
        return Speculated(StatementResult(3))

    def give_up_speculation(self) -> None:
        self.is_speculating = False

    async def read_long(self, read: Read, timeout_s: float) -> ResponseBody:
        if locked := self._locked():
            return locked
        await self.gate.wait()
        return Done((), round(timeout_s))


class Fixture:
    def __init__(self, limits: WriteLimits | None = None) -> None:
        self.engine, self.machine = HeldEngine(), Shelf()
        self.failures: list[Exception] = []
        self.service = GroupService(
            self.engine,
            self.machine,
            limits=limits or WriteLimits(),
            failed=self.failures.append,
        )
        self.answers: list[ResponseBody] = []
        self.answered = asyncio.Event()

    def _answer(self, answer: ResponseBody) -> None:
        self.answers.append(answer)
        self.answered.set()

    def ask(self, body: RequestBody, timeout_ms: int = 60_000) -> Work | None:
        request = Request(1, "g", timeout_ms, msgspec.Raw(msgspec.msgpack.encode(body)))
        decoded = decode_body(request.body)
        if isinstance(decoded, Read):
            return self.service.on_read(request, decoded, self._answer)
        if isinstance(decoded, Speculate):
            return self.service.on_speculate(request, decoded, self._answer)
        assert isinstance(decoded, EntryBody)
        return self.service.on_command(request, decoded, self._answer)


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


async def test_a_chunk_is_refused_when_there_would_be_too_much() -> None:
    fixture = Fixture(WriteLimits(transaction_bytes_max=10))
    for size in (10, 11):
        fixture.ask(Stage(SessionId(1, 1), 1, 0, 1, 0, bytes(size)))
    fits, too_much = (refuse for _, _, refuse in fixture.engine.proposals)
    assert fits is not None
    assert fits() is None
    assert too_much is not None
    assert too_much() == SqlFailure("54000", "too much")


async def test_a_write_is_refused_when_its_stages_are_too_much_together() -> None:
    fixture = Fixture(WriteLimits(transaction_bytes_max=100))
    session = SessionId(1, 1)
    steps, rows, more = (
        Staged(session, number, 1, size, b"") for number, size in ((1, 40), (2, 50), (3, 20))
    )
    step = Ran(Statement("INSERT INTO t VALUES (?1)", staged=rows))
    refusals: list[ResponseBody | None] = []
    for stages in ((rows,), (rows, more)):
        transaction = Transaction(1, 1, (step,), steps, stages)
        fixture.ask(Write(session, 1, 0, (), transaction=transaction, bounded=True))
        _, _, refuse = fixture.engine.proposals.pop()
        assert refuse is not None
        refusals.append(refuse())
    fits, failure = refusals
    assert fits is None
    assert isinstance(failure, SqlFailure)
    assert failure.sqlstate == "54000"
    assert "transaction_bytes_max" in failure.detail


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


HEAVY = Write(SessionId(1, 1), 1, 0, (Statement("UPDATE t SET n = n + 1"),))


async def turns(count: int = 10) -> None:
    """Let tasks get to where they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_write_is_tried_behind_a_barrier_and_proposed_when_it_ended() -> None:
    fixture = Fixture()
    fixture.ask(HEAVY)
    await turns()
    assert not fixture.machine.tried
    fixture.engine.barriers[0](None)
    await turns()
    assert len(fixture.machine.tried) == len(fixture.engine.stops) == 1
    assert not fixture.engine.proposals
    fixture.machine.gate.set()
    await turns()
    assert [body for body, _, _ in fixture.engine.proposals] == [msgspec.msgpack.encode(HEAVY)]
    assert fixture.engine.stops == []


async def test_what_a_dry_run_refuses_is_answered_and_never_proposed() -> None:
    fixture = Fixture()
    fixture.machine.refusal = SqlFailure("54000", "too many rows")
    fixture.machine.gate.set()
    for number in range(2):
        fixture.ask(HEAVY)
        await turns()
        fixture.engine.barriers[number](NotLeader("n2") if number else None)
        await turns()
    assert fixture.answers == [SqlFailure("54000", "too many rows"), NotLeader("n2")]
    assert not fixture.engine.proposals


async def test_proposals_are_held_for_a_write_that_apply_has_stopped_twice() -> None:
    fixture = Fixture()
    fixture.machine.gate.set()
    fixture.ask(HEAVY)
    held = []
    for tries in range(4):
        await turns()
        held.append(fixture.engine.is_holding)
        if tries < 3:
            fixture.machine.gate.clear()
        fixture.engine.barriers[tries](None)
        await turns()
        if tries < 3:
            fixture.engine.stops[-1]()
            fixture.machine.gate.set()
    assert held == [False, False, True, True]
    assert len(fixture.engine.proposals) == 1
    assert not fixture.engine.is_holding


async def test_tried_writes_are_bounded_and_end_with_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dry_runs, "DRY_RUNS_MAX", 2)
    fixture = Fixture()
    for _ in range(3):
        fixture.ask(HEAVY)
    await turns()
    assert [type(answer) for answer in fixture.answers] == [Busy]
    fixture.engine.barriers[0](None)
    await turns()
    await fixture.service.close()
    assert [type(answer) for answer in fixture.answers] == [Busy] * 3
    assert not fixture.engine.proposals
    assert fixture.engine.stops == []


async def test_a_dry_run_that_breaks_the_machine_is_reported() -> None:
    fixture = Fixture()
    fixture.machine.broken = True
    fixture.ask(HEAVY)
    await turns()
    fixture.engine.barriers[0](None)
    await turns()
    assert [type(answer) for answer in fixture.answers] == [Busy]
    assert [str(failure) for failure in fixture.failures] == ["the disk is gone"]
    assert fixture.engine.stops == []


@pytest.mark.parametrize("when", ["before its barrier", "as it begins", "later"])
async def test_a_read_that_nobody_waits_for_ends(when: str) -> None:
    fixture = Fixture()
    work = fixture.ask(LONG)
    assert work is not None
    if when == "before its barrier":
        work.give_up()
    fixture.engine.barriers.pop()(None)
    if when == "later":
        await turns()
        assert not fixture.answers
    work.give_up()
    work.give_up()
    await fixture.answered.wait()
    assert fixture.answers == [UNWANTED]
    fixture.machine.gate.set()
    await turns()
    assert fixture.answers == [UNWANTED]


async def test_a_write_is_not_tried_any_longer_when_nobody_waits_and_never_taken_back() -> None:
    fixture = Fixture()
    work = fixture.ask(HEAVY)
    assert work is not None
    await turns()
    fixture.engine.barriers.pop()(None)
    await turns()
    assert len(fixture.machine.tried) == 1
    work.give_up()
    await fixture.answered.wait()
    assert fixture.answers == [UNWANTED]
    assert not fixture.engine.stops  # the file is back
    assert not fixture.engine.proposals

    work = fixture.ask(HEAVY)
    assert work is not None
    fixture.machine.gate.set()
    await turns()
    fixture.engine.barriers.pop()(None)
    await turns()
    [(_, done, _)] = fixture.engine.proposals
    work.give_up()
    await turns()
    done(Done((), 5))
    assert fixture.answers == [UNWANTED, Done((), 5)]


@pytest.mark.parametrize("when", ["before its barrier", "as it begins", "later"])
async def test_a_statement_of_a_transaction_that_nobody_waits_for_ends(when: str) -> None:
    fixture = Fixture()
    work = fixture.ask(speculate(b"one", quick=False))
    assert work is not None
    if when == "before its barrier":
        work.give_up()
    fixture.engine.barriers.pop()(None)
    if when == "later":
        await turns()
        assert len(fixture.machine.tried) == 1
    work.give_up()
    await fixture.answered.wait()
    assert fixture.answers == [UNWANTED]
    await turns()
    assert not fixture.engine.stops  # the file is back, and the turn
    fixture.machine.gate.set()
    fixture.ask(speculate(b"two", quick=False))
    fixture.engine.barriers.pop()(None)
    await turns()
    assert isinstance(fixture.answers[1], Speculated)


async def test_a_statement_that_waits_for_a_lock_gives_up_its_place() -> None:
    fixture = Fixture()
    lock = Lock(b"row", exclusive=True)
    for name in (b"one", b"two"):
        work = fixture.ask(structs.replace(speculate(name), lock=lock))
        fixture.engine.barriers.pop()(None)
    assert work is not None
    assert len(fixture.answers) == 1
    work.give_up()
    assert fixture.answers[1:] == [UNWANTED]
    fixture.service.on_forget(Forget(b"one"), lambda _: None)
    fixture.ask(structs.replace(speculate(b"three"), lock=lock))
    fixture.engine.barriers.pop()(None)
    assert isinstance(fixture.answers[2], Speculated)


def test_a_body_that_is_no_request_is_not_decoded() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_body(msgspec.msgpack.encode(["nonsense"]))


# --------------------------------------------------------------------------- open transactions


def speculate(name: bytes, *, quick: bool = True) -> Speculate:
    steps = (Ran(Statement("SELECT 1")),)
    return Speculate(name, Transaction(1, 1, steps), quick=quick)


ONE, TWO = Speculated(StatementResult(1)), Speculated(StatementResult(2))


async def test_the_first_statement_of_a_transaction_waits_for_a_barrier() -> None:
    fixture = Fixture()
    fixture.ask(speculate(b"a"))
    assert fixture.answers == []
    fixture.engine.barriers[0](None)
    fixture.ask(speculate(b"a"))
    assert fixture.answers == [ONE, ONE]
    assert len(fixture.engine.barriers) == 1
    fixture.ask(speculate(b"b"))
    fixture.engine.barriers[1](NotLeader("n2"))
    assert fixture.answers[-1] == NotLeader("n2")
    fixture.engine.leads = False
    fixture.ask(speculate(b"a"))
    assert fixture.answers[-1] == NotLeader("n1")
    await fixture.service.close()


async def test_an_open_transaction_keeps_the_file_until_somebody_wants_it() -> None:
    fixture = Fixture()
    engine, machine = fixture.engine, fixture.machine
    for name in (b"a", b"b", b"c"):
        fixture.ask(speculate(name))
        engine.barriers[-1](None)
        assert len(engine.stops) == 1  # one loan, whoever's transaction is open
        assert machine.is_speculating
    engine.stops[-1]()  # apply
    assert (engine.stops, machine.is_speculating) == ([], False)
    fixture.ask(speculate(b"a"))
    assert machine.is_speculating
    machine.gate.set()
    fixture.ask(HEAVY)  # a dry run
    await turns()
    assert (engine.stops, machine.is_speculating) == ([], False)
    fixture.ask(speculate(b"a"))
    await fixture.service.close()
    assert (engine.stops, machine.is_speculating) == ([], False)


async def test_an_open_transaction_is_given_up_when_its_client_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speculations, "IDLE_S", 0.0)
    fixture = Fixture()
    fixture.ask(speculate(b"a"))
    fixture.engine.barriers[0](None)
    assert fixture.machine.is_speculating
    await turns()
    assert (fixture.engine.stops, fixture.machine.is_speculating) == ([], False)


async def test_proposals_are_held_for_a_statement_that_apply_has_stopped_twice() -> None:
    fixture = Fixture()
    fixture.ask(speculate(b"a", quick=False))
    fixture.engine.barriers[0](None)
    held = []
    for tries in range(3):
        await turns()
        held.append(fixture.engine.is_holding)
        if tries < 2:
            fixture.engine.stops[-1]()
        fixture.machine.gate.set()  # for who waits now, not for who comes again
        fixture.machine.gate.clear()
    await turns()
    assert held == [False, False, True]
    assert fixture.answers == [TWO]
    assert not fixture.engine.is_holding
    assert len(fixture.engine.stops) == 1  # kept
    await fixture.service.close()


async def test_waiting_statements_are_bounded_and_end_with_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speculations, "WAITING_MAX", 2)
    fixture = Fixture()
    for number in range(3):
        fixture.ask(speculate(bytes([number]), quick=False))
        fixture.engine.barriers[number](None)
    assert [type(answer) for answer in fixture.answers] == [Busy]
    await turns()
    await fixture.service.close()
    assert [type(answer) for answer in fixture.answers] == [Busy] * 3
    assert fixture.engine.stops == []


async def test_a_statement_that_breaks_the_machine_is_reported() -> None:
    fixture = Fixture()
    fixture.machine.broken = True
    fixture.ask(speculate(b"a"))
    fixture.engine.barriers[0](None)
    assert [type(answer) for answer in fixture.answers] == [Busy]
    assert [str(failure) for failure in fixture.failures] == ["the disk is gone"]
    assert fixture.engine.stops == []
