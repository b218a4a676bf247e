"""How stale is what reads returned: in versions, in time, and as a distribution.

Of each read of a register, from outside (after Bermbach and Tai 2011, and Bailis et al., "PBS",
VLDB 2012). A write is *known* from its acknowledgement on, or from the first answer of a read
that returned it, whichever came first; it is *newer* than another if that was known before it
was sent. Then, of a read that returned what w wrote:

- k, in versions: how many writes newer than w were known when the read was sent. It is the
  least number of writes between w and the read in any order of the operations that respects the
  clock and puts each write before its reads.
- t, in nanoseconds: how long ago the first of them had become known; 0 where k is 0. It is how
  much earlier the read would have to be sent for k to be 0.
- the age of the newest known write of the key, for the curves of `pbs.py`.

Neither needs the versions to have an order, and both are lower bounds in this sense: reads that
go back and forth between two concurrent writes are not stale. What the whole history needs is
Delta (`delta.py`), at least the largest t, and that is what `staleness_ns` says in every verdict.
The least k for which a whole history is k-atomic (Aiyer, Alvisi and Bazzi 2005: one order in
which every read returns one of the last k writes before it; 1-atomic is linearizable) is not
given: no polynomial algorithm is known for it beyond k = 2 (Golab, Hurwitz and Li 2013). Ours
counts newer writes, from 0, read by read, each in the order that is best for it: a history with a
read of k is at best (k+1)-atomic, and may need more, as the reads must share one order there.

Exact, in n log n, for values that are distinct as far as they were read, or told apart by the
versions that the database named (`by_version.py`). A compare-and-set that matched counts as a
write; what it found there is judged by linearizability, not here.
"""

from __future__ import annotations

import time
import traceback
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jepsen_like.checks.by_version import by_version
from jepsen_like.checks.counterexample import duration_text
from jepsen_like.checks.delta import Delta, of_all, smallest_delta
from jepsen_like.checks.layout import NEVER, Limit
from jepsen_like.checks.objects import Object, split
from jepsen_like.checks.pbs import curves
from jepsen_like.history import Operation
from jepsen_like.models.register import CasRegister
from jepsen_like.result import Verdict

__all__ = ["CHECK", "Read", "KeyStaleness", "Measured", "measure", "staleness"]

CHECK: Final = "staleness"
CONFIGURATIONS_PER_TRIAL: Final = 20_000  # of the search, where the blocks cannot tell
KEYS_SHOWN: Final = 1_000  # in `details`, the stalest first
ALWAYS: Final = -NEVER  # since when the initial value has been known


@dataclass(frozen=True, slots=True)
class Read:
    """What one read was worth; positions are those of the history."""

    position: int
    sent_ns: int
    versions: int  # k
    stale_ns: int  # t
    newest_ns: int | None  # since the newest known write; None: none was known
    overwritten_by: int | None  # the position of the first newer write that was known
    source: int | None  # of the write it returned; None: the initial value


@dataclass(frozen=True)
class KeyStaleness:
    key: int | str
    reads: tuple[Read, ...]
    delta: Delta

    @property
    def stale(self) -> int:
        return sum(read.versions > 0 for read in self.reads)

    @property
    def versions_max(self) -> int:
        return max((read.versions for read in self.reads), default=0)

    @property
    def stale_ns_max(self) -> int:
        return max((read.stale_ns for read in self.reads), default=0)


@dataclass(frozen=True)
class Measured:
    keys: tuple[KeyStaleness, ...] = ()
    not_measured: dict[int | str, str] = field(default_factory=dict)  # key -> why
    impossible: tuple[tuple[str, tuple[int, ...]], ...] = ()  # no staleness explains these

    @property
    def delta(self) -> Delta:
        """Of all keys: None if no delay explains one of them."""
        return of_all(key.delta for key in self.keys)


class _Unmeasurable(Exception):
    """A sentence: which write a read saw is not known."""


class _Impossible(Exception):
    def __init__(self, sentence: str, *positions: int) -> None:
        super().__init__(sentence)
        self.found = (sentence, positions)


