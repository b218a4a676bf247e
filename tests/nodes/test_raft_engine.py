"""RaftEngine: three engines and their cores wired together, on a network and clocks of lists.

The state machine is a small journal that keeps what it is given, so that a test can hold it up
or break it; SQL has tests of its own, and test_node.py puts both together.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from nodes import raft_engine, read_barriers
from nodes.config import RaftConfig
from nodes.engine import Answers, Committed
from nodes.log_store import GroupWrite, SnapshotPointer
from nodes.protocol import (
    ENTRY_BYTES_MAX,
    Busy,
    Consistency,
    Done,
    Entry,
    EntryBody,
    ExpireSessions,
    Fence,
    NotLeader,
    OpenSession,
    ResponseBody,
    SessionId,
    SqlFailure,
    Statement,
    UnknownOutcome,
    Write,
)
from nodes.raft.core import RaftCore
from nodes.raft.lease import LeaseRule
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, LogEntry, Membership, RaftMessage, ReadAnswer
from nodes.raft_engine import RaftEngine
from nodes.two_phase import TwoPhaseView
from tests.nodes.memory_files import ReceivedBytes, SentBytes

ELECTION_TICKS = 8
NODES = {1: "n1", 2: "n2", 3: "n3"}


class Disk:
    """The durable log of one replica."""

    def __init__(self) -> None:
        self.log: list[LogEntry] = []
        self.pointer = SnapshotPointer()

    def write(self, write: GroupWrite) -> None:
        if (pointer := write.pointer) is not None:
            if pointer.generation > self.pointer.generation:
                self.log = []
            else:
                del self.log[: pointer.index - self.pointer.index]
            self.pointer = pointer
        if write.entries:
            self.log[write.first_index - self.pointer.index - 1 :] = write.entries

    def entries(self, first: int, last: int) -> list[LogEntry]:
        assert first > self.pointer.index, "entries that were given up"
        return self.log[first - self.pointer.index - 1 : last - self.pointer.index]

    def term(self, index: int) -> int:
        return self.entries(index, index)[0].term


class Journal:
    """A state machine that keeps bodies. `OpenSession` is slow, and waits for `gate`; the
    router name `bad` breaks it."""

    def __init__(self) -> None:
        self.applied = 0
        self.entries: list[Entry] = []
        self.gate = threading.Event()
        self.gate.set()
        self.expiry: ExpireSessions | None = None
        self.idle_since: list[int] = []
        self.durable: int | None = None  # None: everything that is applied
        self.generation = 1
        self.sent: list[SentBytes] = []
        self.received: dict[int, ReceivedBytes] = {}

    def make_durable(self) -> int:
        return self.applied if self.durable is None else self.durable

    def make_snapshot(self) -> SentBytes:
        state = msgspec.msgpack.encode((self.applied, self.entries))
        self.sent.append(SentBytes(self.applied, state))
        return self.sent[-1]

    def receive_snapshot(self, generation: int) -> ReceivedBytes:
        self.received[generation] = ReceivedBytes(generation)
        return self.received[generation]

    async def switch_to(self, generation: int) -> None:
        received = self.received[generation]
        assert received.is_finished
        assert not received.is_discarded
        self.generation = generation
        self.applied, self.entries = msgspec.msgpack.decode(
            received.data, type=tuple[int, list[Entry]]
        )

    def is_quick(self, body: EntryBody) -> bool:
        return not isinstance(body, OpenSession)

    def apply(self, batch: Sequence[Committed]) -> list[Answers]:
        answers: list[Answers] = []
        for index, _, entry in batch:
            assert index == self.applied + len(answers) + 1
            answers.append(() if entry is None else self._apply(index, entry))
        self.applied = batch[-1][0]
        return answers

    def _apply(self, index: int, entry: Entry) -> Answers:
        for body in entry.bodies:
            if isinstance(body, OpenSession):
                self.gate.wait(10)
                if body.router == "bad":
                    raise RuntimeError("the disk of this replica is full")
        self.entries.append(entry)
        return [Done((), index) for _ in entry.bodies]

    halted = ""
    fingerprint = ""
    prepared = TwoPhaseView({}, {}, {})
    incarnation = 1
    switched_at = 0

    def opening(self) -> EntryBody | None:
        return None

    def idle(self, since: int) -> ExpireSessions | None:
        self.idle_since.append(since)
        return self.expiry


@dataclass
class HandClock:
    time: float = 0.0
    us: int = 1_000_000

    def monotonic(self) -> float:
        return self.time

    def lease_now(self) -> float:
        return self.time

    def now_us(self) -> int:
        return self.us


@dataclass
class Member:
    engine: RaftEngine
    machine: Journal
    disk: Disk
    clock: HandClock


@dataclass
class Group:
    """Three members. `cut` holds the replicas that no message reaches or leaves."""

    members: dict[int, Member] = field(default_factory=dict)
    dirty: dict[RaftEngine, None] = field(default_factory=dict)
    wire: list[RaftMessage] = field(default_factory=list)
    cut: set[int] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    lost: Callable[[RaftMessage], bool] = lambda message: False
    lease_rule: LeaseRule | None = None
    quiesce_ticks: int = 0
    log_entries: int = RaftConfig().log_entries

    def __post_init__(self) -> None:
        for replica in NODES:
            self.members[replica] = self._member(replica)

    def _member(self, replica: int) -> Member:
        disk, machine, clock = Disk(), Journal(), HandClock()
        log = RaftLog(disk)
        core = RaftCore(
            replica=replica,
            memberships=[(0, Membership.of(NODES, NODES))],
            rng=random.Random(replica),
            election_ticks=ELECTION_TICKS,
            hard_state=HardState(),
            log=log,
            first_timeout_ticks=2 if replica == 1 else None,
            lease_rule=self.lease_rule,
            quiesce_ticks=self.quiesce_ticks,
        )
        engine = RaftEngine(
            group="g",
            core=core,
            log=log,
            machine=machine,
            rng=random.Random(replica),
            clock=clock,
            log_entries=self.log_entries,
            wake=self._wake,
            send=self._send,
        )
        return Member(engine, machine, disk, clock)

    def _wake(self, engine: RaftEngine) -> None:
        self.dirty[engine] = None
        self.woken.set()

    def _send(self, engine: RaftEngine, message: RaftMessage) -> None:
        self.wire.append(message)
        self.woken.set()

    def __getitem__(self, replica: int) -> RaftEngine:
        return self.members[replica].engine

    def turn(self, replica: int) -> None:
        """One turn of one member's node."""
        member = self.members[replica]
        self.dirty.pop(member.engine, None)
        ready = member.engine.collect()
        if ready is not None:
            self.wire += ready.messages
            if (write := member.engine.group_write(ready)) is not None:
                member.disk.write(write)
            member.engine.persisted(ready)
            self.wire += ready.messages_after
        member.engine.apply()

    def settle(self) -> None:
        """Turns and deliveries until nothing is left to do."""
        while self.dirty or self.wire:
            for replica, member in self.members.items():
                if member.engine in self.dirty:
                    self.turn(replica)
            messages, self.wire = self.wire, []
            for message in messages:
                is_cut = {message.sender, message.receiver} & self.cut
                if not is_cut and not self.lost(message):
                    self[message.receiver].step(message, NODES[message.sender])

    def ticks(self, count: int) -> None:
        for _ in range(count):
            for member in self.members.values():
                member.engine.tick()
            self.settle()

    async def settle_until(self, condition: Callable[[], bool]) -> None:
        """Like `settle`, with batches on threads."""
        async with asyncio.timeout(10):
            self.settle()
            while not condition():
                self.woken.clear()
                await self.woken.wait()
                self.settle()

    def role(self, replica: int) -> str:
        return self[replica].status().role

    def propose(self, replica: int, body: EntryBody) -> list[ResponseBody]:
        answers: list[ResponseBody] = []

        def done(answer: ResponseBody) -> None:
            answers.append(answer)
            self.woken.set()

        self[replica].propose(msgspec.msgpack.encode(body), done)
        return answers

    def read(
        self,
        replica: int,
        consistency: Consistency = "linearizable",
        *,
        at_follower: bool = False,
    ) -> list[ResponseBody | None]:
        answers: list[ResponseBody | None] = []
        self[replica].read_barrier(consistency, answers.append, at_follower=at_follower)
        return answers


