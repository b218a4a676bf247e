"""The programs of docs/embedding.md do what the page says, each by itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shardrouter.test_local import PLUGIN

PAGE = Path(__file__).parent.parent.parent / "docs" / "embedding.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
PRINTED = ["Ada\n", "23505 True\nAda\n", "70\n", "Ada\n"]


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_a_program_prints_what_it_should(number: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (PRINTED[number], "")


def test_the_test_passes(tmp_path: Path) -> None:
    assert len(PROGRAMS) == len(PRINTED) + 1
    (tmp_path / "test_accounts.py").write_text(PROGRAMS[-1])
    command = [sys.executable, "-m", "pytest", "-q", *(f"-p{name}" for name in PLUGIN)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
