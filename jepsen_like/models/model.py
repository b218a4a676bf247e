"""A sequential specification: the states of one key and what each operation does to them.

A model knows nothing of time, clients or concurrency; the checkers own those. That is what
makes it small enough to be read and believed.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from jepsen_like.history import Operation

__all__ = ["Call", "State", "Illegal", "ILLEGAL", "Model", "call_of"]

State: TypeAlias = Hashable


class Illegal(enum.Enum):
    """The type of `ILLEGAL`, which is no state: None, False and every other value may be one."""

    ILLEGAL = "illegal"


ILLEGAL: Final[Literal[Illegal.ILLEGAL]] = Illegal.ILLEGAL


class Call(NamedTuple):
    """What a model sees of an operation. Equal calls are interchangeable to a checker."""

    f: str
    value: Any
    output: Any
    returned: bool  # False: the answer never came, `output` means nothing


class Model(Protocol):
    def init(self) -> State:
        """The state of a key before any operation."""

    def step(self, state: State, call: Call) -> State | Illegal:
        """The state after `call` at `state`, or ILLEGAL if `call` cannot have its output there.

        A call that did not return has any output the state allows. Deterministic; raises
        ValueError for an operation the model does not know.
        """

    def is_pure(self, call: Call) -> bool:
        """Whether `call` leaves every state in which it is legal as it was.

        A promise about all states: write(1) leaves the state 1 as it was, and yet it is not
        pure, for placing it there early can be wrong: it may be needed later, after write(2).
        """

    def describe(self, call: Call) -> str:
        """`call` in words for people: "write 3", "read -> 5", "cas 1 -> 2 (no match)"."""


def call_of(operation: Operation) -> Call:
    returned = operation.outcome != "info"
    return Call(operation.f, operation.value, operation.output if returned else None, returned)
