"""Time and memory that `check` was given, on histories that no search gets through.

`make nightly` runs it at full size: a million operations, 5 s, 500 MB.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.history import Operation, Outcome, write_jsonl

OPERATIONS = int(os.environ.get("LIMITS_OPERATIONS", "20000"))
IS_FULL_SIZE = OPERATIONS >= 1_000_000
SECONDS = 5.0 if IS_FULL_SIZE else 1.0
LATE_S = 0.5 if IS_FULL_SIZE else 10.0
"""At full size what is promised of a machine that does nothing else; else that it ends."""
MEMORY_MB = 500 if IS_FULL_SIZE else 120
CLIENTS = 30

pytestmark = [pytest.mark.slow, pytest.mark.processes]


def hard(count: int, keys: int) -> Iterator[Operation]:
    """Few values, thirty clients at once, one in a hundred operations lost, answers at random."""
    rng = random.Random(keys)
    for n in range(count):
        sent = n // keys * 10
        f = rng.choice(("cas", "cas", "write", "read"))
        lost = f != "read" and rng.random() < 0.01
        value: Any = None if f == "read" else rng.randrange(5)
        output: Any = rng.randrange(5) if f == "read" else None
        if f == "cas":
            value, output = (rng.randrange(5), rng.randrange(5)), rng.random() < 0.3
        outcome: Outcome = "info" if lost else "ok"
        end = sent + 10 * CLIENTS
        output = None if lost else output
        error = "timeout" if lost else ""
        yield Operation(n, f, n % keys, value, outcome, output, sent, sent, end, "n1", error)


# A small process in between: what a child of pytest takes counts the pages of pytest at its fork.
# The kernel knows the most that one process took; what all took together is looked at again and
# again, and a page that two share counts half for each (Pss).
RUNNER = """
import json, os, pathlib, subprocess, sys, tempfile, time

def tree(pid):
    yield pid
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))

def taken(pid):
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

with tempfile.TemporaryFile("w+") as out:
    start = time.monotonic()
    process = subprocess.Popen(sys.argv[1:], stdout=out)
    together, status = 0, None
    while status is None:
        try:
            together = max(together, sum(map(taken, tree(process.pid))))
        except (OSError, StopIteration):
            pass  # one of them ended meanwhile
        ended, code, usage = os.wait4(process.pid, os.WNOHANG)
        status = code if ended else None
        time.sleep(0.02)
    took = time.monotonic() - start
    out.seek(0)
    found, largest = json.load(out), usage.ru_maxrss * 1024
print(json.dumps([found, os.waitstatus_to_exitcode(status), took, largest, together]))
"""


def judged(path: Path, *options: str) -> tuple[dict[str, Any], float, int, int]:
    """The verdict, how long it took from start to end, and bytes of memory: the most that one
    process took, and all of them together."""
    command = [sys.executable, "-m", "jepsen_like", "check", str(path), "--json", *options]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, *command], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any]
    found, code, took, largest, together = json.loads(done.stdout)
    assert code == {"valid": 0, "invalid": 1, "unknown": 2}[found["validity"]]
    return found, took, largest, together


@pytest.mark.parametrize("keys", [1, 50])
def test_the_limit_on_time_holds(tmp_path: Path, keys: int) -> None:
    """For whoever waits: from when the program was started until it is gone."""
    path = tmp_path / "hard.jsonl"
    write_jsonl(path, hard(OPERATIONS, keys))
    found, took, _, together = judged(path, "--timeout", f"{SECONDS}")
    print(
        f"{OPERATIONS} operations, {keys} keys: {found['validity']}, {took:.2f} s from start to "
        f"end, with {together / 1e6:.0f} MB: {found['reason']}"
    )
    assert found["validity"] == "unknown"
    assert took <= SECONDS + LATE_S


@pytest.mark.parametrize("keys", [1, 50])
def test_the_limits_hold(tmp_path: Path, keys: int) -> None:
    path = tmp_path / "hard.jsonl"
    write_jsonl(path, hard(OPERATIONS, keys))
    limits = ("--timeout", f"{SECONDS}", "--memory", f"{MEMORY_MB}MB")
    found, took, largest, together = judged(path, *limits)
    print(
        f"{OPERATIONS} operations, {keys} keys: {found['validity']} after {found['seconds']} s "
        f"({took:.2f} s from start to end), {largest / 1e6:.0f} MB in the largest process and "
        f"{together / 1e6:.0f} MB in all: {found['reason']}"
    )
    assert found["seconds"] <= SECONDS + LATE_S
    assert max(largest, together) <= MEMORY_MB * 1_000_000
    assert took <= SECONDS + LATE_S


def test_memory_that_is_not_enough_is_said(tmp_path: Path) -> None:
    path = tmp_path / "hard.jsonl"
    write_jsonl(path, hard(OPERATIONS, 1))
    memory = MEMORY_MB * 2 // 3
    found, _, largest, together = judged(path, "--timeout", "60", "--memory", f"{memory}MB")
    assert found["validity"] == "unknown"
    assert (
        "more memory was needed than the" in found["reason"] or "out of memory" in found["reason"]
    )
    assert max(largest, together) <= memory * 1_000_000
