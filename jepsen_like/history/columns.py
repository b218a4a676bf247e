"""A history in columns: a million operations without a million objects.

`History` is a sequence of `Operation`; each is built when it is asked for. It grows only at the
end, and its last column grows last, so another thread may read it while it is written: what it
counts is complete. Strings and keys are interned, times are machine integers, and an error is
kept to ERROR_CHARACTERS_MAX, so that an operation costs some hundred bytes whatever happens.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Final, overload

from jepsen_like.history.fault_window import FaultWindow
from jepsen_like.history.operation import NO_VERSION, HistoryError, Operation, Outcome

__all__ = ["ERROR_CHARACTERS_MAX", "TIME_MAX", "History", "faults_of", "fit"]

ERROR_CHARACTERS_MAX: Final = 200
TIME_MAX: Final = (1 << 62) - 1  # of numbers kept in 64 bits: 146 years of nanoseconds
_HIGHEST: Final = 7 if sys.byteorder == "little" else 0  # of the eight bytes of a number
_HIGHEST_OF_FITTING: Final = bytes([*range(0x40), *range(0xC1, 0x100)])


def fit(numbers: array[int]) -> bool:
    """Whether none is beyond TIME_MAX, by a look at one byte of each instead of at each."""
    highest = numbers.tobytes()[_HIGHEST::8]
    if not highest.translate(None, _HIGHEST_OF_FITTING):
        return True
    return min(numbers) >= -TIME_MAX and max(numbers) <= TIME_MAX


class History(Sequence[Operation]):
    """Operations in the order in which they were recorded.

    The columns are public, to be read: `sent_ns` and its like are arrays of 64-bit integers,
    the others lists. `lines[i]` is the line of the file that operation i came from, or 0.
    `faults` is what was done to the database meanwhile, as far as somebody wrote it down.
    """

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self.process = array("q")
        self.f: list[str] = []
        self.key: list[int | str] = []
        self.value: list[Any] = []
        self.outcome: list[Outcome] = []
        self.output: list[Any] = []
        self.scheduled_ns = array("q")
        self.sent_ns = array("q")
        self.returned_ns = array("q")
        self.node: list[str] = []
        self.error: list[str] = []
        self.version = array("q")  # NO_VERSION: none
        self.workload: list[str] = []
        self.lines = array("q")
        self.faults: list[FaultWindow] = list(faults_of(operations))
        self._interned: dict[Any, Any] = {}
        for operation in operations:
            self.append(operation)

    def __len__(self) -> int:
        return len(self.lines)  # the column that is appended to last

    def append(self, operation: Operation, line: int = 0) -> None:
        """Raises HistoryError for a number that 64 bits do not hold."""
        numbers = (
            operation.process,
            operation.scheduled_ns,
            operation.sent_ns,
            operation.returned_ns,
            operation.version or 0,
        )
        if min(numbers) < -TIME_MAX or max(numbers) > TIME_MAX:
            raise HistoryError("a process, time or version is too large for 64 bits")
        intern = self._interned.setdefault
        self.process.append(operation.process)
        self.f.append(intern(operation.f, operation.f))
        self.key.append(intern(operation.key, operation.key))
        self.value.append(operation.value)
        self.outcome.append(operation.outcome)
        self.output.append(operation.output)
        self.scheduled_ns.append(operation.scheduled_ns)
        self.sent_ns.append(operation.sent_ns)
        self.returned_ns.append(operation.returned_ns)
        self.node.append(intern(operation.node, operation.node))
        error = operation.error[:ERROR_CHARACTERS_MAX]
        self.error.append(intern(error, error))
        self.version.append(NO_VERSION if operation.version is None else operation.version)
        self.workload.append(intern(operation.workload, operation.workload))
        self.lines.append(line)

    def extend_columns(self, columns: Sequence[Sequence[Any]], lines: Iterable[int]) -> None:
        """Append many operations at once: `columns` in the order of the fields of `Operation`.

        They must have been checked, and equal texts be one object. Raises OverflowError, with
        nothing appended, for a number that 64 bits do not hold.
        """
        process, f, key, value, outcome, output, scheduled, sent, returned, *others = columns
        node, error, version, workload = others
        count = len(f)
        numbers = [array("q", column) for column in (process, scheduled, sent, returned)]
        if version.count(None) == count:
            versions = array("q", [NO_VERSION]) * count
        else:
            versions = array("q", [NO_VERSION if v is None else v for v in version])
        intern = self._interned.setdefault
        self.process.extend(numbers[0])
        self.f.extend(f)
        self.key.extend(map(intern, key, key))
        self.value.extend(value)
        self.outcome.extend(outcome)
        self.output.extend(output)
        self.scheduled_ns.extend(numbers[1])
        self.sent_ns.extend(numbers[2])
        self.returned_ns.extend(numbers[3])
        self.node.extend(node)
        if error.count("") < count:
            short = [e and e[:ERROR_CHARACTERS_MAX] for e in error]
            error = list(map(intern, short, short))
        self.error.extend(error)
        self.version.extend(versions)
        self.workload.extend(workload)
        self.lines.extend(array("q", lines))

    def replaced(self, changed: Mapping[int, Operation]) -> History:
        """A copy in which the operations at these positions ask and answer something else.

        Only `f`, `value` and `output` are taken from `changed`; the other columns are shared, so
        neither history may be added to.
        """
        other = copy(self)
        other.f, other.value, other.output = list(self.f), list(self.value), list(self.output)
        for position, operation in changed.items():
            other.f[position] = operation.f
            other.value[position] = operation.value
            other.output[position] = operation.output
        return other

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Operation]: ...
    def __getitem__(self, index: int | slice) -> Operation | list[Operation]:
        if isinstance(index, slice):
            return [self._at(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._at(index % len(self))

    def __iter__(self) -> Iterator[Operation]:
        return map(self._at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(Operation.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def _at(self, i: int) -> Operation:
        version = self.version[i]
        return Operation(
            self.process[i],
            self.f[i],
            self.key[i],
            self.value[i],
            self.outcome[i],
            self.output[i],
            self.scheduled_ns[i],
            self.sent_ns[i],
            self.returned_ns[i],
            self.node[i],
            self.error[i],
            None if version == NO_VERSION else version,
            self.workload[i],
        )


def faults_of(operations: Iterable[Operation]) -> Sequence[FaultWindow]:
    """What the history says was done meanwhile; nothing of operations that are no `History`."""
    return operations.faults if isinstance(operations, History) else ()
