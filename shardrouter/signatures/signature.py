"""What a row of the table of functions says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shardrouter.types import Type

__all__ = ["Function", "absent", "plain"]


@dataclass(frozen=True)
class Function:
    """`text` is around {0}, {1}, ... or {all}; empty if the function is not here. `node_function`
    also computes it for constants; NULL in any argument is NULL. `is_volatile`: it answers
    differently from call to call."""

    name: str
    arguments: tuple[Type, ...]
    result: Type
    text: str
    node_function: str = ""
    is_volatile: bool = False
    asks: Literal["", "session", "cluster", "keys"] = ""
    """What the router has to know to answer it (docs/catalogs.md), or `keys`, that it makes."""


def absent(name: str, *arguments: Type) -> Function:
    """One that PostgreSQL has and this database has not: a call that means it is refused."""
    return Function(name, arguments, arguments[0], "")


def plain(name: str, node: str, result: Type, *arguments: Type) -> Function:
    """A function of the node with the same arguments."""
    places = ", ".join(f"{{{i}}}" for i in range(len(arguments)))
    return Function(name, arguments, result, f"{node}({places})", node)
