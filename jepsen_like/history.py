"""What clients saw: operations with their times and outcomes, in memory and as JSON lines.

An operation is judged from outside: what was asked, when it was sent, when and how it came
back. Times are nanoseconds of one monotonic clock, counted from the start of the run.

This module knows no database and no checker: a history written today must be readable by a
checker written later, and by one that is not ours. The file format, version 1:

    {"format":"jepsen_like.history","version":1}
    {"process":3,"f":"cas","key":"x","value":[1,2],"outcome":"ok","output":true,
     "scheduled_ns":10,"sent_ns":12,"returned_ns":30,"node":"n1","error":""}      (one line)

The first line is the header; every other line is one `Operation` with exactly these fields, in
any order of operations. JSON arrays stand for tuples. Another version is refused, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = [
    "Outcome",
    "Operation",
    "Unserved",
    "HistoryError",
    "FORMAT",
    "VERSION",
    "write_jsonl",
    "read_jsonl",
    "lint",
]

Outcome: TypeAlias = Literal["ok", "fail", "info"]
"""ok: it happened. fail: it did not and never will. info: unknown, it may still happen."""

FORMAT = "jepsen_like.history"
VERSION = 1
LINT_FINDINGS_MAX = 20  # a broken recorder breaks every line; nobody reads ten thousand of them


class HistoryError(ValueError):
    """A history that cannot be written or read; the sentence names the file and the line."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One finished (or for ever unfinished) operation of one client process.

    A process has at most one operation in flight, and after `info` its number is never used
    again. `returned_ns` of an `info` operation is when the client gave up; checkers treat the
    operation as never having returned.
    """

    process: int
    f: str  # "read", "write", "cas", ...
    key: int | str
    value: Any  # the argument: write: value; cas: (expected, new); read: None
    outcome: Outcome
    output: Any  # what came back: read: the value; cas: did it match (bool); else None
    scheduled_ns: int  # when the load generator wanted it sent
    sent_ns: int  # when it was handed to the database
    returned_ns: int
    node: str  # the node (side) whose router the client was bound to
    error: str = ""  # why it is `fail` or `info`


@dataclass(frozen=True, slots=True)
class Unserved:
    """An arrival of the open loop that found no free connection before its deadline.

    It counts against availability (a user was not served), and it is no operation of the
    history: nothing was sent, so no checker may reason about it.
    """

    scheduled_ns: int
    node: str
    f: str
    key: int | str


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "process": int,
    "f": str,
    "key": (int, str),
    "value": object,
    "outcome": str,
    "output": object,
    "scheduled_ns": int,
    "sent_ns": int,
    "returned_ns": int,
    "node": str,
    "error": str,
}
_fields_of = attrgetter(*_FIELDS)


def write_jsonl(path: Path, operations: Iterable[Operation]) -> None:
    """Write the history; raises HistoryError for a value that JSON cannot hold."""
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
    with path.open("w", encoding="utf-8") as file:
        file.write(encode({"format": FORMAT, "version": VERSION}) + "\n")
        for operation in operations:
            fields = dict(zip(_FIELDS, _fields_of(operation), strict=True))
            try:
                file.write(encode(fields) + "\n")
            except (TypeError, ValueError) as exc:
                raise HistoryError(f"{path}: cannot write {operation}: {exc}") from exc


def read_jsonl(path: Path) -> list[Operation]:
    """Read what `write_jsonl` wrote; raises HistoryError naming the line, OSError for the file."""
    with path.open(encoding="utf-8") as file:
        try:
            return list(_parse(path, file))
        except UnicodeDecodeError as exc:
            raise HistoryError(f"{path}: not UTF-8 text: {exc}") from exc


def _parse(path: Path, lines: Iterable[str]) -> Iterator[Operation]:
    numbered = enumerate(lines, 1)
    _check_header(path, next(numbered, (1, ""))[1])
    for number, line in numbered:
        where = f"{path}:{number}"
        fields = _json_object(where, line)
        if fields.keys() != _FIELDS.keys():
            odd = ", ".join(sorted(fields.keys() ^ _FIELDS.keys()))
            raise HistoryError(f"{where}: missing or unknown fields: {odd}")
        for name, kind in _FIELDS.items():
            value = fields[name]
            # bool is an int to isinstance: `"process":true` is no process number
            if not isinstance(value, kind) or (kind is not object and isinstance(value, bool)):
                raise HistoryError(f"{where}: {name} cannot be {value!r}")
        if fields["outcome"] not in ("ok", "fail", "info"):
            raise HistoryError(f"{where}: outcome is ok, fail or info, not {fields['outcome']!r}")
        fields["value"] = _tuples(fields["value"])
        fields["output"] = _tuples(fields["output"])
        yield Operation(**fields)


def _check_header(path: Path, line: str) -> None:
    header = _json_object(f"{path}:1", line)
    if header.get("format") != FORMAT:
        raise HistoryError(f'{path}:1: no history: it must begin with {{"format":"{FORMAT}",...')
    if header.get("version") != VERSION:
        raise HistoryError(
            f"{path}:1: history of version {header.get('version')!r}; this reader knows {VERSION}"
        )


def _json_object(where: str, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise HistoryError(f"{where}: not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise HistoryError(f"{where}: not a JSON object")
    return value


def _tuples(value: Any) -> Any:
    """JSON arrays as tuples: values of operations are hashable, checkers intern them."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def lint(operations: Iterable[Operation]) -> list[str]:
    """Sentences about what no sound recorder writes; an empty list for a well-formed history.

    A verdict on a malformed history is worth nothing: a process that goes on after `info`, for
    instance, claims an order between operations that nobody observed.
    """
    findings: list[str] = []
    last: dict[int, Operation] = {}
    for operation in sorted(operations, key=attrgetter("sent_ns", "returned_ns")):
        findings.extend(f"{operation}: {problem}" for problem in _problems(operation))
        before = last.get(operation.process)
        if before is not None and before.outcome == "info":
            findings.append(f"{operation}: its process had ended with info in {before}")
        elif before is not None and operation.sent_ns < before.returned_ns:
            findings.append(f"{operation}: sent while its process was still waiting for {before}")
        last[operation.process] = operation
        if len(findings) >= LINT_FINDINGS_MAX:
            break
    return findings[:LINT_FINDINGS_MAX]


def _problems(operation: Operation) -> Iterator[str]:
    if not 0 <= operation.scheduled_ns <= operation.sent_ns <= operation.returned_ns:
        yield "scheduled, sent and returned are not in this order"
    if operation.outcome not in ("ok", "fail", "info"):
        yield f"outcome {operation.outcome!r} is neither ok, fail nor info"
    if operation.outcome != "ok" and not operation.error:
        yield f"{operation.outcome} without a reason"
    if operation.f == "cas":
        if not isinstance(operation.value, tuple) or len(operation.value) != 2:
            yield "the value of a cas is (expected, new)"
        if operation.outcome == "ok" and not isinstance(operation.output, bool):
            yield "the output of a cas that came back is True or False"
