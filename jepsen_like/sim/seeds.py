"""Seeds of a test, each simulated in a process of its own.

    with Simulator(Path("examples/simulation.py"), "test") as simulator:
        result = simulator.run_seed(7, out=Path("runs/seed-7"))
    result.verdict, result.schedule, result.history

The process of a seed is a fork of one that has imported everything and run nothing: importing takes
as long as many a run. The same test, seed, schedule and code give the same history, byte for byte,
forked or not. A run that would never end is `unknown`, with a sentence: its own time and this
machine's are both limited.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from jepsen_like.schedule import Schedule
from jepsen_like.sim.interpreter import SIMULATING
from jepsen_like.sim.seed_result import (
    LIMIT_S,
    RECORD,
    SeedError,
    SeedResult,
    code_fingerprint,
    read_seed,
)

__all__ = ["TIMEOUT_S", "SeedError", "SeedResult", "Simulator", "run_seed"]

TIMEOUT_S: Final = 600.0
"""Of this machine's time, for one seed."""

LOG: Final = "log"
SCHEDULE: Final = "schedule.json"

GRACE_S: Final = 20.0
"""How long a process may take to end after it was told to."""


class Simulator:
    """An interpreter that simulates one test, seed after seed. Of one thread, but for `end`."""

    def __init__(self, file: Path, name: str) -> None:
        self.where = f"{file}:{name}"
        words = [*SIMULATING, "one-seed", self.where]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._lock = threading.Lock()
        self._pid: int | None = None  # of the seed that runs
        self._is_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        self._process.communicate()

    def end(self) -> None:
        """End it, and the seed that runs; from any thread, and again."""
        with self._lock:
            self._is_ended = True
            for pid in (self._pid, self._process.pid if self._process.poll() is None else None):
                if pid is not None:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)

    def run_seed(
        self,
        seed: int,
        *,
        schedule: Schedule | None = None,
        out: Path,
        timeout_s: float = TIMEOUT_S,
        limit_s: float = LIMIT_S,
    ) -> SeedResult:
        """Simulate the test with this seed, or with `schedule` in the place of what the seed draws;
        history and logs go to `out`, and the report unless it is valid.

        `timeout_s` is of this machine's time, `limit_s` of the simulated one; a run that takes
        longer is `unknown`. Raises SeedError, also if it was ended by somebody.
        """
        out.mkdir(parents=True, exist_ok=True)
        (out / RECORD).unlink(missing_ok=True)
        asked = {"seed": seed, "out": str(out), "limit_s": limit_s, "schedule": None}
        if schedule is not None:
            file = out / SCHEDULE
            file.write_text(json.dumps(schedule.as_data(), indent=1), encoding="utf-8")
            asked["schedule"] = str(file)
        began = time.monotonic()
        self._say(json.dumps(asked))
        pid = int(self._hear(None) or "0")  # once it has imported everything
        with self._lock:
            self._pid = pid
        if self._is_ended:
            self.end()
        code = self._hear(timeout_s - (time.monotonic() - began))
        has_hung = code is None
        if has_hung:
            code = self._kill(pid)
        with self._lock:
            self._pid = None
        if has_hung:
            return _kept(self._hung(seed, schedule, out, timeout_s), out)
        if (out / RECORD).exists():
            return read_seed(out)
        said = _log(out).strip().splitlines()
        raise SeedError(said[-1].removeprefix("Error: ") if said else f"it ended with {code}.")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise self._failed() from exc

    def _hear(self, timeout_s: float | None) -> str | None:
        """Its next line; None if there is none in time. Raises SeedError if it has ended."""
        stdout = self._process.stdout
        assert stdout is not None
        if timeout_s is not None:  # a line comes at once, and nothing after it is read with it
            ready, _, _ = select.select([stdout], [], [], max(0.0, timeout_s))
            if not ready:
                return None
        line = stdout.readline().decode()
        if not line:
            raise self._failed()
        return line.strip()

    def _kill(self, pid: int) -> str | None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(pid, number)
            code = self._hear(GRACE_S)
            if code is not None:
                return code
        raise SeedError(f"process {pid} does not end.")

    def _failed(self) -> SeedError:
        _, said = self._process.communicate()
        if self._is_ended:
            return SeedError("it was ended.")
        lines = said.decode(errors="replace").strip().splitlines()
        return SeedError(lines[-1].removeprefix("Error: ") if lines else "the simulator has ended.")

    def _hung(
        self, seed: int, schedule: Schedule | None, out: Path, timeout_s: float
    ) -> SeedResult:
        lines = reversed(_log(out).splitlines())
        last = next((line.strip() for line in lines if " s  " in line), "nothing was said")
        reason = f"the run did not end within {timeout_s:g} s of real time; the last of it: {last}"
        code = code_fingerprint()
        return SeedResult(seed, "unknown", reason, schedule, code=code, where=self.where)


def run_seed(
    file: Path,
    name: str,
    seed: int,
    *,
    schedule: Schedule | None = None,
    out: Path,
    timeout_s: float = TIMEOUT_S,
    limit_s: float = LIMIT_S,
) -> SeedResult:
    """One seed of the test that FILE names NAME, as `Simulator.run_seed`. Raises SeedError."""
    with Simulator(file, name) as simulator:
        return simulator.run_seed(
            seed, schedule=schedule, out=out, timeout_s=timeout_s, limit_s=limit_s
        )


def _log(out: Path) -> str:
    try:
        return (out / LOG).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _kept(result: SeedResult, out: Path) -> SeedResult:
    result = replace(result, directory=out)
    (out / RECORD).write_text(json.dumps(result.as_data(), indent=1), encoding="utf-8")
    return result
