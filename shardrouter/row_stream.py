"""The rest of a large result: a piece at a time, from the node that reads it (docs/bulk.md).

One piece is asked for ahead, and no more until it was taken: whoever takes them slowly holds back
the node, not the router's memory. Until it is over the node is told from time to time that somebody
is here. A read changes nothing, so whatever ends it early is definite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from nodes.client import Outcome as ClientOutcome
from nodes.protocol import CloseCursor, Done, Fetch, Piece, SqlFailure, StatementResult
from shardrouter.errors import RouterError, Unavailable
from shardrouter.verdicts import canceled, sql_error

__all__ = ["Ask", "RowStream"]

KEEP_EVERY_S: Final = 10.0
"""How often the node is told: it gives up what it heard nothing of for three times as long."""


class Ask(Protocol):
    """Asks the node that has the cursor."""

    def __call__(
        self,
        body: Fetch | CloseCursor,
        timeout_s: float,
        done: Callable[[ClientOutcome], None],
    ) -> None: ...


class RowStream:
    """What follows the first piece. Used from one event loop."""

    def __init__(
        self, ask: Ask, cursor: int, timeout_s: float, ended: Callable[[RowStream], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask = ask
        self._cursor = cursor
        self._timeout_s = timeout_s
        self._ended = ended
        self._is_over = False  # the node has no more of it
        self._is_closed = False
        self._is_cancelled = False
        self._piece: asyncio.Future[StatementResult | RouterError]
        self._timer: asyncio.TimerHandle | None = None
        self._fetch()

    async def next(self) -> StatementResult | None:
        """Some rows more; None if there are none. Raises RouterError."""
        if self._is_over and self._piece.cancelled():
            return None
        found = await asyncio.shield(self._piece)
        if self._is_cancelled:  # perhaps when the piece had come already
            found = canceled()
        if isinstance(found, RouterError):
            self.close()
            raise found
        if self._is_over:
            self._piece = self._loop.create_future()
            self._piece.cancel()
            self.close()
        else:
            self._fetch()
        return found

    def cancel(self) -> None:
        """Who waits for `next`, or asks for it later, gets 57014."""
        self._is_cancelled = True
        if not self._piece.done():
            self._piece.set_result(canceled())

    def close(self) -> None:
        """Nobody wants more of it. May be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_over:
            self._ask(CloseCursor(self._cursor), self._timeout_s, _nobody_waits)
        self.cancel()
        self._ended(self)

    # ------------------------------------------------------------------ the node

    def _fetch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._piece = self._loop.create_future()
        self._ask(Fetch(self._cursor), self._timeout_s, self._fetched)

    def _fetched(self, outcome: ClientOutcome) -> None:
        if self._is_closed or self._piece.done():
            return
        match outcome:
            case Piece(result=result):
                self._piece.set_result(result)
                self._timer = self._loop.call_later(KEEP_EVERY_S, self._keep)
            case Done(results=[result]):
                self._is_over = True
                self._piece.set_result(result)
            case SqlFailure():
                self._is_over = True
                self._piece.set_result(sql_error(outcome))
            case _:
                self._piece.set_result(_lost(outcome))

    def _keep(self) -> None:
        self._ask(Fetch(self._cursor, keep=True), self._timeout_s, _nobody_waits)
        self._timer = self._loop.call_later(KEEP_EVERY_S, self._keep)


def _nobody_waits(_outcome: ClientOutcome) -> None:
    pass


def _lost(outcome: ClientOutcome) -> RouterError:
    reason = getattr(outcome, "reason", "") or f"it answered {type(outcome).__name__}"
    return Unavailable(
        "the node that read the rows does not have the rest any more",
        detail=f"{reason}.",
        hint="Repeat the statement.",
    )
