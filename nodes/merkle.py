"""Merkle trees over the rows of a table, in the order of their keys.

Two replicas with the same rows have the same tree; where they differ, following the first child
that differs from the root down finds the first differing range with a few comparisons, however
large the table (Merkle 1987; used so by Dynamo, section 4.7).

A leaf is a run of LEAF_ROWS rows. A row that is missing in one replica shifts all leaves after
it, so more ranges differ than rows do; the first one is still the first.

Pure: rows in, hashes out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

__all__ = ["FAN_OUT", "LEAF_ROWS", "Range", "Tree", "build"]

LEAF_ROWS: Final = 1024
"""Rows of one leaf: what is left to look at by hand once a difference is found."""

FAN_OUT: Final = 64
"""Children of an inner node: one exchange of 64 hashes per level, three levels for 2^28 rows."""

_HASH_BYTES: Final = 16

_encode = msgspec.msgpack.Encoder().encode

Row = tuple[Any, ...]
"""Integers, floats, text, bytes and None."""


@dataclass(frozen=True)
class Range:
    """A node of a tree: the rows from key `first` to key `last`, both included."""

    first: Row
    last: Row
    rows: int
    hash: bytes


@dataclass(frozen=True)
class Tree:
    """levels[0] are the leaves, levels[-1] is the root alone."""

    levels: tuple[tuple[Range, ...], ...]

    @property
    def root(self) -> Range:
        return self.levels[-1][0]

    def children(self, level: int, place: int) -> tuple[Range, ...]:
        """Of the node number `place` in `levels[level]`; none of a leaf or where there is none."""
        if not 0 < level < len(self.levels) or place < 0:
            return ()
        return self.levels[level - 1][place * FAN_OUT : (place + 1) * FAN_OUT]


def build(chunks: Iterable[tuple[list[Row], list[Row]]]) -> Tree:
    """The tree of a table whose rows come in the order of their keys, as chunks of (keys, rows)."""
    leaves: list[Range] = []
    keys: list[Row] = []
    rows: list[Row] = []
    for new_keys, new_rows in chunks:
        keys += new_keys
        rows += new_rows
        while len(rows) >= LEAF_ROWS:
            leaves.append(_leaf(keys[:LEAF_ROWS], rows[:LEAF_ROWS]))
            del keys[:LEAF_ROWS], rows[:LEAF_ROWS]
    if rows or not leaves:
        leaves.append(_leaf(keys, rows))
    levels = [tuple(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append(tuple(_parent(below[i : i + FAN_OUT]) for i in range(0, len(below), FAN_OUT)))
    return Tree(tuple(levels))


def _leaf(keys: list[Row], rows: list[Row]) -> Range:
    digest = hashlib.blake2b(_encode(rows), digest_size=_HASH_BYTES).digest()
    if not keys:
        return Range((), (), 0, digest)
    return Range(keys[0], keys[-1], len(rows), digest)


def _parent(children: tuple[Range, ...]) -> Range:
    # Counts and keys are of what is hashed; the person "n" keeps an inner node from passing
    # for a leaf (a second preimage).
    hasher = hashlib.blake2b(digest_size=_HASH_BYTES, person=b"n")
    for child in children:
        hasher.update(child.hash)
    rows = sum(child.rows for child in children)
    return Range(children[0].first, children[-1].last, rows, hasher.digest())