def measure(
    history: Iterable[Operation],
    initial: Any = None,
    *,
    seconds: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Every read of every key. `seconds` bounds the search for Delta, which may end unknown.

    Raises ValueError for an operation that is no read, write or cas.
    """
    operations = history if isinstance(history, Sequence) else list(history)
    model = CasRegister(initial)
    limit = Limit(CONFIGURATIONS_PER_TRIAL, clock() + seconds, clock)
    labelled = by_version(operations, model)
    objects, _ = split(operations if labelled is None else labelled.history, model)
    keys: list[KeyStaleness] = []
    not_measured: dict[int | str, str] = {} if labelled is None else dict(labelled.disagree)
    impossible = []
    for mine in objects:
        if mine.key in not_measured:
            continue
        try:
            reads = _reads_of(mine, initial)
        except _Unmeasurable as exc:
            not_measured[mine.key] = str(exc)
        except _Impossible as exc:
            impossible.append(exc.found)
        else:
            guess = max((read.stale_ns for read in reads), default=0)
            delta = smallest_delta(mine, model, limit, guess=guess)
            keys.append(KeyStaleness(mine.key, tuple(reads), delta))
    return Measured(tuple(keys), not_measured, tuple(impossible))


def _reads_of(mine: Object, initial: Any) -> list[Read]:
    writer: dict[Any, int] = {}
    repeated = set()
    for i, operation in enumerate(mine.operations):
        value = _written(operation)
        if value is not None:
            if value[0] in writer or value[0] == initial:
                repeated.add(value[0])
            writer[value[0]] = i
    reads = [i for i, o in enumerate(mine.operations) if o.f == "read" and o.outcome == "ok"]
    known_ns = [mine.returned(i) for i in range(len(mine.operations))]
    for i in reads:
        operation = mine.operations[i]
        value, source = operation.output, writer.get(operation.output)
        of = f" of {mine.key}" if mine.key != "" else ""
        if value in repeated:
            raise _Unmeasurable(f"{value!r}{of} was read and written twice: by which is not known")
        if source is None and value != initial:
            raise _Impossible(f"{value!r}{of} was read, and nobody wrote it", mine.positions[i])
        if source is None:
            continue
        if operation.returned_ns < mine.operations[source].sent_ns:
            at = (mine.positions[i], mine.positions[source])
            raise _Impossible(f"{value!r}{of} was read before it was written", *at)
        known_ns[source] = min(known_ns[source], operation.returned_ns)
    return _compared(mine, reads, writer, known_ns)


def _written(operation: Operation) -> tuple[Any] | None:
    if operation.f == "write":
        return (operation.value,)
    if operation.f == "cas":
        if operation.outcome == "info" or operation.output is True:
            return (operation.value[1],)
        return None
    if operation.f != "read":
        raise ValueError(f"a register has read, write and cas, not {operation.f!r}")
    return None


def _compared(
    mine: Object, reads: list[int], writer: dict[Any, int], known_ns: Sequence[int]
) -> list[Read]:
    operations = mine.operations
    writes = [i for i, o in enumerate(operations) if _written(o) is not None]
    by_request = sorted(writes, key=lambda i: operations[i].sent_ns)
    requests = [operations[i].sent_ns for i in by_request]
    first_from = list(by_request)  # of the writes from here on: the one that was known first
    for place in range(len(by_request) - 2, -1, -1):
        if known_ns[first_from[place + 1]] < known_ns[first_from[place]]:
            first_from[place] = first_from[place + 1]
    by_known = sorted(writes, key=lambda i: known_ns[i])
    so_far: list[int] = []  # requests of the writes known before the read at hand
    found = []
    for i in sorted(reads, key=lambda i: operations[i].sent_ns):
        sent = operations[i].sent_ns
        while len(so_far) < len(by_known) and known_ns[by_known[len(so_far)]] < sent:
            insort(so_far, operations[by_known[len(so_far)]].sent_ns)
        source = writer.get(operations[i].output)
        since = ALWAYS if source is None else known_ns[source]
        versions = len(so_far) - bisect_right(so_far, since)
        first = first_from[bisect_right(requests, since)] if versions else None
        found.append(
            Read(
                mine.positions[i],
                sent,
                versions,
                0 if first is None else sent - known_ns[first],
                sent - known_ns[by_known[len(so_far) - 1]] if so_far else None,
                None if first is None else mine.positions[first],
                None if source is None else mine.positions[source],
            )
        )
    return found


def staleness(
    history: Iterable[Operation],
    initial: Any = None,
    *,
    max_ns: int | None = None,
    seed: int = 1,
    seconds: float = 60.0,
    in_full: bool = True,
) -> Verdict:
    """The figures as a verdict: `valid` if staleness explains all reads, and none passes `max_ns`.

    `details`: `reads`, `stale_reads`, `versions_max`, `stale_ns_max`, `staleness_ns` (Delta; None
    if none is enough, or `staleness_known` is False), `keys` with the same per key,
    `not_measured` (key: why), and `pbs`, the curves with 95% intervals (see `pbs.curves`).
    Without `in_full` neither Delta nor the curves, and no `details`: the promise is judged, and no
    more. Never raises for what the history holds.
    """
    operations = history if isinstance(history, Sequence) else list(history)
    try:
        measured = measure(operations, initial, seconds=seconds if in_full else -1.0)
    except Exception as exc:  # a broken operation must not look like a verdict
        reason = f"the checker crashed: {type(exc).__name__}: {exc}"
        return Verdict(CHECK, "unknown", reason, details={"trace": traceback.format_exc()})
    reads = [read for key in measured.keys for read in key.reads]
    details = _details(measured, reads, seed) if in_full else {}
    count = len(reads)
    if measured.impossible:
        sentence, positions = measured.impossible[0]
        shown = tuple(operations[i] for i in positions)
        return Verdict(CHECK, "invalid", sentence, count, shown, details)
    worst = max(reads, key=lambda read: read.stale_ns, default=None)
    shown = () if worst is None else _shown(operations, worst)
    if max_ns is not None and worst is not None and worst.stale_ns > max_ns:
        reason = f"{_told(operations, worst)}: more than the {max_ns / 1e6:g} ms promised"
        return Verdict(CHECK, "invalid", reason, count, shown, details)
    unexplained = [key for key in measured.keys if key.delta.known and key.delta.ns is None]
    if unexplained:
        reason = f"no staleness of reads explains what was seen of {unexplained[0].key}"
        return Verdict(CHECK, "invalid", reason, count, (), details)
    if measured.not_measured:
        reason = next(iter(measured.not_measured.values()))
        return Verdict(CHECK, "unknown", reason, count, (), details)
    if worst is None or not worst.versions:
        reason = f"{count} reads on {len(measured.keys)} keys, none of them stale"
        return Verdict(CHECK, "valid", reason, count, (), details)
    stale = sum(read.versions > 0 for read in reads)
    reason = (
        f"{stale} of {count} reads were stale ({stale / count:.2%}), by up to "
        f"{max(read.versions for read in reads)} versions and {duration_text(worst.stale_ns)}"
    )
    return Verdict(CHECK, "valid", reason, count, shown, details)


def _details(measured: Measured, reads: Sequence[Read], seed: int) -> dict[str, Any]:
    delta = measured.delta
    by_staleness = sorted(measured.keys, key=lambda key: key.stale_ns_max, reverse=True)
    found = curves([(r.sent_ns, r.versions, r.newest_ns) for r in reads], seed)
    return {
        "reads": len(reads),
        "stale_reads": sum(read.versions > 0 for read in reads),
        "versions_max": max((read.versions for read in reads), default=0),
        "stale_ns_max": max((read.stale_ns for read in reads), default=0),
        "staleness_ns": delta.ns,
        "staleness_known": delta.known,
        "keys": {
            key.key: {
                "reads": len(key.reads),
                "stale_reads": key.stale,
                "versions_max": key.versions_max,
                "stale_ns_max": key.stale_ns_max,
                "staleness_ns": key.delta.ns,
                "staleness_known": key.delta.known,
            }
            for key in by_staleness[:KEYS_SHOWN]
        },
        "not_measured": measured.not_measured,
        "pbs": found.as_dict(),
        "in_words": found.in_words(),
    }


def _shown(history: Sequence[Operation], read: Read) -> tuple[Operation, ...]:
    """What was returned, what had replaced it, and the read."""
    positions = (read.source, read.overwritten_by, read.position)
    return tuple(history[i] for i in positions if i is not None)


def _told(history: Sequence[Operation], read: Read) -> str:
    operation = history[read.position]
    of = f" of {operation.key}" if operation.key != "" else ""
    return (
        f"a read{of} returned {operation.output!r}, {read.versions} versions and "
        f"{duration_text(read.stale_ns)} stale"
    )
