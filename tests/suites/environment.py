"""Virtual environments of the suites, under `build/suites`, made when a verb first needs them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["BUILD", "ROOT", "environment"]

ROOT: Final = Path(__file__).parents[2]

BUILD: Final = ROOT / "build" / "suites"
"""Git ignores it; `make clean` removes it."""


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment that has `requirements` (pip's words); made if there is none
    with exactly these. Raises subprocess.CalledProcessError with what pip said."""
    mark = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()
    directory = BUILD / name
    python, stamp = directory / "bin" / "python", directory / "installed"
    if python.exists() and stamp.exists() and stamp.read_text() == mark:
        return python
    print(f"installing {', '.join(requirements)} into {directory}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, *requirements], check=True)
    stamp.write_text(mark)
    return python
