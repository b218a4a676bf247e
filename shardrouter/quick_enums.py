"""Enums whose members are named in hot code.

In Python 3.11 `Kind.WORD` is a call of a Python function, from 3.12 on an attribute like any other.
"""

from __future__ import annotations

import enum
from typing import TypeVar

__all__ = ["quick"]

E = TypeVar("E", bound=enum.Enum)


def quick(kind: type[E]) -> type[E]:
    """The same enum, its members attributes of the class."""
    for member in kind:
        type.__setattr__(kind, member.name, member)
    return kind
