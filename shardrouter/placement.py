"""Which shard owns which slot, which slots move when shards come and go, where replicas live.

Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018), applied to the
16384 slots instead of to keys: a slot belongs to the first shard clockwise from it on the
ring that is not full. A plain ring of 160 virtual nodes gives shards between 0.24 and 1.89
of their share at 1000 shards; here the bound on the load is taken as tight as whole slots
allow:

    floor(share) <= slots owned <= ceil(share),   share = 16384 * weight / sum of weights

Hence at most ceil(1.05 * share), at least floor(0.90 * share); nothing stricter is possible
(963 shards of 17.01 slots each: one must own 18). The catalog stores the assignment, so a
lookup is an index into a table and needs no ring; `reassign` starts from what is stored
and moves only what the bound demands: for equal weights ceil(share) slots of a shard that
comes, and exactly the slots of a shard that goes.

Pure and deterministic: no seeded hash, no order of a set.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Final

import xxhash

from nodes.values import SLOTS

__all__ = ["PlacementError", "assign_slots", "place_replicas", "reassign", "shares"]

VIRTUAL_NODES: Final = 64
"""Points of a shard of average weight on the ring. The loads are bounded by construction;
more points only spread what moves over more shards."""


class PlacementError(ValueError):
    """No placement exists; the message is a sentence that says why."""


# --------------------------------------------------------------------------- slots


def shares(shards: Sequence[str], weights: Mapping[str, int] | None = None) -> list[Fraction]:
    """Each shard's exact share of the slots. Weights are positive integers, 1 if not given."""
    if not shards:
        raise PlacementError("There is no shard to own slots.")
    if len(set(shards)) != len(shards):
        raise PlacementError("Two shards have the same name.")
    if len(shards) > SLOTS:
        raise PlacementError(f"{len(shards)} shards cannot share {SLOTS} slots.")
    parts = [(weights or {}).get(shard, 1) for shard in shards]
    if min(parts) < 1:
        raise PlacementError("The weight of a shard must be at least 1.")
    total = sum(parts)
    return [Fraction(SLOTS * part, total) for part in parts]


def assign_slots(shards: Sequence[str], weights: Mapping[str, int] | None = None) -> list[int]:
    """The first assignment: for each slot the index of its shard in `shards`."""
    return reassign([], (), shards, weights)


def reassign(
    current: Sequence[int],
    before: Sequence[str],
    after: Sequence[str],
    weights: Mapping[str, int] | None = None,
) -> list[int]:
    """The assignment for `after`, moving as little as the bound on loads allows.

    `current` indexes `before`, the result indexes `after`. Slots of shards that are gone
    move; of the others only what their owner has above its quota.
    """
    index = {name: i for i, name in enumerate(after)}
    owners = [index.get(before[owner], -1) for owner in current] if current else [-1] * SLOTS
    if len(owners) != SLOTS:
        raise PlacementError(f"An assignment has {SLOTS} slots, not {len(owners)}.")
    parts = shares(after, weights)
    loads = [0] * len(after)
    for owner in owners:
        if owner >= 0:
            loads[owner] += 1
    room = [quota - load for quota, load in zip(_quotas(parts, loads), loads, strict=True)]
    ring = _Ring(after, parts)
    preferred = [ring.first(slot) for slot in range(SLOTS)]
    # Slots leave an owner that has too many first for the shard that the ring prefers, so
    # that over time the assignment stays close to the ring's.
    for slot in range(SLOTS):
        owner, wanted = owners[slot], preferred[slot]
        if (owner < 0 or room[owner] < 0) and room[wanted] > 0:
            if owner >= 0:
                room[owner] += 1
            room[wanted] -= 1
            owners[slot] = wanted
    for slot in range(SLOTS):
        owner = owners[slot]
        if owner < 0 or room[owner] < 0:
            if owner >= 0:
                room[owner] += 1
            taker = ring.first_with_room(slot, room)
            room[taker] -= 1
            owners[slot] = taker
    assert not any(room), "quotas add up to the number of slots"
    return owners


