"""The examples of tests run as their first lines say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


BESIDE_ANOTHER = (pytest.mark.long, pytest.mark.processes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "kinds"),
    [
        pytest.param("partition", ["partition", "pause"], marks=BESIDE_ANOTHER),
        pytest.param("move", ["transfer", "move", "kill"], marks=BESIDE_ANOTHER),
        pytest.param("workloads", ["partition", "kill"], marks=BESIDE_ANOTHER),
        pytest.param("transactions", ["partition", "kill"], marks=BESIDE_ANOTHER),
        pytest.param(
            "over_shards", ["partition", "kill", "pause", "clock"], marks=pytest.mark.long
        ),
        pytest.param("faults", ["power cut", "clock", "shape"], marks=pytest.mark.long),
    ],
)
def test_an_example_is_valid_with_verified_faults(
    tmp_path: Path, example: str, kinds: list[str]
) -> None:
    run = [sys.executable, "-m", "jepsen_like", "run", f"examples/{example}.py"]
    done = subprocess.run(
        [*run, "--out", tmp_path], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VALID" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert [fault["kind"] for fault in results["faults"]] == kinds
    assert all(fault["verified_start"] and fault["verified_end"] for fault in results["faults"])
    assert (tmp_path / "report.html").stat().st_size > 10_000
