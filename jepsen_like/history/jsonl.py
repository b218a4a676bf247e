"""Histories as JSON lines: our own format, version 4.

    {"format":"jepsen_like.history","version":4,"columns":["process","f","key","value","outcome",
     "output","scheduled_ns","sent_ns","returned_ns","node","error","version","workload"]}
    [3,"cas","x",[1,2],"ok",true,10,12,30,"n1","",null,"register"]            (each one line)
    {"fault":"partition n2","start_ns":5,"end_ns":40,"verified":true}

The first line is the header; every other line that is an array is one operation: the fields of
`Operation` in the order of `columns`; one that is an object is something that was done to the
database meanwhile (`fault_window.py`). Both may stand in any order. JSON arrays stand for tuples.
The outcome `open` says that the operation was sent and had not ended when the line was written; a
later line of the same process replaces it, and one that is never replaced is `info`. So a file
can be read while it grows, and after its writer was killed.

Versions 3 and 2 are read too: they have no faults, and 2 no column `workload`. So is version 1,
whose lines are objects, easy to write from any language:

    {"format":"jepsen_like.history","version":1}
    {"process":3,"f":"cas","key":"x","value":[1,2],"outcome":"ok","output":true,
     "scheduled_ns":10,"sent_ns":12,"returned_ns":30,"node":"n1","error":""}         (one line)

Any other version is refused, never guessed. Lines are decoded and checked many at a time,
column by column; only when that fails is the line looked for.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

from jepsen_like.history.collector import paused_collector
from jepsen_like.history.columns import TIME_MAX, History, faults_of, fit
from jepsen_like.history.fault_window import FaultWindow, as_row, from_row
from jepsen_like.history.operation import HistoryError, Operation, hashable

__all__ = ["FORMAT", "VERSION", "Writer", "Follower", "write_jsonl", "read_jsonl", "parse_jsonl"]

FORMAT: Final = "jepsen_like.history"
VERSION: Final = 4
CHUNK_LINES: Final = 512  # small enough that the rows of a chunk die in the cache
LINE_CHARACTERS_SHOWN: Final = 60
TEXTS_KEPT: Final = (
    1024  # names of functions, nodes and workloads, and errors, come again and again
)
TEXT_CHARACTERS_KEPT: Final = 256

_FIELDS: Final = (
    "process", "f", "key", "value", "outcome", "output", "scheduled_ns", "sent_ns", "returned_ns",
    "node", "error", "version", "workload",
)  # fmt: skip
_FIELDS_2: Final = tuple(name for name in _FIELDS if name != "workload")
_FIELDS_1: Final = tuple(name for name in _FIELDS_2 if name != "version")
_NUMBERS: Final = ("process", "scheduled_ns", "sent_ns", "returned_ns")
_TEXTS: Final = ("f", "outcome", "node", "error", "workload")
_ANYTHING: Final = ("value", "output")
_AT: Final = {name: place for place, name in enumerate(_FIELDS)}
_OUTCOMES: Final = {"ok", "fail", "info", "open"}
_OUTCOME: Final = _AT["outcome"]
_ERROR: Final = _AT["error"]
_PROCESS: Final = _AT["process"]
_KEY: Final = _AT["key"]
_VERSION: Final = _AT["version"]
_fields_of = attrgetter(*_FIELDS)


def _refuse(name: str) -> None:
    """NaN equals nothing, itself included: no read of it could be judged."""
    raise ValueError(f"{name} is no number there")


_from_json = json.JSONDecoder(parse_constant=_refuse).decode
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_encoded_text = lru_cache(TEXTS_KEPT)(_encode)


class Writer:
    """Appends operations to a new file: whole lines, in their order, when it is told to `flush`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w", encoding="utf-8")
        self._lines = [_header()]
        self.flush()

    def write(self, operation: Operation, *, is_open: bool = False) -> None:
        """Raises HistoryError for a value that JSON cannot hold; nothing is written then."""
        self._lines.append(_line(self._path, operation, is_open=is_open))

    def write_fault(self, fault: FaultWindow) -> None:
        self._lines.append(_encode(as_row(fault)) + "\n")

    def flush(self) -> None:
        """Raises OSError."""
        lines, self._lines = self._lines, []
        self._file.write("".join(lines))
        self._file.flush()

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._file.close()


