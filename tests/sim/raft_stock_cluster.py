"""A simulated group of stock pysyncobj replicas: the same faults, the same checks.

What the library promises is checked: election safety, leader append-only, log matching, leader
completeness, state machine safety, and that what it acknowledged is in the log.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from nodes.raft.core import Role
from nodes.raft.messages import Membership
from tests.sim.raft_cluster import Options, Simulation
from tests.sim.raft_faults import TICK
from tests.sim.raft_replica import Disk, Replica
from tests.sim.raft_stock import (
    Connections,
    Killed,
    Library,
    StockCore,
    StockDisk,
    check_acknowledged,
)

__all__ = ["FAULTS_OF_STOCK", "StockSimulation"]

FAULTS_OF_STOCK = (
    *("isolate", "isolate leader", "one way", "split", "estrange", "heal", "heal", "heal"),
    *("crash", "crash", "crash leader", "crash some", "crash all", "pause", "pause leader"),
)

UNIT_S = 0.005
"""A unit of virtual time: a tick is the library's autoTickPeriod of 50 ms."""

CONNECTION_TIMEOUT_S = 3.5  # the library's connectionTimeout
CONNECTION_RETRY_S = 1.0  # its connectionRetryTime is 5 s, which would only make runs longer
SETTLE_TICKS = 200
QUEUED_MAX = 50


class StockSimulation(Simulation):
    """One run over files in a directory of its own."""

    def __init__(self, seed: int, options: Options) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="raft-sim-")
        self._disks: dict[int, StockDisk] = {}
        super().__init__(seed, options)
        self._library = Library(lambda: self.now * UNIT_S, self.rng)
        numbers = sorted(self.replicas)
        self._connections = Connections(
            [(one, other) for one in numbers for other in numbers if one < other],
            timeout=CONNECTION_TIMEOUT_S / UNIT_S,
            retry=CONNECTION_RETRY_S / UNIT_S,
            delay=lambda: self.rng.random() * self.options.delay,
            now=lambda: self.now,
            arrives=lambda delay, one, other: self.at(delay, self._arrive, one, other),
            trace=self._trace.update,
        )
        self.checker.holds_durably = lambda number, index, entry: self._disks[number].holds(
            index, entry
        )

    # ---------------------------------------------------------------- a replica's life

    def new_replica(self, number: int, membership: Membership) -> Replica:
        self._disks[number] = StockDisk(Path(self._directory.name), number)
        replica = self.replicas[number] = Replica(number, Disk(membership))
        return replica

    def start(self, replica: Replica, first_timeout_ticks: int | None = None) -> None:
        self._within(replica, partial(self._open, replica))
        if replica.core is not None:
            self.on(replica, self.rng.random() * TICK, self._turn, replica)

    def _open(self, replica: Replica) -> None:
        core: Any = StockCore(
            replica.number,
            tuple(sorted(self.replicas)),
            self._library,
            self._disks[replica.number],
            self._connections,
            self.options.tail_entries_max,
        )
        replica.core = core

    def _turn(self, core: Any, replica: Replica) -> None:
        self._within(replica, core.tick)
        self.on(replica, TICK, self._turn, replica)

    def _within(self, replica: Replica, work: Any) -> None:
        """Let a process do something, in which it may be killed."""
        journal = self._disks[replica.number].journal
        try:
            work()
        except (Killed, Exception):
            if not journal.is_dead:
                raise
        if journal.is_dead:
            self.counts["killed while it wrote"] += 1
            self._end(replica)
            self.at(self.rng.random() * 20 * TICK, self._start_again, replica)

    def _start_again(self, replica: Replica) -> None:
        if replica.core is None:
            self.start(replica)

    def crash(self, replica: Replica) -> None:
        """Kill it now, or in the middle of one of its next writes."""
        if replica.core is None:
            return
        self.counts["crashes"] += 1
        if not self.is_calm and self.rng.random() < 0.5:
            self._disks[replica.number].journal.writes_left = self.rng.randrange(6)
        else:
            self._end(replica)

    def _end(self, replica: Replica) -> None:
        replica.forget()
        self._disks[replica.number].reopen()
        self.checker.crashed(replica.number)
        for peer in self._connections.lost(replica.number):
            self._tell(peer, replica.number, is_up=False)

    def drive(self, replica: Replica) -> None:
        """After each of its steps: compare, then apply and answer what it decided."""
        core: Any = replica.core
        if core is None:
            return
        core.look()
        self.checker.observe(core)
        for index in core.take_applied():
            entry = core.log.entries(index, index)[0]
            self.checker.took(replica.number, index, entry)
            replica.applied = index
            self.counts["applied"] += 1
        for index, value in core.take_acknowledged():
            check_acknowledged(self.checker.committed, index, value)
            self.counts["writes"] += 1

    # ---------------------------------------------------------------- network

    def _tell(self, replica: int, peer: int, *, is_up: bool) -> None:
        core: Any = self.replicas[replica].core
        if core is not None:
            core.connected(peer, is_up=is_up)

    def _tend(self) -> None:
        changes = self._connections.tend(
            lambda one, other: (one, other) in self.cuts,
            lambda number: self.replicas[number].core is not None,
        )
        for one, other, is_up in changes:
            self._tell(one, other, is_up=is_up)
            self._tell(other, one, is_up=is_up)
        for receiver in self.replicas.values():
            for sender in self.replicas:
                if sender != receiver.number and self._connections.has(sender, receiver.number):
                    self.on(receiver, 0, self._take_all, receiver, sender)
        self.at(TICK, self._tend)

    def _arrive(self, sender: int, receiver: int) -> None:
        if (sender, receiver) not in self.cuts and (receiver, sender) not in self.cuts:
            replica = self.replicas[receiver]
            self.on(replica, 0, self._take_all, replica, sender)

    def _take_all(self, core: Any, replica: Replica, sender: int) -> None:
        life = replica.life
        while replica.life == life:
            message = self._connections.take(sender, replica.number)
            if message is None:
                return
            self._within(replica, partial(core.step, sender, message))
            self.drive(replica)

    # ---------------------------------------------------------------- clients

    def _ask(self, replica: Replica, core: Any) -> None:
        if core.role is Role.LEADER and self.rng.random() < 0.5:
            if core.log.last - core.log.commit >= QUEUED_MAX:
                return
            for _ in range(self.rng.choice([1, 1, 1, 5])):
                self._values += 1
                core.put(f"<{self._values}>")

    # ---------------------------------------------------------------- the run

    def run(self) -> Counter[str]:
        self.at(0, self._tend)
        try:
            return super().run()
        finally:
            self._library.close()
            for disk in self._disks.values():
                disk.close()
            self._directory.cleanup()

    def _heal_and_demand_progress(self) -> None:
        """Heal, and let the group settle: what it acknowledged has to be there still."""
        self.is_calm = True
        self.faults.heal()
        for replica in list(self.replicas.values()):
            replica.paused_until = 0.0
            if replica.core is None:
                self.start(replica)
        self.run_until(self.now + SETTLE_TICKS * TICK)
