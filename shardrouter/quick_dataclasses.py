"""`dataclass(frozen=True)` for values that are made in great numbers, as those of a statement are.

The type checker, which reads all there is here, holds them frozen. While the program runs nobody
watches: a frozen dataclass is made by a call of `object.__setattr__` for each field, which takes
three times as long as the assignments of a plain one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, eq: bool = True) -> Callable[[type[T]], type[T]]:
        """Compared and hashed by value, as a frozen one is, unless `eq` is false."""
        assert frozen, "others are made by dataclasses.dataclass"
        return dataclasses.dataclass(eq=eq, unsafe_hash=eq)


__all__ = ["dataclass"]

T = TypeVar("T")