def write_jsonl(path: Path, operations: Iterable[Operation]) -> None:
    """Write the history; raises HistoryError for a value that JSON cannot hold."""
    with path.open("w", encoding="utf-8") as file:
        file.write(_header())
        for operation in operations:
            file.write(_line(path, operation, is_open=False))
        for fault in faults_of(operations):
            file.write(_encode(as_row(fault)) + "\n")


def _header() -> str:
    return _encode({"format": FORMAT, "version": VERSION, "columns": list(_FIELDS)}) + "\n"


def _line(path: Path, operation: Operation, *, is_open: bool) -> str:
    row = list(_fields_of(operation))
    if is_open:
        row[_OUTCOME] = "open"
    try:
        return f"[{','.join(map(_json, row))}]\n"
    except (TypeError, ValueError, RecursionError) as exc:
        raise HistoryError(f"{path}: cannot write {operation}: {exc}") from exc


def _json(value: Any) -> str:
    """What `_encode` says, for most fields without asking it: that takes longer than all of the
    rest of a line."""
    kind = type(value)
    if kind is int:
        return str(value)
    if value is None:
        return "null"
    if kind is str and len(value) <= TEXT_CHARACTERS_KEPT:
        return _encoded_text(value)
    return _encode(value)


def read_jsonl(path: Path, *, growing: bool = False) -> History:
    """Read a history. Raises HistoryError naming file and line, OSError for the file.

    `growing`: the file is still being written, and a last line without its end is not there yet.
    """
    with path.open(encoding="utf-8") as file:
        try:
            return parse_jsonl(str(path), file, growing=growing)
        except UnicodeDecodeError as exc:
            raise HistoryError(f"{path}: not UTF-8 text: {exc}") from exc


def parse_jsonl(name: str, lines: Iterable[str], *, growing: bool = False) -> History:
    """`read_jsonl` of lines from anywhere, which are called `name`."""
    with paused_collector():  # a row is a list, and there is no cycle of them
        return _parsed(name, iter(lines), growing=growing)


def _parsed(name: str, source: Iterator[str], *, growing: bool) -> History:
    to_rows, has_faults = _header_of(name, next(source, ""))
    history = History()
    faults = history.faults if has_faults else None
    waiting: dict[int, tuple[list[Any], int]] = {}  # open operations with their lines, by process
    first = 2
    while chunk := list(islice(source, CHUNK_LINES)):
        if growing and not chunk[-1].endswith("\n"):
            chunk.pop()
        columns, numbers = _decode(name, first, chunk, to_rows, faults)
        if columns and (waiting or "open" in columns[_OUTCOME]):
            columns, numbers = _set_aside_open(columns, numbers, waiting)
        if columns:
            history.extend_columns(columns, numbers)
        first += len(chunk)
    for row, number in waiting.values():
        row[_OUTCOME] = "info"
        row[_ERROR] = row[_ERROR] or "not answered when the recording ended"
        history.extend_columns([[field] for field in row], [number])
    return history


