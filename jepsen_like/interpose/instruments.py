"""The library in the processes of one run: how they are started, and what can be done to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from jepsen_like.interpose.control import Control
from jepsen_like.interpose.disk import Disk, Survival, read_journal
from jepsen_like.interpose.image import Image

__all__ = ["Instrument", "Instruments", "Loss", "PowerCut"]

NAMES_SHOWN_MAX: Final = 4


@dataclass(frozen=True)
class Loss:
    """What a power cut took of one tree."""

    unsynced_bytes: int  # written and in no fsync that had returned
    changed: tuple[str, ...]  # files and directories that are not as the process left them,
    # but for mapped files, which say nothing
    disagreement: str  # between journal and tree, empty if there is none: then this is guesswork

    def __str__(self) -> str:
        shown = ", ".join(self.changed[:NAMES_SHOWN_MAX])
        more = len(self.changed) - NAMES_SHOWN_MAX
        names = (shown + (f" and {more} more" if more > 0 else "")) or "nothing"
        return f"of {self.unsynced_bytes} bytes that were not synced, lost in {names}"


PowerCut: TypeAlias = Callable[[Path, Random, Survival], Loss]
"""What does to the files below a directory what a power cut would do."""


class Instrument:
    """The library in one process, in each of its runs one after the other.

    What is below `data` when this is made counts as durable. With `power_cut` no journal is needed:
    that knows by itself what was synced.
    """

    def __init__(
        self,
        library: Path,
        directory: Path,
        data: Path,
        *,
        records: bool,
        power_cut: PowerCut | None = None,
    ) -> None:
        directory.mkdir(parents=True)
        data.mkdir(parents=True, exist_ok=True)
        self.data = data.resolve()  # the library compares names
        self.control = Control(directory / "control")
        self._library = library
        self._directory = directory
        self._journal = directory / "journal"
        self._power_cut = power_cut
        self._records = records = records and power_cut is None
        self._image = Image()
        if records:
            self._begin(Image.of(self.data))

    @property
    def environment(self) -> dict[str, str]:
        found = {
            "LD_PRELOAD": str(self._library),
            "JEPSEN_LIKE_CONTROL": str(self._directory / "control"),
            "JEPSEN_LIKE_ROOT": str(self.data),
        }
        return found | ({"JEPSEN_LIKE_JOURNAL": str(self._journal)} if self._records else {})

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command line that runs `argv` with the library, under the same process id."""
        return ("env", *(f"{name}={value}" for name, value in self.environment.items()), *argv)

    def lose_power(self, rng: Random, survival: Survival) -> Loss:
        """The process is dead; its tree becomes what a power cut may leave. Raises NotModelled."""
        if self._power_cut is not None:
            return self._power_cut(self.data, rng, survival)
        assert self._records, "there is no journal"
        left = Image.of(self.data)
        disk = self._replayed()
        kept = disk.after_power_loss(rng, survival, left)
        kept.write_to(self.data)
        unsynced, disagreement = disk.unsynced_bytes, disk.difference(left)
        changed = tuple(name for name in left.differences(kept) if name not in disk.mapped)
        self._begin(kept)
        return Loss(unsynced, changed, disagreement)

    def end_in_order(self) -> str:
        """The process has ended and everything it left counts as durable; returns where journal
        and tree disagree, empty if nowhere."""
        left = Image.of(self.data)
        disagreement = self._replayed().difference(left)
        self._begin(left)
        return disagreement

    def settle(self) -> None:
        """The process is dead, and its files were changed by somebody else: as they are now they
        count as durable."""
        if self._records:
            self._begin(Image.of(self.data))

    def _begin(self, image: Image) -> None:
        self._image = image
        self._journal.write_bytes(b"")

    def _replayed(self) -> Disk:
        disk = Disk(self._image)
        disk.replay(read_journal(self._journal.read_bytes()))
        return disk


class Instruments:
    """Those of all processes of a run, made as the processes are started.

    `records`: with a journal of what they write, for cuts of their power.
    """

    def __init__(
        self,
        library: Path,
        directory: Path,
        *,
        records: bool,
        power_cut: PowerCut | None = None,
    ) -> None:
        self._library = library
        self._directory = directory
        self._records = records
        self._power_cut = power_cut
        self._found: dict[str, Instrument] = {}

    def command(self, name: str, data: Path, argv: Sequence[str]) -> tuple[str, ...]:
        """The command line that runs the process `name`, whose files are below `data`."""
        instrument = Instrument(
            self._library,
            self._directory / name,
            data,
            records=self._records,
            power_cut=self._power_cut,
        )
        self._found[name] = instrument
        return instrument.command(argv)

    def of(self, name: str) -> Instrument | None:
        return self._found.get(name)

    def close(self) -> None:
        for instrument in self._found.values():
            instrument.control.close()