def command(seq: int) -> Fence:
    return Fence(SessionId(1, 1), seq, 0)


@pytest.fixture
def group() -> Group:
    """Replica 1 leads, and everything is applied everywhere."""
    group = Group()
    group.ticks(3)
    assert [group.role(r) for r in NODES] == ["leader", "follower", "follower"]
    return group


def test_a_leader_behind_a_write_that_it_may_not_apply_is_not_left_in_peace() -> None:
    """Nobody needs anything: the group would go quiet, and the others could not be switched."""
    group = Group(quiesce_ticks=ELECTION_TICKS)
    group.ticks(3)
    assert group.role(1) == "leader"
    group.members[1].machine.halted = "It runs another release."
    group.propose(1, Write(SessionId(1, 1), 1, 0, (Statement("UPDATE t"),)))
    group.ticks(ELECTION_TICKS + 2)
    assert group.role(1) == "leader"
    assert not group[1].is_quiet
    group.ticks(raft_engine.YIELD_TICKS)
    assert "leader" in (group.role(2), group.role(3))


def isolate_leader(group: Group) -> None:
    """Cut replica 1 off, until replica 2 or 3 leads and 1 has stepped down."""
    group.cut = {1}
    group.ticks(4 * ELECTION_TICKS)
    assert group.role(1) != "leader"
    assert "leader" in {group.role(2), group.role(3)}


