"""Compares the replicas of a group: the same rows, by Merkle tree, at one applied index.

A CHECKSUM entry in the group's log makes every replica compute its tree of the same state; here
their roots are compared, and where they differ the first differing range of keys is found by
going down both trees. Knows trees as answers of nodes, not how they are built.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from nodes.client import NodeClient
from nodes.protocol import (
    Checksum,
    Checksums,
    Done,
    GetChecksum,
    NoChecksum,
    NotLeader,
    RangeSum,
    ResponseBody,
)

__all__ = ["Comparison", "Difference", "compare", "describe"]

POLL_S: Final = 0.05
"""How often a replica is asked whether its checksum is there."""

CALL_S: Final = 5.0
"""How long one question may take."""


@dataclass(frozen=True)
class Difference:
    """One table of one replica is not what most replicas have."""

    node: str
    table: str
    first: tuple[object, ...]
    """Keys of the first and last row of the first range that differs, in either replica."""
    last: tuple[object, ...]
    rows: int
    rows_of_others: int
    is_outvoted: bool = True
    """Most replicas that were compared agree with each other. Else nobody can tell which of them
    is right."""


@dataclass(frozen=True)
class Comparison:
    """What was found in one group. Without differences and silent replicas all is well."""

    group: str
    index: int
    tables: int
    rows: int
    compared: tuple[str, ...]
    """Nodes whose replicas were compared."""
    silent: Mapping[str, str]
    """Nodes that gave no checksum, and why."""
    differences: tuple[Difference, ...]


async def compare(
    group: str, clients: Mapping[str, NodeClient], *, timeout_s: float
) -> Comparison | str:
    """Compare the replicas on `clients` (by node); a sentence if the group cannot be asked."""
    try:
        async with asyncio.timeout(timeout_s):
            index = await _begin(group, clients)
    except TimeoutError:
        return f"group {group} has no leader that answers"
    answers = await asyncio.gather(
        *(_roots(group, index, client, timeout_s) for client in clients.values())
    )
    roots: dict[str, dict[str, RangeSum]] = {}
    silent: dict[str, str] = {}
    for node, answer in zip(clients, answers, strict=True):
        if isinstance(answer, str):
            silent[node] = answer
        else:
            roots[node] = {root.table: root for root in answer}
    differences: list[Difference] = []
    for table in sorted({table for tables in roots.values() for table in tables}):
        hashes = {node: _hash(tables.get(table)) for node, tables in roots.items()}
        usual, count = Counter(hashes.values()).most_common(1)[0]
        right = next(node for node in roots if hashes[node] == usual)
        for node in roots:
            if hashes[node] != usual:
                trees = [
                    _Tree(clients[n], group, index, roots[n].get(table)) for n in (node, right)
                ]
                found = await _difference(node, table, *trees)
                differences.append(replace(found, is_outvoted=2 * count > len(hashes)))
    usual_roots = next(iter(roots.values()), {})
    return Comparison(
        group,
        index,
        len(usual_roots),
        sum(root.rows for root in usual_roots.values()),
        tuple(roots),
        silent,
        tuple(differences),
    )


def describe(group: str, difference: Difference, *, with_keys: bool = True) -> str:
    """What differs, where, and what to do about it, in one sentence; without keys, which are
    values of rows, for a log."""
    keys = f"from key {_key(difference.first)} to {_key(difference.last)}"
    if not with_keys:
        keys = f"in keys that `shardrouter verify {group}` names"
    cure = (
        f"rebuild it: shardrouter replica rebuild {group} {difference.node}."
        if difference.is_outvoted
        else "no majority says which of them is right, so compare those rows yourself before you "
        "rebuild one."
    )
    return (
        f"{group}: the replica on {difference.node} differs in table {difference.table}, first "
        f"{keys} ({difference.rows} rows there, {difference.rows_of_others} in the others); {cure}"
    )


def _key(values: tuple[object, ...]) -> str:
    return ", ".join(repr(value) for value in values) or "(none)"


async def _begin(group: str, clients: Mapping[str, NodeClient]) -> int:
    """The index at which all replicas compute a checksum."""
    names = list(clients)
    while True:
        answer = await _ask(clients[names[0]], group, Checksum())
        if isinstance(answer, Done):
            return answer.index
        names.append(names.pop(0))
        if isinstance(answer, NotLeader) and answer.leader is not None and answer.leader in names:
            names.remove(answer.leader)
            names.insert(0, answer.leader)
        await asyncio.sleep(POLL_S)


async def _roots(
    group: str, index: int, client: NodeClient, timeout_s: float
) -> tuple[RangeSum, ...] | str:
    reason = "it does not answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                answer = await _ask(client, group, GetChecksum(index))
                if isinstance(answer, Checksums):
                    return answer.ranges
                if isinstance(answer, NoChecksum):
                    reason = answer.reason
                elif isinstance(answer, NotLeader):
                    reason = "its replica is stopped"
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return reason


async def _ask(client: NodeClient, group: str, body: Checksum | GetChecksum) -> ResponseBody | None:
    try:
        return await client.call(group, body, CALL_S)
    except ConnectionError:
        return None


class _Tree:
    """One replica's tree of one table; nothing if it has no such table."""

    def __init__(self, client: NodeClient, group: str, index: int, root: RangeSum | None) -> None:
        self._client = client
        self._group = group
        self._index = index
        self._root = root
        self.height = 0 if root is None else root.level

    async def children(self, level: int, place: int) -> tuple[RangeSum, ...]:
        """Above its root a lower tree goes on as a chain of single nodes, so that trees of
        different heights are compared level by level."""
        root = self._root
        if root is None:
            return ()
        if level > root.level:
            return (root,) if level - 1 == root.level and place == 0 else ()
        body = GetChecksum(self._index, root.table, level, place)
        answer = await _ask(self._client, self._group, body)
        return answer.ranges if isinstance(answer, Checksums) else ()


async def _difference(node: str, table: str, tree: _Tree, right: _Tree) -> Difference:
    """Go down to the first leaf that differs."""
    level, place = max(tree.height, right.height) + 1, 0
    mine: RangeSum | None = None
    other: RangeSum | None = None
    while level > 0:
        mine_below = await tree.children(level, place)
        other_below = await right.children(level, place)
        count = max(len(mine_below), len(other_below))
        # The first that differs; a lower tree has nothing yet beside the first of a higher one.
        pairs = ((_hash_at(mine_below, i), _hash_at(other_below, i)) for i in range(count))
        step = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
        mine = mine_below[step] if step < len(mine_below) else None
        other = other_below[step] if step < len(other_below) else None
        level -= 1
        place = max((node.place for node in (mine, other) if node is not None), default=0)
    found = [leaf for leaf in (mine, other) if leaf is not None and leaf.rows]
    return Difference(
        node,
        table,
        min((leaf.first for leaf in found), default=()),
        max((leaf.last for leaf in found), default=()),
        mine.rows if mine is not None else 0,
        other.rows if other is not None else 0,
    )


def _hash(root: RangeSum | None) -> bytes:
    return b"" if root is None else root.hash


def _hash_at(nodes: tuple[RangeSum, ...], place: int) -> bytes:
    return nodes[place].hash if place < len(nodes) else b""
