"""Who wrote which version of a key: what the weaker models of registers begin with.

They take each written value for a version, so no key may be written the same value twice; a
history that does is not judged. A compare-and-set that matched read one version and wrote the
next; one that did not match says nothing here. A write of unknown outcome happened if somebody
read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jepsen_like.history import Operation

__all__ = ["Event", "Versions", "NotDistinct", "versions_of"]


class NotDistinct(ValueError):
    """A value was written twice to a key: its versions cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Event:
    """One half of an operation, in the order of its process."""

    position: int  # of the operation in the history
    process: int
    key: int | str
    version: Any
    is_write: bool


@dataclass
class Versions:
    """`events` by process; `writer` of each (key, version): the position of the operation."""

    events: dict[int, list[Event]] = field(default_factory=dict)
    writer: dict[tuple[Any, Any], int] = field(default_factory=dict)


def versions_of(history: Sequence[Operation], initial: Any = None) -> Versions:
    """Raises NotDistinct, and ValueError for what is no read, write or cas."""
    found = Versions()
    seen = _seen(history)
    order = sorted(range(len(history)), key=lambda i: (history[i].sent_ns, i))
    for i in order:
        operation = history[i]
        halves = _halves(operation)
        if operation.outcome == "info" and (operation.key, _written(operation)) not in seen:
            continue  # nobody saw it: whether it happened makes no difference
        for version, is_write in halves:
            key = operation.key
            if is_write:
                if (key, version) in found.writer or version == initial:
                    where = f" to {key}" if key != "" else ""
                    raise NotDistinct(
                        f"{version!r} was written twice{where}, or is there from the start: "
                        "the versions cannot be told apart"
                    )
                found.writer[key, version] = i
            event = Event(i, operation.process, key, version, is_write)
            found.events.setdefault(operation.process, []).append(event)
    return found


def _seen(history: Sequence[Operation]) -> set[tuple[Any, Any]]:
    """The versions that somebody surely met, by way of others of unknown outcome too."""
    seen = set()
    met_by: dict[tuple[Any, Any], list[tuple[Any, Any]]] = {}  # (key, new) -> what it replaced
    for operation in history:
        key = operation.key
        if operation.f == "cas" and operation.outcome == "info":
            expected, new = operation.value
            met_by.setdefault((key, new), []).append((key, expected))
        elif operation.outcome == "ok" and operation.f == "read":
            seen.add((key, operation.output))
        elif operation.outcome == "ok" and operation.f == "cas" and operation.output is True:
            seen.add((key, operation.value[0]))
    waiting = list(seen)
    while waiting:
        for place in met_by.get(waiting.pop(), ()):
            if place not in seen:
                seen.add(place)
                waiting.append(place)
    return seen


def _written(operation: Operation) -> Any:
    return operation.value[1] if operation.f == "cas" else operation.value


def _halves(operation: Operation) -> Iterable[tuple[Any, bool]]:
    if operation.f not in ("read", "write", "cas"):
        raise ValueError(f"a register has read, write and cas, not {operation.f!r}")
    if operation.outcome == "fail":
        return ()
    if operation.f == "write":
        return ((operation.value, True),)
    if operation.f == "read":
        return ((operation.output, False),) if operation.outcome == "ok" else ()
    if operation.outcome == "ok" and operation.output is not True:
        return ()
    return ((operation.value[0], False), (operation.value[1], True))
