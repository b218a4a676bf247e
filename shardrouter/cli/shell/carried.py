"""What a session takes along to another router: at the level `session`, what it has seen.

A session at that level reads no state older than what it has read or written
(docs/consistency.md). The router knows it as a token, and is gone with it; so the shell asks for
the token behind each statement, and gives it to the router that it connects to next.
"""

from __future__ import annotations

import re
from typing import Final

from shardrouter.pgclient import Client, ConnectionLost, QueryFailed

__all__ = ["Carried"]

_LEVEL: Final = "shardrouter.consistency"
_SEEN: Final = "shardrouter.session_token"
_MAY_CHANGE_LEVEL: Final = re.compile(
    r"\b(?:set|set_config|reset|discard|begin|start|commit|end|rollback)\b", re.IGNORECASE
)


class Carried:
    """Of one connection."""

    def __init__(self) -> None:
        self.token = ""
        """Empty: it is at another level, or has seen nothing."""
        self._is_session_level: bool | None = None  # None: to be asked

    async def note(self, client: Client, statement: str) -> None:
        """The statement was answered: what has the session seen now? What cannot be learnt is
        not carried."""
        if "(shardrouter)" not in client.settings.get("server_version", "") or client.status == "E":
            return
        if _MAY_CHANGE_LEVEL.search(statement):
            self._is_session_level = None
        try:
            if self._is_session_level is None:
                ((level,),) = await client.rows(f"SHOW {_LEVEL}")
                self._is_session_level = level == "session"
            if self._is_session_level:
                ((token,),) = await client.rows(f"SHOW {_SEEN}")
                self.token = token or ""
            else:
                self.token = ""
        except (ConnectionLost, QueryFailed):  # the next statement meets the loss
            return

    async def give(self, client: Client) -> bool:
        """To the session that goes on in its place; whether there was something to give. Raises
        QueryFailed, ConnectionLost."""
        if not self.token:
            return False
        await client.rows(f"SET {_LEVEL} = 'session'")
        await client.rows(f"SET {_SEEN} = '{self.token.replace(chr(39), chr(39) * 2)}'")
        return True
