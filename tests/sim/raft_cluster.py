"""A simulated Raft group: real cores, virtual time, a hostile network, disks that forget.

Time is a number, chance one seeded generator, and everything that happens is an event in one
queue; so a seed is a run, bit for bit. Messages are lost, delayed, repeated and reordered;
links are cut one way or both; replicas crash between a write and its end, pause with their
memory intact, restart, and tick at different speeds.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.raft.core import RaftCore, Ready, Role
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, LogEntry, Membership, RaftMessage, VoteResponse
from tests.sim.raft_checker import Checker, Violation

__all__ = ["Options", "Simulation"]

TICK = 10  # units of virtual time
ELECTION_TICKS = 5
CALM_DELAY = 3.0

UNCOMMITTED_MAX = 50
"""Clients of a leader that commits nothing wait; a replica's driver bounds them as well."""

PROGRESS_TICKS = 20 * ELECTION_TICKS
"""Several split votes in a row, each a little more than two election timeouts."""

ALL_FAULTS = (
    *("isolate", "isolate leader", "one way", "split", "heal", "heal", "loss"),
    *("crash", "crash", "crash leader", "crash some", "crash all", "pause", "pause leader"),
    *("clock jump", "duel"),
)


@dataclass(frozen=True)
class Options:
    """One run. `core` and `log` are replaced by mutants, to see that they are convicted."""

    replicas: int = 3
    ticks: int = 150  # of faults, before the group is healed
    fault_ticks: int = 12  # mean time between two faults
    faults: tuple[str, ...] = ALL_FAULTS
    delay: float = 3.0  # longest ordinary delay of a message; a tick is TICK
    strike: float = 0.0  # chance that the network is divided anew just when something is decided
    vote_crash: float = 0.0  # chance that a replica crashes just after it has voted
    tail_entries_max: int = 4096
    core: type[RaftCore] = RaftCore
    log: type[RaftLog] = RaftLog


