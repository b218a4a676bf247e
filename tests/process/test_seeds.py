"""`jepsen-like sim` and `replay`: many seeds, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like.faults import Healthy
from jepsen_like.schedule import Schedule
from jepsen_like.sim.seed_result import read_seed
from jepsen_like.sim.seeds import run_seed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SPEC = """
import asyncio
from dataclasses import dataclass
from jepsen_like import Test, checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.faults import Healthy

@dataclass(frozen=True)
class Hang(Healthy):
    spins: bool = False

    def drawn(self, hosts, rng):
        return self

    async def run(self, site):
        while self.spins:
            pass
        await asyncio.Event().wait()

def make(*planned, checks_=(checks.linearizable(),)):
    return Test(name="seeds", db=ShardRouter(nodes=3, shards=1, replicas=3),
                workloads=[workloads.register(keys=2)],
                load=load.open_loop(rate=20, deadline="500ms", clients=2),
                faults=planned, checks=checks_, backend="sim")

test = make(faults.healthy("1s"), faults.kill("one", hold="1s", rest="1s"))
waits = make(Hang(1.0))
spins = make(Hang(1.0, spins=True))
real = make(faults.disk_full("one"))
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.py"
    path.write_text(SPEC)
    return path


def jepsen_like(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jepsen_like", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.long
@pytest.mark.computes
def test_seeds_are_run_once_and_replayed_as_they_were(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = jepsen_like("sim", spec, "--seeds", 1, "--out", out)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.startswith("1 seeds: 1 valid; operations ")
    assert "kill 1" in first.stdout
    again = jepsen_like("sim", spec, "--seeds", 2, "-j", 1, "--json", "--out", out)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 of these seeds have a result" in again.stderr
    found = json.loads(again.stdout)
    assert found["seeds"] == 2
    assert found["counts"]["kill"] == 2
    lines = [json.loads(line) for line in (out / "seeds.jsonl").read_text().splitlines()]
    assert [line["seed"] for line in lines] == [1, 2]

    replayed = jepsen_like("replay", 2, spec, "--out", tmp_path / "again")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert read_seed(tmp_path / "again").digest == lines[1]["digest"]
    assert (tmp_path / "again" / "report.html").exists()

    kept = jepsen_like("replay", tmp_path / "again", "--out", tmp_path / "third")
    assert "the history is the same, byte for byte" in kept.stdout, kept.stdout + kept.stderr
    assert "another version" not in kept.stderr
    spec.write_text(SPEC + "\n# another test\n")
    changed = jepsen_like("replay", tmp_path / "again", "--out", tmp_path / "third")
    assert "was run by another version of the code or of the test" in changed.stderr


@pytest.mark.long
@pytest.mark.computes
def test_a_schedule_takes_the_place_of_what_the_seed_draws(spec: Path, tmp_path: Path) -> None:
    schedule = Schedule((Healthy(1.0),), clients=1, operations=((0, 5), (8, 10)), order=1)
    found = run_seed(spec, "test", 1, schedule=schedule, out=tmp_path / "run")
    assert found.verdict == "valid", found.reason
    assert found.schedule == schedule
    assert found.history is not None
    final_reads = 3 * 2
    assert 7 <= found.counts["operations"] <= 7 + final_reads
    assert "kill" not in found.counts


@pytest.mark.long
@pytest.mark.computes
def test_a_run_that_never_ends_is_unknown_with_a_sentence(spec: Path, tmp_path: Path) -> None:
    waits = run_seed(spec, "waits", 1, out=tmp_path / "waits", limit_s=8)
    assert waits.verdict == "unknown"
    assert waits.reason == "the run did not come to its end within 8 s of its own time."
    spins = run_seed(spec, "spins", 1, out=tmp_path / "spins", timeout_s=8)
    assert spins.verdict == "unknown"
    assert spins.reason.startswith("the run did not end within 8 s of real time; the last of it: ")
    assert read_seed(tmp_path / "spins") == spins


@pytest.mark.long
@pytest.mark.computes
def test_what_cannot_be_simulated_is_refused_before_any_seed(spec: Path, tmp_path: Path) -> None:
    done = jepsen_like("sim", f"{spec}:real", "--seeds", 3, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "the backend sim cannot do" in done.stderr
    assert not (tmp_path / "out").exists()
    nothing = jepsen_like("replay", tmp_path)
    assert nothing.returncode == 3
    assert "has no simulated run" in nothing.stderr
    assert jepsen_like("replay", "seven").returncode == 64
