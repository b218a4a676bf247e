"""A register, with compare-and-set: one value per key, None while it was never written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jepsen_like.history import Operation
from jepsen_like.models.model import (
    ILLEGAL,
    LINK,
    MISMATCH,
    NOTHING,
    READ,
    UNOBSERVED,
    WRITE,
    Call,
    Illegal,
    Model,
    State,
    Versions,
    call_of,
)

__all__ = ["Register", "CasRegister"]


UNSEEN = -1  # the kind is not in this table: a cas, or no operation of a register
_KINDS = {
    ("read", "ok"): READ,
    ("read", "info"): NOTHING,
    ("read", "fail"): NOTHING,
    ("write", "ok"): WRITE,
    ("write", "info"): WRITE,
    ("write", "fail"): NOTHING,
}


@dataclass(frozen=True)
class CasRegister(Model):
    """read -> value; write value; cas (expected, new) -> True if the value was expected.

    A cas that answered False constrains the order like a read does: the value then was not
    `expected`. Tools differ in what they mean by it: with `failed_cas="dropped"` it says nothing.
    """

    initial: Any = None
    failed_cas: Literal["constrains", "dropped"] = "constrains"

    def init(self) -> State:
        state: State = self.initial
        return state

    def step(self, state: State, call: Call) -> State | Illegal:
        f, value, output, returned = call
        if f == "read":
            return state if not returned or output == state else ILLEGAL
        if f == "write":
            written: State = value
            return written
        if f != "cas":
            raise ValueError(f"a register has read, write and cas, not {f!r}")
        expected, new = value
        if not returned:
            return new if state == expected else state
        if output is True:
            return new if state == expected else ILLEGAL
        if output is False:
            return state if state != expected or self.failed_cas == "dropped" else ILLEGAL
        raise ValueError(f"the output of a cas is True or False, not {output!r}")

    def is_pure(self, call: Call) -> bool:
        if call.f == "cas":
            return call.returned and call.output is False
        return call.f == "read"

    def describe(self, call: Call) -> str:
        unknown = "" if call.returned else " (no answer)"
        if call.f == "read":
            return f"read{unknown}" if unknown else f"read -> {_text(call.output)}"
        if call.f == "cas":
            expected, new = call.value
            missed = " (no match)" if call.returned and call.output is False else unknown
            return f"cas {_text(expected)} -> {_text(new)}{missed}"
        return f"write {_text(call.value)}{unknown}"

    def observable(self, calls: Iterable[Call]) -> Callable[[State], State]:
        """A value that no read returned and no cas expected is as good as any other such."""
        seen = {self.initial, *_looked_for(calls)}
        return lambda state: state if state in seen else UNOBSERVED

    def states_to_begin_with(self, calls: Sequence[Call]) -> Sequence[State]:
        return [*dict.fromkeys(_looked_for(calls)), UNOBSERVED]

    def versions_of_columns(
        self,
        f: Sequence[str],
        value: Sequence[Any],
        outcome: Sequence[str],
        output: Sequence[Any],
    ) -> Versions:
        kinds = [_KINDS.get(pair, UNSEEN) for pair in zip(f, outcome, strict=True)]
        before: list[Any] = [None] * len(kinds)
        after = [
            answer if name == "read" else argument
            for name, argument, answer in zip(f, value, output, strict=True)
        ]
        if UNSEEN in kinds:
            for i, kind in enumerate(kinds):
                if kind != UNSEEN:
                    continue
                if f[i] != "cas":
                    raise ValueError(f"a register has read, write and cas, not {f[i]!r}")
                before[i], after[i] = value[i]
                kinds[i] = self._kind_of_cas(outcome[i], output[i])
        return Versions(self.initial, kinds, before, after)

    def _kind_of_cas(self, outcome: str, output: Any) -> int:
        if outcome == "fail":
            return NOTHING
        if outcome == "info" or output is True:
            return LINK
        if output is not False:
            raise ValueError(f"the output of a cas is True or False, not {output!r}")
        return MISMATCH if self.failed_cas == "constrains" else NOTHING

    def first_illegal(self, calls: Sequence[Operation]) -> int | None:
        """As the default, without a `Call` for each of the operations that most histories have."""
        step = type(self).step
        if step not in (CasRegister.step, Register.step):
            return super().first_illegal(calls)
        compares = step is CasRegister.step
        state: State = self.initial
        for position, operation in enumerate(calls):
            f = operation.f
            if f == "read":
                if operation.output != state and operation.outcome != "info":
                    return position
            elif f == "write":
                state = operation.value
            elif f == "cas" and compares and operation.output is True and operation.outcome == "ok":
                expected, new = operation.value
                if state != expected:
                    return position
                state = new
            else:
                after = self.step(state, call_of(operation))
                if after is ILLEGAL:
                    return position
                state = after
        return None


@dataclass(frozen=True)
class Register(CasRegister):
    """read -> value; write value. Nothing else."""

    def step(self, state: State, call: Call) -> State | Illegal:
        if call.f == "cas":
            raise ValueError("a register has read and write, not 'cas'")
        return super().step(state, call)

    def _kind_of_cas(self, outcome: str, output: Any) -> int:
        raise ValueError("a register has read and write, not 'cas'")


def _looked_for(calls: Iterable[Call]) -> Iterator[Any]:
    """The values that can be told from others."""
    for call in calls:
        if call.f == "read" and call.returned:
            yield call.output
        elif call.f == "cas":
            yield call.value[0]


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)
