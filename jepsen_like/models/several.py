"""Operations on several keys at once: the whole store is one object, keys are no partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jepsen_like.history import Operation
from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State

__all__ = ["Bank", "MultiRegister"]

WHOLE = "all keys"


@dataclass(frozen=True)
class MultiRegister(Model):
    """txn ((r, key, None), (w, key, value), ...) -> the same with what was read filled in.

    A transaction takes effect at one instant; it reads what it wrote before. Keys start as None.
    """

    def init(self) -> State:
        return frozenset()

    def step(self, state: State, call: Call) -> State | Illegal:
        if call.f != "txn":
            raise ValueError(f"registers have txn, not {call.f!r}")
        assert isinstance(state, frozenset)
        values: dict[Any, Any] = dict(state)
        for kind, key, value in call.output if call.returned and call.output else call.value:
            if kind == "w":
                values[key] = value
            elif kind != "r":
                raise ValueError(f"a transaction reads (r) and writes (w), not {kind!r}")
            elif call.returned and values.get(key) != value:
                return ILLEGAL
        return frozenset(item for item in values.items() if item[1] is not None)

    def is_pure(self, call: Call) -> bool:
        return all(kind == "r" for kind, _, _ in call.value)

    def partition(self, operation: Operation) -> str:
        del operation
        return WHOLE

    def describe(self, call: Call) -> str:
        steps = call.output if call.returned and call.output else call.value
        return " ".join(f"{kind}({key}, {value})" for kind, key, value in steps)


@dataclass(frozen=True)
class Bank(Model):
    """transfer (from, to, amount) -> True, or False: too little there; read -> (account, sum)...

    Accounts not named in `balances` do not exist.
    """

    balances: Mapping[Any, int] = field(default_factory=dict)

    def init(self) -> State:
        return frozenset(self.balances.items())

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, frozenset)
        if call.f == "read":
            told = not call.returned or frozenset(tuple(item) for item in call.output) == state
            return state if told else ILLEGAL
        if call.f != "transfer":
            raise ValueError(f"a bank has transfer and read, not {call.f!r}")
        source, target, amount = call.value
        values: dict[Any, int] = dict(state)
        possible = source in values and target in values and values[source] >= amount
        if call.returned and (call.output is not False) != possible:
            return ILLEGAL
        if not possible:
            return state
        values[source] -= amount
        values[target] += amount
        return frozenset(values.items())

    def is_pure(self, call: Call) -> bool:
        return call.f == "read" or (call.returned and call.output is False)

    def partition(self, operation: Operation) -> str:
        del operation
        return WHOLE

    def describe(self, call: Call) -> str:
        if call.f == "read":
            if not call.returned:
                return "read (no answer)"
            return "read -> " + ", ".join(f"{account}: {sum_}" for account, sum_ in call.output)
        source, target, amount = call.value
        ending = " (no answer)" if not call.returned else "" if call.output else " (refused)"
        return f"transfer {amount} from {source} to {target}{ending}"
