"""What a network joins: stations, and a link for each direction in which two of them speak.

A host is what a partition of hosts keeps together. Mostly it is one station: the database's
process, the router beside it and the clients bound to that share its address, and no link is
between them. Where a test cuts them from each other, each host has three stations: itself (the
database's process), its router and its clients. Routers then speak to every database process over
links, that of their own host among them, and clients to the router of their host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Layout", "Pair", "clients_name", "layout_of", "router_name"]

Pair: TypeAlias = tuple[str, str]
"""(source, target): the direction in which bytes go, whoever dialed."""


@dataclass(frozen=True)
class Layout:
    hosts: tuple[str, ...]
    stations: Mapping[str, str]
    """Each station's host, by name; a host's own station has the host's name."""
    links: tuple[Pair, ...]

    def dialers(self, station: str) -> tuple[str, ...]:
        """The stations that have a link to this one."""
        return tuple(source for source, target in self.links if target == station)

    def between(self, pairs: Iterable[Pair]) -> tuple[Pair, ...]:
        """The links that these pairs mean: between two hosts every link of their stations, between
        stations that one."""
        wanted, stations = set(pairs), self.stations
        return tuple(
            link
            for link in self.links
            if link in wanted or (stations[link[0]], stations[link[1]]) in wanted
        )

    @property
    def wide(self) -> tuple[Pair, ...]:
        """The links between hosts."""
        return self.between(_pairs_of(self.hosts))

    def of(self, names: Iterable[str]) -> frozenset[str]:
        """These stations, and of the hosts among them every station."""
        named = set(names)
        return frozenset(s for s, host in self.stations.items() if s in named or host in named)


def router_name(host: str) -> str:
    """The router on `host`: its process, and its station where it has one."""
    return f"router-{host}"


def clients_name(host: str) -> str:
    """The station of the clients bound to `host`, where they have one."""
    return f"clients-{host}"


def layout_of(hosts: Sequence[str], *, routers_apart: bool = False) -> Layout:
    """Hosts that are one station each, or whose routers and clients are stations of their own."""
    stations = {host: host for host in hosts}
    links = _pairs_of(hosts)
    for host in hosts if routers_apart else ():
        router, clients = router_name(host), clients_name(host)
        stations |= {router: host, clients: host}
        joined = [(router, other) for other in hosts] + [(clients, router)]
        links += [pair for a, b in joined for pair in ((a, b), (b, a))]
    return Layout(tuple(hosts), stations, tuple(links))


def _pairs_of(hosts: Sequence[str]) -> list[Pair]:
    return [(a, b) for a in hosts for b in hosts if a != b]