def test_a_proposal_is_answered_once_applied_and_reaches_every_replica(group: Group) -> None:
    answers = [group.propose(1, command(seq)) for seq in range(5)]
    assert answers == [[]] * 5
    group.settle()
    assert answers == [[Done((), index)] for index in range(2, 7)]
    group.ticks(1)  # followers learn of the commit
    assert [m.machine.entries for m in group.members.values()] == 3 * [
        group.members[1].machine.entries
    ]


def test_only_the_leader_takes_requests_and_others_name_it(group: Group) -> None:
    assert group.propose(2, command(1)) == [NotLeader("n1")]
    assert group.read(3) == [NotLeader("n1")]


def test_a_read_of_any_state_waits_for_nobody_unless_the_replica_has_stopped(
    group: Group,
) -> None:
    group.cut = {1, 2, 3}
    assert [group.read(replica, "any") for replica in NODES] == [[None]] * 3
    group[2].stop("its disk is gone.")
    assert group.read(2, "any") == [NotLeader(None)]


async def test_a_follower_answers_a_read_once_it_has_applied_what_its_leader_names(
    group: Group,
) -> None:
    """The leader has acknowledged a write that the follower's thread is still applying."""
    follower = group.members[2].machine
    follower.gate.clear()
    written = group.propose(1, OpenSession("slow"))
    await group.settle_until(lambda: bool(written))
    group.ticks(1)  # the follower knows that it is committed
    read = group.read(2, at_follower=True)
    group.settle()
    assert (read, follower.applied) == ([], 1)
    follower.gate.set()
    await group.settle_until(lambda: bool(read))
    assert (read, follower.applied) == ([None], 2)


def test_reads_at_a_follower_are_answered_in_the_order_of_what_they_need(group: Group) -> None:
    """Answers of the leader may overtake each other; each read waits for its own index."""
    delayed: list[RaftMessage] = []

    def lost(message: RaftMessage) -> bool:
        if isinstance(message, ReadAnswer) and not delayed:
            delayed.append(message)
            return True
        return False

    group.lost = lost
    early = group.read(2, at_follower=True)
    group.settle()
    group.propose(1, command(1))
    group.settle()
    late = group.read(2, at_follower=True)
    group.settle()
    group.wire += delayed
    group.settle()
    assert early == [None]  # the state it needs is there, that of the other is not yet
    group.ticks(1)
    assert late == [None]


def test_a_follower_that_is_cut_off_answers_no_read(group: Group) -> None:
    group.cut = {2}
    read = group.read(2, at_follower=True)
    group.ticks(2 * ELECTION_TICKS)
    assert [type(answer) for answer in read] == [NotLeader]
    assert group.read(2, at_follower=True) == [NotLeader(None)]


@pytest.fixture
def quiet() -> Group:
    """Replica 1 leads, and the group has fallen silent."""
    group = Group(quiesce_ticks=ELECTION_TICKS)
    group.ticks(3 + ELECTION_TICKS)
    assert [group[replica].is_quiet for replica in NODES] == [True] * 3
    return group