class Follower:
    """The lines of a file that is being written, as they come: operations sent and ended."""

    def __init__(self, name: str) -> None:
        self.line = 0  # the last that was read
        self._name = name
        self._to_rows: _Rows | None = None
        self._has_faults = False
        self._rest = ""  # of a line that has no end yet

    def feed(self, text: str) -> list[tuple[Operation, bool]]:
        """(operation, is it open) of every line that is complete now. Raises HistoryError."""
        *lines, self._rest = (self._rest + text).split("\n")
        found: list[tuple[Operation, bool]] = []
        if lines and self._to_rows is None:
            self._to_rows, self._has_faults = _header_of(self._name, lines.pop(0))
            self.line = 1
        for start in range(0, len(lines), CHUNK_LINES):
            assert self._to_rows is not None
            chunk = [line + "\n" for line in lines[start : start + CHUNK_LINES]]
            faults: list[FaultWindow] | None = [] if self._has_faults else None
            columns, _ = _decode(self._name, self.line + 1, chunk, self._to_rows, faults)
            self.line += len(chunk)
            for row in zip(*columns, strict=True):
                is_open = row[_OUTCOME] == "open"
                fields = (*row[:_OUTCOME], "info", *row[_OUTCOME + 1 :]) if is_open else row
                found.append((Operation(*fields), is_open))
        return found


_Rows: TypeAlias = Callable[[list[Any]], list[list[Any]]]
_Columns: TypeAlias = list[Sequence[Any]]


def _header_of(name: str, line: str) -> tuple[_Rows, bool]:
    """How lines become rows in the order of `_FIELDS`, as the header says; may there be faults?"""
    try:
        header = _from_json(line)
    except (ValueError, RecursionError) as exc:
        raise HistoryError(f"{name}:1: {_not_json(exc)}") from exc
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise HistoryError(f'{name}:1: no history: it must begin with {{"format":"{FORMAT}",...')
    version = header.get("version")
    if version == 1:
        return _rows_of_objects, False
    if version not in (2, 3, VERSION):
        raise HistoryError(
            f"{name}:1: history of version {version!r}; this reader knows 1, 2, 3 and {VERSION}"
        )
    has_faults = version == VERSION
    fields = list(_FIELDS_2 if version == 2 else _FIELDS)
    columns = header.get("columns")
    if columns == list(_FIELDS):
        return _rows_in_order, has_faults
    if not isinstance(columns, list) or sorted(map(str, columns)) != sorted(fields):
        raise HistoryError(f"{name}:1: columns must be {', '.join(fields)}, not {columns!r}")
    order = [columns.index(field) for field in fields]
    missing = [""] * (len(_FIELDS) - len(fields))

    def reordered(values: list[Any]) -> list[list[Any]]:
        rows = _rows_in_order(values, len(fields))
        return [[row[i] for i in order] + missing for row in rows]

    return reordered, has_faults


def _rows_in_order(values: list[Any], width: int = len(_FIELDS)) -> list[list[Any]]:
    if set(map(type, values)) - {list}:
        raise HistoryError("not a JSON array")
    odd = set(map(len, values)) - {width}
    if odd:
        raise HistoryError(f"{min(odd)} fields, where the header names {width}")
    return values


def _rows_of_objects(values: list[Any]) -> list[list[Any]]:
    rows = []
    for fields in values:
        if type(fields) is not dict:
            raise HistoryError("not a JSON object")
        if fields.keys() != set(_FIELDS_1):
            odd = ", ".join(sorted(fields.keys() ^ set(_FIELDS_1)))
            raise HistoryError(f"missing or unknown fields: {odd}")
        rows.append([*(fields[field] for field in _FIELDS_1), None, ""])
    return rows


