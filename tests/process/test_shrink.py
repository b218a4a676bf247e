"""`jepsen-like shrink`: a simulated run that fails, made simple by runs that fail in the same way.

What fails is a promise that nobody made: reads at the level `any` are judged as if they were
linearizable. It needs no fault at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like.sim.seed_result import read_seed

ROOT = Path(__file__).parents[2]

SPEC = """
from dataclasses import dataclass, replace
from jepsen_like import Test, checks, faults, load
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.workloads.register import Register, RegisterMix

@dataclass(frozen=True)
class Hasty(Register):
    def sql(self, call):
        found = super().sql(call)
        if call.f != "read":
            return found
        return replace(found, text="/*+ consistency=any */ " + found.text)

def make(workload, seed=1):
    return Test(name="hasty", db=ShardRouter(nodes=3, shards=1, replicas=3), workloads=[workload],
                load=load.open_loop(rate=60, deadline="500ms", clients=3),
                faults=[faults.healthy("2s"), faults.kill("one", hold="1s", rest="1s")],
                checks=[checks.linearizable()], backend="sim", seed=seed)

test = make(Hasty(2, 60, RegisterMix(), name="register"))
sound = make(Register(2, 60, RegisterMix(), name="register"))
"""


def shrink(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jepsen_like", "shrink", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.py"
    path.write_text(SPEC)
    return path


@pytest.mark.long
@pytest.mark.computes
def test_a_failing_seed_is_made_simple_and_replayed(spec: Path, tmp_path: Path) -> None:
    done = shrink("spec.py", "--seed", 1, "--runs", 4, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["runs"] == 4
    assert "seed 1: invalid: linearizable (register)" in done.stderr
    assert "run 1 of 4: faults 0, 0 s, all calls, connections 3, order 1: is valid" in done.stderr
    kinds = [fault["is"] for fault in found["schedule"]["faults"]]
    assert kinds == ["faults.fault.Healthy"], found
    assert len({span[1] for span in found["schedule"]["operations"]}) > 1, "calls of one key"
    shrunk = tmp_path / found["directory"]
    assert (shrunk / "report.html").exists()
    kept = read_seed(shrunk)
    assert kept.verdict == "invalid"
    assert kept.schedule is not None
    assert kept.schedule.as_data() == found["schedule"]
    assert not [left for left in shrunk.parent.iterdir() if "trial" in left.name]


@pytest.mark.slow
def test_what_cannot_be_shrunk_is_a_sentence(spec: Path, tmp_path: Path) -> None:
    nothing = shrink("nowhere", cwd=tmp_path)
    assert nothing.returncode == 64
    assert "nowhere is no directory of a run; or give a FILE and --seed." in nothing.stderr
    (tmp_path / "empty").mkdir()
    empty = shrink("empty", cwd=tmp_path)
    assert empty.returncode == 3
    assert "empty has no simulated run" in empty.stderr
    both = shrink("empty", "--seed", 3, cwd=tmp_path)
    assert both.returncode == 64
    assert "--seed goes with a test's FILE" in both.stderr


@pytest.mark.long
@pytest.mark.computes
def test_a_run_that_is_valid_has_nothing_to_shrink(spec: Path, tmp_path: Path) -> None:
    sound = shrink("spec.py:sound", "--seed", 1, cwd=tmp_path)
    assert sound.returncode == 3
    assert "seed 1 is valid: there is nothing to shrink." in sound.stderr
