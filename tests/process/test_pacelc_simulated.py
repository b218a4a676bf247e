"""`jepsen-like pacelc --backend sim`: this database's levels beside the four corners, the same
table wherever and in whatever order of hashes it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.nightly]

PROMISED = {
    ("linearizable", "read"): "PC/EC",
    ("linearizable", "write"): "PC/EC",
    ("lease", "read lease"): "PC/EC",
    ("session", "read session"): "PA/EL",
    ("bounded", "read bounded"): "PC/EL",
    ("any", "read any"): "PA/EL",
    ("store PC/EC", "read"): "PC/EC",
    ("store PC/EC", "write"): "PC/EC",
    ("store PA/EC", "read"): "PA/EC",
    ("store PA/EC", "write"): "PA/EC",
    ("store PA/EL", "read"): "PA/EL",
    ("store PA/EL", "write"): "PA/EL",
    ("store PC/EL", "read"): "PA/EL",
    ("store PC/EL", "write"): "?/?",
}
"""What seed 1 finds; writes of the last store stand in no corner (see `corner_stores`)."""


def started(out: Path, hash_seed: int, *options: str) -> subprocess.Popen[str]:
    words = ["pacelc", "--backend", "sim", "--seed", "1", "--out", str(out), *options]
    return subprocess.Popen(
        [sys.executable, "-m", "jepsen_like", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
    )


def answer_of(process: subprocess.Popen[str]) -> str:
    said, progress = process.communicate(timeout=550)
    assert process.returncode == 0, said + progress[-2000:]
    return said


def test_all_levels_are_found_where_they_should_be(tmp_path: Path) -> None:
    found = json.loads(answer_of(started(tmp_path, 1, "--json")))
    assert found["validity"] == "valid"
    labels = {(row["level"], row["class"]): row["measured"] for row in found["labels"]}
    assert labels == PROMISED


def test_the_table_is_the_same_in_every_order_of_hashes(tmp_path: Path) -> None:
    """Byte for byte, with all figures. Where the report is, is said on standard error."""
    running = [started(tmp_path / str(number), number) for number in (1, 2)]
    one, other = (answer_of(process) for process in running)
    assert "store PC/EC" in one
    assert one == other
    histories = [(tmp_path / n / "history.jsonl").read_bytes() for n in ("1", "2")]
    assert histories[0] == histories[1]
