"""Cuts inside of a host: its router from the database's processes, its clients from its router.

They need stations of their own for both (`backends.stations`). A router that is cut off keeps its
clients and has nobody to ask; clients that are cut off reach nothing at all, which no database can
help. So the clients of the host are a side of such a cut and have their yield, and it says nothing
about CAP: that is about nodes, which all go on.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from jepsen_like.adapters.database import Offer
from jepsen_like.backends.abilities import ROUTERS_APART
from jepsen_like.backends.stations import Pair, clients_name, router_name
from jepsen_like.faults.cuts import Severed
from jepsen_like.faults.targets import RouterOf, Target, as_target, draw_one

__all__ = ["CutOfRouter", "clients_from_router", "router_from_nodes"]


@dataclass(frozen=True)
class CutOfRouter(ABC):
    """At the router beside `beside`."""

    beside: Target
    needs: ClassVar[frozenset[str]] = frozenset({ROUTERS_APART})
    demands: ClassVar[frozenset[Offer]] = frozenset({Offer.ROUTERS})

    @property
    def targets(self) -> tuple[Target, ...]:
        return (self.beside,)

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Self:
        return replace(self, beside=draw_one(self.beside, hosts, rng))

    @abstractmethod
    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed: ...


class RouterFromNodes(CutOfRouter):
    def __str__(self) -> str:
        return f"router_from_nodes({self.beside})"

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        (host,) = found
        return _severed(host, router_name(host), hosts, hosts)


class ClientsFromRouter(CutOfRouter):
    def __str__(self) -> str:
        return f"clients_from_router({self.beside})"

    def severed(self, hosts: Sequence[str], found: Sequence[str]) -> Severed:
        (host,) = found
        return _severed(host, clients_name(host), (router_name(host),), hosts)


def router_from_nodes(target: Target | str = "one") -> RouterFromNodes:
    """The router beside `target` reaches no database process, not even its neighbour; its clients
    reach it."""
    return RouterFromNodes(_beside(target))


def clients_from_router(target: Target | str = "one") -> ClientsFromRouter:
    """The clients of the host do not reach its router, which goes on."""
    return ClientsFromRouter(_beside(target))


def _beside(target: Target | str) -> Target:
    found = as_target(target)
    return found.beside if isinstance(found, RouterOf) else found


def _severed(host: str, one: str, from_: Sequence[str], hosts: Sequence[str]) -> Severed:
    pairs: tuple[Pair, ...] = tuple(pair for to in from_ for pair in ((one, to), (to, one)))
    others = tuple(name for name in hosts if name != host)
    what = "router" if one == router_name(host) else "clients"
    return Severed(
        pairs,
        (one,),
        f"{one} | {' '.join(from_)}",
        sides=((host,), others) if others else (),
        role=f"{what} of {host}",
    )
