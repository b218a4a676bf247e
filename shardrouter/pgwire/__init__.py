"""PostgreSQL's frontend/backend protocol, version 3, without I/O."""

from shardrouter.pgwire.connection import Connection, Event, ProtocolError, State, Status
from shardrouter.pgwire.startup import Startup, read_startup, set_statement

__all__ = [
    "Connection",
    "Event",
    "ProtocolError",
    "Startup",
    "State",
    "Status",
    "read_startup",
    "set_statement",
]