def _decode(
    name: str, first: int, lines: list[str], to_rows: _Rows, faults: list[FaultWindow] | None
) -> tuple[_Columns, Sequence[int]]:
    """The operations of the lines, and theirs; faults are appended to the list, if there may be."""
    try:
        values = _from_json(f"[{','.join(lines)}]")
        if len(values) == len(lines):
            numbered: Sequence[int] = range(first, first + len(lines))
            if faults is None or dict not in map(type, values):
                return _checked(to_rows(values)), numbered
            pairs = list(zip(values, numbered, strict=True))
            windows = [from_row(v, n, TIME_MAX) for v, n in pairs if type(v) is dict]
            operations = [(v, n) for v, n in pairs if type(v) is not dict]
            columns = _checked(to_rows([v for v, _ in operations])) if operations else []
            faults += windows
            return columns, [n for _, n in operations]
    except (ValueError, RecursionError):
        pass  # one line of many: it is looked for below, and named
    rows: list[Sequence[Any]] = []
    numbers = []
    for number, line in enumerate(lines, first):
        try:
            value = _from_json(line)
            if faults is not None and type(value) is dict:
                faults.append(from_row(value, number, TIME_MAX))
                continue
            rows += zip(*_checked(to_rows([value])), strict=True)
            numbers.append(number)
        except HistoryError as exc:
            raise HistoryError(f"{name}:{number}: {exc}") from exc
        except (ValueError, RecursionError) as exc:
            shown = line.strip()[:LINE_CHARACTERS_SHOWN]
            cut = "" if line.endswith("\n") else "; the file ends in the middle of it"
            raise HistoryError(f"{name}:{number}: {_not_json(exc)}: {shown!r}{cut}") from exc
    return list(zip(*rows, strict=True)), numbers


def _not_json(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "nested too deeply"
    if "int_max_str_digits" in str(exc):
        return f"a whole number of more than {sys.get_int_max_str_digits()} digits is too large"
    return f"not JSON: {exc}"


def _checked(rows: list[list[Any]]) -> _Columns:
    """The rows as columns, tuples for lists; raises HistoryError if any is no operation.

    Types are looked at to the letter: `"process":true` is no process number.
    """
    columns: _Columns = list(zip(*rows, strict=True))
    for field in _NUMBERS:
        columns[_AT[field]] = _numbers(field, columns[_AT[field]])
    for field in _TEXTS:
        columns[_AT[field]] = _texts(field, columns[_AT[field]])
    for field in _ANYTHING:
        column = columns[_AT[field]]
        if list in set(map(type, column)):
            columns[_AT[field]] = [hashable(v) if type(v) is list else v for v in column]
    if not set(map(type, columns[_KEY])) <= {int, str}:
        raise _wrong("key", columns[_KEY], int, str)
    if not _OUTCOMES.issuperset(columns[_OUTCOME]):
        odd = min(set(columns[_OUTCOME]) - _OUTCOMES)
        raise HistoryError(f"outcome is ok, fail, info or open, not {odd!r}")
    versions = columns[_VERSION]
    if versions.count(None) < len(versions):
        _numbers("version", [v for v in versions if v is not None])
    return columns


def _numbers(field: str, column: Sequence[Any]) -> Sequence[int]:
    """The column as 64-bit integers."""
    if set(map(type, column)) != {int}:
        raise _wrong(field, column, int)
    try:
        numbers = array("q", column)
    except OverflowError:
        pass
    else:
        if fit(numbers):
            return numbers
    big = max(column, key=abs)
    raise HistoryError(f"{field} is too large: it has {big.bit_length()} bits")


def _texts(field: str, column: Sequence[Any]) -> Sequence[str]:
    """The column with one object for all equal texts: a history has few of them, many times."""
    if column.count("") == len(column):
        return column
    try:
        return list(map(sys.intern, column))
    except TypeError:
        raise _wrong(field, column, str) from None


def _wrong(field: str, column: Sequence[Any], *types: type) -> HistoryError:
    odd = next(value for value in column if type(value) not in types)
    return HistoryError(f"{field} cannot be {odd!r}")


def _set_aside_open(
    columns: _Columns, lines: Sequence[int], waiting: dict[int, tuple[list[Any], int]]
) -> tuple[_Columns, list[int]]:
    """The operations that ended, with their lines; what is open is put into `waiting`."""
    kept, numbers = [], []
    for number, row in zip(lines, zip(*columns, strict=True), strict=True):
        if row[_OUTCOME] == "open":
            waiting[row[_PROCESS]] = (list(row), number)
        else:
            waiting.pop(row[_PROCESS], None)
            kept.append(row)
            numbers.append(number)
    return list(zip(*kept, strict=True)), numbers
