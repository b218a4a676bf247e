"""Which of the replicas that may answer a read is asked: one policy of several, by name.

Pure. What is known of a replica comes in, chance is a seeded generator. A policy sees those that
are eligible now, and they change: a replica is suspect, behind, or moves away. So what a policy
remembers it remembers by the node's name, and a replica that leaves moves no read but its own:

    nearest               by lot among those about as near as the nearest (`shardrouter.nearest`)
    round_robin           each in turn, in the order of their names
    weighted_round_robin  in turn, by the nodes' capacities, and evenly spread: nginx's smooth
                          weighted round robin. Everybody gains its weight, the richest is asked
                          and pays the sum
    least_connections     who owes this router the fewest answers for its capacity
    least_latency         of two by lot the better one (the power of two choices: Mitzenmacher
                          2001), by the latency of its answers times what it owes already
    random                by lot
    client_hash           the same one for the same client: rendezvous hashing (Thaler and
                          Ravishankar 1998)
    zone                  the nearest of those whose zone has most in common with the router's
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import xxhash

from nodes.config import REPLICA_CHOICES
from shardrouter.nearest import Distance, choose

__all__ = ["NEAREST", "Chooser", "Choice", "Latency", "Replica"]

LATENCY_TAU_S: Final = 2.0
"""In which what an answer took is forgotten to a third: a replica that was slow is tried again."""


class Choice(NamedTuple):
    """What a session wants: a policy, and for whom it asks."""

    policy: str
    client: str = ""


NEAREST: Final = Choice("nearest")


class Latency:
    """What a replica's answers take: the peak counts at once, and falls with time to what came
    since (the peak EWMA of Twitter's Finagle). So one that stalls is avoided with its first late
    answer, and one that nobody asks any more is not avoided for ever."""

    __slots__ = ("_at", "_seconds")

    def __init__(self) -> None:
        self._seconds: float | None = None  # nothing is known
        self._at = 0.0

    def add(self, now: float, seconds: float) -> None:
        old = self.at(now)
        if old is None or seconds >= old:
            self._seconds = seconds
        else:
            self._seconds = old + (1.0 - self._kept(now)) * seconds
        self._at = now

    def at(self, now: float) -> float | None:
        return None if self._seconds is None else self._seconds * self._kept(now)

    def _kept(self, now: float) -> float:
        return math.exp(-max(0.0, now - self._at) / LATENCY_TAU_S)


class Replica(Protocol):
    """What a policy knows of one. `shardrouter.contacts.Contact` is one."""

    @property
    def name(self) -> str:
        """Of its node."""

    @property
    def weight(self) -> int:
        """Its node's capacity."""

    @property
    def zone(self) -> str:
        """Where its node is, parts divided by slashes; empty if nobody has said."""

    @property
    def outstanding(self) -> int:
        """Answers that its node owes this router."""

    @property
    def distance(self) -> Distance: ...

    @property
    def latency(self) -> Latency: ...


class Chooser:
    """For one group: what its policies remember. `zone` is the router's."""

    def __init__(self, rng: random.Random, zone: str = "") -> None:
        self._rng = rng
        self._zone = _parts(zone)
        self._last = ""  # whose turn it was
        self._credits: dict[str, int] = {}  # by node: there are few
        policies = (
            self._nearest,
            self._round_robin,
            self._weighted_round_robin,
            self._least_connections,
            self._least_latency,
            self._random,
            self._client_hash,
            self._by_zone,
        )
        self._policies = dict(zip(REPLICA_CHOICES, policies, strict=True))

    def choose(self, choice: Choice, replicas: Sequence[Replica], now: float) -> int:
        """The place in `replicas`, of which there is one at least."""
        if len(replicas) == 1:
            return 0
        return self._policies[choice.policy](choice, replicas, now)

    def _nearest(self, _choice: Choice, replicas: Sequence[Replica], _now: float) -> int:
        return choose([replica.distance.seconds for replica in replicas], self._rng)

    def _random(self, _choice: Choice, replicas: Sequence[Replica], _now: float) -> int:
        return self._rng.randrange(len(replicas))

    def _round_robin(self, _choice: Choice, replicas: Sequence[Replica], _now: float) -> int:
        names = [replica.name for replica in replicas]
        later = [name for name in names if name > self._last]
        self._last = min(later or names)
        return names.index(self._last)

    def _weighted_round_robin(
        self, _choice: Choice, replicas: Sequence[Replica], _now: float
    ) -> int:
        before = self._credits
        credits = [before.get(replica.name, 0) + replica.weight for replica in replicas]
        best = credits.index(max(credits))
        credits[best] -= sum(replica.weight for replica in replicas)
        for replica, credit in zip(replicas, credits, strict=True):
            before[replica.name] = credit
        return best

    def _least_connections(self, _choice: Choice, replicas: Sequence[Replica], _now: float) -> int:
        loads = [replica.outstanding / replica.weight for replica in replicas]
        least = min(loads)
        return self._rng.choice([place for place, load in enumerate(loads) if load == least])

    def _least_latency(self, _choice: Choice, replicas: Sequence[Replica], now: float) -> int:
        one, other = self._rng.sample(range(len(replicas)), 2)
        return min(one, other, key=lambda place: _cost(replicas[place], now))

    def _client_hash(self, choice: Choice, replicas: Sequence[Replica], _now: float) -> int:
        hashed = xxhash.xxh3_64_intdigest
        scores = [hashed(f"{replica.name}\0{choice.client}".encode()) for replica in replicas]
        return scores.index(max(scores))

    def _by_zone(self, _choice: Choice, replicas: Sequence[Replica], _now: float) -> int:
        shared = [_in_common(self._zone, _parts(replica.zone)) for replica in replicas]
        most = max(shared)
        places = [place for place, count in enumerate(shared) if count == most]
        return places[choose([replicas[place].distance.seconds for place in places], self._rng)]


def _cost(replica: Replica, now: float) -> float:
    """Of one more read. What has not answered yet is as good as the way to it is short."""
    took = replica.latency.at(now)
    if took is None:
        took = replica.distance.seconds or 0.0
    return took * (replica.outstanding + 1)


def _parts(zone: str) -> tuple[str, ...]:
    return tuple(zone.split("/")) if zone else ()


def _in_common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many leading parts, `eu/paris/a` and `eu/paris/b`: two."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
