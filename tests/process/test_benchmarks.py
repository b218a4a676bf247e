"""The benchmarks run and say what they measured. How fast it was is not a test's business."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from bench.page import flame_name
from bench.question import Measured

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).parents[2]


def quickly(script: str, out: Path) -> tuple[str, dict[str, object]]:
    """What it printed, and what it wrote."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / script), "--quick", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.json")
    content: dict[str, object] = json.loads(path.read_text())
    return done.stdout, content


def answer_of(question: str, out: Path) -> Measured:
    """What `make bench` finds for one question, quickly."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--question", question, "--quick", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert (out / f"{question}.svg").read_text().startswith("<svg ")
    return msgspec.json.decode((out / f"{question}.json").read_bytes(), type=Measured)


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_suite_that_is_stopped_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """Neither processes nor files, and says how far it came."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "--question", "start", "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("question 1 of 1, ")
        until = time.monotonic() + 60
        while len(_named(scratch)) < 4 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(_named(scratch)) >= 4, "`up` and three nodes"
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert "stopped; 0 of 1 answers are in" in said
    assert not _named(scratch)
    assert not list(scratch.iterdir())


def _named(scratch: Path) -> list[str]:
    """Command lines of the processes that were told of a directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace")
            if str(scratch) in words:
                found.append(words)
    return found


@pytest.mark.processes
def test_the_comparison_of_consensus(tmp_path: Path) -> None:
    answer = answer_of("consensus", tmp_path).answer
    shares = {line.contestant: line.figures["client_share"].median for line in answer.lines}
    assert {"core", "core, bare", "pysyncobj in our nodes", "pysyncobj, no fsync"} <= shares.keys()
    assert all(0 < share < 1 for share in shares.values())
    assert all(line.figures["per_second"].median > 0 for line in answer.lines)
    if shutil.which("etcd") is None:
        pytest.skip("etcd is missing: apt-get install etcd-server")
    assert "etcd" in shares
    assert not answer.missing


@pytest.mark.processes
def test_the_router_over_its_bare_wire() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.bare_wire", "--seconds", "0.5", "--runs", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["router"]["per_second"] > 0
    assert figures["bare wire"]["per_second"] > 0


@pytest.mark.processes
def test_the_time_without_a_leader(tmp_path: Path) -> None:
    answer = answer_of("failover", tmp_path).answer
    kills, cuts = answer.lines
    assert kills.figures["seconds"].least > 0.1, "no election can be so quick"
    assert kills.figures["terms"].least >= 1
    assert 0 < cuts.figures["gap_at_heal_s"].median < cuts.figures["seconds"].median + 10
    assert answer.verdicts[-1].is_met, "a write was not acknowledged"


@pytest.mark.processes
def test_where_the_time_of_a_write_goes(tmp_path: Path) -> None:
    """Each process is there, and what is left to Python is what nothing else took."""
    found = answer_of("paths", tmp_path)
    lines = {(line.contestant, line.case): line.figures for line in found.answer.lines}
    whole = lines["all processes", "INSERT, 64 clients"]
    names = [name for name, case in lines if case == "INSERT, 64 clients"]
    assert [name.split()[0] for name in sorted(names)] == [
        *("all", "client", "follower", "follower", "leader", "router"),
    ]
    assert 0 < whole["python_us"].median < whole["cpu_us"].median
    assert lines["4 KiB written and fdatasync", "The least that there is"]["wall_us"].median > 0
    for title, samples in found.answer.flames.items():
        assert sum(samples.values()) > 10, title
        assert (
            "nodes." in str(samples)
            if title.startswith("leader")
            else "shardrouter." in str(samples)
        )
        assert (tmp_path / flame_name("paths", title)).read_text().startswith("<svg ")
    assert len(found.answer.flames) == 4


@pytest.mark.processes
def test_a_hundred_idle_groups_cost_a_node_next_to_nothing(tmp_path: Path) -> None:
    """A promise of the design, and counted in CPU seconds, which other load hardly changes. With
    heartbeats for each group it is 10 percent and more."""
    found = answer_of("idle", tmp_path)
    assert [verdict.is_met for verdict in found.answer.verdicts] == [True, True], found


def test_the_cost_of_a_proxy(tmp_path: Path) -> None:
    printed, content = quickly("proxy.py", tmp_path)
    assert isinstance(content["hop_p50_us"], float)
    assert 0 < content["hop_p50_us"] < 10_000
    assert "us per hop in the median of 1 rounds, at 1000 messages/s; target <= 60 us: " in printed


def test_the_cost_of_the_harness(tmp_path: Path) -> None:
    printed, content = quickly("harness.py", tmp_path)
    assert content["validity"] == "valid"
    assert content["unserved"] == 0
    assert "recording 2000 operations/s takes of a core" in printed


def test_an_overload(tmp_path: Path) -> None:
    lines = answer_of("overload", tmp_path).answer.lines
    calm = next(line for line in lines if line.case.startswith("at 80%"))
    assert calm.figures["per_second"].median > 0
    assert calm.figures["failed"].median == 0


@pytest.mark.computes
def test_the_speed_of_the_simulation() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.stack_sim", "--case", "quiet", "--runs", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    quiet = json.loads(done.stdout)["cases"]["quiet"]
    assert quiet["simulated_s"] == 120.0
    assert quiet["simulated_s_per_s"] > 0
