"""A run whose disk gets full: one sentence, exit code 3, nothing of it left running or lying about.

The kernel refuses the writes: a limit on the size of files, as a full disk would.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.test_demo import processes_that_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

TEST = """
from jepsen_like import Test, faults, load, workloads
from tests.jepsen_like.register_db import RegisterDb

test = Test(
    name="room",
    db=RegisterDb(),
    workloads=[workloads.register(keys=6, calls_per_key=40)],
    load=load.open_loop(rate=200, deadline="250ms", clients=10),
    faults=[faults.healthy("30s")],
)
"""

ROOM_BYTES = 40_000


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text(TEST)
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "jepsen_like", "run", str(tmp_path / "room.py"), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES)),
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: there is no room for the results in {out}: File too large; ")
    assert (out / "history.jsonl").stat().st_size <= ROOM_BYTES
    assert not list(out.glob("data-*"))
    assert not processes_that_name(str(out))
