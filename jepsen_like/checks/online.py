"""Checks that are fed while a test runs: one interface, and any judge behind it.

What the offline judge says of a history is asked again and again of what is there so far, in
which an operation that is still open may have happened. That is sound for judges whose `invalid`
stays, whatever comes later; those that also find what only the end can show (an element that is
missing until then, say) are told that it is not over, and leave that out.

Judging again costs as much as the history is long. So it is done for each group of operations
that can be judged alone, and only when the group has grown by an eighth: the cost of a whole test
is a small multiple of its length. What was found is then looked for by halves, so the violation
names the operation that completed it, as if it had been judged after each. A value that is read
before anybody was about to write it counts as made up, also where the judge of the whole history
knows no clock.

Memory holds all operations of the groups. One with more than `operations_max` is not judged
again until the end, and none is once an operation ended that had not been announced when it was
sent: what was read may then be of a write that is yet to be told of.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, TypeAlias

from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["GROUP_OPERATIONS_MAX", "Grouping", "Judge", "Online", "Rechecked", "online_name"]

GROWTH: Final = 8  # a group is judged again when it has grown by 1 in so many
GROUP_OPERATIONS_MAX: Final = 20_000  # judged again in some 0.2 s, for which a test stands still

Grouping: TypeAlias = Literal["alone", "key", "answer", "whole"]
"""What can be judged by itself: an operation, those on a key, those with one answer, or all."""

Judge: TypeAlias = Callable[[Sequence[Operation], bool], Verdict]
"""(history, is it over) -> verdict. Never raises for what the history holds."""


class Online(Protocol):
    """Fed with a history as it happens: each operation when it is sent, and when it has ended.

    Times of events must not go back, as those of a recorder or its file do not. Not for several
    threads at once; a recorder calls it under its lock.
    """

    violation: Verdict | None
    ended: int  # operations fed that have ended

    def feed(self, operation: Operation, is_open: bool = False) -> Verdict | None:
        """`is_open`: it was just sent. Returns the violation once there is one."""

    def finish(self) -> Verdict:
        """The verdict on all that was fed; what is still open may have happened, or not."""


def online_name(check: str) -> str:
    return f"{check}, online"


@dataclass
class _Group:
    done: list[Operation] = field(default_factory=list)  # at the last look, when all was well
    in_flight: dict[int, Operation] = field(default_factory=dict)  # then, by process
    since: list[tuple[Operation, bool, int]] = field(default_factory=list)  # then `ended`
    ended: int = 0  # since then

    def so_far(self, events: int) -> tuple[list[Operation], dict[int, Operation]]:
        """What had ended and what was in flight so many events after the last look."""
        done, in_flight = list(self.done), dict(self.in_flight)
        for operation, is_open, _ in self.since[:events]:
            if is_open:
                in_flight[operation.process] = operation
            else:
                in_flight.pop(operation.process, None)
                done.append(operation)
        return done, in_flight

    def look(self) -> None:
        """All is well so far."""
        self.done, self.in_flight = self.so_far(len(self.since))
        self.since.clear()
        self.ended = 0


class Rechecked:
    """An `Online` of any judge whose `invalid` stays while a history goes on."""

    def __init__(
        self,
        check: str,
        judge: Judge,
        grouping: Grouping,
        *,
        operations_max: int = GROUP_OPERATIONS_MAX,
    ) -> None:
        self.violation: Verdict | None = None
        self.ended = 0
        self._check = online_name(check)
        self._judge = judge
        self._grouping = grouping
        self._operations_max = operations_max
        self._groups: dict[Hashable, _Group] = {}
        self._open: set[int] = set()  # processes
        self._all_announced = True

    def feed(self, operation: Operation, is_open: bool = False) -> Verdict | None:
        if self.violation is not None:
            return self.violation
        self.ended += not is_open
        if self._grouping == "alone":
            if not is_open:
                self._convict(self._judge([operation], False), self.ended)
            return self.violation
        if self._grouping == "answer" and is_open:
            return None
        group = self._groups.setdefault(self._group_of(operation), _Group())
        if not is_open and self._grouping != "answer":
            self._all_announced &= operation.process in self._open
            self._open.discard(operation.process)
        elif is_open:
            self._open.add(operation.process)
        group.since.append((operation, is_open, self.ended))
        group.ended += not is_open
        count = len(group.done) + group.ended
        wanted = not is_open and count <= min(group.ended * GROWTH, self._operations_max)
        if wanted and self._all_announced:
            self._look_again(group)
        return self.violation

    def finish(self) -> Verdict:
        if self.violation is not None:
            return self.violation
        if self._grouping == "alone":
            reason = f"{self.ended} operations were judged one by one as they came"
            return Verdict(self._check, "valid", reason, self.ended)
        history = []
        for group in self._groups.values():
            done, in_flight = group.so_far(len(group.since))
            history += [*done, *in_flight.values()]
        history.sort(key=lambda operation: operation.sent_ns)
        verdict = self._judge(history, True)
        return replace(verdict, check=self._check)

    def _group_of(self, operation: Operation) -> Hashable:
        if self._grouping == "key":
            return operation.key
        # A map is no id, and no key of a dict either
        return repr(operation.output) if self._grouping == "answer" else None

    def _look_again(self, group: _Group) -> None:
        if self._verdict(group, len(group.since)).validity != "invalid":
            group.look()
            return
        clean, bad = 0, len(group.since)
        while bad - clean > 1:
            middle = (clean + bad) // 2
            if self._verdict(group, middle).validity == "invalid":
                bad = middle
            else:
                clean = middle
        self._convict(self._verdict(group, bad), group.since[bad - 1][2])

    def _verdict(self, group: _Group, events: int) -> Verdict:
        done, in_flight = group.so_far(events)
        return self._judge([*done, *in_flight.values()], False)

    def _convict(self, verdict: Verdict, at_operation: int) -> None:
        if verdict.validity != "invalid":
            return
        details = {**verdict.details, "at_operation": at_operation, "noticed_at": self.ended}
        self.violation = replace(
            verdict, check=self._check, operations=at_operation, details=details
        )
