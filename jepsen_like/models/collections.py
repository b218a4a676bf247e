"""Things that hold many values: sets, queues, counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State

__all__ = ["Counter", "FifoQueue", "GrowSet", "NO_TABLE", "TableOfRows"]

NO_TABLE: Final = "no table"
"""What anything but a `create` answers where there is no table."""


@dataclass(frozen=True)
class Counter(Model):
    """add n -> nothing, or the sum after it; read -> the sum."""

    initial: int = 0

    def init(self) -> State:
        return self.initial

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, int)
        if call.f == "read":
            return state if not call.returned or call.output == state else ILLEGAL
        if call.f != "add":
            raise ValueError(f"a counter has add and read, not {call.f!r}")
        after = state + int(call.value)
        told = call.returned and call.output is not None
        return ILLEGAL if told and call.output != after else after

    def is_pure(self, call: Call) -> bool:
        return call.f == "read"

    def describe(self, call: Call) -> str:
        return f"read -> {call.output}" if call.f == "read" else f"add {call.value}"


@dataclass(frozen=True)
class GrowSet(Model):
    """add x; remove x; contains x -> bool; read -> all of them, in any order."""

    def init(self) -> State:
        return frozenset()

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, frozenset)
        if call.f == "add":
            return state | {call.value}
        if call.f == "remove":
            return state - {call.value}
        if call.f == "read":
            return state if not call.returned or frozenset(call.output) == state else ILLEGAL
        if call.f == "contains":
            told = not call.returned or call.output == (call.value in state)
            return state if told else ILLEGAL
        raise ValueError(f"a set has add, remove, contains and read, not {call.f!r}")

    def is_pure(self, call: Call) -> bool:
        return call.f in ("read", "contains")

    def describe(self, call: Call) -> str:
        if call.f == "read":
            return f"read -> {call.output}" if call.returned else "read (no answer)"
        return super().describe(call) if call.f == "contains" else f"{call.f} {call.value}"


@dataclass(frozen=True)
class FifoQueue(Model):
    """enqueue x; dequeue -> the oldest, or None if the queue is empty.

    A dequeue without an answer may have taken one away.
    """

    def init(self) -> State:
        return ()

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, tuple)
        if call.f == "enqueue":
            return (*state, call.value)
        if call.f != "dequeue":
            raise ValueError(f"a queue has enqueue and dequeue, not {call.f!r}")
        if not call.returned:
            return state[1:]
        if call.output is None:
            return ILLEGAL if state else state
        return state[1:] if state and state[0] == call.output else ILLEGAL

    def is_pure(self, call: Call) -> bool:
        return call.f == "dequeue" and call.returned and call.output is None


@dataclass(frozen=True)
class TableOfRows(Model):
    """create -> nothing, or False: it is there; drop; add x; read -> all rows, in any order.

    There is no table at first, and a new one is empty. Without a table drop, add and read answer
    NO_TABLE.
    """

    def init(self) -> State:
        return None

    def step(self, state: State, call: Call) -> State | Illegal:
        assert state is None or isinstance(state, frozenset)
        if call.f not in ("create", "drop", "add", "read"):
            raise ValueError(f"a table has create, drop, add and read, not {call.f!r}")
        if call.f == "create":
            told = not call.returned or (call.output is False) == (state is not None)
            return (frozenset() if state is None else state) if told else ILLEGAL
        if call.returned and (call.output == NO_TABLE) != (state is None):
            return ILLEGAL
        if state is None or call.f == "drop":
            return None
        if call.f == "add":
            return state | {call.value}
        return state if not call.returned or frozenset(call.output) == state else ILLEGAL

    def is_pure(self, call: Call) -> bool:
        refused = call.returned and (call.output is False or call.output == NO_TABLE)
        return call.f == "read" or refused

    def describe(self, call: Call) -> str:
        value = "" if call.value is None else f" {call.value}"
        if not call.returned:
            return f"{call.f}{value} (no answer)"
        return f"{call.f}{value}" + ("" if call.output is None else f" -> {call.output}")
