"""What a session has seen of each group: what consistency `session` holds later reads to
(DESIGN section 9).

Of every group that the session read or wrote the token has the incarnation and the newest log
index that it knows of: the applied index of a state that it read, the entry of a write that was
acknowledged, the PREPARE of a transaction over several groups. A replica that has applied that
much shows the session its own writes and nothing older than it saw before (Terry et al. 1994: read
your writes, monotonic reads), in each group. What other sessions did before tells it nothing.

Written as `GROUP=INCARNATION:INDEX,...`, so that a client may carry it to another session or
router. It only grows: what is set is added to what was seen.

Pure.
"""

from __future__ import annotations

import re
from typing import Final

from nodes.protocol import AtLeast
from shardrouter.errors import StatementError

__all__ = ["NOTHING", "TOKEN_BYTES_MAX", "SessionToken", "check_token"]

TOKEN_BYTES_MAX: Final = 256 * 1024
"""Of the text of a token that is set: some ten thousand groups."""

NOTHING: Final = AtLeast(0, 0)
"""Any state will do."""

_NUMBER_MAX: Final = (1 << 63) - 1
_ITEM: Final = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})=(\d{1,19}):(\d{1,19})\Z")


class SessionToken:
    """Of one session; used from one event loop."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, AtLeast] = {}

    def of(self, group: str) -> AtLeast:
        """What a state of the group has to be at least."""
        return self._seen.get(group, NOTHING)

    def advance(self, group: str, incarnation: int, index: int) -> None:
        """The session has seen this of the group.

        Of two incarnations the higher number stands. That need not be the later one, when two
        began side by side; what is not of the incarnation here is read linearizably anyway.
        """
        seen = self._seen.get(group, NOTHING)
        if incarnation > seen.incarnation or (
            incarnation == seen.incarnation and index > seen.index
        ):
            self._seen[group] = AtLeast(incarnation, index)

    def add(self, text: str) -> None:
        """What a token says that was written down. Raises StatementError 22023."""
        for group, seen in _parsed(text):
            self.advance(group, seen.incarnation, seen.index)

    def __str__(self) -> str:
        return ",".join(
            f"{group}={seen.incarnation}:{seen.index}" for group, seen in sorted(self._seen.items())
        )


def check_token(text: str) -> str:
    """The token as it is written. Raises StatementError 22023."""
    token = SessionToken()
    token.add(text)
    return str(token)


def _parsed(text: str) -> list[tuple[str, AtLeast]]:
    if len(text) > TOKEN_BYTES_MAX:
        raise StatementError(
            f"a session token has at most {TOKEN_BYTES_MAX} bytes, this one has {len(text)}",
            sqlstate="22023",
        )
    found = []
    for item in filter(None, map(str.strip, text.split(","))):
        match = _ITEM.match(item)
        numbers = (int(match[2]), int(match[3])) if match else (0, 0)
        if match is None or max(numbers) > _NUMBER_MAX:
            raise StatementError(
                f'invalid value for parameter "shardrouter.session_token": "{item[:100]}"',
                sqlstate="22023",
                hint="Set what SHOW shardrouter.session_token answered in another session: "
                "GROUP=INCARNATION:INDEX, separated by commas.",
            )
        found.append((match[1], AtLeast(*numbers)))
    return found
