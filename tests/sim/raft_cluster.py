"""A simulated Raft group: real cores, virtual time, a hostile network, disks that forget.

Time is a number, chance one seeded generator, and everything that happens is an event in one
queue; so a seed is a run, bit for bit. What goes wrong is in `raft_faults`; here is what would
also happen on a good day: drivers that follow the core's contract, disks that take their time,
compaction, snapshots, clients.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from nodes.raft.core import RaftCore, Ready, Role
from nodes.raft.lease import LeaseRule
from nodes.raft.log import RaftLog
from nodes.raft.messages import InstallSnapshot, Membership, RaftMessage, Snapshot, VoteResponse
from nodes.raft.ready import ChunkRequest
from tests.sim.raft_checker import Checker, Violation
from tests.sim.raft_faults import ALL_FAULTS, ELECTION_TICKS, TICK, Faults
from tests.sim.raft_replica import Disk, ReadRequest, Replica, State

__all__ = ["Options", "Simulation"]

CALM_DELAY = 3.0
UNCOMMITTED_MAX = 50
"""Clients of a leader that commits nothing wait; a replica's driver bounds them as well."""

PROGRESS_TICKS = 20 * ELECTION_TICKS
"""Several split votes in a row, each a little more than two election timeouts."""


@dataclass(frozen=True)
class Options:
    """One run. What mutants replace comes last."""

    replicas: int = 3
    ticks: int = 150  # of faults, before the group is healed
    fault_ticks: float = 12  # mean time between two faults
    faults: tuple[str, ...] = ALL_FAULTS
    skip: frozenset[int] = frozenset()  # numbers of faults that are left out of the schedule
    keep: frozenset[int] | None = None  # if not None, only these happen
    delay: float = 3.0  # longest ordinary delay of a message; a tick is TICK
    late: float = 0.03  # chance that a message is overtaken by whole elections
    overtakes: bool = True  # else messages from one replica to another stay in order
    hasty: float = 0.0  # chance that a new leader is asked for another membership at once
    strike: float = 0.0  # chance that the network is divided anew just when something is decided
    vote_crash: float = 0.0  # chance that a replica crashes just after it has voted
    tail_entries_max: int = 4096
    compact_ticks: float = 10  # mean time between two compactions of a replica; 0: never
    leases: bool = False
    progress_ticks: int = PROGRESS_TICKS
    has_ready_is_exact: bool = True
    drift: float = 0.2  # how much faster one clock may run than another
    quiesce_ticks: int = 0
    writes: float = 0.5  # chance that a client who asks a leader writes
    idle: float = 0.0  # the part of time in which clients ask for nothing
    pent_up: bool = False  # clients that waited for a leader all write when there is one
    core: Callable[..., Any] = RaftCore
    log: type[RaftLog] = RaftLog
    compacts_what_is_not_durable: bool = False
    snapshots_lack_sessions: bool = False
    installs_unchecked_files: bool = False
    rebuilds_under_old_ids: bool = False


