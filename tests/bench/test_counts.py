"""What seven key paths take that no machine changes, within a twentieth: a guard against slow loss.

A count that went up is to be explained, or mended; one that went down is to be kept: put what
`python -m bench.counts` prints into EXPECTED, and say in the commit what changed it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
TOLERANCE: Final = 0.05

EXPECTED: Final[dict[str, dict[str, float]]] = {
    "raft_entry": {
        "bytes": 505.0,
        "fsyncs": 3.0,
        "nodes_calls": 522.1,
        "sqlite_statements": 29.7,
        "writes": 5.0,
    },
    "select": {"bytes": 529.25, "nodes_calls": 370.1, "router_calls": 36.02, "writes": 7.1},
    "insert": {
        "bytes": 847.6,
        "fsyncs": 3.0,
        "nodes_calls": 519.35,
        "router_calls": 48.02,
        "sqlite_statements": 29.4,
        "writes": 7.0,
    },
    "two_shards": {
        "bytes": 3443.75,
        "fsyncs": 8.85,
        "nodes_calls": 2500.2,
        "router_calls": 588.3,
        "sqlite_statements": 109.9,
        "writes": 28.0,
    },
    "scatter": {
        "bytes": 872.8,
        "nodes_calls": 914.6,
        "router_calls": 346.65,
        "sqlite_statements": 8.0,
        "writes": 19.0,
    },
    "copy_row": {
        "bytes": 349.2708,
        "fsyncs": 0.036,
        "nodes_calls": 15.8258,
        "router_calls": 12.8228,
        "sqlite_statements": 0.438,
        "writes": 0.116,
    },
    "block": {
        "bytes": 5084.55,
        "fsyncs": 3.0,
        "nodes_calls": 1273.0,
        "router_calls": 561.1,
        "sqlite_statements": 39.2,
        "writes": 24.0,
    },
}
"""For one operation: a write of one statement at the leader; then over the wire, each by one
client: a prepared SELECT and INSERT of one row by key, a block of an UPDATE on each of two shards,
count(*) over two shards, a row of a COPY of 500 with what is done behind its answer, a block of
three UPDATEs and a SELECT on one shard. Three nodes, three replicas of all."""


def differences(counts: dict[str, dict[str, float]]) -> list[str]:
    """What is further from what is expected than the tolerance."""
    found = []
    for path in EXPECTED.keys() | counts.keys():
        expected, measured = EXPECTED.get(path, {}), counts.get(path, {})
        for name in sorted(expected.keys() | measured.keys()):
            was, now = expected.get(name, 0.0), measured.get(name, 0.0)
            if abs(now - was) > TOLERANCE * was:
                found.append(f"{path}: {name} is {now:g}, was {was:g}")
    return found


@pytest.mark.long
def test_what_an_operation_takes_stays_what_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.counts"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert not differences(json.loads(done.stdout))


def test_a_count_that_goes_up_or_down_or_is_new_is_noticed() -> None:
    assert not differences(EXPECTED)
    insert = EXPECTED["insert"]
    near = {**EXPECTED, "insert": {**insert, "fsyncs": insert["fsyncs"] * 1.04}}
    assert not differences(near)
    far = {"fsyncs": insert["fsyncs"] * 1.06, "bytes": insert["bytes"] * 0.9, "new": 1.0}
    said = differences({**EXPECTED, "insert": {**insert, **far}})
    assert [line.split()[1] for line in said] == ["bytes", "fsyncs", "new"]
    missing = {path: counts for path, counts in EXPECTED.items() if path != "select"}
    assert {line.split(":")[0] for line in differences(missing)} == {"select"}
