"""What an error proves about the call that ended with it: one table for all clients.

|                                       | `read` | `uncommitted` | `sent` | `begun` |
|---------------------------------------|--------|---------------|--------|---------|
| an answer with a definite SQLSTATE    | fail   | fail          | fail   | info    |
| any other answer                      | fail   | fail          | info   | info    |
| silence: no answer came, or none that | fail   | fail          | info   | info    |
| says anything of the call (class 08)  |        |               |        |         |

A column says how far the call had come: a `read` has no effect that could come later; a
transaction is `uncommitted` until its COMMIT is sent, and what was not asked to happen never
will (if it does, an aborted read is found); `begun` is a call of several statements, one of which
was carried out. asyncpg speaks of a lost connection in many ways, some of which look like an answer
of the server: its own 08003, InterfaceError, what the loop says of the socket, and whatever it
stumbles over if the connection is aborted while it was busy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, TypeAlias

import asyncpg

from jepsen_like.history import NEVER_COMMITTED, Outcome
from jepsen_like.load import Call

__all__ = [
    "CONNECTION_ERRORS",
    "STUMBLES",
    "Stage",
    "is_read",
    "outcome_of_error",
    "outcome_of_silence",
    "stage_of",
    "words_of",
]

Stage: TypeAlias = Literal["read", "uncommitted", "sent", "begun"]

CONNECTION_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError too
)
"""What a call to asyncpg raises for what the server or the network does."""

STUMBLES: Final = (AttributeError, RuntimeError)
"""What it raises besides where the connection was aborted under it; a fault of ours if it is open.
uvloop's closed transports raise the second."""

SILENCE_CLASS: Final = "08"
"""Connection exceptions: asyncpg's own, and 08007, with which a server says that it does not know.
Indefinite whatever a list of definite codes says."""


def is_read(call: Call) -> bool:
    """Whether it has no effect, at whatever level it reads."""
    return call.f.startswith("read")


def stage_of(call: Call) -> Stage:
    """Of a call that has been sent as a whole."""
    return "read" if is_read(call) else "sent"


def outcome_of_silence(stage: Stage) -> Outcome:
    """Nobody answered."""
    return "fail" if stage in ("read", "uncommitted") else "info"


def outcome_of_error(
    error: Exception, *, stage: Stage, definite_codes: Collection[str] = ()
) -> Outcome:
    """`fail` if nothing of the call has happened or ever will; else `info`.

    A definite code is a whole SQLSTATE or its class (the first two characters).
    """
    code = _sqlstate(error)
    if stage != "sent" or code is None or code.startswith(SILENCE_CLASS):
        return outcome_of_silence(stage)
    return "fail" if code in definite_codes or code[:2] in definite_codes else "info"


def words_of(error: Exception, stage: Stage = "sent") -> str:
    """An error for the history: its SQLSTATE if it has one, and its first line; and why it is
    definite, where the words of the error do not show it."""
    code = _sqlstate(error)
    text = str(error).split("\n", 1)[0] or type(error).__name__
    words = f"{code} {text}" if code else text
    is_silence = code is None or code.startswith(SILENCE_CLASS)
    return NEVER_COMMITTED + words if is_silence and stage == "uncommitted" else words


def _sqlstate(error: Exception) -> str | None:
    code = getattr(error, "sqlstate", None)
    return code if isinstance(error, asyncpg.PostgresError) and isinstance(code, str) else None
