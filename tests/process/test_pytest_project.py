"""The example project with tests of pytest, tried as a user would: from a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jepsen_like.test_pytest_plugin import PLUGIN

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "pytest_project"


def run_pytest(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", *PLUGIN, *options],
        capture_output=True,
        text=True,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.long
@pytest.mark.computes
def test_the_project_passes_and_fails_as_it_says(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project)
    passed = run_pytest(project)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "1 passed" in passed.stdout
    assert not (project / "jepsen-runs").exists() or not list((project / "jepsen-runs").iterdir())

    file = project / "test_registers.py"
    text = file.read_text()
    assert 'LEVEL = "linearizable"\n' in text
    file.write_text(text.replace('LEVEL = "linearizable"\n', 'LEVEL = "any"\n'))
    failed = run_pytest(project)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    said = failed.stdout
    assert re.search(r"seed 1: linearizable \(register\): read of key \d+ on n\d returned", said)
    assert re.search(r"of 2 faults \d (is|are) needed, found in \d runs", said), said
    assert "meanwhile up to" in said
    replay = re.search(r"replay: jepsen-like replay (\S+)", said)
    assert replay is not None
    again = "again:  pytest 'test_registers.py::test_registers_are_linearizable[seed1]' --jl-seed 1"
    assert again in said
    report = re.search(r"report: (\S+)", said)
    assert report is not None
    assert (project / report[1]).exists()

    replayed = subprocess.run(
        [sys.executable, "-m", "jepsen_like", "replay", replay[1]],
        capture_output=True,
        text=True,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert replayed.returncode == 1, replayed.stdout + replayed.stderr
    assert "the history is the same, byte for byte" in replayed.stdout
