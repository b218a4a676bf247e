"""A set that is added to: what was acknowledged, or read once, must stay.

- lost: the last read sent after it was known does not show it;
- stale: a read sent after it was known does not show it, a later one does;
- duplicated: twice in one read;
- resurrected: read although its removal was over before the read was sent;
- made-up: read although nobody added it, or only an `add` that failed.

An element is known when its `add` was acknowledged, or when a read that shows it returned.
Stale reads are told, and allowed: linearizability is what forbids them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["nothing_lost"]

CHECK = "nothing-lost"


def nothing_lost(
    history: Iterable[Operation], *, stale_is_wrong: bool = False, is_over: bool = True
) -> Verdict:
    """Judges `add` x, `remove` x and `read` -> all elements, for each key.

    Not `is_over`: what is missing may be read yet; it is no more than stale.
    """
    by_key: dict[int | str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    findings: list[Finding] = []
    answered = 0
    reads = 0
    for operations in by_key.values():
        judge = _Set(operations)
        findings += judge.findings()
        reads += len(judge.reads)
        answered += len(judge.added)
    late = {"stale"} if is_over else {"stale", "lost"}
    stale = [f for f in findings if f.kind in late and not stale_is_wrong]
    wrong = [f for f in findings if f.kind not in late or stale_is_wrong]
    missing = f"; {len(stale)} of them were missing for a while" if stale else ""
    return verdict_on(
        CHECK,
        wrong,
        judged=reads,
        otherwise=f"nothing of {answered} elements was lost in {reads} reads{missing}",
        allowed=stale,
    )


class _Set:
    def __init__(self, operations: list[Operation]) -> None:
        self.added: dict[Any, Operation] = {}
        self._removed: dict[Any, list[Operation]] = {}
        self.reads = sorted(
            (o for o in operations if o.f == "read" and o.outcome == "ok"),
            key=lambda o: o.sent_ns,
        )
        for operation in operations:
            if operation.f == "add" and operation.outcome != "fail":
                before = self.added.get(operation.value)
                # Added twice: known since the earlier acknowledgement
                if before is None or (_known(operation) < _known(before)):
                    self.added[operation.value] = operation
            elif operation.f == "remove" and operation.outcome != "fail":
                self._removed.setdefault(operation.value, []).append(operation)

    def findings(self) -> Iterator[Finding]:
        contents = [frozenset(read.output or ()) for read in self.reads]
        shown: dict[Any, list[int]] = {}
        for i, read in enumerate(self.reads):
            counts = Counter(read.output or ())
            for element, times in counts.items():
                shown.setdefault(element, []).append(i)
                if times > 1:
                    sentence = f"{element!r} is {times} times in one read"
                    yield Finding("duplicated", sentence, (read,))
        for element, places in shown.items():
            if element not in self.added:
                sentence = f"{element!r} was read, and nobody added it"
                yield Finding("made-up", sentence, (self.reads[places[0]],))
        for element, add in self.added.items():
            if element in self._removed:
                yield from self._resurrected(element, add, shown.get(element, []))
            else:
                yield from self._missing(element, add, shown.get(element, []), contents)

    def _missing(
        self, element: Any, add: Operation, places: list[int], contents: list[frozenset[Any]]
    ) -> Iterator[Finding]:
        known = min([_known(add), *(self.reads[i].returned_ns for i in places)])
        absent = [
            i
            for i, read in enumerate(self.reads)
            if read.sent_ns > known and element not in contents[i]
        ]
        if not absent:
            return
        last_shown = max((self.reads[i].sent_ns for i in places), default=-1)
        read = self.reads[absent[-1]]
        if read.sent_ns > last_shown:
            sentence = f"{element!r} was known to be in the set, and the last reads do not show it"
            yield Finding("lost", sentence, (add, read))
        else:
            sentence = f"{element!r} was known to be in the set, and {len(absent)} reads missed it"
            yield Finding("stale", sentence, (add, self.reads[absent[0]]))

    def _resurrected(self, element: Any, add: Operation, places: list[int]) -> Iterator[Finding]:
        if add.outcome != "ok":
            return  # it may take effect after any removal
        for removal in self._removed[element]:
            if removal.outcome != "ok" or removal.sent_ns <= add.returned_ns:
                continue
            later = [i for i in places if self.reads[i].sent_ns > removal.returned_ns]
            if later:
                sentence = f"{element!r} was removed, and a read sent afterwards shows it"
                yield Finding("resurrected", sentence, (removal, self.reads[later[0]]))
                return


def _known(add: Operation) -> float:
    return add.returned_ns if add.outcome == "ok" else float("inf")