def test_a_quiet_group_sends_nothing_until_it_is_asked_for_something(quiet: Group) -> None:
    for _ in range(4 * ELECTION_TICKS):
        for replica in NODES:
            quiet[replica].tick()
            quiet.turn(replica)
        assert quiet.wire == []
    answers = quiet.propose(1, command(1))
    assert not quiet[1].is_quiet
    quiet.settle()
    assert answers == [Done((), 2)]
    quiet.ticks(1)
    assert [member.machine.applied for member in quiet.members.values()] == [2, 2, 2]
    read = quiet.read(1)
    quiet.settle()
    assert read == [None]


def test_a_quiet_group_whose_leader_has_stopped_elects_another_once_somebody_asks(
    quiet: Group,
) -> None:
    quiet[1].stop("its disk is gone.")
    quiet.ticks(4 * ELECTION_TICKS)
    assert quiet.role(2) == "follower", "nobody knows, and nobody needs to"
    assert quiet.propose(2, command(1)) == [NotLeader("n1")]
    quiet.ticks(4 * ELECTION_TICKS)
    assert "leader" in {quiet.role(2), quiet.role(3)}


def test_a_follower_that_is_asked_by_mistake_wakes_the_group_and_changes_nothing(
    quiet: Group,
) -> None:
    assert quiet.read(3) == [NotLeader("n1")]
    quiet.ticks(4 * ELECTION_TICKS)
    assert quiet.role(1) == "leader"
    assert [quiet[replica].status().term for replica in NODES] == [1, 1, 1]
    assert quiet[3].is_quiet


def test_a_group_that_lost_a_node_is_woken_by_its_neighbours(quiet: Group) -> None:
    quiet.cut = {1}
    for replica in (2, 3):
        assert quiet[replica].member_nodes() == {"n1", "n2", "n3"}
        quiet[replica].wake()
    quiet.ticks(4 * ELECTION_TICKS)
    assert "leader" in {quiet.role(2), quiet.role(3)}
    assert not quiet[2].is_quiet, "with a peer away a leader must keep looking for it"


def leader_of(group: Group) -> int:
    [leader] = [replica for replica in NODES if group.role(replica) == "leader"]
    return leader


def test_a_leader_answers_reads_without_a_message_while_its_lease_holds() -> None:
    group = Group(lease_rule=LeaseRule(election_timeout=10.0, drift=0.0, margin=1.0))
    group.ticks(4 * ELECTION_TICKS)
    leader = leader_of(group)
    clock = group.members[leader].clock
    assert group.read(leader, "lease") == [None]
    assert group.wire == []
    clock.time = 8.9  # the last round was sent at 0
    assert group.read(leader, "lease") == [None]
    clock.time = 9.0
    late = group.read(leader, "lease")
    assert late == []
    group.settle()
    assert late == [None]
    assert group.read(leader) == [], "a linearizable read relies on no clock"


async def test_a_read_by_lease_waits_for_what_is_committed_to_be_applied() -> None:
    group = Group(lease_rule=LeaseRule(election_timeout=10.0, drift=0.0, margin=1.0))
    group.ticks(4 * ELECTION_TICKS)
    leader = leader_of(group)
    machine = group.members[leader].machine
    machine.gate.clear()
    group.propose(leader, OpenSession("slow"))
    group.settle()
    read = group.read(leader, "lease")
    assert read == []
    machine.gate.set()
    await group.settle_until(lambda: bool(read))
    assert machine.applied == 2


def test_time_rises_by_a_microsecond_at_least_also_when_the_clock_goes_back(group: Group) -> None:
    clock = group.members[1].clock
    for us in (5_000_000, 5_000_000, 4_000_000, 6_000_000):
        clock.us = us
        group.propose(1, command(us))
        group.turn(1)
    group.settle()
    group.ticks(1)
    stamps = [entry.now_us for entry in group.members[2].machine.entries]
    assert stamps == [5_000_000, 5_000_001, 5_000_002, 6_000_000]
    isolate_leader(group)  # clocks of the others stand at one second
    leader = 2 if group.role(2) == "leader" else 3
    group.propose(leader, command(9))
    group.settle()
    assert group.members[leader].machine.entries[-1].now_us == 6_000_001


