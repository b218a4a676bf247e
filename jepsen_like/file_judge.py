"""Histories in files, each judged by a process of its own: side by side, and within limits.

A process can be ended when its time is over, whatever it is doing, and cannot take more memory
than it was given. What it found comes back as JSON over a pipe. A file that cannot be read and a
judge that dies are `unknown`, with a sentence; they do not stop the others.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from jepsen_like.checks.furthest import orders_of
from jepsen_like.checks.named import NameUnknown, Question, as_failed_cas, judge, model_of
from jepsen_like.checks.parallel import memory_in_use
from jepsen_like.history.columns import History
from jepsen_like.history.fault_window import as_row
from jepsen_like.history.files import Format, load
from jepsen_like.history.operation import HistoryError
from jepsen_like.result import Validity, Verdict

__all__ = ["Job", "FileVerdict", "judge_files"]

RESERVE: Final = 0.1  # of the time, at most RESERVE_S_MAX: for a judge to say how far it got
RESERVE_S_MAX: Final = 0.4
RESERVE_BYTES: Final = 8 << 20  # of the memory, for it to say that there was no more
PROGRESS_EVERY_S: Final = 0.5

FAULTS_MAX: Final = 1_000  # told of one history
ORDER_S_MAX: Final = 5.0  # for a report: to find out where operations took effect

SCHEMA: Final = "jepsen_like.verdict"
SCHEMA_VERSION: Final = 1
"""Raised whenever a field of `--json` goes or changes meaning; new ones may come."""

_FORK: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Job:
    path: Path
    question: Question
    format: Format | None = None
    independent: bool = False
    report: Path | None = None
    command: str = ""  # for the report
    in_full: bool = False  # with the linearization


@dataclass(frozen=True)
class FileVerdict:
    """One row of the table; `as_dict` is what `--json` prints, as docs/checking.md says."""

    file: str
    validity: Validity
    reason: str
    model: str = ""
    check: str = ""
    format: str = ""
    operations: int = 0
    seconds: float = 0.0
    offending: tuple[dict[str, Any], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    faults: tuple[dict[str, Any], ...] = ()  # what was done meanwhile, as a history's lines have it

    def as_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "version": SCHEMA_VERSION, **asdict(self)}


def judge_files(
    jobs: Sequence[Job],
    *,
    side_by_side: int,
    since: float | None = None,
    progress: Callable[[int, float], None] = lambda _done, _seconds: None,
) -> list[FileVerdict]:
    """The verdicts in the order of `jobs`. Ending early (Ctrl-C) ends every judge.

    `since`: from when the time of those that begin at once is counted, on `time.monotonic`.
    """
    start = time.monotonic()
    waited = 0.0 if since is None else start - since
    waiting = list(enumerate(jobs))[::-1]
    running: dict[Connection, _Running] = {}
    verdicts: dict[int, FileVerdict] = {}
    try:
        while waiting or running:
            while waiting and len(running) < side_by_side:
                index, job = waiting.pop()
                begun = _Running(index, job, waited if index < side_by_side else 0.0)
                running[begun.pipe] = begun
            until = min(r.deadline for r in running.values()) - time.monotonic()
            ready = wait(list(running), timeout=max(0.0, min(until, PROGRESS_EVERY_S)))
            now = time.monotonic()
            for pipe, run in list(running.items()):
                if pipe in ready or now >= run.deadline:
                    verdicts[run.index] = run.finish(is_ready=pipe in ready)
                    del running[pipe]
            progress(len(verdicts), now - start)
    finally:
        for run in running.values():
            run.end()
    return [verdicts[index] for index in range(len(jobs))]


class _Running:
    """One judge at work."""

    def __init__(self, index: int, job: Job, waited: float) -> None:
        self.index = index
        self._job = job
        self._start = time.monotonic() - waited
        self.deadline = self._start + min(job.question.seconds, 1e9)
        self.pipe, theirs = _FORK.Pipe(duplex=False)
        # What this process holds is part of the memory that a file may take
        ours = memory_in_use()
        arguments = (job, self.deadline, self.pipe, theirs, ours)
        self._process: BaseProcess = _FORK.Process(target=_work, args=arguments)
        self._process.start()
        theirs.close()

    def finish(self, *, is_ready: bool) -> FileVerdict:
        took = time.monotonic() - self._start
        problem = f"stopped after {took:.1f} s: the time limit is {self._job.question.seconds:g} s"
        try:
            if is_ready:
                answer = json.loads(self.pipe.recv_bytes())
                del answer["schema"], answer["version"]
                answer["offending"] = tuple(answer["offending"])
                answer["faults"] = tuple(answer["faults"])
                return FileVerdict(**answer)
        except EOFError:
            self._process.join()
            problem = f"the checker died ({_death(self._process.exitcode)})"
        finally:
            self.end()
        return FileVerdict(str(self._job.path), "unknown", problem, seconds=round(took, 3))

    def end(self) -> None:
        """Kill it and whatever it started; returns when it is gone."""
        pid = self._process.pid
        if pid is not None and self._process.is_alive():
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not made its group yet
                self._process.kill()
        self._process.join()
        self.pipe.close()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _work(
    job: Job, deadline: float, ours: Connection, answers: Connection, taken_bytes: int
) -> None:
    """The judge's process."""
    ours.close()
    os.setpgid(0, 0)  # so that its own helpers end with it
    limit = job.question.memory_bytes
    most = None if limit is None else max(limit - taken_bytes, RESERVE_BYTES)
    if most is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (most - RESERVE_BYTES, most))
    verdict = _judge_within_limits(job, deadline, most)
    answers.send_bytes(json.dumps(verdict.as_dict(), default=str).encode())
    answers.close()


