"""One short fault of each kind that links can have, to find out whether it works somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jepsen_like.faults.cuts import bridge, isolate, majority_ring, one_way
from jepsen_like.faults.cuts_of_routers import clients_from_router, router_from_nodes
from jepsen_like.faults.partitions import Flapping, Partition, flapping, partition
from jepsen_like.faults.resets import HalfOpen, Reset, half_open, reset
from jepsen_like.faults.shaping import Shaped, duplicate, loss, rate, reorder, slow_link
from jepsen_like.faults.targets import host

__all__ = ["HOSTS", "TRIALS"]

HOSTS: Final = ("a", "b", "c")

_CUT: Final = isolate(host("a"))

TRIALS: Final[Mapping[str, Partition | Flapping | Shaped | Reset | HalfOpen]] = {
    "isolate": partition(_CUT, "300ms", 0),
    "one_way": partition(one_way(host("a")), "600ms", 0),
    "bridge": partition(bridge(host("a")), "300ms", 0),
    "majority_ring": partition(majority_ring(), "600ms", 0),
    "router_from_nodes": partition(router_from_nodes(host("a")), "300ms", 0),
    "clients_from_router": partition(clients_from_router(host("a")), "300ms", 0),
    "flapping": flapping(_CUT, "1s", "1s", 0),
    "reset": reset(_CUT, 0),
    "half_open": half_open(_CUT, "100ms", 0),
    "slow_link": slow_link("20ms±5ms", None, "100ms", 0),
    "rate": rate("8mbit", _CUT, "100ms", 0),
    "loss": loss("20%", None, "100ms", 0),
    "duplicate": duplicate("20%", None, "100ms", 0),
    "reorder": reorder("20%", "20ms", None, "100ms", 0),
}
"""By the names that a test calls them."""
