"""The PostgreSQL port: asyncio around `shardrouter.pgwire`, in front of a session each."""

from shardrouter.pgserver.dialogue import Session
from shardrouter.pgserver.server import PgServer

__all__ = ["PgServer", "Session"]
