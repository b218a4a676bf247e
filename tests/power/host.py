"""A host whose disk can be watched, can fail and can lose its power, under a process of ours.

`recorder.c` does the first two inside of the process, `disk.py` knows what the third leaves.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from random import Random

from tests.power.disk import Disk, Image, Survival, read_journal

__all__ = ["Host", "build_recorder"]

_TRIGGER = struct.Struct("iii244s")
_FAULT = struct.Struct("iiii240s")
_LEFT_AT = 8
"""The control file is one of each; `left` of the fault is written last."""


def build_recorder(directory: Path) -> Path:
    """Compile recorder.c. Raises FileNotFoundError if there is no C compiler."""
    recorder = directory / "recorder.so"
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("there is no C compiler: apt-get install gcc libc6-dev")
    flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
    source = str(Path(__file__).with_name("recorder.c"))
    subprocess.run([compiler, *flags, "-o", str(recorder), source, "-ldl", "-lpthread"], check=True)
    return recorder


class Host:
    """The disk of one node: durable when the node starts, watched while it runs."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.data = directory / "data"
        self._journal = directory / "power.journal"
        self._control = directory / "power.control"
        self._image = Image()

    def switch_on(self) -> None:
        self._image.write_to(self.data)
        self._journal.write_bytes(b"")
        self._control.write_bytes(bytes(_TRIGGER.size + _FAULT.size))

    def arm(self, kind: str, pattern: str, operations: int) -> None:
        """Die so many operations after the first of `kind` on a path like `pattern`."""
        with self._control.open("r+b", buffering=0) as file:
            file.write(_TRIGGER.pack(0, ord(kind), operations, pattern.encode()))
            file.seek(0)
            file.write(struct.pack("i", 1))

    def fail(self, kind: str, pattern: str, error: int, times: int = 1) -> None:
        """Let the next `times` writes ("W") or syncs ("S") of paths like `pattern` fail with the
        errno `error`."""
        fault = _FAULT.pack(error, ord(kind), 0, 0, pattern.encode())
        with self._control.open("r+b", buffering=0) as file:
            file.seek(_TRIGGER.size)
            file.write(fault)
            file.seek(_TRIGGER.size + _LEFT_AT)
            file.write(struct.pack("i", times))

    @property
    def failed(self) -> int:
        """How many calls have failed so since `fail`."""
        found: int = _FAULT.unpack_from(self._control.read_bytes(), _TRIGGER.size)[3]
        return found

    def lose_power(self, rng: Random, survival: Survival) -> None:
        """The node is dead; what it had not made durable may be gone."""
        self._image = self._replayed().after_power_loss(rng, survival, Image.of(self.data))

    def switch_off(self) -> str:
        """The node has ended in order; where the recorder missed something, if it did."""
        left = Image.of(self.data)
        difference = self._replayed().difference(left)
        self._image = left
        return difference

    @property
    def image(self) -> Image:
        """What the disk holds, durably, while the node is down."""
        return self._image

    def _replayed(self) -> Disk:
        disk = Disk(self._image)
        disk.replay(read_journal(self._journal.read_bytes()))
        return disk

    def next_generation(self, group: str) -> str:
        """Name of the data file that the group's next snapshot is received as."""
        names = [p.stem for p in (self.data / group).glob("data-*.db")]
        newest = min((int(name.rpartition("-")[2]) for name in names), default=1)
        return f"{group}/data-{newest + 1}.db"
