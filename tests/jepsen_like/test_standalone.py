"""The checker alone: the wheel and click, nothing else, in an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from jepsen_like.history import write_jsonl
from tests.jepsen_like.histories import read, write

ROOT = Path(__file__).parents[2]


def run(*command: object, ok: bool = True, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
    if ok:
        assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_the_wheel_and_click_judge_a_history(tmp_path: Path) -> None:
    build = (
        "import sys; from hatchling.builders.wheel import WheelBuilder\n"
        "print(list(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], "
        "versions=['standard']))[-1])\n"
    )
    built = run(sys.executable, "-c", build, ROOT, tmp_path / "dist", cwd=ROOT)
    wheel = Path(built.stdout.split()[-1])
    assert "jepsen_like/__main__.py" in zipfile.ZipFile(wheel).namelist()
    environment = tmp_path / "empty"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    # No index is asked: this pip installs the wheel there, and click is copied as it is here.
    run(
        sys.executable, "-m", "pip", f"--python={python}", "install", "--no-deps", "--no-index",
        "--quiet", "--disable-pip-version-check", wheel, cwd=tmp_path,
    )  # fmt: skip
    here = Path(sysconfig.get_path("purelib"))
    there = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path
    )
    (Path(there.stdout.strip()) / "click").symlink_to(here / "click")
    history = tmp_path / "h"
    write_jsonl(history, [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5, process=1)])
    command = environment / "bin" / "jepsen-like"
    done = run(command, "check", history, ok=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("invalid: read of x")
    assert run(command, "lint", history, cwd=tmp_path).returncode == 0
    assert run(command, "convert", history, "h.edn", cwd=tmp_path).returncode == 0
    done = run(command, "check", history, "--report", "r.html", ok=False, cwd=tmp_path)
    assert (done.returncode, "--report needs jinja2" in done.stderr) == (64, True)
    installed = run(
        python, "-c", "import jepsen_like; from jepsen_like import checks, models; import sys; "
        "print([m for m in sys.modules if m.split('.')[0] in ('asyncpg','rich','jinja2','nodes')])",
        cwd=tmp_path,
    )  # fmt: skip
    assert installed.stdout == "[]\n"
