"""Models that leave a choice: one operation at one state may lead to several.

A checker wants one state after each step. The set of all states that are possible is one: a
history is legal exactly if some choice remains (the subset construction of automata theory).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State

__all__ = ["ChoiceModel"]


class ChoiceModel(Model):
    """As `Model`, with `choices` in place of `step`.

    No operation is pure: even a read says which of the possible states was the one, and so
    changes what is possible after it. What never returned and changes nothing still says so by
    `says_nothing`.
    """

    @abstractmethod
    def start(self) -> State:
        """The state of an object before any operation."""

    @abstractmethod
    def choices(self, state: State, call: Call) -> Iterable[State]:
        """The states that `call` may lead to from `state`; none: it is illegal there."""

    def init(self) -> State:
        return frozenset({self.start()})

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, frozenset)
        after = frozenset(t for s in state for t in self.choices(s, call))
        return after or ILLEGAL

    def is_pure(self, call: Call) -> bool:
        return not call.returned and self.says_nothing(call)

    def says_nothing(self, call: Call) -> bool:
        """Whether `call`, which never returned, leaves every state as it was."""
        del call
        return False
