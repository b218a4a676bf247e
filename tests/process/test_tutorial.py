"""docs/tutorial.md, followed from top to bottom in an empty directory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.conftest import Up, start_up, wait_until
from tests.process.test_up import node_pids

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

DOCUMENT = Path(__file__).parents[2] / "docs" / "tutorial.md"

SAYS = {
    "SELECT * FROM riders ORDER": "  1 | Ada\n  2 | Grace\n(2 rows)\n",
    "\\copy trips from": "COPY 100000\n",
    "GROUP BY city": " Bern | 33334 | 48.50\n",
    "FROM trips WHERE id = 7": " 8.50\n",
    "SELECT count(*) FROM trips": " 100000\n",
}
"""Parts of what some of the commands print."""


def test_the_tutorial(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    first, *lines = "".join(blocks).splitlines()
    assert first == "shardrouter up &"
    up = start_up(tmp_path / "shardrouter-data")
    found: set[str] = set()
    try:
        for line in lines:
            if line.startswith("kill"):
                kill(up, line)
                continue
            if line == "shardrouter verify":
                wait_until(lambda: is_whole(up), 30, "the node is back")
            printed = run(line, tmp_path)
            for part, expected in SAYS.items():
                if part in line:
                    found.add(part)
                    assert expected in printed, line
        assert found == set(SAYS)
    finally:
        assert up.stop() == 0


def run(line: str, directory: Path) -> str:
    """The line in a shell, as a reader runs it."""
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def kill(up: Up, line: str) -> None:
    """The node that the line means, and no other process of this machine."""
    name = re.search(r"--name (\w+) ", line)
    assert name is not None
    os.kill(node_pids(up)[name[1]], signal.SIGKILL)


def is_whole(up: Up) -> bool:
    shown = up.run("status", "--json")
    return shown.returncode == 0 and not json.loads(shown.stdout)["missing"]
