"""Replicas of one group in one process: real engines and log stores, a network of lists.

Every message is encoded and decoded as on the wire, every write is an fsynced transaction of a
real `LogStore`, and a crash closes the file and forgets everything else. Time is ticks, chance
is seeded. The state machine keeps commands in a list; a crash may take back what it applied
since its last flush, as a data file does that is not fsynced for each batch.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from nodes.config import RaftConfig
from nodes.consensus import Consensus
from nodes.engine import Answers, Committed
from nodes.engines import new_consensus
from nodes.log_store import LogStore
from nodes.protocol import (
    Consistency,
    Done,
    EntryBody,
    Envelope,
    Fence,
    PeerBatch,
    ResponseBody,
    SessionId,
)
from nodes.raft.log import RaftLog
from nodes.raft.messages import Membership
from nodes.raft_engine import RaftEngine
from nodes.two_phase import TwoPhaseView
from tests.nodes.memory_files import ReceivedBytes, SentBytes

__all__ = ["ELECTION_TICKS", "Call", "Group", "Member", "command"]

ELECTION_TICKS = 8
DELAY_ROUNDS = 60
GROUP = "g"


def command(seq: int) -> Fence:
    """A command that can be told from any other."""
    return Fence(SessionId(1, 1), seq, 0)


class Ledger:
    """A state machine that lists the commands it applied, by their seq."""

    def __init__(self) -> None:
        self.applied = 0
        self.seqs: list[int] = []
        self.terms: list[int] = []  # of each entry, no-ops included
        self.generation = 1
        self._flushed = (0, 0)

    def is_quick(self, body: EntryBody) -> bool:
        return True

    def apply(self, batch: Sequence[Committed]) -> list[Answers]:
        answers: list[Answers] = []
        for index, term, entry in batch:
            assert index == self.applied + 1, "each entry once, in order"
            self.applied = index
            self.terms.append(term)
            if entry is None:
                answers.append(())
                continue
            (body,) = entry.bodies
            assert isinstance(body, Fence)
            self.seqs.append(body.seq)
            answers.append((Done((), index),))
        return answers

    halted = ""
    fingerprint = ""
    prepared = TwoPhaseView({}, {}, {})
    incarnation = 1
    switched_at = 0

    def opening(self) -> EntryBody | None:
        return None

    def idle(self, since: int) -> None:
        return None

    def make_durable(self) -> int:
        self.flush()
        return self.applied

    def make_snapshot(self) -> SentBytes:
        state = (self.applied, self.seqs, self.terms)
        return SentBytes(self.applied, msgspec.msgpack.encode(state))

    def receive_snapshot(self, generation: int) -> ReceivedBytes:
        self._received = ReceivedBytes(generation)
        return self._received

    async def switch_to(self, generation: int) -> None:
        self.generation = generation
        self.applied, self.seqs, self.terms = msgspec.msgpack.decode(
            self._received.data, type=tuple[int, list[int], list[int]]
        )

    def flush(self) -> None:
        self._flushed = (self.applied, len(self.seqs))

    def crash(self) -> None:
        self.applied, count = self._flushed
        del self.seqs[count:], self.terms[self.applied :]


class HandClock:
    def lease_now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    def now_us(self) -> int:
        return 1_000_000


@dataclass
class Call:
    """A proposal or a read barrier, and what `done` was called with."""

    replica: int
    seq: int
    answers: list[ResponseBody | None] = field(default_factory=list)
    seen: tuple[int, ...] = ()
    """Of a read: what the replica had applied when it was answered."""

    @property
    def answer(self) -> ResponseBody | None:
        (answer,) = self.answers
        return answer


@dataclass
class Member:
    """One replica while it runs."""

    store: LogStore
    engine: RaftEngine
    consensus: Consensus
    log: RaftLog


class Group:
    """`replicas` members that run `engine`.

    `cut` holds the members that no message reaches or leaves, `paused` those that do nothing
    and find what was sent to them later. Of all messages `lost` (from 0 to 1) get lost,
    `repeated` arrive twice, and `delayed` take up to DELAY_ROUNDS rounds and so come in another
    order.
    """

    def __init__(self, engine: str, directory: Path, *, replicas: int = 3, seed: int = 0) -> None:
        self.kind = engine
        self.ids = tuple(range(1, replicas + 1))
        self.machines = {replica: Ledger() for replica in self.ids}
        self.members: dict[int, Member] = {}
        self.cut: set[int] = set()
        self.paused: set[int] = set()
        self.lost = self.delayed = self.repeated = 0.0
        self.sent = 0
        self.rounds = 0
        self.rng = random.Random(seed)
        self._directory = directory
        self._dirty: dict[RaftEngine, None] = {}
        self._wire: deque[tuple[int, int, int, bytes]] = deque()  # (round, from, to, frame)
        for replica in self.ids:
            self.start(replica)

    # ------------------------------------------------------------------ running

    def start(self, replica: int) -> None:
        assert replica not in self.members
        machine = self.machines[replica]
        store = LogStore.open(
            self._directory / f"log-{replica}.db", cluster_id="c", node=f"n{replica}"
        )
        loaded = store.load(GROUP, replica)
        log = RaftLog(
            store.reader(GROUP),
            first=loaded.first_index,
            base_term=loaded.pointer.term,
            last=loaded.last_index,
            last_term=loaded.last_term,
        )
        consensus = new_consensus(
            self.kind,
            replica=replica,
            memberships=[(0, Membership.of(self.ids, {id: f"n{id}" for id in self.ids}))],
            rng=random.Random(self.rng.getrandbits(64)),
            election_ticks=ELECTION_TICKS,
            hard_state=loaded.hard_state,
            log=log,
            applied=machine.applied,
            first_timeout_ticks=2 if replica == 1 else None,
        )
        engine = RaftEngine(
            group=GROUP,
            core=consensus,
            log=log,
            machine=machine,
            rng=random.Random(self.rng.getrandbits(64)),
            clock=HandClock(),
            log_entries=RaftConfig().log_entries,
            wake=self._wake,
            send=lambda _, message: self._send([message]),
        )
        self.members[replica] = Member(store, engine, consensus, log)
        self._wake(engine)

    def crash(self, replica: int, *, in_turn: bool = False) -> None:
        """End it as kill -9 and a power loss do: only what was made durable is left. `in_turn`:
        after the turn's first messages left, before its transaction."""
        if in_turn:
            ready = self.engine(replica).collect()
            self._send(ready.messages if ready is not None else [])
        self.paused.discard(replica)
        member = self.members.pop(replica)
        self._dirty.pop(member.engine, None)
        member.store.close()
        self.machines[replica].crash()

    def close(self) -> None:
        for replica in tuple(self.members):
            self.crash(replica)

    def _wake(self, engine: RaftEngine) -> None:
        self._dirty[engine] = None

    def _running(self) -> Iterator[tuple[int, Member]]:
        yield from [(r, member) for r, member in self.members.items() if r not in self.paused]

    def turn(self, replica: int) -> None:
        """One turn of one member's node, in the order of nodes.node."""
        member = self.members[replica]
        engine = member.engine
        self._dirty.pop(engine, None)
        ready = engine.collect()
        if ready is not None:
            self._send(ready.messages)
            if (write := engine.group_write(ready)) is not None:
                member.store.write([write])
            engine.persisted(ready)
            self._send(ready.messages_after)
        engine.apply()
        assert not engine.stopped, engine.status().stopped

    def _send(self, messages: Sequence[object]) -> None:
        for message in messages:
            envelope = Envelope(GROUP, message)  # type: ignore[arg-type]  # one of RaftMessage
            self.sent += 1
            if self.rng.random() < self.lost:
                continue
            frame = msgspec.msgpack.encode(PeerBatch((envelope,)))
            for _ in range(2 if self.rng.random() < self.repeated else 1):
                late = self.rng.random() < self.delayed
                due = self.rounds + (self.rng.randint(1, DELAY_ROUNDS) if late else 0)
                self._wire.append((due, envelope.message.sender, envelope.message.receiver, frame))

    def deliver(self) -> None:
        """Deliver what is due."""
        self.rounds += 1
        for _ in range(len(self._wire)):
            item = due, sender, receiver, frame = self._wire.popleft()
            if due >= self.rounds or receiver in self.paused:
                self._wire.append(item)
            elif not {sender, receiver} & self.cut and receiver in self.members:
                (envelope,) = msgspec.msgpack.decode(frame, type=PeerBatch).envelopes
                self.members[receiver].engine.step(envelope.message, f"n{envelope.message.sender}")

    def round(self) -> None:
        """Every member with news takes a turn, then one way of the network passes."""
        for replica, member in self._running():
            if member.engine in self._dirty:
                self.turn(replica)
        self.deliver()

    def settle(self, rounds: int = 10_000) -> int:
        """Rounds until nothing is left to do; how many it took."""
        for count in range(rounds):
            if not self._dirty and not self._wire:
                return count
            self.round()
        raise AssertionError(f"the group is not quiet after {rounds} rounds")

    def ticks(self, count: int) -> None:
        for _ in range(count):
            for _, member in self._running():
                member.engine.tick()
            self.settle()

    def until(self, condition: Callable[[], bool], ticks: int = 60 * ELECTION_TICKS) -> int:
        """Ticks until it holds; fails after `ticks`."""
        for count in range(ticks):
            if condition():
                return count
            self.ticks(1)
        raise AssertionError(f"it does not hold after {ticks} ticks")

    # ------------------------------------------------------------------ looking and asking

    def engine(self, replica: int) -> RaftEngine:
        return self.members[replica].engine

    def role(self, replica: int) -> str:
        return self.engine(replica).status().role

    def leader(self) -> int:
        """The leader of the highest term among those that can talk, or 0."""
        led = [
            (member.consensus.term, replica)
            for replica, member in self.members.items()
            if replica not in self.cut and self.role(replica) == "leader"
        ]
        return max(led)[1] if led else 0

    def elect(self) -> int:
        """Wait for a leader that is able to serve."""
        self.until(lambda: bool(self.leader()))
        leader = self.leader()
        call = self.read(leader)
        self.until(lambda: bool(call.answers))
        return leader if call.answer is None else self.elect()

    def propose(self, replica: int, seq: int) -> Call:
        call = Call(replica, seq)
        body = msgspec.msgpack.encode(command(seq))
        self.engine(replica).propose(body, call.answers.append)
        return call

    def read(self, replica: int, consistency: Consistency = "linearizable") -> Call:
        call = Call(replica, 0)
        machine = self.machines[replica]

        def done(refusal: ResponseBody | None) -> None:
            call.answers.append(refusal)
            call.seen = tuple(machine.seqs)

        self.engine(replica).read_barrier(consistency, done)
        return call

    def write(self, seq: int) -> Call:
        """A write at the leader that has to be acknowledged."""
        call = self.propose(self.elect(), seq)
        self.settle()
        assert isinstance(call.answer, Done), call.answer
        return call
