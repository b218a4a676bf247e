"""The benchmarks run and say what they measured. How fast it was is not a test's business."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.failover import longest_gap
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


def test_the_comparison_of_consensus(tmp_path: Path) -> None:
    printed, content = quickly("raft.py", tmp_path)
    results = content["results"]
    assert isinstance(results, dict)
    for system, by_in_flight in results.items():
        for runs in by_in_flight.values():
            assert runs[0]["operations"] > 0, system
            assert 0 < runs[0]["client_share"] < 1
    assert {"core", "pysyncobj", "stock"} <= results.keys()
    assert "core / stock" in printed
    if shutil.which("etcd") is None:
        pytest.skip("etcd is missing: apt-get install etcd-server")
    assert "core / etcd" in printed


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


def test_the_time_without_a_leader(tmp_path: Path) -> None:
    printed, content = quickly("failover.py", tmp_path)
    assert content["failed_writes"] == []
    kills, cuts = content["kills"], content["cuts"]
    assert isinstance(kills, list)
    assert isinstance(cuts, list)
    assert kills[0]["seconds"] > 0.1, "no election can be so quick"
    assert kills[0]["terms"] >= 1
    assert 0 < cuts[0]["gap_at_heal_s"] < cuts[0]["seconds"] + 10
    assert "kill -9 to the next write" in printed


def test_the_longest_gap_counts_the_ends_of_what_was_watched() -> None:
    moments = [(0.0, 1.0), (0.0, 2.5), (0.0, 3.0)]
    assert longest_gap(moments, 0.5, 3.5) == 1.5
    assert longest_gap(moments, 0.5, 5.0) == 2.0
    assert longest_gap([], 1.0, 4.0) == 3.0


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
    done = subprocess.run(
        [sys.executable, "-m", "bench.overload", "--quick", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text())
    assert content["peak"] > 0
    assert content["overload"]["refused"] >= 0
    assert not content["calm"]["failed"]


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
