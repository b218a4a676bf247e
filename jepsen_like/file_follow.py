"""A history in a file, judged while it is written.

It ends with the first violation, or when the file has not grown for a while:
whoever writes it is then taken to have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from jepsen_like.checks.named import Question, as_failed_cas, online_of
from jepsen_like.file_judge import FileVerdict
from jepsen_like.history.jsonl import Follower
from jepsen_like.history.operation import HistoryError
from jepsen_like.result import Verdict

__all__ = ["DEFAULT_MODEL", "follow"]

DEFAULT_MODEL: Final = "cas-register"
OPERATIONS_MAX: Final = 1_000_000  # nobody waits for this process
POLL_S: Final = 0.05
CHUNK_CHARACTERS: Final = 1 << 20


def follow(
    path: Path,
    question: Question,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> FileVerdict:
    """`question.seconds`: how long the file may stay as it is. Raises NameUnknown."""
    start = clock()
    online = online_of(question, DEFAULT_MODEL, operations_max=OPERATIONS_MAX)
    lines = Follower(str(path))
    try:
        # No universal newlines: a lone \r is part of a value
        with path.open(encoding="utf-8", newline="\n") as file:
            grown = clock()
            while online.violation is None and clock() - grown < question.seconds:
                text = file.read(CHUNK_CHARACTERS)
                if not text:
                    sleep(POLL_S)
                    continue
                grown = clock()
                for operation, is_open in lines.feed(text):
                    if question.failed_cas is not None:
                        (operation,) = as_failed_cas([operation], question.failed_cas)
                    if online.feed(operation, is_open) is not None:
                        break
    except (HistoryError, UnicodeDecodeError, OSError) as exc:
        reason = str(exc) if str(exc).startswith(str(path)) else f"{path}: {exc}"
        if not lines.line:
            reason += "; only JSON lines can be followed"
        return FileVerdict(str(path), "unknown", reason, seconds=round(clock() - start, 3))
    verdict = online.finish()
    return _of_file(path, question, verdict, round(clock() - start, 3))


def _of_file(path: Path, question: Question, verdict: Verdict, seconds: float) -> FileVerdict:
    at_operation = verdict.details.get("at_operation")
    stopped = "" if at_operation is None else f"stopped at operation {at_operation}: "
    name = question.model or DEFAULT_MODEL
    return FileVerdict(
        file=str(path),
        validity=verdict.validity,
        reason=stopped + verdict.reason,
        model=name if isinstance(name, str) else type(name).__name__,
        check=verdict.check,
        format="jsonl",
        operations=verdict.operations,
        seconds=seconds,
        offending=tuple({**asdict(operation), "line": 0} for operation in verdict.offending),
        details=verdict.details,
    )
