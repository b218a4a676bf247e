"""Writes of equal values, told apart by the version that the database named.

A version is the log index or revision of a write: of a write or a compare-and-set that matched
the one it got, of a read or a compare-and-set that did not match the one it saw. With versions
every read names its write although values repeat, so that a search becomes the blocks of
distinct values, and staleness can be measured.

Only keys whose written values repeat are looked at, and only where every answer that needs one
has a version. First the versions must agree with the values: no version is given to two writes,
a read returned what its version wrote, a compare-and-set found the value of the version before
its own. A write of unknown outcome gets the version that a read saw of its value, if there is no
other such write; what nobody saw gets one that is nobody's. Where one of these fails the key is
judged by its values, and what does not agree is said: then the history is not valid.

Values become `At(value, version)`; whatever judges registers can judge those. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jepsen_like.history import History, Operation
from jepsen_like.history.operation import NO_VERSION
from jepsen_like.models.model import Model
from jepsen_like.models.register import CasRegister

__all__ = ["At", "Labelled", "by_version"]


@dataclass(frozen=True, slots=True, repr=False)
class At:
    """A value as one version of its key."""

    value: Any
    version: int  # negative: of a write whose version nobody knows

    def __repr__(self) -> str:
        return f"{self.value} (version {self.version})"

    __str__ = __repr__


@dataclass(frozen=True)
class Labelled:
    """`history` is the one that was given, position by position, with versions for values."""

    history: Sequence[Operation]
    keys: tuple[int | str, ...]  # that are told apart by versions now
    disagree: dict[int | str, str] = field(default_factory=dict)  # key -> a sentence


class _Disagree(Exception):
    """A sentence: what the database said of its versions cannot be true."""


class _Unclear(Exception):
    """The versions do not tell enough."""


def by_version(history: Sequence[Operation], model: Model) -> Labelled | None:
    """None: nothing to be told apart, no versions, or no register."""
    if not isinstance(model, CasRegister) or not _has_versions(history):
        return None
    of_key: dict[int | str, list[tuple[int, Operation]]] = {}
    for position, operation in enumerate(history):
        if operation.outcome != "fail":
            of_key.setdefault(operation.key, []).append((position, operation))
    changed: dict[int, Operation] = {}
    keys = []
    disagree: dict[int | str, str] = {}
    for key, operations in of_key.items():
        if not _values_repeat(operations, model.initial):
            continue
        try:
            changed |= _Key(key, operations, model).labelled()
            keys.append(key)
        except _Disagree as exc:
            disagree[key] = str(exc)
        except _Unclear:
            continue
    if not keys and not disagree:
        return None
    return Labelled(_with(history, changed) if keys else history, tuple(keys), disagree)


def _has_versions(history: Sequence[Operation]) -> bool:
    if isinstance(history, History):
        return len(history) > 0 and max(history.version) != NO_VERSION
    return any(operation.version is not None for operation in history)


def _with(history: Sequence[Operation], changed: dict[int, Operation]) -> Sequence[Operation]:
    if isinstance(history, History):
        return history.replaced(changed)
    return [changed.get(position, operation) for position, operation in enumerate(history)]


def _written(operation: Operation) -> tuple[Any] | None:
    """The value that the operation wrote, or may have."""
    if operation.f == "write":
        return (operation.value,)
    if operation.f == "cas" and (operation.outcome == "info" or operation.output is True):
        return (operation.value[1],)
    return None


def _values_repeat(operations: Sequence[tuple[int, Operation]], initial: Any) -> bool:
    seen = {initial}
    for _, operation in operations:
        value = _written(operation)
        if value is not None:
            if value[0] in seen:
                return True
            seen.add(value[0])
    return False


class _Key:
    def __init__(
        self, key: int | str, operations: Sequence[tuple[int, Operation]], model: CasRegister
    ) -> None:
        self._of = f" of {key}" if key != "" else ""
        self._operations = operations
        self._initial = model.initial
        self._dropped = model.failed_cas == "dropped"
        self._value: dict[int, Any] = {}  # version -> what it wrote
        self._version: dict[int, int] = {}  # position of a write -> its version
        self._lost: dict[Any, list[int]] = {}  # value -> positions of writes of unknown outcome

    def labelled(self) -> dict[int, Operation]:
        self._gather()
        self._find_the_lost()
        self._order = sorted(self._value)
        return {
            position: self._relabelled(position, operation)
            for position, operation in self._operations
            if operation.outcome == "ok" or operation.f != "read"
        }

    def _gather(self) -> None:
        for position, operation in self._operations:
            value = _written(operation)
            if value is None or operation.outcome == "info":
                continue
            version = operation.version
            if version is None or version < 0:
                raise _Unclear
            if version in self._value:
                raise _Disagree(f"version {version}{self._of} was given to two writes")
            self._value[version] = value[0]
            self._version[position] = version

    def _find_the_lost(self) -> None:
        """Versions that were seen, and that no acknowledged write got: of unknown outcomes."""
        unclaimed: dict[Any, set[int]] = {}  # value -> versions
        for _, operation in self._operations:
            if operation.f == "read" and operation.outcome == "ok":
                version, value = operation.version, operation.output
                if version is None:
                    if value != self._initial or value in self._value.values():
                        raise _Unclear
                elif version in self._value:
                    self._agrees(version, value)
                elif value != self._initial:
                    unclaimed.setdefault(value, set()).add(version)
        lost = self._lost
        for position, operation in self._operations:
            written = _written(operation)
            if operation.outcome == "info" and written is not None:
                lost.setdefault(written[0], []).append(position)
        if self._initial in lost and any(o.output == self._initial for _, o in self._operations):
            raise _Unclear  # written again, or still there: a version alone does not say
        for value, versions in unclaimed.items():
            candidates = lost.get(value, ())
            if not candidates:
                raise _Disagree(
                    f"{value!r}{self._of} was read with version {min(versions)}, which no write got"
                )
            if len(candidates) > 1 or len(versions) > 1:
                raise _Unclear
            (version,) = versions
            if version in self._value:
                raise _Disagree(f"version {version}{self._of} was read with two values")
            self._value[version] = value
            self._version[candidates[0]] = version

    def _agrees(self, version: int, value: Any) -> None:
        if self._value[version] != value:
            raise _Disagree(
                f"version {version}{self._of} was read as {value!r}, and "
                f"{self._value[version]!r} was written as this version"
            )

    def _relabelled(self, position: int, operation: Operation) -> Operation:
        if operation.f == "read":
            version = operation.version
            if version is None or version not in self._value:
                return operation  # the initial value
            return replace(operation, output=At(operation.output, version))
        if operation.f == "cas" and operation.output is False:
            return self._mismatch(operation)
        value = _written(operation)
        assert value is not None
        version = self._version.get(position, -1 - position)
        new = At(value[0], version)
        if operation.f == "write":
            return replace(operation, value=new)
        expected = operation.value[0]
        if version < 0:
            return replace(operation, value=(At(expected, version), new))
        place = bisect_left(self._order, version)
        before = self._value[self._order[place - 1]] if place else self._initial
        if before != expected:
            if operation.outcome == "info" or expected in self._lost:
                raise _Unclear  # a lost write may have come between
            raise _Disagree(
                f"the compare-and-set of version {version}{self._of} found {expected!r}, and "
                f"{before!r} was there"
            )
        found = At(expected, self._order[place - 1]) if place else self._initial
        return replace(operation, value=(found, new))

    def _mismatch(self, operation: Operation) -> Operation:
        """One that did not match is a read of the version it saw, if that says anything."""
        if self._dropped:
            return operation
        version = operation.version
        if version is None or version not in self._value:
            raise _Unclear
        if self._value[version] == operation.value[0]:
            raise _Disagree(
                f"a compare-and-set{self._of} found {operation.value[0]!r} in version {version}, "
                "and answered that it did not match"
            )
        seen = At(self._value[version], version)
        return replace(operation, f="read", value=None, output=seen)
