"""What became of one seed of a test that was simulated, as a value and as a file.

The same test, seed, schedule and code give the same history, byte for byte; `code` says which code
it was. A run that would never end is `unknown`, with a sentence: its own time and this machine's
are both limited.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from jepsen_like.result import Validity
from jepsen_like.schedule import Schedule, ScheduleError

__all__ = ["LIMIT_S", "RECORD", "SeedError", "SeedResult", "code_fingerprint", "read_seed"]

LIMIT_S: Final = 3_600.0
"""Of simulated time, for one seed."""

RECORD: Final = "seed.json"
"""In the directory of a seed: what `read_seed` reads."""

FORMAT: Final = 1


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
                raise SeedError(
                    f"the seed's record is of format {data['format']}, and this version reads "
                    f"format {FORMAT}: run the seed again, `jepsen-like replay SEED FILE`."
                )
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