def _judge_within_limits(job: Job, deadline: float, most_bytes: int | None) -> FileVerdict:
    start = time.monotonic()
    name = str(job.path)
    found = ""
    try:
        loaded = load(job.path, job.format, independent=job.independent)
        found = loaded.format
        for flaw in loaded.flaws:
            if flaw.fatal:
                raise HistoryError(f"{name}:{flaw.line}: {flaw.text}")
        if not loaded.history:
            raise HistoryError(f"{name}: the history is empty: there is nothing to judge")
        reserve = min(job.question.seconds * RESERVE, RESERVE_S_MAX)
        left = deadline - reserve - time.monotonic()
        if left < -reserve:
            raise HistoryError(
                f"{name}: the time limit of {job.question.seconds:g} s was over when it was read"
            )
        question = replace(job.question, seconds=max(left, 0.0), memory_bytes=most_bytes)
        model, verdict = judge(loaded.history, question)
        if job.report is not None:
            _write_report(job, deadline, loaded.history, model, verdict, start)
    except (HistoryError, NameUnknown, OSError) as exc:
        reason = str(exc) if str(exc).startswith(name) else f"{name}: {exc}"
        return FileVerdict(name, "unknown", reason, format=found, seconds=_since(start))
    except MemoryError:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
        limit_bytes = job.question.memory_bytes
        reason = f"{name}: more memory was needed than the {limit_bytes} bytes it may use"
        return FileVerdict(name, "unknown", reason, format=found, seconds=_since(start))
    except Exception as exc:  # a crash is no verdict, and must not look like one
        reason = f"{name}: the checker crashed: {type(exc).__name__}: {exc}"
        trace = {"trace": traceback.format_exc()}
        return FileVerdict(
            name, "unknown", reason, format=found, seconds=_since(start), details=trace
        )
    details = {
        key: value
        for key, value in verdict.details.items()
        if job.in_full or key not in ("linearization", "judged")
    }
    return FileVerdict(
        file=name,
        validity=verdict.validity,
        reason=verdict.reason,
        model=model,
        check=verdict.check,
        format=found,
        operations=verdict.operations,
        seconds=_since(start),
        offending=tuple(_offending(loaded.history, verdict)),
        details=json.loads(json.dumps(details, default=str)),
        faults=tuple(as_row(fault) for fault in loaded.history.faults[:FAULTS_MAX]),
    )


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)


def _offending(history: Any, verdict: Verdict) -> Iterator[dict[str, Any]]:
    """The operations of a verdict with their lines."""
    if not verdict.offending:
        return
    lines: dict[int, list[int]] = {}
    for i, sent in enumerate(history.sent_ns):
        lines.setdefault(sent, []).append(i)
    for operation in verdict.offending:
        places = [i for i in lines.get(operation.sent_ns, ()) if history[i] == operation]
        yield {**asdict(operation), "line": history.lines[places[0]] if places else 0}


def _write_report(
    job: Job, deadline: float, history: History, model: str, verdict: Verdict, start: float
) -> None:
    # here: it needs jinja2, and nothing else does
    from jepsen_like.report import check_page
    from jepsen_like.report.judged_history import judged_history

    assert job.report is not None
    left = deadline - time.monotonic()
    try:
        judged_by = model_of(replace(job.question, model=job.question.model or model), model)
        seconds = min(left / 2, ORDER_S_MAX)
        meaning = job.question.failed_cas
        judged = history if meaning is None else as_failed_cas(history, meaning)
        order = orders_of(judged, verdict, judged_by, seconds=seconds)
    except NameUnknown:  # not a question of linearizability
        order = None
    story = judged_history(job.path.name, model, history, verdict, order)
    check_page.write(story, job.report, command=job.command, seconds=_since(start))
