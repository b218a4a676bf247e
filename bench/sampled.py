"""Run a module as `python -m` does, and say where its CPU time went, by samples.

    python -m bench.sampled DIRECTORY MODULE ARGUMENTS...

SIGUSR1 begins the sampling, and the next one ends it and writes DIRECTORY/PID.folded: a line for
each stack, its frames divided by `;`, the outermost first, and how often it was found. A sample is
taken each 4 ms of CPU time, user and system, of the process, in its main thread, by a signal that
it sends to itself: no privileges are needed. A signal is noticed between two instructions of
Python, so what C code takes is with the function that called it.
"""

from __future__ import annotations

import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

__all__ = ["Sampler", "folded"]

PERIOD_S: Final = 0.004
"""A tick of most kernels: they count no finer."""

Stack = tuple[tuple[CodeType, str], ...]
"""(code, module) of each frame, the outermost first."""


class Sampler:
    """Between two signals."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_on = False
        self._counts: Counter[Stack] = Counter()

    def install(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._toggle)
        for number in (signal.SIGPROF, signal.SIGUSR1):
            signal.siginterrupt(number, False)

    def _toggle(self, _number: int, _frame: FrameType | None) -> None:
        self._is_on = not self._is_on
        period = PERIOD_S if self._is_on else 0.0
        signal.setitimer(signal.ITIMER_PROF, period, period)
        if not self._is_on:
            # Whole or not at all: who reads it waits for the file.
            part = self._path.with_suffix(".part")
            part.write_text(folded(self._counts))
            part.rename(self._path)
            self._counts.clear()

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is Sampler._sample.__code__:
            return  # of a signal that came while the one before was looked at
        found: list[tuple[CodeType, str]] = []
        while frame is not None:
            found.append((frame.f_code, frame.f_globals.get("__name__", "?")))
            frame = frame.f_back
        self._counts[tuple(reversed(found))] += 1


def folded(counts: Counter[Stack]) -> str:
    """One line for each stack; frames of the same names are one."""
    lines: Counter[str] = Counter()
    for stack, count in counts.items():
        lines[";".join(f"{module}.{code.co_qualname}" for code, module in stack)] += count
    return "".join(f"{line} {count}\n" for line, count in sorted(lines.items()))


def main(directory: str, module: str, *arguments: str) -> None:
    import os

    Sampler(Path(directory) / f"{os.getpid()}.folded").install()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
