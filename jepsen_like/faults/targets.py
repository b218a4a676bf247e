"""Whom a fault hits: by role, by name, or by lot. A role is resolved when the fault strikes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["LeaderOf", "Host", "One", "Target", "TargetError", "leader_of", "host", "one"]


class TargetError(Exception):
    """There is no such host now; the message is a sentence."""


@dataclass(frozen=True)
class LeaderOf:
    group: str

    def __str__(self) -> str:
        return f"leader of {self.group}"


@dataclass(frozen=True)
class Host:
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class One:
    """Some host, drawn from the seed before the run starts."""

    def __str__(self) -> str:
        return "one host"


Target: TypeAlias = LeaderOf | Host | One


def leader_of(group: str) -> LeaderOf:
    """Whichever host leads `group` when the fault strikes."""
    return LeaderOf(group)


def host(name: str) -> Host:
    return Host(name)


def one() -> One:
    """A host drawn from the seed."""
    return One()


def draw_target(target: Target, hosts: Sequence[str], rng: random.Random) -> Target:
    """The target with every lot drawn. Raises TargetError for a host that does not exist."""
    if isinstance(target, One):
        return Host(rng.choice(hosts))
    if isinstance(target, Host) and target.name not in hosts:
        raise TargetError(f"there is no host {target.name}; there are {', '.join(hosts)}.")
    return target


def resolve(target: Target, leaders: Mapping[str, str]) -> str:
    """The host that `target` means now. Raises TargetError if there is none."""
    if isinstance(target, Host):
        return target.name
    assert isinstance(target, LeaderOf), "lots are drawn before the run"
    if target.group not in leaders:
        led = ", ".join(sorted(leaders)) or "none"
        raise TargetError(f"nobody leads {target.group} now; groups with a leader: {led}.")
    return leaders[target.group]


def role(name: str, leaders: Mapping[str, str]) -> str:
    """What a host is, in words: "leader of meta, shard-1" or "follower"."""
    led = sorted(group for group, leader in leaders.items() if leader == name)
    return f"leader of {', '.join(led)}" if led else "follower"
