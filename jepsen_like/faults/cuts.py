"""Which links a partition cuts: a set of (source, target), each a direction of its own.

A cut is a value. Lots are drawn from the seed before the run; whoever is named by a role is
found when the cut strikes; then `severed` says which links it is. Shapes and their names are
those of the field (Jepsen's nemesis.clj; Alquraan et al., OSDI 2018, on partial partitions). These
are between hosts; those inside of one are in `cuts_of_routers`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jepsen_like.backends.backend import Pair
from jepsen_like.faults.targets import (
    Host,
    Target,
    TargetError,
    as_target,
    draw_one,
    draw_target,
    roles,
)

__all__ = [
    "Bridge",
    "Cut",
    "Halves",
    "Isolate",
    "MajorityRing",
    "OneWay",
    "Severed",
    "Split",
    "bridge",
    "halves",
    "isolate",
    "majority_ring",
    "one_way",
    "split",
]


@dataclass(frozen=True)
class Severed:
    """A cut as links."""

    pairs: tuple[Pair, ...]  # of hosts, which means all links between them, or of stations
    hit: tuple[str, ...]  # whom it is about, for the ledger
    words: str  # who does not reach whom
    sides: tuple[tuple[str, ...], ...] = ()
    """Hosts that reach each other and nobody else; empty if some reach others on more than one
    side, or in one direction, so that nobody is the majority or the minority."""
    role: str = ""  # of whom it is about, if that is no host

    def roles(self, leaders: Mapping[str, str]) -> str:
        return self.role or roles(self.hit, leaders)


class Cut(Protocol):
    @property
    def targets(self) -> tuple[Target, ...]:
        """Whom `severed` is to be told, in this order."""

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Cut:
        """The cut with every lot drawn; raises TargetError if these hosts do not allow it."""

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        """The links, now that the hosts behind `targets` are found."""


@dataclass(frozen=True)
class Isolate:
    """One host, with its router and its clients, from all others."""

    target: Target

    def __str__(self) -> str:
        return f"isolate({self.target})"

    @property
    def targets(self) -> tuple[Target, ...]:
        return (self.target,)

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Isolate:
        return Isolate(draw_one(self.target, hosts, rng))

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        (target,) = found
        return _apart(((target,), tuple(name for name in hosts if name != target)), (target,))


@dataclass(frozen=True)
class Split:
    """Named hosts on each side; hosts that are not named form one more side."""

    sides: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return " | ".join(" ".join(side) for side in self.sides)

    @property
    def targets(self) -> tuple[Target, ...]:
        return ()

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Split:
        named = [name for side in self.sides for name in side]
        for name in named:
            draw_target(Host(name), hosts, rng)
        if len(set(named)) != len(named):
            raise TargetError(f"a host is on two sides of the partition {self}.")
        rest = tuple(name for name in hosts if name not in named)
        sides = self.sides + ((rest,) if rest else ())
        if len(sides) < 2:
            raise TargetError(f"the partition {self} has one side only.")
        return Split(sides)

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        return _apart(self.sides, min(self.sides, key=len))


@dataclass(frozen=True)
class Halves:
    """Two sides drawn by lot, as even as the hosts allow."""

    def __str__(self) -> str:
        return "halves"

    @property
    def targets(self) -> tuple[Target, ...]:
        return ()

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Split:
        order = _order(self, hosts, rng, at_least=2)
        middle = len(order) // 2
        return Split((tuple(sorted(order[:middle])), tuple(sorted(order[middle:]))))

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        raise AssertionError("lots are drawn before the run")


@dataclass(frozen=True)
class OneWay:
    """What `source` sends does not reach `to` (None: anybody); what those send reaches it."""

    source: Target
    to: Target | None = None

    def __str__(self) -> str:
        return f"one_way({self.source} to {self.to or 'all others'})"

    @property
    def targets(self) -> tuple[Target, ...]:
        return (self.source,) if self.to is None else (self.source, self.to)

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> OneWay:
        to = None if self.to is None else draw_one(self.to, hosts, rng)
        return OneWay(draw_one(self.source, hosts, rng), to)

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        source, *others = found
        others = others or [name for name in hosts if name != source]
        if source in others:
            raise TargetError(f"{source} cannot be cut from itself.")
        pairs = tuple((source, other) for other in others)
        return Severed(pairs, (source,), f"{source} -> {' '.join(others)}")


@dataclass(frozen=True)
class Bridge:
    """Two halves that do not reach each other, and one host that reaches both."""

    over: Target | None = None  # None: drawn by lot
    order: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"bridge(over {self.over})" if self.over else "bridge"

    @property
    def targets(self) -> tuple[Target, ...]:
        return () if self.over is None else (self.over,)

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Bridge:
        order = _order(self, hosts, rng, at_least=3)
        over = Host(order[0]) if self.over is None else draw_one(self.over, hosts, rng)
        return replace(self, over=over, order=order)

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        (over,) = found
        rest = [name for name in self.order if name != over]
        middle = len(rest) // 2
        halves = _apart((tuple(rest[:middle]), tuple(rest[middle:])), (over,))
        return Severed(halves.pairs, (over,), f"{halves.words}, both reach {over}")


@dataclass(frozen=True)
class MajorityRing:
    """Every host hears a majority, and no two hosts the same one.

    Hosts stand in a ring, in an order drawn by lot; each hears those nearest to it, itself
    among them. An even number of hosts, and three, cannot be nearest on both sides: then some
    links are cut in one direction only.
    """

    order: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "majority_ring"

    @property
    def targets(self) -> tuple[Target, ...]:
        return ()

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> MajorityRing:
        return MajorityRing(_order(self, hosts, rng, at_least=3))

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        count = len(self.order)
        majority = count // 2 + 1
        before = majority // 2
        pairs: list[Pair] = []
        heard = []
        for place, name in enumerate(self.order):
            near = {self.order[(place - before + step) % count] for step in range(majority)}
            pairs += [(other, name) for other in self.order if other not in near]
            heard.append(f"{name} hears {' '.join(sorted(near - {name}))}")
        return Severed(tuple(pairs), self.order, "; ".join(heard))


def isolate(target: Target | str) -> Isolate:
    return Isolate(as_target(target))


def split(*sides: Sequence[str]) -> Split:
    """`split(["n1"], ["n2", "n3"])`"""
    return Split(tuple(tuple(side) for side in sides))


def halves() -> Halves:
    return Halves()


def one_way(source: Target | str, to: Target | str | None = None) -> OneWay:
    """`one_way(leader_of("shard-1"))`: it hears everybody, and nobody hears it."""
    return OneWay(as_target(source), None if to is None else as_target(to))


def bridge(over: Target | str | None = None) -> Bridge:
    """`bridge(leader_of("shard-1"))`: only the leader reaches all."""
    return Bridge(None if over is None else as_target(over))


def majority_ring() -> MajorityRing:
    return MajorityRing()


def _apart(sides: Sequence[tuple[str, ...]], hit: tuple[str, ...]) -> Severed:
    """Every directed pair of hosts on different sides."""
    pairs = tuple(
        (a, b)
        for side in sides
        for other in sides
        if other is not side
        for a in side
        for b in other
    )
    words = " | ".join(" ".join(side) for side in sides)
    return Severed(pairs, hit, words, tuple(sides))


def _order(cut: Cut, hosts: Sequence[str], rng: random.Random, *, at_least: int) -> tuple[str, ...]:
    if len(hosts) < at_least:
        raise TargetError(f"the partition {cut} needs {at_least} hosts, and there are {len(hosts)}")
    return tuple(rng.sample(list(hosts), len(hosts)))
