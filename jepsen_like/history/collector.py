"""Python's cyclic garbage collector, out of the way of a pass that makes no cycles.

Each few hundred new containers it looks at the young ones, and now and then at all there are:
with a million operations in memory that is most of the time of a pass that makes many tuples.
Reference counts free what is dropped all the same.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused_collector"]


@contextmanager
def paused_collector() -> Iterator[None]:
    """No collection until the end; one that was switched off already stays so."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
