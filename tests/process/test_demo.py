"""`jepsen-like demo` as a user runs it: the card, the files, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.history import read_jsonl

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "jepsen_like")


def processes_that_name(text: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        if text in line:
            found.append(line)
    return found


def test_the_demo_prints_a_valid_card_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = subprocess.run(
        [*COMMAND, "demo", "--quick", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(out / "report.html") in done.stdout.replace("\n", "")

    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    assert results["validity"] == "valid"
    assert [fault["kind"] for fault in results["faults"]] == ["partition", "kill"]
    for fault in results["faults"]:
        assert fault["verified_start"], fault["evidence"]
        assert fault["verified_end"], fault["evidence"]
    cut = [
        side
        for side in results["availability"]
        if side["f"] == "all" and side["fault"].startswith("partition")
    ]
    assert len(cut) == 2
    assert all(side["invoked"] >= 100 for side in cut)
    assert any(failover["first_ok_ns"] for failover in results["failovers"])
    assert len(read_jsonl(out / "history.jsonl")) == results["operations"]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert list((out / "logs").glob("*.log"))

    assert not list(out.glob("data-*"))
    assert not processes_that_name(str(out))


@pytest.mark.long
def test_the_demo_ends_with_where_reads_and_writes_stand(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[-3:]}
    assert set(rows) == {"linearizable", "any"}
    assert "DIFFERS" not in done.stdout
    labels = json.loads((tmp_path / "results.json").read_text())["labels"]
    local = next(label for label in labels if label["f"] == "read any")
    assert local["otherwise"] != "EC", "undetermined where the machine is too busy"


@pytest.mark.parametrize(
    "moment",
    [
        "starting",
        pytest.param("cut:", marks=[pytest.mark.long, pytest.mark.processes]),
        pytest.param("kill -9", marks=[pytest.mark.long, pytest.mark.processes]),
    ],
)
def test_ctrl_c_leaves_no_process_and_no_data(tmp_path: Path, moment: str) -> None:
    out = tmp_path / "demo"
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--quick", "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if moment in line:
                demo.send_signal(signal.SIGINT)
                break
        said = demo.stderr.read()
        assert demo.wait(timeout=30) == 128 + signal.SIGINT, said
    assert "interrupted by SIGINT" in said
    assert "Traceback" not in said
    assert not list(out.glob("data-*"))
    assert not processes_that_name(str(out))
