"""Whom a fault hits: by role, by name, or by lot. A role is resolved when the fault strikes.

    faults.kill(leader_of("shard-1"))
    faults.pause("minority")
    faults.restart(faults.router("one"))

A lot ("one", "minority", "majority", a follower among several) is drawn from the seed before the
run starts; who leads is asked when the fault strikes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

__all__ = [
    "LeaderOf",
    "FollowerOf",
    "RouterOf",
    "Host",
    "Hosts",
    "One",
    "Share",
    "Target",
    "TargetError",
    "leader_of",
    "follower_of",
    "router",
    "host",
    "one",
    "as_target",
    "draw_one",
    "draw_target",
    "resolve",
    "role",
    "roles",
]


class TargetError(Exception):
    """There is no such host now; the message is a sentence."""


@dataclass(frozen=True)
class LeaderOf:
    group: str

    def __str__(self) -> str:
        return f"leader of {self.group}"


@dataclass(frozen=True)
class FollowerOf:
    """A host with a replica of the group that does not lead it. `lot`, from 0 to 1, chooses."""

    group: str
    lot: float | None = None

    def __str__(self) -> str:
        return f"follower of {self.group}"


@dataclass(frozen=True)
class Host:
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Hosts:
    """Several hosts at once."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.names)


@dataclass(frozen=True)
class One:
    """Some host, drawn from the seed before the run starts."""

    def __str__(self) -> str:
        return "one host"


@dataclass(frozen=True)
class Share:
    """Some of the hosts, drawn from the seed: the most that are a minority, the fewest that are
    a majority, or all."""

    word: str

    def __str__(self) -> str:
        return self.word

    def count(self, hosts: int) -> int:
        return {"minority": (hosts - 1) // 2, "majority": hosts // 2 + 1, "all": hosts}[self.word]


@dataclass(frozen=True)
class RouterOf:
    """The router beside the target's database process, in its place."""

    beside: LeaderOf | FollowerOf | Host | Hosts | One | Share

    def __str__(self) -> str:
        return f"router of {self.beside}"


Target: TypeAlias = LeaderOf | FollowerOf | RouterOf | Host | Hosts | One | Share

WORDS: Mapping[str, One | Share] = {
    "one": One(),
    "minority": Share("minority"),
    "majority": Share("majority"),
    "all": Share("all"),
}


def leader_of(group: str) -> LeaderOf:
    """Whichever host leads `group` when the fault strikes."""
    return LeaderOf(group)


def follower_of(group: str) -> FollowerOf:
    """A host with a replica of `group` that does not lead it when the fault strikes."""
    return FollowerOf(group)


def router(beside: Target | str = "one") -> RouterOf:
    """The router on that host, where a database has one."""
    target = as_target(beside)
    return target if isinstance(target, RouterOf) else RouterOf(target)


def host(name: str) -> Host:
    return Host(name)


def one() -> One:
    """A host drawn from the seed."""
    return One()


def as_target(target: Target | str) -> Target:
    """A target as it may be written: "one", "minority", "majority", "all" or a host's name."""
    if isinstance(target, str):
        return WORDS.get(target) or Host(target)
    return target


def draw_target(target: Target, hosts: Sequence[str], rng: random.Random) -> Target:
    """The target with every lot drawn. Raises TargetError for a host that does not exist."""
    if isinstance(target, RouterOf):
        beside = draw_target(target.beside, hosts, rng)
        assert not isinstance(beside, RouterOf)
        return RouterOf(beside)
    if isinstance(target, One):
        return Host(rng.choice(hosts))
    if isinstance(target, Share):
        count = target.count(len(hosts))
        if not count:
            raise TargetError(f"{len(hosts)} hosts have no minority; there must be 3 or more.")
        drawn = set(rng.sample(range(len(hosts)), count))
        return Hosts(tuple(name for i, name in enumerate(hosts) if i in drawn))
    if isinstance(target, FollowerOf):
        return replace(target, lot=rng.random())
    for name in _named(target):
        if name not in hosts:
            raise TargetError(
                f"there is no host {name}; there are {', '.join(hosts)}; or write "
                f"{', '.join(WORDS)}, leader_of(GROUP) or follower_of(GROUP)."
            )
    return target


def draw_one(target: Target, hosts: Sequence[str], rng: random.Random) -> Target:
    """The same for a fault of one host. Raises TargetError also for several."""
    drawn = draw_target(target, hosts, rng)
    if isinstance(drawn, Hosts) and len(drawn.names) > 1:
        raise TargetError(f"{target} are {len(drawn.names)} hosts, and one is meant.")
    return drawn


def _named(target: Target) -> tuple[str, ...]:
    if isinstance(target, Host):
        return (target.name,)
    return target.names if isinstance(target, Hosts) else ()


def resolve(
    target: Target, leaders: Mapping[str, str], members: Sequence[str] = ()
) -> tuple[str, ...]:
    """The hosts that `target` means now; `members` have a replica of the group that it names.
    Raises TargetError if there are none."""
    if isinstance(target, RouterOf):
        return resolve(target.beside, leaders, members)
    if isinstance(target, LeaderOf | FollowerOf):
        if target.group not in leaders:
            led = ", ".join(sorted(leaders)) or "none"
            raise TargetError(f"nobody leads {target.group} now; groups with a leader: {led}.")
        if isinstance(target, LeaderOf):
            return (leaders[target.group],)
        assert target.lot is not None, "lots are drawn before the run"
        followers = [name for name in members if name != leaders[target.group]]
        if not followers:
            raise TargetError(f"{target.group} has no followers now.")
        return (followers[int(target.lot * len(followers))],)
    assert isinstance(target, Host | Hosts), "lots are drawn before the run"
    return _named(target)


def role(name: str, leaders: Mapping[str, str]) -> str:
    """What a host is, in words: "leader of meta, shard-1" or "follower"."""
    led = sorted(group for group, leader in leaders.items() if leader == name)
    return f"leader of {', '.join(led)}" if led else "follower"


def roles(hosts: Sequence[str], leaders: Mapping[str, str]) -> str:
    """The same of several hosts: "n1 leader of meta; n2 follower"."""
    if len(hosts) == 1:
        return role(hosts[0], leaders)
    return "; ".join(f"{name} {role(name, leaders)}" for name in hosts)
