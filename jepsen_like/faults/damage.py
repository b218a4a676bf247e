"""Files that are damaged while the process is stopped: a bit flips, a write is torn.

The process is killed, one of its files is changed, and it is started again. What is right then is
for the database to say: to refuse, to repair, or to go on without what it cannot trust; the
ledger says which it did. To answer from it as if nothing had happened is what the checks convict.

Which file and which offset are in the ledger. At the end of the window the bytes are put back, if
the database has not written to the file since, so that the damage does not outlive its fault.

Both are more than a power cut does: they take what the disk had promised. A torn write of what
was not synced is `kill(..., lose_unsynced="torn")`.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from jepsen_like.adapters.database import DatabaseError, FiledDatabase, Offer
from jepsen_like.backends.abilities import REAL
from jepsen_like.faults.processes import Lasting, Look, ProcessFault, Victim
from jepsen_like.faults.targets import RouterOf, Target, TargetError, as_target
from jepsen_like.kernel import kernel
from jepsen_like.load import seconds

__all__ = ["DamageFile", "Wound", "bit_flip", "torn_write"]

TORN_BYTES_MAX: Final = 512


@dataclass(frozen=True)
class Wound:
    """A change of one file, and what takes it back."""

    path: Path
    offset: int
    before: bytes
    after: bytes  # shorter than `before` if the file ends there now

    def __str__(self) -> str:
        if not self.after:
            return f"the last {len(self.before)} bytes of {self.path}, from offset {self.offset}"
        was, became = self.before.hex(), self.after.hex()
        return f"offset {self.offset} of {self.path}: 0x{was} became 0x{became}"

    def inflict(self) -> None:
        self._write(self.after)

    def cure(self) -> None:
        self._write(self.before)

    def _write(self, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.offset)
            file.write(data)
            if len(data) < len(self.before):
                file.truncate()
            file.flush()
            os.fsync(file.fileno())

    @property
    def is_there(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            found = file.read(len(self.before))
        return found == self.after


def flipped_bit(directory: Path, rng: random.Random) -> Wound | None:
    """In any file below, each byte as likely as any other; None if there is no byte."""
    files = _files(directory)
    sizes = [path.stat().st_size for path in files]
    if not sum(sizes):
        return None
    (path,) = rng.choices(files, sizes)
    offset = rng.randrange(path.stat().st_size)
    with path.open("rb") as file:
        file.seek(offset)
        before = file.read(1)
    return Wound(path, offset, before, bytes([before[0] ^ 1 << rng.randrange(8)]))


def torn_end(directory: Path, rng: random.Random) -> Wound | None:
    """The end of the file that was written last is missing; None if there is no byte."""
    files = [path for path in _files(directory) if path.stat().st_size]
    if not files:
        return None
    path = max(files, key=lambda found: (found.stat().st_mtime_ns, found))
    data = path.read_bytes()
    size = rng.randint(1, min(TORN_BYTES_MAX, len(data)))
    return Wound(path, len(data) - size, data[-size:], b"")


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


@dataclass(frozen=True)
class DamageFile:
    """One file of the process is damaged while it is stopped."""

    what: str
    lot: int = 0  # draws the file and the place
    kind: ClassVar[str] = "damage"
    needs: ClassVar[frozenset[str]] = frozenset({REAL})
    demands: ClassVar[frozenset[Offer]] = frozenset([Offer.FILES])

    def __str__(self) -> str:
        return self.what

    def drawn(self, rng: random.Random) -> DamageFile:
        return replace(self, lot=rng.randrange(1 << 32))

    def wound(self, directory: Path) -> Wound | None:
        find = flipped_bit if self.what == BIT_FLIP else torn_end
        return find(directory, random.Random(self.lot))

    def on(self, victim: Victim) -> Lasting:
        return _Damaged(victim, self)


BIT_FLIP: Final = "bit flip"
TORN_WRITE: Final = "torn write"


class _Damaged(Lasting):
    def __init__(self, victim: Victim, deed: DamageFile) -> None:
        super().__init__(victim)
        db = victim.site.db
        if not isinstance(db, FiledDatabase):
            raise TargetError("this database does not say where its files are.")
        self._directory = db.data_directory(victim.host)
        self._deed = deed
        self._wound: Wound | None = None
        self._written_ns = 0

    async def begin(self) -> Sequence[Look]:
        victim = self.victim
        victim.signal(signal.SIGKILL)
        self.struck()
        gone = await victim.becomes("")
        stopped = (gone, f"after SIGKILL: there is no process {victim.pid}")
        if not gone:
            return [stopped]
        wound = self._wound = self._deed.wound(self._directory)
        if wound is None:
            return [stopped, (False, f"{self._directory} has no byte to damage")]
        wound.inflict()
        self._settle()
        self._written_ns = wound.path.stat().st_mtime_ns
        return [stopped, (wound.is_there, f"{self._deed}, {wound}"), (True, await self._restart())]

    async def _restart(self) -> str:
        """What the database did about it, in words."""
        victim = self.victim
        try:
            async with victim.site.restarting(victim.process):
                if victim.processes.pid(victim.host) == victim.pid:
                    await victim.processes.restart(victim.host)
        except DatabaseError as exc:
            return f"with the damage the database refused to start: {exc}"
        return f"with the damage process {victim.processes.pid(victim.host)} started"

    async def heal(self) -> Sequence[Look]:
        victim = replace(self.victim, pid=self.victim.processes.pid(self.victim.host))
        wound = self._wound
        runs = kernel().state(victim.pid) != ""
        if wound is None:  # it was not killed, or there was nothing to damage
            return [(False, "it still runs") if runs else await victim.start_again()]
        if not self._is_untouched(wound):
            words = "the database has written to the file since; it is left as it is"
            return [(True, words)] if runs else [(True, words), await victim.start_again()]
        if not await victim.end():
            return [(False, f"process {victim.pid} does not end")]
        if self._is_untouched(wound):
            wound.cure()
            self._settle()
            words = "the bytes were put back"
        else:
            words = "the database wrote to the file at its end; it is left as it is"
        return [(True, words), await victim.start_again()]

    def _is_untouched(self, wound: Wound) -> bool:
        """Whether nobody has written to the file, or removed it, since it was damaged."""
        try:
            return wound.path.stat().st_mtime_ns == self._written_ns and wound.is_there
        except FileNotFoundError:
            return False

    def _settle(self) -> None:
        """The journal, if there is one, begins with the files as they are now."""
        instruments = self.victim.site.instruments
        instrument = instruments.of(self.victim.process) if instruments is not None else None
        if instrument is not None:
            instrument.settle()

    async def healed(self) -> Sequence[Look]:
        victim = self.victim
        pid = victim.processes.pid(victim.host)
        answers = await victim.answers(pid)
        return [(answers, f"after the heal: process {pid} answered at {victim.host}")]


def bit_flip(
    target: Target | str, hold: str | float = "5s", rest: str | float = "3s"
) -> ProcessFault:
    """Kill the target's database process, flip one bit of one of its files, start it again."""
    return ProcessFault(DamageFile(BIT_FLIP), _with_files(target), seconds(hold), seconds(rest))


def torn_write(
    target: Target | str, hold: str | float = "5s", rest: str | float = "3s"
) -> ProcessFault:
    """Kill the target's database process, cut the end off the file that was written last, start
    it again."""
    return ProcessFault(DamageFile(TORN_WRITE), _with_files(target), seconds(hold), seconds(rest))


def _with_files(target: Target | str) -> Target:
    found = as_target(target)
    if isinstance(found, RouterOf):
        raise ValueError("a router keeps no data that could be damaged; name a host.")
    return found