class Disk:
    """What survives a crash."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.log: list[LogEntry] = []

    def entries(self, first: int, last: int) -> list[LogEntry]:
        assert 1 <= first <= last <= len(self.log), f"no entries {first}..{last} on disk"
        return self.log[first - 1 : last]

    def term(self, index: int) -> int:
        return self.log[index - 1].term

    def write(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        if ready.entries:
            assert ready.first_index <= len(self.log) + 1, "a gap on disk"
            self.log[ready.first_index - 1 :] = ready.entries
        assert self.hard_state.commit <= len(self.log), "the commit hint is beyond the log"

    def holds(self, index: int, entry: LogEntry) -> bool:
        return index <= len(self.log) and self.log[index - 1] == entry


@dataclass
class ReadRequest:
    must_be_seen: int


@dataclass
class Replica:
    """One process and its disk."""

    number: int
    disk: Disk = field(default_factory=Disk)
    core: RaftCore | None = None  # None while crashed
    life: int = 0  # events of an earlier life are void
    paused_until: float = 0.0
    applied: int = 0
    decided: tuple[bool, int] = (False, 0)  # leads, commit: as the adversary last saw them
    writing: Ready | None = None
    proposals: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    reads: list[tuple[int, ReadRequest]] = field(default_factory=list)  # confirmed, to be applied


class Simulation:
    """One run: `Simulation(seed, options).run()` raises Violation or returns the counts."""

    def __init__(self, seed: int, options: Options) -> None:
        self.options = options
        self.counts: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._event_count = 0
        self._cuts: set[tuple[int, int]] = set()
        self._loss = 0.0
        self._is_calm = False
        self._values = 0
        voters = range(1, options.replicas + 1)
        self.replicas = {number: Replica(number) for number in voters}
        self.checker = Checker(
            voters,
            lambda number, index, entry: self.replicas[number].disk.holds(index, entry),
        )

    # ---------------------------------------------------------------- time

    def _at(self, delay: float, action: Callable[[], None]) -> None:
        self._event_count += 1
        heapq.heappush(self._events, (self._now + delay, self._event_count, action))

    def _step(self) -> None:
        self._now, _, action = heapq.heappop(self._events)
        action()

    def _on(self, replica: Replica, delay: float, action: Callable[[RaftCore], None]) -> None:
        """Let `replica` do something later, if it still lives and as soon as it is awake."""
        life = replica.life

        def run() -> None:
            if replica.life != life or replica.core is None:
                return
            if replica.paused_until > self._now:
                self._at(replica.paused_until - self._now, run)
                return
            action(replica.core)
            self._drive(replica)

        self._at(delay, run)

    # ---------------------------------------------------------------- a replica's life

    def _start(self, replica: Replica, first_timeout_ticks: int | None = None) -> None:
        disk = replica.disk
        last = len(disk.log)
        replica.core = core = self.options.core(
            replica=replica.number,
            memberships=[(0, Membership.of(self.replicas.keys()))],
            rng=random.Random(self._rng.random()),
            election_ticks=ELECTION_TICKS,
            hard_state=disk.hard_state,
            log=self.options.log(
                disk,
                last=last,
                last_term=disk.log[-1].term if disk.log else 0,
                tail_entries_max=self.options.tail_entries_max,
            ),
            applied=replica.applied,
            first_timeout_ticks=first_timeout_ticks,
        )
        interval = TICK * self._rng.uniform(0.9, 1.1)

        def tick(core: RaftCore) -> None:
            core.tick()
            self._on(replica, interval, tick)

        self._on(replica, self._rng.uniform(0, interval), tick)
        self.checker.observe(core)
        self._drive(replica)

    def _crash(self, replica: Replica) -> None:
        """Lose everything that is not durable; a write under way may or may not have made it."""
        if replica.core is None:
            return
        self.counts["crashes"] += 1
        if replica.writing is not None and self._rng.random() < 0.5:
            replica.disk.write(replica.writing)
        replica.core = None
        replica.writing = None
        replica.life += 1
        replica.proposals = {}
        replica.reads = []
        # The data file syncs less often than the log: after a loss of power it is older.
        replica.applied = self._rng.choice([replica.applied, self._rng.randint(0, replica.applied)])
        self.checker.crashed(replica.number)

    def _drive(self, replica: Replica) -> None:
        """The driver's loop of nodes.raft.core, with a disk that takes its time."""
        while (core := replica.core) is not None:
            self.checker.observe(core)
            self._strike(replica, core)
            if replica.writing is not None:
                assert not core.has_ready()
                return
            has_ready = core.has_ready()
            if not has_ready and self._rng.random() < 0.9:
                return
            ready = core.ready()
            is_empty = not (
                ready.messages
                or ready.hard_state
                or ready.entries
                or ready.messages_after
                or ready.committed
                or ready.reads
                or ready.reads_failed
            )
            if has_ready == is_empty:
                raise Violation(f"has_ready was {has_ready} before {ready}")
            self._send(ready.messages)
            replica.writing = ready
            if is_empty or not (ready.hard_state or ready.entries):
                self._written(replica, ready)
            elif self._is_calm or self._rng.random() < 0.5:
                replica.disk.write(ready)
                self._written(replica, ready)
            else:
                self._on(
                    replica,
                    self._rng.choice([1, 1, 3, 3 * TICK]) * self._rng.random(),
                    lambda _, ready=ready: self._end_write(replica, ready),  # type: ignore[misc]  # default binds the value
                )
            if is_empty:
                return

    def _end_write(self, replica: Replica, ready: Ready) -> None:
        replica.disk.write(ready)
        self._written(replica, ready)

    def _written(self, replica: Replica, ready: Ready) -> None:
        core = replica.core
        assert core is not None
        replica.writing = None
        core.persisted(ready)
        self.checker.observe(core)
        self._send(ready.messages_after)
        has_voted = any(
            isinstance(message, VoteResponse) and message.granted
            for message in ready.messages_after
        )
        if has_voted and not self._is_calm and self._rng.random() < self.options.vote_crash:
            self._on(replica, 0, lambda _: self._restart(replica))
        if ready.committed:
            self._apply(replica, ready.committed)
        for index, contexts in ready.reads:
            for context in contexts:
                assert isinstance(context, ReadRequest)
                replica.reads.append((index, context))
        self.counts["reads failed"] += len(ready.reads_failed)
        self._answer_reads(replica)

    def _apply(self, replica: Replica, committed: range) -> None:
        core = replica.core
        assert core is not None
        if committed[0] != replica.applied + 1:
            raise Violation(f"{replica.number} skips from {replica.applied} to {committed[0]}")
        for index, entry in enumerate(core.log.entries(committed[0], committed[-1]), committed[0]):
            if not replica.disk.holds(index, entry):
                raise Violation(f"{replica.number} applies {index}, which its disk lacks")
            self.checker.applied(replica.number, index, entry)
            replica.applied = index
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
                self.counts["reads"] += 1

    # ---------------------------------------------------------------- network

    def _send(self, messages: list[RaftMessage]) -> None:
        for message in messages:
            copies = 1
            if not self._is_calm:
                if self._rng.random() < self._loss:
                    continue
                copies += self._rng.random() < 0.02
            for _ in range(copies):
                delay = self._rng.random() * (CALM_DELAY if self._is_calm else self.options.delay)
                if not self._is_calm and self._rng.random() < 0.03:
                    delay *= TICK * ELECTION_TICKS  # overtaken by whole elections
                self._at(delay, lambda message=message: self._deliver(message))  # type: ignore[misc]  # default binds the value

    def _deliver(self, message: RaftMessage) -> None:
        if (message.sender, message.receiver) not in self._cuts:
            self._on(self.replicas[message.receiver], 0, lambda core: core.step(message))

    # ---------------------------------------------------------------- clients

    def _client(self) -> None:
        """Ask every replica that believes to lead: stale leaders are the dangerous ones."""
        for replica in self.replicas.values():
            core = replica.core
            if core is None or core.role is not Role.LEADER or replica.paused_until > self._now:
                continue
            has_room = core.log.last - core.commit < UNCOMMITTED_MAX
            if has_room and self._rng.random() < 0.5:
                for _ in range(self._rng.choice([1, 1, 1, 5])):
                    self._propose(replica, core)
            if self._rng.random() < 0.5:
                core.read_index(ReadRequest(self.checker.must_be_seen))
            self._drive(replica)
        self._at(self._rng.random() * TICK, self._client)

    def _propose(self, replica: Replica, core: RaftCore) -> bytes:
        self._values += 1
        data = b"%d" % self._values
        index = core.propose(data)
        if index is not None:
            replica.proposals[index] = (core.term, data)
        return data

    # ---------------------------------------------------------------- faults

    def _fault(self) -> None:
        if self._is_calm:
            return
        kind = self._rng.choice(self.options.faults)
        self.counts[kind] += 1
        getattr(self, "_fault_" + kind.replace(" ", "_"))()
        self._at(self._rng.random() * 2 * TICK * self.options.fault_ticks, self._fault)

    def _any_replica(self) -> Replica:
        return self._rng.choice(list(self.replicas.values()))

    def _any_leader(self) -> Replica:
        leaders = [
            replica
            for replica in self.replicas.values()
            if replica.core is not None and replica.core.role is Role.LEADER
        ]
        return self._rng.choice(leaders) if leaders else self._any_replica()

    def _isolate(self, victim: Replica) -> None:
        for number in self.replicas:
            self._cuts |= {(victim.number, number), (number, victim.number)}

    def _fault_isolate(self) -> None:
        self._isolate(self._any_replica())

    def _fault_isolate_leader(self) -> None:
        self._isolate(self._any_leader())

    def _fault_one_way(self) -> None:
        for _ in range(self._rng.randint(1, 3)):
            self._cuts.add((self._any_replica().number, self._any_replica().number))

    def _fault_split(self) -> None:
        side = {number for number in self.replicas if self._rng.random() < 0.5}
        self._cuts |= {
            (a, b) for a in self.replicas for b in self.replicas if (a in side) != (b in side)
        }

    def _fault_heal(self) -> None:
        self._cuts.clear()
        self._loss = 0.0

    def _fault_loss(self) -> None:
        self._loss = self._rng.choice([0.05, 0.2, 0.5])

    def _restart(self, victim: Replica) -> None:
        if victim.core is not None:
            self._crash(victim)
            self._start(victim)

    def _crash_and_restart(self, victim: Replica) -> None:
        self._crash(victim)

        def restart() -> None:
            if victim.core is None:
                self._start(victim)

        self._at(self._rng.random() * TICK * self._rng.choice([0.1, 1, 10, 30]), restart)

    def _fault_crash(self) -> None:
        self._crash_and_restart(self._any_replica())

    def _fault_crash_leader(self) -> None:
        self._crash_and_restart(self._any_leader())

    def _fault_crash_some(self) -> None:
        for victim in self.replicas.values():
            if self._rng.random() < 0.5:
                self._crash_and_restart(victim)

    def _fault_crash_all(self) -> None:
        for victim in self.replicas.values():
            self._crash_and_restart(victim)

    def _pause(self, victim: Replica) -> None:
        victim.paused_until = self._now + self._rng.random() * 4 * TICK * ELECTION_TICKS

    def _fault_pause(self) -> None:
        self._pause(self._any_replica())

    def _fault_pause_leader(self) -> None:
        self._pause(self._any_leader())

    def _fault_clock_jump(self) -> None:
        """Clocks run ahead by about an election timeout: nobody's patience is protected."""
        for victim in self.replicas.values():
            if self._rng.random() < 0.8:
                count = ELECTION_TICKS + self._rng.randrange(ELECTION_TICKS)
                self._on(victim, self._rng.random(), lambda core, n=count: _tick(core, n))  # type: ignore[misc]  # default binds the value

    def _fault_duel(self) -> None:
        """The leader restarts, every clock runs ahead, and two of them so far that both
        replicas stand in the same term."""
        leader = self._any_leader()
        self._restart(leader)
        duelists = self._rng.sample(list(self.replicas.values()), 2)
        for victim in self.replicas.values():
            count = ELECTION_TICKS * (2 if victim in duelists else 1)
            self._on(victim, 0, lambda core, n=count: _tick(core, n))  # type: ignore[misc]  # default binds the value

    def _strike(self, replica: Replica, core: RaftCore) -> None:
        """An adversary who watches: the moments after an election and after a commit are those
        in which a wrong rule loses something (figure 3.7 needs four of them in a row)."""
        before, replica.decided = replica.decided, (core.role is Role.LEADER, core.commit)
        if (
            replica.decided > before
            and replica.decided[0]
            and not self._is_calm
            and self._rng.random() < self.options.strike
        ):
            self.counts["strikes"] += 1
            self._fault_heal()
            self._fault_split()
            self._fault_clock_jump()

    # ---------------------------------------------------------------- the run

    def run(self) -> Counter[str]:
        """Faults first, then heal and demand progress."""
        for replica in self.replicas.values():
            self._start(replica, first_timeout_ticks=1 if replica.number == 1 else None)
        self._at(0, self._client)
        self._at(4 * TICK, self._fault)
        while self._now < self.options.ticks * TICK:
            self._step()
        self._heal_and_demand_progress()
        self.counts["terms"] = max(self.checker.leader_of_term)
        self.counts["elections"] = len(self.checker.leader_of_term)
        self.counts["truncations"] = self.checker.truncations
        return self.counts

    def _heal_and_demand_progress(self) -> None:
        """Within PROGRESS_TICKS every replica must have applied a new write, and a new read
        must be answered."""
        self._is_calm = True
        self._fault_heal()
        for replica in self.replicas.values():
            replica.paused_until = 0.0
            if replica.core is None:
                self._start(replica)
        reads_before = self.counts["reads"]
        # Delayed messages of the faulty phase are still under way for an election timeout.
        settled = self._now + 4 * TICK * ELECTION_TICKS
        while self._now < settled:
            self._step()
        deadline = self._now + PROGRESS_TICKS * TICK
        target = len(self.checker.committed) + 1
        while (
            any(replica.applied < target for replica in self.replicas.values())
            or self.counts["reads"] == reads_before
        ):
            if self._now > deadline:
                raise Violation(f"no progress {PROGRESS_TICKS} ticks after healing")
            self._step()


def _tick(core: RaftCore, count: int) -> None:
    for _ in range(count):
        core.tick()
