"""In which order writes become visible: long fork and causal reverse, as Jepsen defines them.

Both look at keys that are written once, by reads that say which of the writes they saw:

- *Long fork* (`jepsen.tests.long-fork`): of two reads of the same keys one saw a write and not
  another, the second the other and not the first. The writes happened in two orders; parallel
  snapshot isolation allows it, snapshot isolation and serializability do not. So the reads of
  the same keys must form a chain: of any two, one saw all that the other saw.
- *Causal reverse* (`jepsen.tests.causal-reverse`): a read saw a write and not another one that
  had been acknowledged before the first was sent. Serializability allows it, strict
  serializability does not.

Reads are transactions that only read, two keys or more; or, for causal reverse, reads of a set.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

from jepsen_like.checks.transactions.rw_register import WRITES
from jepsen_like.checks.transactions.transaction import transactions
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["LONG_FORK", "CAUSAL_REVERSE", "long_fork", "causal_reverse"]

LONG_FORK: Final = "long-fork"
CAUSAL_REVERSE: Final = "causal-reverse"


class _Unclear(Exception):
    """A sentence: which write a read saw is not known."""


class _Item(NamedTuple):
    """An element of a set."""

    key: int | str
    value: Any

    def __str__(self) -> str:
        return f"{self.value!r}{f' of {self.key}' if self.key != '' else ''}"


@dataclass(frozen=True)
class _Look:
    """What one read saw. `missed` None: every element of the set of its key that is no `saw`."""

    operation: Operation
    saw: frozenset[Any]
    missed: frozenset[Any] | None


@dataclass(frozen=True)
class _Seen:
    writers: dict[Any, Operation]  # of each key, or each element of a set
    looks: list[_Look]
    garbage: tuple[str, Operation] | None  # a value that nobody wrote, in a sentence


_Problem: TypeAlias = tuple[str, tuple[Operation, ...]]


def long_fork(history: Iterable[Operation]) -> Verdict:
    """Of `rw-register` transactions. Never raises for what the history holds."""
    return _judged(LONG_FORK, list(history), _fork, "fit one order of the writes")


def causal_reverse(history: Iterable[Operation]) -> Verdict:
    """Of `rw-register` transactions, or of `add` and `read` of sets. Never raises."""
    told = "saw no write without those acknowledged before it"
    return _judged(CAUSAL_REVERSE, list(history), _reverse, told)


def _judged(
    check: str, history: Sequence[Operation], find: Callable[[_Seen], _Problem | None], told: str
) -> Verdict:
    try:
        of_sets = any(operation.f in ("add", "read") for operation in history)
        seen = _of_sets(history) if of_sets else _of_transactions(history)
        if seen.garbage is not None:
            sentence, operation = seen.garbage
            return Verdict(check, "invalid", sentence, len(seen.looks), (operation,))
        problem = find(seen)
    except _Unclear as exc:
        return Verdict(check, "unknown", str(exc))
    except Exception as exc:  # a broken operation must not look like a verdict
        reason = f"the checker crashed: {type(exc).__name__}: {exc}"
        return Verdict(check, "unknown", reason, details={"trace": traceback.format_exc()})
    count = len(seen.looks)
    details = {"reads": count, "writes": len(seen.writers)}
    if problem is None:
        if not count:
            return Verdict(check, "unknown", "nothing was read that could show it", 0, (), details)
        reason = f"{count} reads of {len(seen.writers)} writes {told}"
        return Verdict(check, "valid", reason, count, details=details)
    return Verdict(check, "invalid", problem[0], count, problem[1], details)


def _fork(seen: _Seen) -> _Problem | None:
    groups: dict[frozenset[Any], list[_Look]] = {}
    for look in seen.looks:
        assert look.missed is not None
        groups.setdefault(look.saw | look.missed, []).append(look)
    for looks in groups.values():
        looks.sort(key=lambda look: len(look.saw))
        # It is a chain exactly if each saw all that the next smaller one saw
        for fewer, more in pairwise(looks):
            only_first = fewer.saw - more.saw
            if only_first:
                one = min(only_first, key=str)
                other = min(more.saw - fewer.saw, key=str)
                sentence = (
                    f"process {fewer.operation.process} saw the write of {one} and not that of "
                    f"{other}; process {more.operation.process} saw that of {other} and not "
                    f"that of {one}"
                )
                writers = (seen.writers[one], seen.writers[other])
                return sentence, (*writers, fewer.operation, more.operation)
    return None


def _reverse(seen: _Seen) -> _Problem | None:
    """The latest sent of the writes it saw, against the first acknowledged of those it missed."""
    of_key: dict[int | str, list[Any]] = {}
    for item, writer in seen.writers.items():
        if writer.outcome == "ok":
            of_key.setdefault(writer.key, []).append(item)
    for items in of_key.values():
        items.sort(key=lambda item: seen.writers[item].returned_ns)
    for look in seen.looks:
        if not look.saw:
            continue
        later = max(look.saw, key=lambda item: seen.writers[item].sent_ns)
        if look.missed is None:
            missed = (i for i in of_key.get(look.operation.key, ()) if i not in look.saw)
            earlier = next(missed, None)
        else:
            known = (i for i in look.missed if i in seen.writers)
            answered = [i for i in known if seen.writers[i].outcome == "ok"]
            earlier = min(answered, key=lambda i: seen.writers[i].returned_ns, default=None)
        if earlier is None:
            continue
        first, second = seen.writers[earlier], seen.writers[later]
        if first.returned_ns < second.sent_ns:
            sentence = (
                f"process {look.operation.process} saw the write of {later} and not that of "
                f"{earlier}, which had been acknowledged before the other was sent"
            )
            return sentence, (first, second, look.operation)
    return None


def _of_transactions(history: Sequence[Operation]) -> _Seen:
    writers: dict[Any, Operation] = {}
    written: dict[Any, Any] = {}
    for transaction in transactions(history, WRITES):
        if transaction.outcome == "fail":
            continue
        for what, key, value in transaction.steps:
            if what == WRITES:
                if key in writers:
                    raise _Unclear(f"{key} was written twice: each key must be written once")
                writers[key], written[key] = transaction.operation, value
    looks = []
    garbage = None
    for transaction in transactions(history, WRITES):
        steps = transaction.steps
        if transaction.outcome != "ok" or any(what == WRITES for what, *_ in steps):
            continue
        found = {key: value for _, key, value in steps}
        for key, value in found.items():
            if value is not None and (key not in written or written[key] != value):
                sentence = f"{value!r} of {key} was read, and nobody wrote it"
                garbage = garbage or (sentence, transaction.operation)
        if len(found) > 1:
            saw = frozenset(key for key, value in found.items() if value is not None)
            looks.append(_Look(transaction.operation, saw, frozenset(found) - saw))
    return _Seen(writers, looks, garbage)


def _of_sets(history: Sequence[Operation]) -> _Seen:
    writers: dict[Any, Operation] = {}  # of (key, element)
    for operation in history:
        if operation.f not in ("add", "read"):
            raise ValueError(f"{operation.f} is neither add nor read")
        if operation.f == "add" and operation.outcome != "fail":
            item = _Item(operation.key, operation.value)
            if item in writers:
                raise _Unclear(f"{item} was added twice: each must be added once")
            writers[item] = operation
    looks = []
    garbage = None
    for operation in history:
        if operation.f == "read" and operation.outcome == "ok":
            saw = frozenset(_Item(operation.key, value) for value in operation.output or ())
            for item in saw:
                if item not in writers:
                    garbage = garbage or (f"{item} was read, and nobody added it", operation)
            looks.append(_Look(operation, saw, None))
    return _Seen(writers, looks, garbage)
