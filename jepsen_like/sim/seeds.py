"""One seed of a test, simulated in a process of its own, and what became of it.

    result = run_seed(Path("examples/simulation.py"), "test", 7, out=Path("runs/seed-7"))
    result.verdict, result.schedule, result.history

The same test, seed, schedule and code give the same history, byte for byte; `code` says which code
it was. A run that would never end is `unknown`, with a sentence: its own time and this machine's
are both limited.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from jepsen_like.result import Validity
from jepsen_like.schedule import Schedule, ScheduleError
from jepsen_like.sim.interpreter import SIMULATING

__all__ = [
    "LIMIT_S",
    "RECORD",
    "TIMEOUT_S",
    "SeedError",
    "SeedResult",
    "code_fingerprint",
    "read_seed",
    "run_seed",
]

TIMEOUT_S: Final = 600.0
"""Of this machine's time, for one seed."""

LIMIT_S: Final = 3_600.0
"""Of simulated time, for one seed."""

RECORD: Final = "seed.json"
"""In the directory of a seed: what `read_seed` reads."""

LOG: Final = "log"
SCHEDULE: Final = "schedule.json"

FORMAT: Final = 1

GRACE_S: Final = 20.0
"""How long a process may take to end after it was told to."""


class SeedError(Exception):
    """The seed cannot be run, or read, at all: not a finding about the database. A sentence."""


@dataclass(frozen=True)
class SeedResult:
    seed: int
    verdict: Validity
    reason: str
    """One sentence."""
    schedule: Schedule | None
    """What was drawn; None: it came to no schedule."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What was seen: "operations", what the processes said ("elections"), each kind of fault that
    was verified."""
    expected: tuple[str, ...] = ()
    """Those of `counts` that the test means to see."""
    simulated_s: float = 0.0
    digest: str = ""
    """SHA-256 of the history."""
    code: str = ""
    """Which code ran it (`code_fingerprint`)."""
    where: str = ""
    """FILE:NAME of the test."""
    directory: Path | None = None
    """Its report, history and logs; None: they are not kept."""

    @property
    def history(self) -> Path | None:
        return None if self.directory is None else self.directory / "history.jsonl"

    def as_data(self) -> dict[str, Any]:
        """As RECORD, and a line of the results of many seeds, have it."""
        return {
            "format": FORMAT,
            "seed": self.seed,
            "verdict": self.verdict,
            "reason": self.reason,
            "counts": dict(self.counts),
            "expected": list(self.expected),
            "simulated_s": self.simulated_s,
            "digest": self.digest,
            "code": self.code,
            "where": self.where,
            "schedule": None if self.schedule is None else self.schedule.as_data(),
            "directory": None if self.directory is None else str(self.directory),
        }

    @staticmethod
    def from_data(data: Any) -> SeedResult:
        """Raises SeedError."""
        try:
            if data["format"] != FORMAT:
                raise SeedError(f"a seed's record of format {data['format']}, not {FORMAT}.")
            schedule, directory = data["schedule"], data["directory"]
            return SeedResult(
                seed=int(data["seed"]),
                verdict=cast("Validity", data["verdict"]),
                reason=data["reason"],
                schedule=None if schedule is None else Schedule.from_data(schedule),
                counts=dict(data["counts"]),
                expected=tuple(data["expected"]),
                simulated_s=float(data["simulated_s"]),
                digest=data["digest"],
                code=data["code"],
                where=data["where"],
                directory=None if directory is None else Path(directory),
            )
        except ScheduleError as exc:
            raise SeedError(str(exc)) from exc
        except (KeyError, TypeError, ValueError) as exc:
            raise SeedError(f"this is no record of a seed: {type(exc).__name__}: {exc}.") from exc


def read_seed(directory: Path) -> SeedResult:
    """Of the run that left it. Raises SeedError."""
    path = directory / RECORD
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SeedError(f"{directory} has no simulated run: {path.name} {exc.strerror}.") from exc
    except ValueError as exc:
        raise SeedError(f"{path} is damaged: {exc}.") from exc
    return SeedResult.from_data(data)


@cache
def code_fingerprint() -> str:
    """Of the code of this project and the SQLite under it: with another, a seed may be another
    run. The version of Python is not in it: a seed is the same run on all that are supported."""
    import sqlite3

    root = Path(__file__).parents[2]
    digest = hashlib.sha256(sqlite3.sqlite_version.encode())
    for package in ("jepsen_like", "nodes", "shardrouter"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run_seed(
    file: Path,
    name: str,
    seed: int,
    *,
    schedule: Schedule | None = None,
    out: Path,
    timeout_s: float = TIMEOUT_S,
    limit_s: float = LIMIT_S,
    started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
) -> SeedResult:
    """Simulate the test that FILE names NAME with this seed, or with `schedule` in the place of
    what the seed draws; report, history and logs go to `out`.

    `timeout_s` is of this machine's time, `limit_s` of the simulated one; a run that takes longer
    is `unknown`. `started` is given the process, to end it by SIGTERM. Blocks; for several at once
    call it from several threads. Raises SeedError, also if the process was ended by somebody.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / RECORD).unlink(missing_ok=True)
    where = f"{file}:{name}"
    words = [*SIMULATING, "one-seed", where, str(seed), "--out", str(out), "--limit", str(limit_s)]
    if schedule is not None:
        (out / SCHEDULE).write_text(json.dumps(schedule.as_data(), indent=1), encoding="utf-8")
        words += ["--schedule", str(out / SCHEDULE)]
    with (out / LOG).open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started(process)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return _kept(_hung(seed, where, schedule, out, timeout_s), out)
        except BaseException:
            _end(process)
            raise
    if (out / RECORD).exists():
        return read_seed(out)
    said = (out / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if code < 0:
        raise SeedError(f"seed {seed} was ended by signal {-code}.")
    raise SeedError(said[-1].removeprefix("Error: ") if said else f"seed {seed} ended with {code}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _hung(
    seed: int, where: str, schedule: Schedule | None, out: Path, timeout_s: float
) -> SeedResult:
    said = (out / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line.strip() for line in reversed(said) if " s  " in line), "nothing was said")
    reason = f"the run did not end within {timeout_s:g} s of real time; the last of it: {last}"
    return SeedResult(seed, "unknown", reason, schedule, code=code_fingerprint(), where=where)


def _kept(result: SeedResult, out: Path) -> SeedResult:
    from dataclasses import replace

    result = replace(result, directory=out)
    (out / RECORD).write_text(json.dumps(result.as_data(), indent=1), encoding="utf-8")
    return result
