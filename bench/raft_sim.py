"""How fast the simulator of the Raft core is: `python -m bench.raft_sim`.

One group of three replicas in virtual time, without faults, every check of the simulator on. A
tick stands for 50 ms, as in the nodes' default configuration. "Quiet" lets the group fall silent
(quiescence), as an idle group of a node does; the nodes' own heartbeats, which all groups of a
node share, are still simulated for this one group alone. Commands come to the leader five in a
turn of its loop, or one by one. Seconds are those of the processor, so that other work on the
machine counts little. Each figure is the median of RUNS runs of the same seed; the spread is
between the slowest and the fastest.
"""

from __future__ import annotations

import gc
import statistics
import time

import click
from rich.console import Console
from rich.table import Table

from nodes.raft.core import Role
from tests.sim.raft_cluster import Options, Simulation
from tests.sim.raft_faults import TICK
from tests.sim.raft_sim import TICK_S

RUNS = 5
COMMANDS_PER_S = 100
BURST = 5
WARM_UP_TICKS = 50

TARGETS = {"idle": 1000.0, "100 commands/s, 5 a turn": 100.0}
"""Simulated seconds per second."""


class Calm(Simulation):
    """A group to which nothing happens but `commands_per_s`."""

    def __init__(self, commands_per_s: int, burst: int, quiesce_ticks: int) -> None:
        options = Options(compact_ticks=0, quiesce_ticks=quiesce_ticks)
        super().__init__(1, options)
        self.is_calm = True
        self._burst = burst
        self._pause = burst * TICK / TICK_S / commands_per_s if commands_per_s else 0.0

    def simulate(self, ticks: int) -> float:
        """Seconds that `ticks` took, after the first election."""
        for replica in list(self.replicas.values()):
            self.start(replica, first_timeout_ticks=1 if replica.number == 1 else None)
        self.run_until(WARM_UP_TICKS * TICK)
        if self._pause:
            self.at(0, self._command)
        gc.disable()  # as in the simulator's runs
        begin = time.process_time()
        self.run_until((WARM_UP_TICKS + ticks) * TICK)
        took = time.process_time() - begin
        gc.enable()
        return took

    def _command(self) -> None:
        for replica in self.replicas.values():
            if replica.core is not None and replica.core.role is Role.LEADER:
                for _ in range(self._burst):
                    self._propose(replica, replica.core)
                self.drive(replica)
        self.at(self._pause, self._command)


def measure(commands_per_s: int, burst: int, quiesce_ticks: int, simulated_s: float) -> list[float]:
    """Simulated seconds per second, of RUNS runs, in order."""
    ticks = int(simulated_s / TICK_S)
    rates = [
        ticks * TICK_S / Calm(commands_per_s, burst, quiesce_ticks).simulate(ticks)
        for _ in range(RUNS)
    ]
    return sorted(rates)


@click.command()
@click.option("--seconds", default=300.0, show_default=True, help="Simulated, per run.")
def main(seconds: float) -> None:
    """Measure the simulator of the Raft core."""
    cells = {
        "idle": (0, 0, 0, seconds),
        "idle, quiet": (0, 0, 2, seconds),
        "100 commands/s, 5 a turn": (COMMANDS_PER_S, BURST, 0, seconds / 10),
        "100 commands/s, 1 a turn": (COMMANDS_PER_S, 1, 0, seconds / 10),
    }
    table = Table(title=f"3 replicas, median of {RUNS}")
    for title in ("group", "simulated s/s", "slowest", "fastest", "target"):
        table.add_column(title, justify="left" if title == "group" else "right")
    for name, cell in cells.items():
        rates = measure(*cell)
        target = TARGETS.get(name)
        table.add_row(
            name,
            f"{statistics.median(rates):.0f}",
            f"{rates[0]:.0f}",
            f"{rates[-1]:.0f}",
            f">= {target:.0f}" if target else "",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
