"""A register with compare-and-set: one value per key, None while it was never written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jepsen_like.models.model import ILLEGAL, Call, Illegal, State

__all__ = ["CasRegister"]


@dataclass(frozen=True)
class CasRegister:
    """read -> value; write value; cas (expected, new) -> True if the value was expected.

    A cas that answered False constrains the order like a read does: the value then was not
    `expected`. (Histories of other tools may mean something else by it: there, drop it.)
    """

    initial: Any = None

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
            return state if state != expected else ILLEGAL
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


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)
