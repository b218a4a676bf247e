"""Locks: a mutex, and a lease whose holders are told apart by fencing tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State

__all__ = ["Mutex", "FencedLease", "ContendedLease"]


@dataclass(frozen=True)
class Mutex(Model):
    """acquire -> True, or False: somebody holds it; release -> True, or False: nobody does.

    An answer None is taken for True. Who holds it is not looked at: that is what tokens are for.
    """

    def init(self) -> State:
        return False

    def step(self, state: State, call: Call) -> State | Illegal:
        if call.f not in ("acquire", "release"):
            raise ValueError(f"a mutex has acquire and release, not {call.f!r}")
        after = call.f == "acquire"
        if not call.returned:
            return after
        changed = call.output is not False
        if changed:
            return after if state != after else ILLEGAL
        return state if state == after else ILLEGAL

    def is_pure(self, call: Call) -> bool:
        return call.returned and call.output is False

    def describe(self, call: Call) -> str:
        refused = " (refused)" if call.returned and call.output is False else ""
        return f"{call.f}{refused}" if call.returned else f"{call.f} (no answer)"


class _Lease(NamedTuple):
    token: int  # the highest that a client was given
    current: bool  # False: somebody who never heard of it has a higher one


@dataclass(frozen=True)
class FencedLease(Model):
    """acquire -> a token, higher than any before; use token -> whether it was accepted.

    A lease may end at any time by itself, so acquire never has to wait for a release. What a
    lease promises is fencing (Kleppmann 2016, "How to do distributed locking"): once a token
    was given, no lower one is accepted.
    """

    initial: int = 0

    def init(self) -> State:
        return _Lease(self.initial, False)

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, _Lease)
        if call.f == "acquire":
            if not call.returned:
                return _Lease(state.token, False)
            token = int(call.output)
            return _Lease(token, True) if token > state.token else ILLEGAL
        if call.f != "use":
            raise ValueError(f"a lease has acquire and use, not {call.f!r}")
        if not call.returned:
            return state
        accepted = state.current and call.value == state.token
        return state if call.output == accepted else ILLEGAL

    def is_pure(self, call: Call) -> bool:
        return call.f == "use"

    def describe(self, call: Call) -> str:
        if not call.returned:
            return f"{call.f} (no answer)"
        if call.f == "acquire":
            return f"acquire -> token {call.output}"
        return f"use token {call.value} {'accepted' if call.output else 'refused'}"


@dataclass(frozen=True)
class ContendedLease(Model):
    """acquire (token, holder) -> whether it was granted: only above every token given before;
    use (token, holder) -> whether it was accepted: only from who has the highest token;
    read -> that token.

    Unlike with `FencedLease` the one who asks names the token, so that two may ask for the same.
    """

    initial: int = 0

    def init(self) -> State:
        return self.initial, None

    def step(self, state: State, call: Call) -> State | Illegal:
        assert isinstance(state, tuple)
        if call.f == "read":
            return state if not call.returned or call.output == state[0] else ILLEGAL
        if call.f not in ("acquire", "use"):
            raise ValueError(f"a lease has acquire, use and read, not {call.f!r}")
        token, _ = call.value
        right = token > state[0] if call.f == "acquire" else tuple(call.value) == state
        if call.returned and call.output != right:
            return ILLEGAL
        return tuple(call.value) if right and call.f == "acquire" else state

    def is_pure(self, call: Call) -> bool:
        return call.f != "acquire" or (call.returned and not call.output)

    def describe(self, call: Call) -> str:
        if call.f == "read":
            return f"read -> token {call.output}" if call.returned else "read (no answer)"
        token, holder = call.value
        said = ("granted" if call.f == "acquire" else "accepted") if call.output else "refused"
        ending = said if call.returned else "(no answer)"
        return f"{call.f} token {token} as {holder}: {ending}"
