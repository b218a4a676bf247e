"""docs/lab.md, followed from top to bottom in an empty directory; and a lab that is killed."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import alive, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

DOCUMENT = Path(__file__).parents[2] / "docs" / "lab.md"

START_TIMEOUT_S = 60

RUN_ELSEWHERE = {
    "jepsen-like pacelc": "test_pacelc_simulated.py",
    "jepsen-like sim": "test_stack_mutants.py",
}
"""Of their own length, and the test beside this one that runs them."""

SHOWS = {
    "lab cut leader:shard-1": "fault 1: partition isolate(leader of shard-1)",
    "lab heal --verbose": "probes arrived over the cut links",
    "lab cut n1 n2 n3": "fault 2: partition",
    "lab slow 100ms": "slow links, round trip 100 ms",
    "lab kill n2": "kill -9 n2",
    "lab pause": "pause leader of shard-1",
    "lab down": "is gone",
}
"""Parts of what some of the commands print."""


@contextmanager
def started(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`jepsen-like lab up` in `directory`, which ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jepsen_like", "lab", "up", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        start_new_session=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        while not said or not said[-1].startswith("up:"):
            ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
            line = process.stdout.readline() if ready else ""
            assert line, f"the lab did not get ready:\n{''.join(said)}"
            said.append(line)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def run(line: str, directory: Path, *, expect: int = 0) -> str:
    """The line in a shell, as a reader runs it."""
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == expect, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def lab(words: str, directory: Path) -> Any:
    """The answer of a verb that has --json."""
    return json.loads(run(f"jepsen-like lab {words} --json", directory))


def value_of(told: dict[str, Any], host: str, level: str) -> Any:
    (said,) = [one for one in told["said"] if (one["host"], one["level"]) == (host, level)]
    return said["value"] if said["outcome"] == "ok" else said["outcome"]


def test_the_lesson(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    first, *lines = "".join(blocks).splitlines()
    assert first == "jepsen-like lab up"
    found: set[str] = set()
    with started(tmp_path) as process:
        for line in lines:
            elsewhere = RUN_ELSEWHERE.get(" ".join(shlex.split(line)[:2]))
            if elsewhere is not None:
                assert Path(__file__).with_name(elsewhere).exists()
                continue
            printed = run(line, tmp_path)
            for part, expected in SHOWS.items():
                if part in line:
                    found.add(part)
                    assert expected in printed, f"{line}\n{printed}"
            if "lab cut leader:shard-1" in line:
                wait_until(lambda: tells_the_sides_apart(tmp_path), 30, "another leader")
            if "lab heal --verbose" in line:
                assert "NOT VERIFIED" not in printed
        assert found == set(SHOWS)
        assert process.wait(60) == 0
    assert not (tmp_path / "jepsen-lab").exists()


def tells_the_sides_apart(directory: Path) -> bool:
    """Whether the cut-off host answers at `any` alone, or what it has seen, and the others at
    every level, as the lesson says."""
    status = lab("status", directory)
    (away,) = [host["name"] for host in status["hosts"] if len(host["unheard"]) == 2]
    told = lab("read 3", directory)
    others = [host["name"] for host in status["hosts"] if host["name"] != away]
    assert value_of(told, away, "linearizable") in ("fail", "info")
    there = [value_of(told, host, level) for host in others for level in status["levels"]]
    return value_of(told, away, "any") == 41 and set(there) == {41}


@pytest.mark.nightly
def test_a_killed_lab_leaves_nothing_that_down_does_not_remove(tmp_path: Path) -> None:
    """Not even a node that was stopped, which does not hear that the lab has died."""
    with started(tmp_path, "--load", "0") as process:
        run("jepsen-like lab pause n1", tmp_path)
        pids = [host["pid"] for host in lab("status", tmp_path)["hosts"]]
        run("jepsen-like lab pause n1", tmp_path, expect=1)
        run("jepsen-like lab kill n2 --unsynced-lost", tmp_path, expect=1)
        run("jepsen-like lab cut n9", tmp_path, expect=1)
        run("jepsen-like lab up", tmp_path, expect=3)
        assert all(map(alive, pids))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    run("jepsen-like lab status", tmp_path, expect=3)
    assert "removed" in run("jepsen-like lab down", tmp_path)
    wait_until(lambda: not any(map(alive, pids)), 30, "all nodes have ended")
    assert not (tmp_path / "jepsen-lab").exists()
    run("jepsen-like lab down", tmp_path, expect=3)


@pytest.mark.nightly
def test_ctrl_c_ends_a_lab_while_links_are_cut(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        pids = [host["pid"] for host in lab("status", tmp_path)["hosts"]]
        run("jepsen-like lab cut halves", tmp_path)
        run("jepsen-like lab kill n3 --for 100s", tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not any(map(alive, pids))
    assert not (tmp_path / "jepsen-lab").exists()