def test_seeds_differ(group: Group) -> None:
    for seq in range(20):
        group.propose(1, command(seq))
    group.settle()
    assert len({entry.seed for entry in group.members[1].machine.entries}) == 20


def test_losing_the_office_leaves_proposals_unknown_and_reads_refused(group: Group) -> None:
    group.cut = {1}
    proposal, read = group.propose(1, command(1)), group.read(1)
    isolate_leader(group)
    assert len(proposal) == 1
    assert isinstance(proposal[0], UnknownOutcome)
    assert read == [NotLeader(None)]
    group.cut = set()
    group.ticks(2)  # the log of the old leader is replaced; nobody is answered twice
    assert len(proposal) == 1
    assert group.members[1].machine.entries == []


def test_an_old_leader_does_not_answer_from_a_later_term(group: Group) -> None:
    """It wins office again before the node's next turn: entries of its first term stay lost."""
    group.cut = {1}
    lost = group.propose(1, command(1))
    isolate_leader(group)
    other = 2 if group.role(2) == "leader" else 3
    kept = group.propose(other, command(2))
    group.settle()
    group.cut = set()
    group.ticks(2)
    assert isinstance(lost[0], UnknownOutcome)
    assert isinstance(kept[0], Done)


def just_elected() -> Group:
    """Replica 1 leads since this moment, and nothing of its term is committed yet."""
    group = Group()
    group[1].tick()
    group[1].tick()
    while group.role(1) != "leader":
        for replica in NODES:
            group.turn(replica)
        messages, group.wire = group.wire, []
        for message in messages:
            group[message.receiver].step(message, NODES[message.sender])
    return group


def test_a_new_leader_holds_proposals_until_its_no_op_is_applied() -> None:
    group = just_elected()
    asked: list[int] = []

    def refuse() -> ResponseBody | None:
        asked.append(group.members[1].machine.applied)
        return None

    answers: list[ResponseBody] = []
    group[1].propose(msgspec.msgpack.encode(command(1)), answers.append, refuse=refuse)
    group.turn(1)
    assert group[1].status().last == 1  # the no-op alone
    assert asked == []
    group.settle()
    assert answers == [Done((), 2)]
    assert asked == [1]  # asked right before proposing, when the no-op was applied


def test_held_proposals_are_refused_definitely_if_the_office_is_lost() -> None:
    group = just_elected()
    group.cut = {1}
    group.wire.clear()
    answers = group.propose(1, command(1))
    isolate_leader(group)
    assert answers == [NotLeader(None)]


def test_what_is_refused_before_proposing_does_not_enter_the_log(group: Group) -> None:
    last = group[1].status().last
    answers: list[ResponseBody] = []
    failure = SqlFailure("42601", "syntax error")
    group[1].propose(msgspec.msgpack.encode(command(1)), answers.append, refuse=lambda: failure)
    group[1].propose(bytes(ENTRY_BYTES_MAX + 1), answers.append)
    group.settle()
    assert answers[0] == failure
    assert isinstance(answers[1], SqlFailure)
    assert answers[1].sqlstate == "54000"
    assert group[1].status().last == last


def test_proposals_and_reads_are_bounded(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft_engine, "PROPOSALS_MAX", 3)
    monkeypatch.setattr(read_barriers, "READS_MAX", 3)
    proposals = [group.propose(1, command(seq)) for seq in range(4)]
    reads = [group.read(1) for _ in range(4)]
    assert isinstance(proposals[3][0], Busy)
    assert isinstance(reads[3][0], Busy)
    group.settle()
    assert [isinstance(answers[0], Done) for answers in proposals[:3]] == [True] * 3
    assert reads[:3] == [[None]] * 3
    assert isinstance(group.propose(1, command(9)), list)  # and there is room again


def test_proposals_are_bounded_by_their_bytes(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft_engine, "PROPOSAL_BYTES_MAX", 200)
    body = msgspec.msgpack.encode(OpenSession("r" * 90))
    answers: list[ResponseBody] = []
    for _ in range(3):
        group[1].propose(body, answers.append)
    assert len(answers) == 1
    assert isinstance(answers[0], Busy)


