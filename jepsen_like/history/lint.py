"""What no sound recorder writes, and what makes a verdict worthless.

A checker believes the history. A write that timed out and was logged as `fail` makes a correct
database look broken; a process that goes on after `info` claims an order that nobody observed.
Each finding is a sentence, with the file and line where they are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

from jepsen_like.history.columns import History, faults_of
from jepsen_like.history.events import Flaw
from jepsen_like.history.fault_window import FaultWindow
from jepsen_like.history.operation import OUTCOMES, Operation

__all__ = ["LINT_FINDINGS_MAX", "NEVER_COMMITTED", "lint"]

LINT_FINDINGS_MAX: Final = 20  # a broken recorder breaks every line; nobody reads ten thousand
CHARACTERS_MAX: Final = 300  # of an operation in a sentence

_UNSURE: Final = re.compile(
    r"time?d?[ _-]?out|connection (?:was )?(?:reset|lost|closed)|broken pipe|socket|EOF|08007|"
    r"unknown outcome|outcome .*unknown|interrupted",
    re.IGNORECASE,
)
_ANSWERED: Final = re.compile(r"(?!08)[0-9A-Z]{5} ")
"""An SQLSTATE outside class 08 (connection exceptions) in front: no silence, the database itself
said that it did not happen."""

NEVER_COMMITTED: Final = "never committed: "
"""In front of the error of a transaction that ended before its COMMIT was sent: proof enough,
whatever the error is."""

_READS: Final = frozenset({"read", "get"})
"""Also with a level of consistency behind it: `read any`."""

_WRITES: Final = frozenset({"write", "put", "insert", "add", "enqueue"})


def _is_read(f: str) -> bool:
    return f.partition(" ")[0] in _READS


def lint(
    operations: Iterable[Operation],
    *,
    name: str = "",
    flaws: Sequence[Flaw] = (),
    distinct: bool = False,
) -> list[str]:
    """Sentences about what is wrong; an empty list for a well-formed history.

    `flaws` are those found while reading the file `name`. `distinct`: the workload promises
    that no two writes to a key write the same value.
    """
    history = operations if isinstance(operations, (History, list)) else list(operations)
    lines = history.lines if isinstance(history, History) else None
    # (line, when, sentence), so that a file's findings come in its order
    found: list[tuple[int, int, str]] = [(f.line, 0, f.text) for f in flaws]
    for fault in faults_of(history):
        found += [(fault.line, fault.start_ns, sentence) for sentence in _of_fault(fault)]
    for i, sentence in _findings(history, distinct=distinct):
        found.append((lines[i] if lines is not None else 0, history[i].sent_ns, sentence))
        if len(found) > 50 * LINT_FINDINGS_MAX:
            break
    found.sort(key=lambda item: item[:2])
    return [
        (f"{name}:{line}: " if line and name else f"line {line}: " if line else "") + sentence
        for line, _, sentence in found[:LINT_FINDINGS_MAX]
    ]


def _of_fault(fault: FaultWindow) -> Iterator[str]:
    if fault.start_ns < 0:
        yield f"the fault {fault.name!r} begins before the clock does"
    if fault.end_ns is not None and fault.end_ns < fault.start_ns:
        back = fault.start_ns - fault.end_ns
        yield f"the fault {fault.name!r} ends {back} ns before it begins"


def _findings(history: Sequence[Operation], *, distinct: bool) -> Iterator[tuple[int, str]]:
    """(position of the operation, what is wrong with it)."""
    operations = list(history)
    yield from _alone(operations)
    yield from _processes(operations)
    yield from _values(operations, distinct=distinct)


def _alone(operations: Sequence[Operation]) -> Iterator[tuple[int, str]]:
    for i, operation in enumerate(operations):
        for problem in _problems(operation):
            yield i, f"{_shown(operation)}: {problem}"


def _problems(operation: Operation) -> Iterator[str]:
    if operation.returned_ns < operation.sent_ns:
        yield (
            "scheduled, sent and returned are not in this order: the clock went back by "
            f"{operation.sent_ns - operation.returned_ns} ns"
        )
    elif not 0 <= operation.scheduled_ns <= operation.sent_ns:
        yield "scheduled, sent and returned are not in this order"
    if operation.outcome not in OUTCOMES:
        yield f"outcome {operation.outcome!r} is neither ok, fail nor info"
    elif operation.outcome != "ok" and not operation.error:
        yield f"{operation.outcome} without a reason"
    elif (
        operation.outcome == "fail"
        and not _is_read(operation.f)
        and _UNSURE.search(operation.error)
        and not _ANSWERED.match(operation.error)
        and not operation.error.startswith(NEVER_COMMITTED)
    ):
        yield (
            f"logged as fail, but {operation.error!r} does not prove that it did not happen: "
            "it is info"
        )
    if operation.f == "cas":
        if not isinstance(operation.value, tuple) or len(operation.value) != 2:
            yield "the value of a cas is (expected, new)"
        if operation.outcome == "ok" and not isinstance(operation.output, bool):
            yield "the output of a cas that came back is True or False"


def _processes(operations: Sequence[Operation]) -> Iterator[tuple[int, str]]:
    """One operation of a process at a time, and none after `info`."""
    last: dict[int, Operation] = {}
    when = attrgetter("sent_ns", "returned_ns")
    for i in sorted(range(len(operations)), key=lambda i: when(operations[i])):
        operation = operations[i]
        before = last.get(operation.process)
        if before is not None and before.outcome == "info":
            yield (
                i,
                (
                    f"{_shown(operation)}: its process had ended with info in {_shown(before)}: "
                    "a process id is never used again"
                ),
            )
        elif before is not None and operation.sent_ns < before.returned_ns:
            yield (
                i,
                (
                    f"{_shown(operation)}: sent while its process was still waiting for "
                    f"{_shown(before)}"
                ),
            )
        last[operation.process] = operation


def _values(operations: Sequence[Operation], *, distinct: bool) -> Iterator[tuple[int, str]]:
    """A value that was read although its only write failed; values written twice."""
    written: dict[tuple[Any, ...], int] = {}
    failed: dict[tuple[Any, ...], int] = {}
    for i, operation in enumerate(operations):
        value = _written(operation)
        if value is None:
            continue
        place: tuple[Any, ...] = (operation.workload, operation.key, value)
        try:
            if operation.outcome == "fail":
                if operation.f != "add":  # a read shows a sum or a set, and never just this
                    failed.setdefault(place, i)
            elif place not in written:
                written[place] = i
            elif distinct:
                first = operations[written[place]]
                yield i, f"{_shown(operation)}: its value was written before, by {_shown(first)}"
        except TypeError:
            continue  # a value that cannot be compared quickly, such as a map
    if not failed:
        return
    for i, operation in enumerate(operations):
        if operation.f not in _READS or operation.outcome != "ok":
            continue
        try:
            place = (operation.workload, operation.key, operation.output)
            if place in failed and place not in written:
                write = operations[failed[place]]
                yield i, f"{_shown(operation)}: the only write of its value failed: {_shown(write)}"
        except TypeError:
            continue


def _written(operation: Operation) -> Any:
    if operation.f in _WRITES:
        return operation.value
    if operation.f == "cas" and isinstance(operation.value, tuple) and len(operation.value) == 2:
        # one that did not match wrote nothing
        return None if operation.output is False else operation.value[1]
    return None


def _shown(operation: Operation) -> str:
    text = str(operation)
    return text if len(text) <= CHARACTERS_MAX else text[:CHARACTERS_MAX] + "..."
