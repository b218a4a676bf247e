"""`jepsen-like run --backend sim`: the same test file, nodes and routers, on virtual time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like.sim.seed_result import read_seed

ROOT = Path(__file__).parents[2]


def simulated(out: Path, seed: int, hash_seed: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "jepsen_like", "run", "examples/over_shards.py"]
    return subprocess.run(
        [*run, "--backend", "sim", "--seed", str(seed), "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.computes
def test_the_same_seed_is_the_same_history_whatever_the_order_of_hashes(tmp_path: Path) -> None:
    runs = [simulated(tmp_path / h, seed=5, hash_seed=h) for h in ("0", "1")]
    for done in runs:
        assert done.returncode == 0, done.stdout + done.stderr
    first, second = (tmp_path / h / "history.jsonl" for h in ("0", "1"))
    assert first.read_bytes() == second.read_bytes()
    found = json.loads((tmp_path / "0" / "results.json").read_text())
    assert found["validity"] == "valid"
    assert found["backend"] == "sim"
    kinds = [fault["kind"] for fault in found["faults"]]
    assert kinds == ["partition", "kill", "pause", "clock"]
    assert all(f["verified_start"] and f["verified_end"] for f in found["faults"])


def history_of(python: str, out: Path, hash_seed: str) -> str:
    """Of one seed of the example: the digest of its history."""
    done = subprocess.run(
        [python, "-m", "jepsen_like", "replay", "3", "examples/simulation.py", "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return read_seed(out).digest


@pytest.fixture(scope="module")
def history_here(tmp_path_factory: pytest.TempPathFactory) -> str:
    return history_of(sys.executable, tmp_path_factory.mktemp("here"), hash_seed="0")


NEEDED = """
import asyncpg, sqlite3
from importlib.metadata import version
from jepsen_like.adapters.shardrouter_programs import PROGRAMS
version("shardrouter")
print(sqlite3.sqlite_version)
"""


def able(name: str) -> str | None:
    """A Python of that name that can run the example: this one, or one on PATH that has the
    packages of this project, and its SQLite, for that is part of the code of a seed."""
    if name == f"python{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(name)
    if found is None:
        return None
    asked = subprocess.run(
        [found, "-c", NEEDED],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return found if asked.stdout.strip() == sqlite3.sqlite_version else None


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.computes
@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13"])
def test_the_same_seed_is_the_same_history_on_every_python(
    tmp_path: Path, history_here: str, name: str
) -> None:
    python = able(name)
    if python is None:
        pytest.skip(f"no {name} on PATH has the packages of this project and its SQLite")
    assert history_of(python, tmp_path, hash_seed="1") == history_here


@pytest.mark.slow
def test_what_only_real_processes_have_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "slow_disk.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from examples.simulation import test\n"
        "from jepsen_like import faults\n"
        "test = replace(test, faults=[faults.slow_fsync('one', '50ms')])\n"
    )
    run = [sys.executable, "-m", "jepsen_like", "run", str(file), "--backend", "sim"]
    done = subprocess.run(
        [*run, "--out", str(tmp_path / "run")], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 3
    assert "the backend sim cannot do" in done.stderr
