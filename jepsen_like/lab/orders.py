"""What the words of a command mean: which fault of `faults` is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jepsen_like import faults
from jepsen_like.faults.cuts import Cut
from jepsen_like.faults.fault import Planned
from jepsen_like.faults.targets import Target, as_target
from jepsen_like.lab.strikes import FOREVER_S
from jepsen_like.load import seconds

__all__ = ["GROUP", "OrderError", "cut", "kill", "pause", "slow", "target"]

GROUP = "shard-1"
"""Whose leader is meant where only "leader" is said."""

SHAPES: Mapping[str, Callable[[], Cut]] = {
    "halves": faults.halves,
    "bridge": faults.bridge,
    "ring": faults.majority_ring,
}


class OrderError(ValueError):
    """The words mean nothing; a sentence."""


def target(word: str) -> Target:
    """ "n1", "leader", "leader:shard-2", "follower:meta", "one", "minority" """
    role, _, group = word.partition(":")
    if role == "leader":
        return faults.leader_of(group or GROUP)
    if role == "follower":
        return faults.follower_of(group or GROUP)
    if group:
        raise OrderError(f"{word!r} is no host; write n1, leader:{group} or follower:{group}.")
    return as_target(word)


def cut(words: Sequence[str], *, one_way: bool, lasts: str | None) -> Planned:
    """One word is isolated, several are sides: "n1,n2 n3". Raises OrderError."""
    hold = _lasting(lasts)
    if one_way:
        if len(words) > 2:
            raise OrderError("--one-way is of one host, or of one to another: cut n1 n2")
        return faults.partition(faults.one_way(*map(target, words)), hold=hold, rest=0.0)
    if len(words) > 1:
        sides = [tuple(word.split(",")) for word in words]
        names = [name for side in sides for name in side]
        if len(set(names)) < len(names):
            raise OrderError("a host stands on one side only: cut n1,n2 n3")
        return faults.partition(faults.split(*sides), hold=hold, rest=0.0)
    (word,) = words
    shape = SHAPES.get(word)
    return faults.partition(shape() if shape else faults.isolate(target(word)), hold=hold, rest=0.0)


def slow(rtt: str, of: str | None, *, lasts: str | None) -> Planned:
    """Raises OrderError."""
    hold = _lasting(lasts)
    try:
        if of is None:
            return faults.slow(rtt, hold=hold)
        on = faults.isolate(target(of))
        return faults.slow_link(seconds(rtt) / 2, on=on, hold=hold, rest=0.0)
    except ValueError as exc:
        raise OrderError(str(exc)) from exc


def kill(word: str, *, loses_unsynced: bool, lasts: str | None) -> Planned:
    """Raises OrderError."""
    hold = _lasting(lasts)
    return faults.kill(target(word), hold=hold, rest=0.0, lose_unsynced=loses_unsynced)


def pause(word: str, *, lasts: str | None) -> Planned:
    """Raises OrderError."""
    return faults.pause(target(word), hold=_lasting(lasts), rest=0.0)


def _lasting(lasts: str | None) -> float:
    try:
        return FOREVER_S if lasts is None else seconds(lasts)
    except ValueError as exc:
        raise OrderError(str(exc)) from exc
