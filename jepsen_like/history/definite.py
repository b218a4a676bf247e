"""Errors that an adapter called definite, and a read that says otherwise.

`fail` is a claim: nothing of the call has happened or will. Mostly it is the adapter's. No check
can tell a claim that is false from a database that made something up, so a run in which one was
found out convicts nobody, unless the database itself had said so. What an operation of a
transaction says is left to the checks of transactions: that a value of a transaction that was
rolled back is read (G1a, Adya 1999) is a fault by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from jepsen_like.history.lint import NEVER_COMMITTED
from jepsen_like.history.operation import Operation

__all__ = ["contradicted", "in_words"]

SEVERAL: Final = (tuple, list, set, frozenset)


def contradicted(
    operations: Sequence[Operation], initial: Any = None
) -> list[tuple[Operation, Operation]]:
    """(what failed, the first read that shows its value), of one workload, in the order of the
    reads. A value that something else may have written, or that was there at first, proves
    nothing."""
    failed: dict[tuple[Any, Any], Operation] = {}
    others: set[tuple[Any, Any]] = set()
    for operation in operations:
        value = _written(operation)
        if value is None or value == initial:
            continue
        place = (operation.key, value)
        if operation.outcome == "fail" and not operation.error.startswith(NEVER_COMMITTED):
            failed.setdefault(place, operation)
        elif operation.outcome != "fail":
            others.add(place)
    found: dict[tuple[Any, Any], tuple[Operation, Operation]] = {}
    for operation in sorted(_reads(operations), key=lambda o: o.returned_ns):
        is_set = isinstance(operation.output, SEVERAL)
        for value in operation.output if is_set else (operation.output,):
            if not isinstance(value, (int, str)):
                continue
            place = (operation.key, value)
            write = failed.get(place)
            if (
                write is not None
                and is_set == (write.f == "add")  # of a counter a read shows the sum
                and place not in others
                and place not in found
                and operation.returned_ns >= write.sent_ns
            ):
                found[place] = (write, operation)
    return list(found.values())


def in_words(write: Operation, read: Operation, *, by_database: bool = False) -> str:
    who = "database" if by_database else "adapter"
    words = (
        f"the {who} called the error of {write.f} {write.value!r} of key {write.key} definite "
        f"({write.error!r} on {write.node}), but its value was read {_later(write, read)}"
    )
    return words if by_database else f"{words}: such an error has to be info"


def _later(write: Operation, read: Operation) -> str:
    return f"{(read.returned_ns - write.sent_ns) / 1e9:.3f} s after it was sent, on {read.node}"


def _reads(operations: Iterable[Operation]) -> Iterator[Operation]:
    return (o for o in operations if o.outcome == "ok" and o.f.partition(" ")[0] in ("read", "get"))


def _written(operation: Operation) -> int | str | None:
    """What a read would show of it: a number or a text that was written, or added to a set."""
    value = operation.value
    if operation.f == "cas" and isinstance(value, tuple) and len(value) == 2:
        value = None if operation.output is False else value[1]
    elif operation.f not in ("write", "put", "insert", "add"):
        return None
    return value if isinstance(value, (int, str)) else None
