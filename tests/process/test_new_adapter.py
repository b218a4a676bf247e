"""`jepsen-like new adapter NAME`, as somebody with an empty folder would try it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def jepsen_like(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jepsen_like", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=where,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.processes
def test_what_is_written_runs_and_can_fail(tmp_path: Path) -> None:
    written = jepsen_like(tmp_path, "new", "adapter", "my_db")
    assert written.returncode == 0, written.stderr
    assert written.stdout.splitlines()[-1] == "run it: jepsen-like run my_db/my_db_test.py"
    directory = tmp_path / "my_db"
    assert sorted(path.name for path in directory.iterdir()) == [
        "README.md",
        "my_db_adapter.py",
        "my_db_server.py",
        "my_db_test.py",
    ]
    assert not any("skeleton" in path.read_text().lower() for path in directory.iterdir())

    run = ("run", "my_db_test.py", "--backend", "proxy", "--out")
    done = jepsen_like(directory, *run, "out")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((directory / "out" / "results.json").read_text())
    assert [fault["kind"] for fault in results["faults"]] == ["partition", "kill"]
    assert all(fault["verified_start"] and fault["verified_end"] for fault in results["faults"])

    server = directory / "my_db_server.py"
    compares = "if self.values.get(key) != expected:"
    assert compares in server.read_text()
    server.write_text(server.read_text().replace(compares, "if not expected:"))
    broken = jepsen_like(directory, *run, "broken")
    assert broken.returncode == 1, broken.stdout + broken.stderr


@pytest.mark.slow
def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    bad = jepsen_like(tmp_path, "new", "adapter", "My-Db")
    assert bad.returncode == 64
    assert "write small letters, digits and underscores, as mydb" in bad.stderr
    (tmp_path / "mydb").mkdir()
    (tmp_path / "mydb" / "notes").touch()
    there = jepsen_like(tmp_path, "new", "adapter", "mydb")
    assert there.returncode == 64
    assert "mydb is there and not empty; name another one with --out" in there.stderr
    assert (tmp_path / "mydb" / "notes").exists()
    assert "Write an adapter for the database NAME" in (
        jepsen_like(tmp_path, "new", "adapter", "--help").stdout
    )