class Simulation:
    """One run: `Simulation(seed, options).run()` raises Violation or returns the counts."""

    def __init__(self, seed: int, options: Options) -> None:
        self.options = options
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(seed)
        self.now = 0.0
        self.is_calm = False
        self.cuts: set[tuple[int, int]] = set()
        self.slow_ways: dict[tuple[int, int], float] = {}  # how much longer a message takes
        self.loss = 0.0
        self.corruption = 0.0
        self.recent: deque[RaftMessage] = deque(maxlen=200)  # to be repeated much later
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._event_count = 0
        self._arrivals: dict[tuple[int, int], float] = {}  # of the last message on its way
        self._values = 0
        self._unanswered: list[bytes] = []
        self._busy = True  # clients ask for something
        self._awaited_term = 0  # of the newest leader that clients have met
        self._files: dict[bytes, tuple[bytes, State]] = {}  # by hash
        self._trace = hashlib.sha256()
        self._encode = msgspec.msgpack.Encoder().encode
        self._is_watched = options.strike > 0 or options.hasty > 0
        # The last of ELECTION_TICKS ticks comes at least one tick less than that after the first.
        least = (ELECTION_TICKS - 1) * TICK
        self._lease_rule = LeaseRule(least, options.drift, margin=0.0) if options.leases else None
        self.replicas: dict[int, Replica] = {}
        self._founders = Membership.of(range(1, options.replicas + 1))
        for number in self._founders.voters:
            self.new_replica(number, self._founders)
        self.faults = Faults(self, seed)
        self.checker = Checker(
            lambda number, index, entry: self.replicas[number].disk.holds(index, entry)
        )

    @property
    def trace(self) -> str:
        """Digest of everything that was sent: equal runs have equal traces."""
        return self._trace.hexdigest()

    # ---------------------------------------------------------------- time

    def at(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        """Let something happen `delay` from now; what happens at one time keeps its order."""
        self._event_count = count = self._event_count + 1
        heapq.heappush(self._events, (self.now + delay, count, action, arguments))

    def _step(self) -> None:
        self.now, _, action, arguments = heapq.heappop(self._events)
        action(*arguments)

    def run_until(self, time: float) -> None:
        """Let everything happen that is due before `time`, and what comes next."""
        events, pop = self._events, heapq.heappop
        while self.now < time:
            self.now, _, action, arguments = pop(events)
            action(*arguments)

    def on(
        self, replica: Replica, delay: float, action: Callable[..., None], *arguments: Any
    ) -> None:
        """Let `replica` do something later, if it still lives and as soon as it is awake."""
        self.at(delay, self._let, replica, replica.life, action, arguments)

    def _let(
        self, replica: Replica, life: int, action: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        core = replica.core
        if replica.life != life or core is None:
            return
        if replica.paused_until > self.now:
            self.at(replica.paused_until - self.now, self._let, replica, life, action, arguments)
            return
        action(core, *arguments)
        self.drive(replica)

    def _clock(self, replica: Replica) -> float:
        return self.now * replica.clock_rate

    # ---------------------------------------------------------------- a replica's life

    def new_replica(self, number: int, membership: Membership) -> Replica:
        """An empty disk, and a clock that is as wrong as clocks may be."""
        rate = 1 + self.rng.choice([0, self.rng.random(), 1]) * self.options.drift
        replica = self.replicas[number] = Replica(number, Disk(membership), rate)
        return replica

    def start(self, replica: Replica, first_timeout_ticks: int | None = None) -> None:
        disk = replica.disk
        replica.core = core = self.options.core(
            replica=replica.number,
            memberships=disk.memberships(),
            rng=random.Random(self.rng.random()),
            election_ticks=ELECTION_TICKS,
            hard_state=disk.hard_state,
            log=self.options.log(
                disk,
                first=disk.base.index + 1,
                base_term=disk.base.term,
                last=disk.last,
                last_term=disk.last_term,
                tail_entries_max=self.options.tail_entries_max,
            ),
            applied=replica.applied,
            first_timeout_ticks=first_timeout_ticks,
            lease_rule=self._lease_rule,
            quiesce_ticks=self.options.quiesce_ticks,
        )
        interval = TICK / replica.clock_rate
        self.on(replica, self.rng.uniform(0, interval), self._tick, replica, interval)
        if self.options.compact_ticks:
            self.on(replica, self._compaction_delay(), lambda _: self._compact(replica))
        self.checker.observe(core)
        self.drive(replica)

    def _tick(self, core: RaftCore, replica: Replica, interval: float) -> None:
        core.tick(self._clock(replica))
        if self.options.quiesce_ticks:
            self._beat(replica, core)
        self.on(replica, interval, self._tick, replica, interval)

    def crash(self, replica: Replica) -> None:
        """Lose everything that is not durable; a write under way may or may not have made it."""
        if replica.core is None:
            return
        self.counts["crashes"] += 1
        if replica.writing is not None and self.rng.random() < 0.5:
            self._write(replica, replica.writing)
        # The data file syncs less often than the log: after a loss of power it is older.
        if self.rng.random() < 0.5:
            replica.load(replica.disk.state)
        replica.forget()
        self.checker.crashed(replica.number)

    def drive(self, replica: Replica) -> None:
        """The driver's loop of nodes.raft.core, with a disk that takes its time."""
        if replica.core is None:
            return
        self.checker.observe(replica.core)
        chance = self.rng.random
        while (core := replica.core) is not None:
            if self._is_watched:
                self.faults.strike(replica, core)
            if replica.writing is not None:
                assert not core.has_ready()
                return
            has_ready = core.has_ready()
            if not has_ready and chance() < 0.98:
                return
            ready = core.ready()
            does_nothing = ready.is_empty and replica.installs is None
            if has_ready == does_nothing and self.options.has_ready_is_exact:
                raise Violation(f"has_ready was {has_ready} before {ready}")
            if ready.messages:
                self.send(ready.messages)
            replica.writing = ready
            if not ready.is_durable_work:
                self._written(replica, ready)
            elif self.is_calm or (replica.slow_until < self.now and chance() < 0.5):
                self._write(replica, ready)
                self._written(replica, ready)
            else:
                is_slow = replica.slow_until >= self.now
                self.on(
                    replica,
                    (3 * TICK if is_slow else self.rng.choice([1, 1, 3, 3 * TICK])) * chance(),
                    self._end_write,
                    replica,
                    ready,
                )
            if does_nothing:
                return

    def _end_write(self, core: RaftCore, replica: Replica, ready: Ready) -> None:
        self._write(replica, ready)
        self._written(replica, ready)

    def _write(self, replica: Replica, ready: Ready) -> None:
        state = None
        if ready.install is not None:
            state = self._installed_state(replica, ready.install)
            replica.load(state)
            self.checker.installed(replica.number, ready.install.index)
            self.counts["snapshots installed"] += 1
        replica.disk.write(ready, state)

    def _written(self, replica: Replica, ready: Ready) -> None:
        core = replica.core
        assert core is not None
        replica.writing = None
        replica.installs = None  # installed now, or of no use any more
        core.persisted(ready)
        if ready.is_durable_work or ready.committed:
            self.checker.observe(core)
        if ready.messages_after:
            self.send(ready.messages_after)
        if self.options.vote_crash and not self.is_calm and _has_voted(ready):
            self._crash_after_vote(replica)
        for chunk in ready.chunks:
            self._receive(replica, chunk)
        for request in ready.chunks_to_send:
            self._send_chunk(request)
        if ready.wants_snapshot:
            self.on(replica, self.rng.random() * TICK, lambda _: self._offer_snapshot(replica))
        if ready.committed:
            self._apply(replica, ready.committed)
        for index, contexts in ready.reads:
            for context in contexts:
                assert isinstance(context, ReadRequest)
                replica.reads.append((index, context))
        if ready.reads_failed:
            self.counts["reads failed"] += len(ready.reads_failed)
        if replica.reads:
            self._answer_reads(replica)

    def _crash_after_vote(self, replica: Replica) -> None:
        if self.rng.random() < self.options.vote_crash:
            self.on(replica, 0, lambda _: self.faults.restart(replica))

    def _apply(self, replica: Replica, committed: range) -> None:
        core = replica.core
        assert core is not None
        if committed[0] != replica.applied + 1:
            raise Violation(f"{replica.number} skips from {replica.applied} to {committed[0]}")
        for index, entry in enumerate(core.log.entries(committed[0], committed[-1]), committed[0]):
            if not replica.disk.holds(index, entry):
                raise Violation(f"{replica.number} applies {index}, which its disk lacks")
            self.checker.applied(replica.number, index, entry, replica.apply(entry))
            term, data = replica.proposals.pop(index, (0, b""))
            if term == entry.term:
                self.checker.acknowledged(index, data)
                self.counts["writes"] += 1

    def _answer_reads(self, replica: Replica) -> None:
        waiting = replica.reads
        replica.reads = [read for read in waiting if read[0] > replica.applied]
        for index, request in waiting:
            if index <= replica.applied:
                self.checker.has_read(replica.applied, request.must_be_seen)
                is_leader = replica.core is not None and replica.core.role is Role.LEADER
                self.counts["reads" if is_leader else "follower reads"] += 1

    # ---------------------------------------------------------------- compaction, snapshots

    def _compaction_delay(self) -> float:
        return self.rng.random() * 2 * TICK * self.options.compact_ticks

    def _compact(self, replica: Replica) -> None:
        """Sync the data file, and sometimes give up entries that it holds."""
        core = replica.core
        assert core is not None
        is_installing = replica.writing is not None and replica.writing.install is not None
        if not is_installing and self.rng.random() < 0.7:
            if self.rng.random() < 0.5:
                replica.disk.state = replica.state()
            durable = replica.disk.state.applied
            if self.options.compacts_what_is_not_durable:
                durable = replica.applied
            limit = min(durable, replica.disk.last)
            if self.rng.random() < 0.8:
                limit = min(limit, core.compaction_limit)
            if limit > replica.disk.base.index:
                replica.disk.compact(core.compact(limit))
                self.counts["compactions"] += 1
        self.on(replica, self._compaction_delay(), lambda _: self._compact(replica))

    def _offer_snapshot(self, replica: Replica) -> None:
        core = replica.core
        assert core is not None
        if replica.writing is not None and replica.writing.install is not None:
            return  # its office is lost, and its log is not the one of its state any more
        base = core.base(replica.applied)
        number = len(self._files)
        file = b"%d:" % number + self.rng.randbytes(self.rng.randint(1, 30))
        state = replica.state()
        if self.options.snapshots_lack_sessions:
            state = replace(state, seen=frozenset())
        self._files[b"%d" % number] = (file, state)
        self.counts["snapshots made"] += 1
        core.offer_snapshot(Snapshot(base, len(file), b"%d" % number))

    def _send_chunk(self, request: ChunkRequest) -> None:
        file, _ = self._files[request.snapshot.hash]
        data = file[request.offset : request.offset + request.size]
        if not self.is_calm and self.rng.random() < self.corruption:
            self.counts["chunks corrupted"] += 1
            data = bytes([data[0] ^ 1]) + data[1:]
        self.send([request.message(data)])

    def _receive(self, replica: Replica, chunk: InstallSnapshot) -> None:
        if chunk.offset == 0:
            replica.received = b""
        if chunk.offset != len(replica.received):
            raise Violation(f"{replica.number} got a chunk at {chunk.offset} out of order")
        replica.received += chunk.data
        if len(replica.received) == chunk.snapshot.size:
            snapshot = chunk.snapshot
            self.on(replica, self.rng.random() * TICK, lambda _: self._check(replica, snapshot))

    def _check(self, replica: Replica, snapshot: Snapshot) -> None:
        assert replica.core is not None
        intact = replica.received == self._files[snapshot.hash][0]
        if self.options.installs_unchecked_files:
            intact = True
        if intact:
            replica.installs = snapshot
        else:
            self.counts["snapshots refused"] += 1
        replica.core.snapshot_received(intact=intact)

    def _installed_state(self, replica: Replica, snapshot: Snapshot) -> State:
        file, state = self._files[snapshot.hash]
        if replica.received != file:
            raise Violation(f"{replica.number} installs a damaged file")
        assert state.applied == snapshot.index
        return state

    # ---------------------------------------------------------------- network

    def send(self, messages: list[RaftMessage]) -> None:
        chance = self.rng.random
        update, encode, remember = self._trace.update, self._encode, self.recent.append
        for message in messages:
            update(encode((self.now, message)))
            remember(message)
            if self.is_calm:
                self._deliver_after(chance() * CALM_DELAY, message)
                continue
            if chance() < self.loss:
                continue
            for _ in range(2 if chance() < 0.02 else 1):
                delay = chance() * self.options.delay
                if chance() < self.options.late:
                    delay *= TICK * ELECTION_TICKS
                if self.slow_ways:
                    delay += self.slow_ways.get((message.sender, message.receiver), 0.0)
                self._deliver_after(delay, message)

    def _deliver_after(self, delay: float, message: RaftMessage) -> None:
        if not self.options.overtakes:  # as a connection does: not before what was sent earlier
            way = (message.sender, message.receiver)
            self._arrivals[way] = max(self._arrivals.get(way, 0.0), self.now + delay)
            delay = self._arrivals[way] - self.now
        self.at(delay, self.deliver, message)

    def deliver(self, message: RaftMessage) -> None:
        receiver = self.replicas.get(message.receiver)
        if receiver is None or receiver.core is None:
            return
        if self.cuts and (message.sender, message.receiver) in self.cuts:
            return
        if receiver.paused_until > self.now:
            self._let(receiver, receiver.life, _step_core, (message,))
            return
        receiver.core.step(message)
        self.drive(receiver)

    def _beat(self, replica: Replica, core: RaftCore) -> None:
        """The nodes' own heartbeats, which stand in for those of quiescent groups."""
        now = self._clock(replica)
        for other in self.replicas.values():
            if other is replica:
                continue
            if (replica.number, other.number) not in self.cuts and self.rng.random() >= self.loss:
                self._send_beat(other, replica)
            heard = replica.beats.get(other.number)
            if heard is None:
                replica.beats[other.number] = (-1, now)
            elif now - heard[1] > ELECTION_TICKS * TICK:
                self._lost(replica, core, other.number)

    def _send_beat(self, receiver: Replica, sender: Replica) -> None:
        life = sender.life
        self.on(receiver, self.rng.random() * 3, lambda _: self._heard(receiver, sender, life))

    def _heard(self, replica: Replica, other: Replica, life: int) -> None:
        before = replica.beats.get(other.number)
        if replica.core is not None and before is not None and before[0] not in (-1, life):
            self._lost(replica, replica.core, other.number)
        replica.beats[other.number] = (life, self._clock(replica))

    def _lost(self, replica: Replica, core: RaftCore, other: int) -> None:
        is_concerned = core.leader == other or (
            core.role is Role.LEADER and other in core.membership
        )
        if is_concerned and core.is_quiescent:
            self.counts["woken by a node's silence"] += 1
            core.wake()

    # ---------------------------------------------------------------- clients

    def _client(self) -> None:
        """Ask every replica that believes to lead: stale leaders are the dangerous ones."""
        if self.rng.random() < 0.05:
            self._busy = self.rng.random() >= self.options.idle
        if self._busy or self.is_calm:
            for replica in list(self.replicas.values()):
                if replica.core is not None and replica.paused_until <= self.now:
                    self._ask(replica, replica.core)
        self.at(self.rng.random() * TICK, self._client)

    def _ask(self, replica: Replica, core: RaftCore) -> None:
        if core.role is not Role.LEADER:
            if self.rng.random() < 0.3:
                core.read_index(ReadRequest(self.checker.must_be_seen))
                self.drive(replica)
            return
        has_room = core.log.last - core.commit < UNCOMMITTED_MAX
        is_awaited = self.options.pent_up and core.term > self._awaited_term
        self._awaited_term = max(self._awaited_term, core.term)
        chance = 0.5 if self.is_calm else 1.0 if is_awaited else self.options.writes
        if has_room and self.rng.random() < chance:
            for _ in range(self.rng.choice([1, 1, 1, 5])):
                self._propose(replica, core)
        if self.rng.random() < 0.5:
            core.read_index(ReadRequest(self.checker.must_be_seen))
        if self.options.leases and (index := core.lease_read(self._clock(replica))) is not None:
            replica.reads.append((index, ReadRequest(self.checker.must_be_seen)))
            self.counts["lease reads"] += 1
            self._answer_reads(replica)
        self.drive(replica)

    def _propose(self, replica: Replica, core: RaftCore) -> None:
        """A new command, or one that was sent before and may be in the log already."""
        if self._unanswered and self.rng.random() < 0.2:
            data = self.rng.choice(self._unanswered)
            self.counts["commands repeated"] += 1
        else:
            self._values += 1
            data = b"%d" % self._values
            self._unanswered = [*self._unanswered[-20:], data]
        index = core.propose(data)
        if index is not None and core.successor:
            raise Violation(f"{replica.number} takes proposals while it hands over")
        if index is not None:
            replica.proposals[index] = (core.term, data)

    # ---------------------------------------------------------------- the run

    def run(self) -> Counter[str]:
        """Faults first, then heal and demand progress."""
        for replica in list(self.replicas.values()):
            self.start(replica, first_timeout_ticks=1 if replica.number == 1 else None)
        self.at(0, self._client)
        self.faults.begin()
        self.run_until(self.options.ticks * TICK)
        self._heal_and_demand_progress()
        self.counts["terms"] = max(self.checker.leader_of_term)
        self.counts["elections"] = len(self.checker.leader_of_term)
        self.counts["truncations"] = self.checker.truncations
        self.counts["commits"] = len(self.checker.committed)
        self.counts["ticks"] = int(self.now / TICK)
        return self.counts

    def _heal_and_demand_progress(self) -> None:
        """Within PROGRESS_TICKS every member must have applied a new write, and a new read
        must be answered."""
        self.is_calm = True
        self.faults.heal()
        for replica in list(self.replicas.values()):
            replica.paused_until = 0.0
            if replica.core is None:
                self.start(replica)
        # Delayed messages of the faulty phase are still under way for an election timeout.
        self.run_until(self.now + 4 * TICK * ELECTION_TICKS)
        reads_before = self.counts["reads"]
        deadline = self.now + self.options.progress_ticks * TICK
        target = len(self.checker.committed) + 1
        while self.counts["reads"] == reads_before or not self._members_have(target):
            if self.now > deadline:
                raise Violation(f"no progress {self.options.progress_ticks} ticks after healing")
            self._step()
        for replica in self.replicas.values():
            if replica.core is not None:
                self.checker.check_whole(replica.core)

    def _members_have(self, target: int) -> bool:
        leader = self.faults.leader_core()
        if leader is None:
            return False
        return all(
            self.replicas[member.id].applied >= target for member in leader.membership.members
        )


def _has_voted(ready: Ready) -> bool:
    return any(
        isinstance(message, VoteResponse) and message.granted for message in ready.messages_after
    )


def _step_core(core: RaftCore, message: RaftMessage) -> None:
    core.step(message)
