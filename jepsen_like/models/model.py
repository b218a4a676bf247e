"""A sequential specification: the states of one object and what each operation does to them.

A model knows nothing of time, clients or concurrency; the checkers own those. That is what
makes it small enough to be read and believed. A model of one's own is a class of a few lines:

    class MaxRegister(Model):
        def init(self): return 0
        def step(self, state, call):
            if call.f == "write": return max(state, call.value)
            return state if not call.returned or call.output == state else ILLEGAL
        def is_pure(self, call): return call.f == "read"

Everything else has a default; what a model may add (`observable`, `versions`) makes checking
faster and never changes a verdict.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from jepsen_like.history import Operation

__all__ = [
    "Call",
    "State",
    "Illegal",
    "ILLEGAL",
    "Unobserved",
    "UNOBSERVED",
    "Model",
    "Versions",
    "READ",
    "WRITE",
    "LINK",
    "MISMATCH",
    "NOTHING",
    "call_of",
]

State: TypeAlias = Hashable


class Illegal(enum.Enum):
    """The type of `ILLEGAL`, which is no state: None, False and every other value may be one."""

    ILLEGAL = "illegal"


ILLEGAL: Final[Literal[Illegal.ILLEGAL]] = Illegal.ILLEGAL


class Unobserved(enum.Enum):
    """The type of `UNOBSERVED`, the one state that stands for all that nothing ever looks at."""

    UNOBSERVED = "unobserved"


UNOBSERVED: Final[Literal[Unobserved.UNOBSERVED]] = Unobserved.UNOBSERVED


class Call(NamedTuple):
    """What a model sees of an operation. Equal calls are interchangeable to a checker."""

    f: str
    value: Any
    output: Any
    returned: bool  # False: the answer never came, `output` means nothing


# What an operation does to the versions of an object, if its states are versions.
READ = 0  # `after` was the version
WRITE = 1  # `after` became the version, whatever was before
LINK = 2  # `after` became the version, and `before` was it until then (a successful cas)
MISMATCH = 3  # `before` was not the version; nothing changed
NOTHING = 4  # legal everywhere, changes nothing


class Versions(NamedTuple):
    """Operations as steps between versions: one entry per operation in each list."""

    initial: Any  # the version before any operation
    kind: list[int]
    before: list[Any]
    after: list[Any]


class Model(ABC):
    @abstractmethod
    def init(self) -> State:
        """The state of an object before any operation."""

    @abstractmethod
    def step(self, state: State, call: Call) -> State | Illegal:
        """The state after `call` at `state`, or ILLEGAL if `call` cannot have its output there.

        A call that did not return has any output the state allows. Deterministic (for the rest
        see `choice.py`); raises ValueError for an operation the model does not know.
        """

    def is_pure(self, call: Call) -> bool:
        """Whether `call` leaves every state in which it is legal as it was.

        A promise about all states: write(1) leaves the state 1 as it was, and yet it is not
        pure, for placing it there early can be wrong: it may be needed later, after write(2).
        """
        del call
        return False

    def describe(self, call: Call) -> str:
        """`call` in words for people: "write 3", "read -> 5", "cas 1 -> 2 (no match)"."""
        if not call.returned:
            return f"{call.f} {call.value} (no answer)"
        return f"{call.f} {call.value} -> {call.output}"

    def partition(self, operation: Operation) -> int | str:
        """The object `operation` acts on; objects are judged one by one (locality)."""
        return operation.key

    def observable(self, calls: Iterable[Call]) -> Callable[[State], State] | None:
        """A function that maps states which none of `calls` can tell apart to one of them.

        It must keep steps: if s and t map to the same state, so do step(s, c) and step(t, c),
        for each of `calls`, and both are legal or neither is.
        """
        del calls
        return None

    def states_to_begin_with(self, calls: Sequence[Call]) -> Sequence[State] | None:
        """States of which one is, to all of `calls`, as good as any that an object may have.

        None: they are too many, or not known. What a contradiction is shown by is smaller with.
        """
        del calls
        return None

    def versions(self, operations: Sequence[Operation]) -> Versions | None:
        """The same operations as steps between versions; None: this model's states are none."""
        return self.versions_of_columns(
            [o.f for o in operations],
            [o.value for o in operations],
            [o.outcome for o in operations],
            [o.output for o in operations],
        )

    def versions_of_columns(
        self,
        f: Sequence[str],
        value: Sequence[Any],
        outcome: Sequence[str],
        output: Sequence[Any],
    ) -> Versions | None:
        """What a model overrides to be checked without a search.

        Operations with outcome `info` get the kind they would have had if they happened, those
        with `fail` NOTHING. The checker finds out whether versions are distinct.
        """
        del f, value, outcome, output
        return None

    def first_illegal(self, calls: Sequence[Operation]) -> int | None:
        """Where a run of `calls`, one after the other, is not possible; None if it is."""
        state = self.init()
        for position, operation in enumerate(calls):
            after = self.step(state, call_of(operation))
            if after is ILLEGAL:
                return position
            state = after
        return None


def call_of(operation: Operation) -> Call:
    returned = operation.outcome != "info"
    return Call(operation.f, operation.value, operation.output if returned else None, returned)
