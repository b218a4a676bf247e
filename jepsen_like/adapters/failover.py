"""Who shall be primary when the primary does not answer: the decision, without clock or network.

Databases that replicate from a primary to standbys leave this to tools beside them. This one does
what such tools do: an agent on every host asks every member, a majority of the standbys agrees
that the primary is gone, the standby that has most of it is promoted. What is agreed on crosses no
network here, so nothing but what the agents saw can be wrong; a real tool is at best as good.

Without `fence_s` nobody stops a primary that is cut off: it goes on for its own side's clients, and
what it acknowledged meanwhile is thrown away when it is found again. With it the primary's agent
stops the primary when it does not answer, or so few standbys have answered it for that long that
the others are a majority; which is before any of them may be promoted: a standby that has answered
the primary's agent counts that as having seen the primary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

__all__ = [
    "Action",
    "Fence",
    "Follow",
    "Group",
    "Policy",
    "Promote",
    "Rejoin",
    "Resume",
    "Seen",
    "decide",
]

RECENT_S: Final = 1.5
"""How long what an agent was told counts as what is."""


@dataclass(frozen=True)
class Policy:
    """`failover_s`: how long a primary is waited for. `fence_s`: how long it goes on alone; None:
    for ever. Raises ValueError unless it ends before others may begin."""

    failover_s: float
    fence_s: float | None = None

    def __post_init__(self) -> None:
        if self.failover_s <= 0:
            raise ValueError("a primary must be waited for: failover_s is above 0.")
        if self.fence_s is not None and not 0 < self.fence_s < self.failover_s:
            raise ValueError(
                f"a primary that goes on alone for {self.fence_s:g} s would go on beside the next, "
                f"which begins after {self.failover_s:g} s; give a smaller fence_s."
            )


@dataclass(frozen=True)
class Seen:
    """What a member said to an agent that asked it at `at` (seconds)."""

    at: float
    is_primary: bool
    position: int = 0  # how much of the primary's log it has received, in bytes


Views: TypeAlias = Mapping[tuple[str, str], Seen]
"""By (host of the agent, member): the last answer."""


@dataclass
class Group:
    """What has been decided so far."""

    primary: str
    upstream: dict[str, str] = field(default_factory=dict)  # whom each standby follows
    fenced: set[str] = field(default_factory=set)  # stopped by their agents


@dataclass(frozen=True)
class Fence:
    """Stop the member."""

    host: str


@dataclass(frozen=True)
class Promote:
    """Make the standby primary; `blind` had no answer of the primary."""

    host: str
    blind: tuple[str, ...]


@dataclass(frozen=True)
class Resume:
    """A primary that was stopped, and that nobody has replaced: start it."""

    host: str


@dataclass(frozen=True)
class Rejoin:
    """A former primary: throw away what it has, and make it a standby."""

    host: str


@dataclass(frozen=True)
class Follow:
    """A standby of a former primary: follow the new one."""

    host: str


Action: TypeAlias = Fence | Promote | Resume | Rejoin | Follow


def decide(
    hosts: Sequence[str], group: Group, seen: Views, now: float, policy: Policy
) -> list[Action]:
    """What is to be done now, in this order. Whoever does it says so in `group`."""
    primary = group.primary
    standbys = [host for host in hosts if host != primary]
    majority = len(standbys) // 2 + 1
    enough = len(standbys) - majority + 1  # of them, so that the others are none

    def age(agent: str, member: str) -> float:
        found = seen.get((agent, member))
        return float("inf") if found is None else now - found.at

    def last_met(standby: str) -> float:
        """How long ago the standby knows that the primary was there."""
        found = seen.get((standby, primary))
        asked = age(standby, primary) if found is not None and found.is_primary else float("inf")
        return min(asked, age(primary, standby)) if is_up else asked

    actions: list[Action] = []
    backers = 0
    is_up = policy.fence_s is not None and age(primary, primary) <= policy.fence_s
    if policy.fence_s is not None:
        backers = sum(age(primary, s) <= policy.fence_s for s in standbys)
        if primary not in group.fenced and (not is_up or backers < enough):
            actions.append(Fence(primary))
    blind = tuple(s for s in standbys if last_met(s) > policy.failover_s)
    if len(blind) >= majority:
        fit = [s for s in blind if _is_standby(seen.get((s, s)), now)]
        able = [s for s in fit if sum(age(s, other) <= RECENT_S for other in fit) >= majority]
        if able:
            chosen = max(able, key=lambda s: (seen[s, s].position, s))
            return [*actions, Promote(chosen, blind)]
        if primary in group.fenced and backers >= enough:
            actions.append(Resume(primary))
        return actions
    for host in standbys:
        sees = seen.get((host, primary))
        if sees is None or not sees.is_primary or now - sees.at > RECENT_S:
            continue
        mine = seen.get((host, host))
        is_primary_too = mine is not None and mine.is_primary and now - mine.at <= RECENT_S
        if host in group.fenced or is_primary_too:
            actions.append(Rejoin(host))
        elif group.upstream.get(host) != primary and _is_standby(mine, now):
            actions.append(Follow(host))
    return actions


def _is_standby(seen: Seen | None, now: float) -> bool:
    return seen is not None and not seen.is_primary and now - seen.at <= RECENT_S
