"""Where the processes and the clients of each host dial the members of all hosts.

For databases whose clients speak to the leader, wherever that is: a client of one host gets to a
member of another one over the link between the two, or a cut would be none for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jepsen_like.backends.backend import Backend, Endpoint

__all__ = ["Links", "make_links"]


@dataclass(frozen=True)
class Links:
    """Each by (host, member): `dial` is for processes on the host, `reach` for the harness where
    it stands for a client of that host."""

    dial: Mapping[tuple[str, str], Endpoint]
    reach: Mapping[tuple[str, str], Endpoint]


async def make_links(backend: Backend, service: str, listens: Mapping[str, Endpoint]) -> Links:
    """`listens`: where the member of each host does. Raises BackendError."""
    dial: dict[tuple[str, str], Endpoint] = {}
    reach: dict[tuple[str, str], Endpoint] = {}
    for member, endpoint in listens.items():
        exposed = await backend.expose(member, service, endpoint)
        for host in listens:
            at = endpoint if host == member else exposed[host]
            dial[host, member] = at
            reach[host, member] = await backend.reach(host, at)
    return Links(dial, reach)
