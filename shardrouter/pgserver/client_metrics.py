"""What a PostgreSQL port says of its clients on `/metrics`."""

from __future__ import annotations

from typing import NamedTuple

from nodes.metrics import Family, family

__all__ = ["ClientCounts", "client_families"]


class ClientCounts(NamedTuple):
    """Connections of a port: those there are, logged in and not yet, and those that came."""

    inside: int
    entering: int
    accepted: int
    refused: int
    cancels: int


def client_families(clients: ClientCounts) -> list[Family]:
    """Of a PostgreSQL port."""
    return [
        family(
            "shardrouter_clients",
            "gauge",
            "Connections of clients, logged in or not yet.",
            {"in": clients.inside, "entering": clients.entering},
            "state",
        ),
        family(
            "shardrouter_clients_accepted_total",
            "counter",
            "Connections of clients that came.",
            clients.accepted,
        ),
        family(
            "shardrouter_clients_refused_total",
            "counter",
            "Of these: there was no place for them (53300).",
            clients.refused,
        ),
        family(
            "shardrouter_cancels_total",
            "counter",
            "Requests to cancel what a client is running.",
            clients.cancels,
        ),
    ]
