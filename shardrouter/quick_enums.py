"""Enums whose members are named in hot code.

In Python 3.11 `Kind.WORD` is a call of a Python function, from 3.12 on an attribute like any other.
Here it is found without that call, still ten times as slowly as an attribute of an instance: what
is asked for with each statement has a name of its own (`_READY: Final = State.READY`).
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
