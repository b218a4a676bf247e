"""Statements about types, as typed values: see `shardrouter.definitions`."""

from __future__ import annotations

from dataclasses import dataclass

from shardrouter.syntax import Name

__all__ = ["AddLabel", "CreateEnumeration", "DropType"]


@dataclass(frozen=True)
class CreateEnumeration:
    name: Name
    labels: tuple[str, ...]


@dataclass(frozen=True)
class AddLabel:
    """ALTER TYPE ... ADD VALUE: at the end, or beside the label `neighbour`."""

    name: Name
    label: str
    neighbour: str | None = None
    before: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropType:
    names: tuple[Name, ...]
    if_exists: bool = False
    cascade: bool = False
