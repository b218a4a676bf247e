"""A client of PostgreSQL's protocol: what the shell speaks to a router, or to PostgreSQL.

It sends what was typed, as it was typed, in the simple query protocol, and hands on what comes
back message by message: every value in PostgreSQL's own text, rows as they arrive and no faster
than they are taken, notices, the state of the transaction. A driver makes Python's values of
them, and whole results.
"""

from shardrouter.pgclient.client import (
    Client,
    ConnectError,
    ConnectionLost,
    PasswordNeeded,
    QueryFailed,
    connect,
)
from shardrouter.pgclient.target import DsnError, Target, parse_dsn

__all__ = [
    "Client",
    "ConnectError",
    "ConnectionLost",
    "DsnError",
    "PasswordNeeded",
    "QueryFailed",
    "Target",
    "connect",
    "parse_dsn",
]
