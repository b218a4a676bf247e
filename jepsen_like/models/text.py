"""A key-value store of texts that grow: what a text was appended to can be read off it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from jepsen_like.models.model import ILLEGAL, UNOBSERVED, Call, Illegal, Model, State

__all__ = ["Text"]

SHOWN_MAX = 60  # characters of a text, in words for people


@dataclass(frozen=True)
class Text(Model):
    """A key-value store of texts: put text; append text; get -> the text."""

    initial: str = ""

    def init(self) -> State:
        return self.initial

    def step(self, state: State, call: Call) -> State | Illegal:
        if call.f == "get":
            return state if not call.returned or call.output == state else ILLEGAL
        if call.f == "put":
            return str(call.value)
        if call.f != "append":
            raise ValueError(f"a text has put, append and get, not {call.f!r}")
        if state is UNOBSERVED:
            return state
        assert isinstance(state, str)
        return state + str(call.value)

    def is_pure(self, call: Call) -> bool:
        return call.f == "get"

    def describe(self, call: Call) -> str:
        unknown = "" if call.returned else " (no answer)"
        if call.f == "get":
            return "get (no answer)" if unknown else f"get -> {_short(call.output)}"
        return f"{call.f} {_short(call.value)}{unknown}"

    def observable(self, calls: Iterable[Call]) -> Callable[[State], State]:
        """A text that is the beginning of no text that was read can never be one again.

        The initial text stays what it is, so that it cannot be taken for a lost one.
        """
        texts = sorted({c.output for c in calls if c.f == "get" and c.returned and c.output})

        def canonical(state: State) -> State:
            if state is UNOBSERVED or state == self.initial:
                return state
            assert isinstance(state, str)
            # in sorted order the texts that begin with `state` follow right where it would stand
            at = bisect_left(texts, state)
            return state if at < len(texts) and texts[at].startswith(state) else UNOBSERVED

        return canonical


def _short(value: Any) -> str:
    """Texts grow with the history; their end is what differs."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"...{text[-SHOWN_MAX:]}"
