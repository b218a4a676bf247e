"""A sharded SQL database: a router over Raft groups of SQLite replicas.

from shardrouter import Router

async with Router.open() as db:
    await db.fetch("SELECT * FROM t WHERE id = $1", 1)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from shardrouter import blocking, exceptions
    from shardrouter.connection import Connection, PreparedStatement
    from shardrouter.errors import (
        DeadlineExceeded,
        DefiniteError,
        IndefiniteError,
        NotSupported,
        OutcomeUnknown,
        RouterError,
        StatementError,
        Unavailable,
    )
    from shardrouter.local import LocalCluster
    from shardrouter.locate import find_cluster
    from shardrouter.record import Record
    from shardrouter.router import Place, Router

__all__ = [
    "Router",
    "Connection",
    "PreparedStatement",
    "Record",
    "Place",
    "LocalCluster",
    "blocking",
    "exceptions",
    "find_cluster",
    "RouterError",
    "DefiniteError",
    "StatementError",
    "NotSupported",
    "DeadlineExceeded",
    "Unavailable",
    "IndefiniteError",
    "OutcomeUnknown",
]

_HOMES: Final = {
    "Router": "router",
    "Place": "router",
    "Connection": "connection",
    "PreparedStatement": "connection",
    "Record": "record",
    "LocalCluster": "local",
    "find_cluster": "locate",
}
"""Modules of names, where they are not in `errors`. They are imported when a name is first used:
the parser alone takes a quarter of a second, which `shardrouter --help` need not wait for."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("blocking", "exceptions"):
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
