"""A database that was started elsewhere: its author's steps, and that none of them is believed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.adapters.steps import StepFailed, take
from tests.process.conftest import free_base_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "external.py"

COMMAND = (sys.executable, "-m", "jepsen_like", "run")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the example, with some of its steps replaced; nothing of the database is left."""
    base = free_base_port()
    changes = tmp_path / "changed.py"

    def run(**steps: str) -> subprocess.CompletedProcess[str]:
        changes.write_text(
            f"import sys; sys.path.insert(0, {str(EXAMPLE.parent)!r})\n"
            "from dataclasses import replace\nimport external\n"
            f"steps = replace(external.test.db.steps, **{steps!r})\n"
            "test = replace(external.test, db=replace(external.test.db, steps=steps))\n"
        )
        done = subprocess.run(
            [*COMMAND, str(changes if steps else EXAMPLE), "--out", str(tmp_path / "out")],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=ROOT,
            env=os.environ | {"REGISTERS_PORT": str(base), "REGISTERS_DIR": str(tmp_path)},
        )
        for number in (1, 2, 3):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", base + number)), f"n{number} is left"
        assert not list((tmp_path / "out").glob("data-*"))
        return done

    return run


def results(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "out" / "results.json").read_text())


@pytest.mark.long
@pytest.mark.processes
def test_the_worked_example_is_valid_with_verified_faults(run: Run, tmp_path: Path) -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(tmp_path)
    assert found["backend"] == "external"
    assert [fault["kind"] for fault in found["faults"]] == ["partition", "outage"]
    assert all(fault["verified_start"] and fault["verified_end"] for fault in found["faults"])


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.parametrize(
    ("step", "number", "sentence"),
    [
        ("cut", 0, "4 of 4 probes arrived over the cut links"),
        ("kill", 1, "after the step kill: n1 did not answer"),
    ],
)
def test_a_step_that_does_nothing_is_found_out(
    run: Run, tmp_path: Path, step: str, number: int, sentence: str
) -> None:
    done = run(**{step: "true {host}" if step == "kill" else "true {source} {target}"})
    assert done.returncode == 2, done.stdout + done.stderr
    fault = results(tmp_path)["faults"][number]
    assert not fault["verified_start"]
    assert any("NOT VERIFIED" in line and sentence in line for line in fault["evidence"])


def test_a_database_that_does_not_start_is_one_sentence(run: Run) -> None:
    done = run(start="sh -c 'echo no such host {host}; exit 4'")
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: registers: sh -c ")
    assert last.endswith("ended with exit code 4 and said: no such host n1")


async def test_what_a_step_is_told_and_says(tmp_path: Path) -> None:
    await take(f"touch {tmp_path}/{{host}}", host="n1")
    assert (tmp_path / "n1").exists()
    told: list[tuple[str, str]] = []

    async def cut(source: str, target: str) -> None:
        told.append((source, target))
        if source == target:
            raise ValueError("no link")

    await take(cut, source="a", target="b")
    assert told == [("a", "b")]
    with pytest.raises(StepFailed, match="ValueError: no link"):
        await take(cut, source="a", target="a")
    with pytest.raises(StepFailed, match="no-such-program x cannot be started"):
        await take("no-such-program {host}", host="x")
    with pytest.raises(StepFailed, match="ended with exit code 3 and said: why"):
        await take("sh -c 'echo why >&2; exit 3'")


async def test_a_step_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"took longer than 0\.2 s"):
        await take(f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000'", timeout_s=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)

    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StepFailed, match=r"forever .* took longer"):
        await take(forever, timeout_s=0.05)
