"""A sharded SQL database: a router over Raft groups of SQLite replicas.

from shardrouter import Router

async with Router.open() as db:
    await db.fetch("SELECT * FROM t WHERE id = $1", 1)
"""

from shardrouter import exceptions
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
from shardrouter.locate import find_cluster
from shardrouter.record import Record
from shardrouter.router import Place, Router

__all__ = [
    "Router",
    "Connection",
    "PreparedStatement",
    "Record",
    "Place",
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
