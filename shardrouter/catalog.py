"""The catalog as values: tables, typed columns, shard keys, the slot map, and their versions.

Its home is ordinary tables in the `meta` group, which nodes do not interpret. This module is
pure: it says which SQL reads and changes those tables, and turns rows into a `Catalog`. A
router keeps one immutable `Catalog` and replaces it when a shard answers that a version is
stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodes.protocol import Value

__all__ = ["Column", "Table", "Catalog"]


@dataclass(frozen=True)
class Column:
    """A column as the client sees it."""

    name: str
    type: str  # PostgreSQL type name, a key of shardrouter.types.TYPES
    not_null: bool = False
    default: Value = None  # of the column's type; None is NULL


@dataclass(frozen=True)
class Table:
    """A sharded table. `version` changes with every schema change; shards check it."""

    name: str
    version: int
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    shard_key: str
    unique: tuple[tuple[str, ...], ...] = ()  # UNIQUE constraints besides the primary key

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True)
class Catalog:
    """One consistent reading of the catalog."""

    version: int  # raised by every change in `meta`
    tables: Mapping[str, Table]  # published tables by name
    shards: tuple[str, ...]  # group names
    slots: Sequence[int]  # slot number -> index into `shards`
    slot_versions: Sequence[int]  # slot number -> version of its ownership

    def shard_of(self, slot: int) -> str:
        return self.shards[self.slots[slot]]
