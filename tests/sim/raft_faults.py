"""What goes wrong in a simulated Raft group, and when.

Every fault has a number and a generator of its own, seeded by the run's seed and that number:
leaving one out of the schedule leaves the others what they were, so that a schedule that broke
a promise can be shrunk.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from nodes.raft.core import RaftCore, Role
from nodes.raft.membership import ChangeRefused, with_learner, with_voter, without
from nodes.raft.messages import Membership

if TYPE_CHECKING:
    from tests.sim.raft_cluster import Simulation
    from tests.sim.raft_replica import Replica

__all__ = ["ALL_FAULTS", "FAULTS_OF_CLOCKS", "Faults"]

ALL_FAULTS = (
    *("isolate", "isolate leader", "one way", "split", "heal", "heal", "loss", "replay"),
    *("crash", "crash", "crash leader", "crash some", "crash all", "pause", "pause leader"),
    *("clock jump", "duel", "slow disk", "corrupt chunks"),
    *("estrange", "abandon", "deafen leader", "mute leader"),
    *("transfer", "add replica", "promote", "promote", "remove replica"),
)

FAULTS_OF_CLOCKS = ("clock jump", "duel")
"""These break the promise about clocks that leases rest on."""

REPLICAS_MAX = 7
TICK = 10  # units of virtual time
ELECTION_TICKS = 5


class Faults:
    """The schedule of one run, drawn as it goes."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._simulation = simulation
        self._seed = seed
        self._number = 0
        self._rng = random.Random(f"faults {seed}")
        self.schedule: list[str] = []

    def begin(self) -> None:
        self._simulation.at(4 * TICK, self._next)
        if self._simulation.options.hasty:
            self._simulation.at(4 * TICK, self._divide_now_and_then)

    def _next(self) -> None:
        simulation = self._simulation
        if simulation.is_calm:
            return
        self._number += 1
        self._rng = rng = random.Random(f"fault {self._seed} {self._number}")
        pause = rng.random() * 2 * TICK * simulation.options.fault_ticks
        kind = rng.choice(simulation.options.faults)
        options = simulation.options
        is_kept = options.keep is None or self._number in options.keep
        if is_kept and self._number not in options.skip:
            simulation.counts[kind] += 1
            self.schedule.append(f"tick {simulation.now / TICK:.1f}: {self._number} {kind}")
            getattr(self, "_" + kind.replace(" ", "_"))()
        simulation.at(pause, self._next)

    def _later(self, delay: float, act: Callable[[Replica], None], victim: Replica) -> None:
        """The rest of a fault, unless the group is healed by then."""

        def run() -> None:
            if not self._simulation.is_calm:
                act(victim)

        self._simulation.at(delay, run)

    # ---------------------------------------------------------------- victims

    def _any_replica(self) -> Replica:
        return self._rng.choice(list(self._simulation.replicas.values()))

    def _any_leader(self) -> Replica:
        leaders = [
            replica
            for replica in self._simulation.replicas.values()
            if replica.core is not None and replica.core.role is Role.LEADER
        ]
        return self._rng.choice(leaders) if leaders else self._any_replica()

    def leader_core(self) -> RaftCore | None:
        """The leader of the newest term."""
        cores = [replica.core for replica in self._simulation.replicas.values()]
        leaders = [core for core in cores if core is not None and core.role is Role.LEADER]
        return max(leaders, key=lambda core: core.term, default=None)

    # ---------------------------------------------------------------- network

    def _cut_off(self, victim: Replica) -> None:
        for number in self._simulation.replicas:
            self._simulation.cuts |= {(number, victim.number), (victim.number, number)}

    def _isolate(self) -> None:
        self._cut_off(self._any_replica())

    def _isolate_leader(self) -> None:
        self._cut_off(self._any_leader())

    def _strand_leader(self) -> None:
        self._leave_with_few(self._any_leader())

    def _estrange(self) -> None:
        """One replica and the leader do not see each other; everybody else sees both."""
        leader = self._any_leader().number
        other = self._rng.choice([n for n in self._simulation.replicas if n != leader] or [leader])
        self._simulation.cuts |= {(leader, other), (other, leader)}

    def _abandon(self) -> None:
        """The leader is cut off, some who knew it forget what they knew, and those whose patience
        was over before try again: nobody counts on them, so their clocks may jump."""
        leader = self._any_leader()
        self._cut_off(leader)
        for replica in list(self._simulation.replicas.values()):
            if replica is leader or replica.core is None:
                continue
            if replica.core.role is Role.PRECANDIDATE:
                self._tick_often(replica, self._rng.random() * 3, 2 * ELECTION_TICKS)
            elif self._rng.random() < 0.7:
                self.restart(replica)

    def _deafen_leader(self) -> None:
        """The leader is heard, and hears nobody."""
        self._deafen(self._any_leader())

    def _mute_leader(self) -> None:
        """The leader is heard by nobody; what one of the others has sent still comes to it."""
        leader = self._any_leader().number
        heard = self._any_replica().number
        for number in self._simulation.replicas:
            self._simulation.cuts.add((leader, number))
            if number != heard:
                self._simulation.cuts.add((number, leader))

    def _slow_answers(self) -> None:
        """What is sent to the leader takes some ticks longer."""
        leader = self._any_leader().number
        longer = self._rng.uniform(3, 7) * TICK
        for number in self._simulation.replicas:
            self._simulation.slow_ways[number, leader] = longer

    def _deafen(self, victim: Replica) -> None:
        for number in self._simulation.replicas:
            self._simulation.cuts.add((number, victim.number))

    def _one_way(self) -> None:
        for _ in range(self._rng.randint(1, 3)):
            self._simulation.cuts.add((self._any_replica().number, self._any_replica().number))

    def _split(self) -> None:
        numbers = list(self._simulation.replicas)
        self._divide({number for number in numbers if self._rng.random() < 0.5})

    def _leave_with_few(self, leader: Replica) -> None:
        """Nobody, or one other: half of a group of four, which is no majority."""
        others = [number for number in self._simulation.replicas if number != leader.number]
        friends = self._rng.sample(others, min(len(others), self._rng.randrange(2)))
        self._divide({leader.number, *friends})

    def _divide(self, side: set[int]) -> None:
        numbers = list(self._simulation.replicas)
        self._simulation.cuts |= {
            (a, b) for a in numbers for b in numbers if (a in side) != (b in side)
        }

    def _heal(self) -> None:
        self._simulation.cuts.clear()
        self._simulation.slow_ways.clear()
        self._simulation.loss = self._simulation.corruption = 0.0

    def heal(self) -> None:
        self._heal()

    def _loss(self) -> None:
        self._simulation.loss = self._rng.choice([0.05, 0.2, 0.5])

    def _replay(self) -> None:
        """Messages of the past arrive once more."""
        simulation = self._simulation
        for _ in range(min(10, len(simulation.recent))):
            message = self._rng.choice(simulation.recent)
            simulation.at(self._rng.random() * TICK, simulation.deliver, message)

    def _corrupt_chunks(self) -> None:
        """A damaged file or memory: the network itself has checksums."""
        self._simulation.corruption = 0.3

    # ---------------------------------------------------------------- processes

    def restart(self, victim: Replica) -> None:
        if victim.core is not None:
            self._simulation.crash(victim)
            self._simulation.start(victim)

    def _crash_and_restart(self, victim: Replica) -> None:
        simulation = self._simulation
        simulation.crash(victim)
        if simulation.options.rebuilds_under_old_ids and self._rng.random() < 0.3:
            fresh = simulation.new_replica(victim.number, victim.disk.base.membership)
            fresh.life = victim.life + 1
            victim = fresh

        def restart() -> None:
            if victim.core is None and simulation.replicas[victim.number] is victim:
                simulation.start(victim)

        simulation.at(self._rng.random() * TICK * self._rng.choice([0.1, 1, 10, 30]), restart)

    def _crash(self) -> None:
        self._crash_and_restart(self._any_replica())

    def _crash_leader(self) -> None:
        self._crash_and_restart(self._any_leader())

    def _crash_some(self) -> None:
        for victim in list(self._simulation.replicas.values()):
            if self._rng.random() < 0.5:
                self._crash_and_restart(victim)

    def _crash_all(self) -> None:
        for victim in list(self._simulation.replicas.values()):
            self._crash_and_restart(victim)

    def _pause_it(self, victim: Replica) -> None:
        victim.paused_until = self._simulation.now + self._rng.random() * 20 * TICK

    def _pause(self) -> None:
        self._pause_it(self._any_replica())

    def _pause_leader(self) -> None:
        self._pause_it(self._any_leader())

    def _migrate_leader(self) -> None:
        """The leader's machine is moved: it stands still, with what has just arrived for it, and
        wakes up where nobody finds it yet."""
        leader = self._any_leader()
        leader.paused_until = self._simulation.now + self._rng.uniform(8, 20) * TICK
        self._later(self._rng.uniform(0, 4) * TICK, self._cut_off, leader)

    def _crash_loop(self) -> None:
        """A supervisor starts again and again what crashes again and again."""
        victim = self._any_replica()
        delay = 0.0
        for _ in range(self._rng.randint(2, 6)):
            delay += self._rng.uniform(1, 4) * TICK
            self._later(delay, self.restart, victim)

    def _slow_disk(self) -> None:
        self._any_replica().slow_until = self._simulation.now + self._rng.random() * 30 * TICK

    def _tick_often(self, victim: Replica, delay: float, count: int) -> None:
        def run(core: RaftCore) -> None:
            for _ in range(count):
                core.tick(self._simulation.now * victim.clock_rate)

        self._simulation.on(victim, delay, run)

    def _clock_jump(self) -> None:
        """Clocks run ahead by about an election timeout: nobody's patience is protected."""
        for victim in self._simulation.replicas.values():
            if self._rng.random() < 0.8:
                self._tick_often(victim, self._rng.random(), 5 + self._rng.randrange(5))

    def _duel(self) -> None:
        """The leader restarts, every clock runs ahead, and two of them so far that both
        replicas stand in the same term."""
        self.restart(self._any_leader())
        replicas = list(self._simulation.replicas.values())
        duelists = self._rng.sample(replicas, min(2, len(replicas)))
        for victim in replicas:
            self._tick_often(victim, 0, 10 if victim in duelists else 5)

    # ---------------------------------------------------------------- administration

    def _transfer(self) -> None:
        leader = self._any_leader()
        core = leader.core
        if core is not None and core.role is Role.LEADER and core.membership.voters:
            successor = self._rng.choice(core.membership.voters)
            chance = self._rng.random()
            if chance < 0.2:  # it will not hear from its successor that it was succeeded,
                self._simulation.cuts.add((successor, leader.number))
            elif chance < 0.4:  # or from anybody
                self._deafen(leader)
            done = core.transfer(successor)
            self._simulation.counts["transfers begun"] += done
            self._simulation.drive(leader)

    def _change(self, kind: str, leader: Replica | None = None) -> None:
        leader = leader or self._any_leader()
        core = leader.core
        if core is None or core.role is not Role.LEADER:
            return
        membership = core.membership
        try:
            match kind:
                case "add":
                    if len(membership.members) >= REPLICAS_MAX:
                        return
                    number = membership.last_id + 1
                    new = with_learner(membership, number, f"n{number}")
                    core.change_membership(new)
                    if number not in self._simulation.replicas:
                        self._start_new(number)
                case "promote":
                    if not membership.learners:
                        return
                    core.change_membership(
                        with_voter(membership, self._rng.choice(membership.learners))
                    )
                case "remove":
                    if len(membership.voters) <= 2:
                        return
                    victim = self._rng.choice(membership.members).id
                    core.change_membership(without(membership, victim))
        except ChangeRefused:
            self._simulation.counts["changes refused"] += 1
        else:
            self._simulation.counts["membership changes"] += 1
            self._simulation.drive(leader)

    def _start_new(self, number: int) -> None:
        """A new replica knows of no group before its leader speaks to it."""
        simulation = self._simulation
        simulation.start(simulation.new_replica(number, Membership((), 0)))

    def _add_replica(self) -> None:
        self._change("add")

    def _promote(self) -> None:
        self._change("promote")

    def _remove_replica(self) -> None:
        self._change("remove")

    def _many_changes(self) -> None:
        """An administrator who waits for nothing: a group of four or more is asked to give up two
        voters at once, a smaller one to grow, and the network is divided anew before the
        leader has told more than one of the others, or more than the learners."""
        leader = self._any_leader()
        if leader.core is None:
            return
        membership = leader.core.membership
        is_large = len(membership.voters) >= 4
        self._heal()
        if self._rng.random() < 0.3:
            self._split()
        elif is_large:
            self._leave_with_few(leader)
        else:
            self._divide({leader.number, *membership.learners})
        for kind in ("remove", "remove") if is_large else ("promote", "promote", "add", "add"):
            self._change(kind, leader)

    # ---------------------------------------------------------------- an adversary who watches

    def _ask_for_changes(self, replica: Replica) -> None:
        """An administrator who cannot wait asks whoever has just been elected."""
        simulation = self._simulation
        simulation.counts["changes asked for at once"] += 1
        self._rng = simulation.rng
        simulation.on(replica, 0, lambda core: self._change_often(core, replica))
        self._divide_anew(replica)

    def _divide_now_and_then(self) -> None:
        """Whatever the division, somebody is soon elected in the next one."""
        if not self._simulation.is_calm:
            self._rng = self._simulation.rng
            self._divide_anew(self._any_leader())
            self._simulation.at(
                self._simulation.rng.random() * 30 * TICK, self._divide_now_and_then
            )

    def _divide_anew(self, leader: Replica) -> None:
        self._rng = self._simulation.rng
        self._heal()
        if self._rng.random() < 0.2:
            self._split()
        else:
            self._leave_with_few(leader)
        if not self._simulation.options.leases:
            self._clock_jump()

    def _change_often(self, core: RaftCore, replica: Replica) -> None:
        """Back to four voters, and then to three: majorities of even groups are the tightest."""
        voters = len(core.membership.voters)
        kinds = ["remove", "remove"] if voters >= 4 else ["promote", "add", "promote"]
        for kind in kinds[: self._simulation.rng.randint(1, len(kinds))]:
            self._change(kind, replica)

    def strike(self, replica: Replica, core: RaftCore) -> None:
        """The moments after an election and after a commit are those in which a wrong rule
        loses something (figure 3.7 needs four of them in a row)."""
        before, replica.decided = replica.decided, (core.role is Role.LEADER, core.commit)
        simulation = self._simulation
        if (
            core.role is Role.LEADER
            and not before[0]
            and not simulation.is_calm
            and simulation.options.hasty
            and simulation.rng.random() < simulation.options.hasty
        ):
            self._ask_for_changes(replica)
        if (
            replica.decided > before
            and replica.decided[0]
            and not simulation.is_calm
            and simulation.options.strike
            and simulation.rng.random() < simulation.options.strike
        ):
            simulation.counts["strikes"] += 1
            self._heal()
            self._split()
            if not simulation.options.leases:
                self._clock_jump()
