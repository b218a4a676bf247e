"""Histories that others recorded, with known verdicts: a second opinion on the checker.

They are not part of the project; the tests look for them beside its root and are skipped where
they are absent. Lines carry no times: the order of lines is the clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.history import Operation, Outcome
from jepsen_like.models import CasRegister, Text
from tests.jepsen_like.histories import RECORDED as HISTORIES
from tests.jepsen_like.histories import recorded

NEVER = 1 << 40  # a line number that no file reaches

pytestmark = recorded


@dataclass
class Recorder:
    """Events in the order of lines become operations; what never ended is indeterminate."""

    operations: list[Operation] = field(default_factory=list)
    _line: int = 0
    _open: dict[int, tuple[int, str, Any, str]] = field(default_factory=dict)

    def invoke(self, process: int, f: str, value: Any, key: str = "x") -> None:
        self._line += 1
        self._open[process] = (self._line, f, value, key)

    def end(self, process: int, outcome: Outcome, output: Any = None, **more: Any) -> None:
        self._line += 1
        sent, f, value, key = self._open.pop(process)
        value = more.get("value", value)
        self.operations.append(
            Operation(process, f, key, value, outcome, output, sent, sent, self._line, "n", "")
        )

    def finish(self) -> list[Operation]:
        for process in list(self._open):
            self.end(process, "info")
        return self.operations


def read_etcd(path: Path) -> list[Operation]:
    """A failed cas is an answer; a failed write timed out; a failed read says nothing."""
    line_of = re.compile(r"INFO\s+jepsen\.util - (\d+)\s+:(\w+)\s+:(read|write|cas)\s+(.*)")
    recorder = Recorder()
    for line in path.read_text(encoding="utf-8").splitlines():
        match = line_of.match(line)
        if match is None:
            continue
        process, kind, f, rest = int(match[1]), match[2], match[3], match[4]
        if kind == "invoke":
            numbers = tuple(int(n) for n in re.findall(r"-?\d+", rest))
            value = None if f == "read" else numbers[0] if f == "write" else numbers
            recorder.invoke(process, f, value)
        elif f == "cas" and kind in ("ok", "fail"):
            recorder.end(process, "ok", kind == "ok")
        elif kind == "ok":
            number = re.search(r"-?\d+", rest)
            recorder.end(process, "ok", int(number[0]) if number and f == "read" else None)
        elif f == "read":
            recorder.end(process, "fail")
        # else a write or anything else without an answer: its interval stays open
    return recorder.finish()


def edn_maps(path: Path) -> Iterator[dict[str, str]]:
    for text in re.findall(r"\{([^{}]*)\}", path.read_text(encoding="utf-8")):
        yield dict(re.findall(r':(\w+) (\[[^\]]*\]|"[^"]*"|[^\s,}]+)', text))


def read_knossos(path: Path) -> list[Operation]:
    """Reads that returned nil were not recorded with their value: they are left out."""
    recorder = Recorder()
    for event in edn_maps(path):
        if not event.get("process", "").isdigit():
            continue  # the nemesis, or a map inside an event
        process, kind, f, text = (
            int(event["process"]),
            event["type"],
            event["f"][1:],
            event["value"],
        )
        numbers = tuple(int(n) for n in re.findall(r"-?\d+", text))
        if kind == ":invoke":
            recorder.invoke(process, f, numbers if f == "cas" else (numbers or (None,))[0])
        elif kind == ":fail" or (kind == ":ok" and f == "read" and not numbers):
            recorder.end(process, "fail")
        elif kind == ":ok":
            recorder.end(process, "ok", numbers[0] if f == "read" else f == "cas" or None)
    return recorder.finish()


def read_kv(path: Path) -> list[Operation]:
    recorder = Recorder()
    for event in edn_maps(path):
        process, kind, text = int(event["process"]), event["type"], event["value"].strip('"')
        if kind == ":invoke":
            value = None if event["f"] == ":get" else text
            recorder.invoke(process, event["f"][1:], value, event["key"])
        else:
            recorder.end(process, "ok", text if event["f"] == ":get" else None)
    return recorder.finish()


def etcd_files() -> list[tuple[str, bool]]:
    verdicts = HISTORIES / "etcd" / "verdicts.json"
    if not verdicts.exists():
        return []
    known: dict[str, bool] = json.loads(verdicts.read_text(encoding="utf-8"))
    return sorted(known.items())


@pytest.mark.parametrize(("name", "linearizable"), etcd_files())
def test_etcd(name: str, linearizable: bool) -> None:
    verdict = check(read_etcd(HISTORIES / "etcd" / name), CasRegister())
    assert verdict.validity == ("valid" if linearizable else "invalid"), verdict.reason


@pytest.mark.parametrize(
    "path", sorted(HISTORIES.glob("knossos/*/*.edn")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_knossos(path: Path) -> None:
    verdict = check(read_knossos(path), CasRegister(initial=0))
    assert verdict.validity == ("valid" if path.parent.name == "good" else "invalid"), verdict


@pytest.mark.parametrize("name", ["c01-ok", "c01-bad", "c10-ok", "c10-bad", "c50-ok", "c50-bad"])
def test_key_value(name: str) -> None:
    quick = Budget(shrink_configurations=100, shrink_seconds=0.2)  # the verdict is what matters
    verdict = check(read_kv(HISTORIES / "kv" / f"{name}.txt"), Text(), budget=quick)
    assert verdict.validity == ("valid" if name.endswith("ok") else "invalid"), verdict.reason
