"""A host whose disk can be watched, can fail and can lose its power, under a process of ours: the
harness's own library in the process, and what its model says a cut leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from jepsen_like.interpose import Instrument, Survival

__all__ = ["SYNC_NS", "Host"]

SYNC_NS = 200_000
"""What an fsync takes: as long as a fast disk, whatever else this machine does."""


class Host:
    """The disk of one node: durable when the node starts, watched while it runs."""

    def __init__(self, directory: Path, library: Path) -> None:
        self.data = directory / "data"
        self._instrument = Instrument(library, directory / "instrument", self.data, records=True)
        self._control = self._instrument.control
        self._control.set("SYNC_DELAY_NS", SYNC_NS)

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        return self._instrument.command(argv)

    def arm(self, kind: str, pattern: str, operations: int) -> None:
        """Die so many operations after the first of `kind` on a path like `pattern`."""
        self._control.arm(kind, pattern, operations)

    def fail(self, kind: str, pattern: str, error: int, times: int = 1) -> None:
        """Let the next `times` writes ("W") or syncs ("S") of paths like `pattern` fail with the
        errno `error`."""
        self._control.fail(kind, pattern, error, times)

    @property
    def failed(self) -> int:
        """How many calls have failed so since `fail`."""
        return self._control.get("FAILED")

    def lose_power(self, rng: Random, survival: Survival) -> None:
        """The node is dead; what it had not made durable may be gone. The next run begins with
        nothing armed."""
        self._well()
        self._instrument.lose_power(rng, survival)

    def switch_off(self) -> str:
        """The node has ended in order; where the journal missed something, if it did."""
        self._well()
        return self._instrument.end_in_order()

    def _well(self) -> None:
        self._control.disarm()
        self._control.fail_no_more()

    def next_generation(self, group: str) -> str:
        """Name of the data file that the group's next snapshot is received as."""
        names = [p.stem for p in (self.data / group).glob("data-*.db")]
        newest = min((int(name.rpartition("-")[2]) for name in names), default=1)
        return f"{group}/data-{newest + 1}.db"
