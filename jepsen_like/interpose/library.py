"""The library, compiled when it is needed: it then fits the C library of this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jepsen_like.interpose.control import words_header

__all__ = ["InterposeError", "build"]

SOURCES: Final = ("clocks.c", "files.c")

FLAGS: Final = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra")

COMPILE_TIMEOUT_S: Final = 60.0


class InterposeError(Exception):
    """The library cannot be made here; a sentence that says what to do."""


def build(directory: Path, *, flags: Sequence[str] = ()) -> Path:
    """Compile it into `directory`; about half a second. Raises InterposeError."""
    if sys.platform != "linux":
        raise InterposeError("clocks and disks of processes can be changed on Linux only.")
    compiler = shutil.which("cc")
    if compiler is None:
        raise InterposeError("there is no C compiler: apt-get install gcc libc6-dev")
    here = Path(__file__).parent
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "words.h").write_text(words_header(), encoding="ascii")
    library = directory / "interpose.so"
    sources = [str(here / name) for name in SOURCES]
    done = subprocess.run(
        [compiler, *FLAGS, *flags, f"-I{directory}", "-o", str(library), *sources, "-ldl"],
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise InterposeError(
            f"the C compiler failed ({said}): apt-get install gcc libc6-dev, or mend it."
        )
    return library
