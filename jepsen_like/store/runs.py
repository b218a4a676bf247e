"""What finished runs have left: a directory each, with results.json, report and history."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["RESULTS_BYTES_MAX", "StoredRun", "StoreError", "read_run", "runs_in"]

RESULTS_BYTES_MAX: Final = 64 * 1024 * 1024
FORMATS: Final = (2,)
"""Of results.json, that are understood here."""


class StoreError(Exception):
    """One sentence: what cannot be read, and why."""


@dataclass(frozen=True)
class StoredRun:
    """`results`: what results.json says, with the fields of `result.RunResult`."""

    directory: Path
    results: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the directory: unlike the test's name, no other run of the store has it."""
        return self.directory.name

    @property
    def labels(self) -> str:
        """The measured corners in a line; empty if the test asked for none."""
        return ", ".join(
            f"{each['f']} {_corner(each['partition'])}/{_corner(each['otherwise'])}"
            for each in self.results["labels"]
        )

    @property
    def files(self) -> tuple[str, ...]:
        """What can be looked at, logs last."""
        found = (name for name in _FILES if (self.directory / name).is_file())
        logs = sorted(path.name for path in (self.directory / "logs").glob("*") if path.is_file())
        return (*found, *(f"logs/{name}" for name in logs))


_FILES: Final = ("report.html", "results.json", "history.jsonl", "junit.xml")


def _corner(letter: str) -> str:
    return "?" if letter == "undetermined" else letter


def read_run(directory: Path) -> StoredRun:
    """The run in `directory`, or whose results.json this is. Raises StoreError."""
    path = directory if directory.name == "results.json" else directory / "results.json"
    try:
        if path.stat().st_size > RESULTS_BYTES_MAX:
            raise StoreError(f"{path} has over {RESULTS_BYTES_MAX} bytes: no run writes that.")
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise StoreError(
            f"{path} cannot be read: {exc.strerror}; name the directory of a run, as "
            "`jepsen-like run --out` does."
        ) from exc
    except ValueError as exc:  # JSON, or UTF-8
        raise StoreError(f"{path} is not JSON: {exc}; the run was cut off while writing.") from exc
    if not isinstance(results, dict) or "format" not in results:
        raise StoreError(f"{path} is no results.json of a run: it says no format.")
    if results["format"] not in FORMATS:
        known = ", ".join(map(str, FORMATS))
        raise StoreError(f"{path} is of format {results['format']}, this version reads {known}.")
    missing = [name for name in _NEEDED if name not in results]
    if missing:
        raise StoreError(f"{path} is no results.json of a run: it lacks {', '.join(missing)}.")
    return StoredRun(path.parent, results)


_NEEDED: Final = (
    *("name", "seed", "backend", "command", "started_at", "duration_ns", "versions", "topology"),
    *("validity", "operations", "faults", "availability", "failovers", "verdicts", "labels"),
)


def runs_in(directory: Path) -> tuple[list[StoredRun], list[str]]:
    """The runs of a store, newest first, and a sentence for each that cannot be read. A directory
    without results.json is a run that was ended early, and passed over. Raises StoreError."""
    runs, unreadable = [], []
    try:
        found = sorted(path for path in directory.iterdir() if (path / "results.json").is_file())
    except OSError as exc:
        raise StoreError(f"{directory} cannot be read: {exc.strerror}.") from exc
    for path in found:
        try:
            runs.append(read_run(path))
        except StoreError as exc:
            unreadable.append(str(exc))
    runs.sort(key=lambda run: str(run.results["started_at"]), reverse=True)
    return runs, unreadable