def _quotas(parts: Sequence[Fraction], loads: Sequence[int]) -> list[int]:
    """How many slots each shard shall own: floor or ceil of its share, nearest to its load.

    Rounding in favour of what a shard already owns keeps a change of all shares (one shard
    more) from moving slots between shards that stay.
    """
    floors = [part.numerator // part.denominator for part in parts]
    ceilings = [-(-part.numerator // part.denominator) for part in parts]
    quotas = [
        min(max(load, low), high) for load, low, high in zip(loads, floors, ceilings, strict=True)
    ]
    excess = sum(quotas) - SLOTS
    order = sorted(range(len(parts)), key=lambda i: (quotas[i] - parts[i], i))
    for i in reversed(order):
        if excess > 0 and quotas[i] > floors[i]:
            quotas[i] -= 1
            excess -= 1
    for i in order:
        if excess < 0 and quotas[i] < ceilings[i]:
            quotas[i] += 1
            excess += 1
    assert excess == 0, "floors add up to at most the slots, ceilings to at least"
    return quotas


@cache
def _slot_points() -> tuple[int, ...]:
    """Where the slots are on every ring."""
    return tuple(xxhash.xxh3_64_intdigest(b"slot:%d" % slot) for slot in range(SLOTS))


class _Ring:
    """Virtual nodes in the order of their hashes."""

    def __init__(self, shards: Sequence[str], parts: Sequence[Fraction]) -> None:
        average = Fraction(SLOTS, len(shards))
        counts = {part: max(1, round(VIRTUAL_NODES * part / average)) for part in set(parts)}
        numbers = [b"#%d" % i for i in range(max(counts.values()))]
        hashed = xxhash.xxh3_64_intdigest
        points: list[int] = []
        owners: list[int] = []
        for index, shard in enumerate(shards):
            name, count = shard.encode(), counts[parts[index]]
            points += [hashed(name + number) for number in numbers[:count]]
            owners += [index] * count
        order = sorted(range(len(points)), key=points.__getitem__)  # of equal ones the first shard
        hashes = [points[i] for i in order]
        self._owners = [owners[i] for i in order]
        # Where each slot stands: 64 points of each of 1000 shards are looked through once.
        self._positions = [bisect_left(hashes, point) % len(hashes) for point in _slot_points()]
        # next[i]: a point at or after i, all points between belonging to full shards. Paths
        # are halved as they are walked, so that thousands of full shards cost nothing.
        self._next = list(range(len(points)))

    def first(self, slot: int) -> int:
        """The shard that a ring without bounds gives the slot to."""
        return self._owners[self._positions[slot]]

    def first_with_room(self, slot: int, room: Sequence[int]) -> int:
        """The first shard clockwise with room. One must exist; room never grows back above
        zero between calls, which is what lets full points be skipped for good."""
        skip, owners = self._next, self._owners
        i = self._positions[slot]
        while True:
            while skip[i] != i:
                skip[i] = skip[skip[i]]
                i = skip[i]
            if room[owners[i]] > 0:
                return owners[i]
            skip[i] = (i + 1) % len(skip)
            i = skip[i]


# --------------------------------------------------------------------------- replicas


def place_replicas(
    nodes: Mapping[str, int], groups: Sequence[str], replicas: int
) -> dict[str, list[str]]:
    """The nodes of each group, the preferred leader first.

    `nodes` maps names to capacities (relative weights). Replicas go where the most capacity
    is free; leaders are spread so that no node leads two groups more than another that could
    lead one of its groups, directly or by passing leaderships along.
    """
    if replicas < 1:
        raise PlacementError("A group needs at least one replica.")
    if replicas > len(nodes):
        raise PlacementError(
            f"{replicas} replicas of a group need {replicas} nodes, there are {len(nodes)}."
        )
    if min(nodes.values()) < 1:
        raise PlacementError("The capacity of a node must be at least 1.")
    names = list(nodes)
    rank = {name: i for i, name in enumerate(names)}
    load = dict.fromkeys(names, 0)
    members: dict[str, list[str]] = {}
    for group in groups:
        by_free = sorted(names, key=lambda n: (Fraction(load[n] + 1, nodes[n]), rank[n]))
        members[group] = sorted(by_free[:replicas], key=rank.__getitem__)
        for name in members[group]:
            load[name] += 1
    leaders = _spread_leaders(members, names)
    return {
        group: [leaders[group], *(name for name in chosen if name != leaders[group])]
        for group, chosen in members.items()
    }


def _spread_leaders(members: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, str]:
    rank = {name: i for i, name in enumerate(names)}
    led = dict.fromkeys(names, 0)
    leaders: dict[str, str] = {}
    for group, chosen in members.items():
        leaders[group] = min(chosen, key=lambda n: (led[n], rank[n]))
        led[leaders[group]] += 1
    while path := _relief(members, leaders, led, names):
        for group, taker in path:
            led[leaders[group]] -= 1
            leaders[group] = taker
            led[taker] += 1
    return leaders


def _relief(
    members: Mapping[str, Sequence[str]],
    leaders: Mapping[str, str],
    led: Mapping[str, int],
    names: Sequence[str],
) -> list[tuple[str, str]]:
    """Hand-overs (group, new leader) that take one leadership from a node to another with at
    least two fewer; empty if there are none. A breadth-first search from each busy node."""
    of_leader: dict[str, list[str]] = {name: [] for name in names}
    for group, leader in leaders.items():
        of_leader[leader].append(group)
    for start in sorted(names, key=lambda n: -led[n]):
        came: dict[str, tuple[str, str]] = {}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            if led[node] <= led[start] - 2:
                path: list[tuple[str, str]] = []
                while node != start:
                    giver, group = came[node]
                    path.append((group, node))
                    node = giver
                return path
            for group in of_leader[node]:
                for taker in members[group]:
                    if taker not in came and taker != start:
                        came[taker] = (node, group)
                        queue.append(taker)
    return []
