"""Opening a backend by its name."""

from __future__ import annotations

from collections.abc import Sequence

from jepsen_like.backends import AUTO, BACKENDS, PROXY
from jepsen_like.backends.backend import Backend, BackendError
from jepsen_like.backends.netns import Netns
from jepsen_like.backends.proxy import Mesh

__all__ = ["open_backend"]


async def open_backend(name: str, hosts: Sequence[str]) -> Backend:
    """A network between `hosts`; AUTO is netns where that can be had. Raises BackendError."""
    assert name in BACKENDS
    if name == PROXY:
        return Mesh(hosts)
    try:
        return await Netns.open(hosts)
    except BackendError:
        if name == AUTO:
            return Mesh(hosts)
        raise
