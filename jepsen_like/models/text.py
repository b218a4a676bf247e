"""A string per key with get, put and append: the key-value model of Porcupine's logs."""

from __future__ import annotations

from dataclasses import dataclass

from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State

__all__ = ["Text"]


@dataclass(frozen=True)
class Text(Model):
    """get -> the text; put replaces it; append adds to its end."""

    initial: str = ""

    def init(self) -> State:
        return self.initial

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, str)
        if call.f == "get":
            return state if not call.returned or call.output == state else ILLEGAL
        if call.f == "put":
            return str(call.value)
        if call.f == "append":
            return state + str(call.value)
        raise ValueError(f"a text has get, put and append, not {call.f!r}")

    def is_pure(self, call: Call) -> bool:
        return call.f == "get"

    def describe(self, call: Call) -> str:
        unknown = "" if call.returned else " (no answer)"
        if call.f == "get":
            return f"get{unknown}" if unknown else f"get -> {call.output!r}"
        return f"{call.f} {call.value!r}{unknown}"