async def test_a_read_waits_for_its_read_index_to_be_applied(group: Group) -> None:
    """The entry is committed and acknowledged by nobody yet, but it may be: a read that began
    after the commit must see it."""
    machine = group.members[1].machine
    machine.gate.clear()
    write = group.propose(1, OpenSession("slow"))
    group.settle()
    assert group[1].status().commit == 2
    read = group.read(1)
    group.settle()
    assert (write, read) == ([], [])  # confirmed by a quorum, not applied
    machine.gate.set()
    await group.settle_until(lambda: bool(read))
    assert read == [None]
    assert machine.applied == 2
    await group[1].close()


async def test_ticks_and_replication_go_on_while_a_slow_entry_is_applied(group: Group) -> None:
    machine = group.members[1].machine
    machine.gate.clear()
    slow = group.propose(1, OpenSession("slow"))
    quick = group.propose(1, command(1))
    group.ticks(10 * ELECTION_TICKS)
    assert group.role(1) == "leader"
    assert group[1].status().commit == 3
    assert (slow, quick) == ([], [])  # in order, so the quick one waits
    machine.gate.set()
    await group.settle_until(lambda: bool(quick))
    assert (slow, quick) == ([Done((), 2)], [Done((), 3)])
    for replica in NODES:
        await group[replica].close()


async def test_a_replica_that_breaks_stops_and_the_group_goes_on(group: Group) -> None:
    for member in group.members.values():
        member.machine.gate.clear()
    bad, after = group.propose(1, OpenSession("bad")), group.propose(1, command(1))
    group.settle()
    read = group.read(1)
    group.settle()
    group.members[1].machine.gate.set()
    await group.settle_until(lambda: bool(group[1].stopped))
    assert isinstance(bad[0], UnknownOutcome)
    assert isinstance(after[0], UnknownOutcome)
    assert read in ([NotLeader("n1")], [NotLeader(None)])
    status = group[1].status()
    assert status.role == "stopped"
    assert "the disk of this replica is full" in status.stopped
    assert group.propose(1, command(2)) == [NotLeader(None)]
    assert group.read(1) == [NotLeader(None)]
    group.ticks(4 * ELECTION_TICKS)
    assert "leader" in {group.role(2), group.role(3)}
    for replica in (2, 3):
        group.members[replica].machine.gate.set()
        await group[replica].close()
    await group[1].close()


def test_an_entry_that_cannot_be_read_stops_the_replica(group: Group) -> None:
    answers: list[ResponseBody] = []
    group[1].propose(b"\xc1", answers.append)
    group.settle()
    group.ticks(1)
    assert [type(answer) for answer in answers] == [UnknownOutcome]
    assert group[1].stopped
    assert group.members[1].machine.entries == []


async def test_closing_answers_everything(group: Group) -> None:
    group.cut = {1}
    proposal, read = group.propose(1, command(1)), group.read(1)
    group.turn(1)
    queued = group.propose(1, command(2))
    await group[1].close()
    assert isinstance(proposal[0], UnknownOutcome)
    assert queued == [NotLeader(None)]
    assert read == [NotLeader(None)]
    assert group.propose(1, command(2)) == [NotLeader(None)]


def test_idle_sessions_are_expired_by_the_leader_on_its_own_clock(group: Group) -> None:
    member, other = group.members[1], group.members[2]
    group.propose(1, command(1))
    group.settle()
    group.ticks(1)
    member.machine.expiry = other.machine.expiry = ExpireSessions((SessionId(1, 1),))
    position = member.machine.applied
    start = member.clock.time
    while member.clock.time < start + raft_engine.SESSION_IDLE_S + raft_engine.SESSION_SAMPLE_S:
        assert all(m.machine.idle_since == [] for m in group.members.values())
        for m in group.members.values():
            m.clock.time += raft_engine.SESSION_SAMPLE_S
        group.ticks(1)
        if member.machine.idle_since:
            break
    group.settle()
    assert member.machine.idle_since[0] <= position
    assert member.clock.time >= raft_engine.SESSION_IDLE_S
    assert other.machine.idle_since == []  # a follower proposes nothing
    assert member.machine.entries[-1].bodies == (ExpireSessions((SessionId(1, 1),)),)
