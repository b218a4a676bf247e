"""Opening a backend by its name."""

from __future__ import annotations

from collections.abc import Sequence

from jepsen_like.backends import BACKENDS
from jepsen_like.backends.backend import Backend
from jepsen_like.backends.proxy import Mesh

__all__ = ["open_backend"]


async def open_backend(name: str, hosts: Sequence[str]) -> Backend:
    """A network between `hosts`. Raises BackendError."""
    assert name in BACKENDS
    return Mesh(hosts)
