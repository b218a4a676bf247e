"""The places of a router on its event loop: see `shardrouter.admission`, which is the rule."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from shardrouter.admission import COHORT_S, Places, Waiter
from shardrouter.errors import Unavailable
from shardrouter.planned import (
    CloseCursor,
    Deallocate,
    EndBlock,
    Plan,
    PrepareStatement,
    SavepointStep,
    SetModes,
    SetSetting,
    ShowSetting,
)

__all__ = ["REFUSAL_S", "Gate", "TooMuch", "takes_place"]

_LIGHT: Final = (
    *(EndBlock, SavepointStep, SetModes, SetSetting, ShowSetting),
    *(CloseCursor, Deallocate, PrepareStatement),
)

REFUSAL_S: Final = 1.0
"""How long a refusal takes. It costs a router as much as its share of a statement, so connections
that come again at once would have it do nothing else; so each of them is refused once a second."""

TOGETHER_S: Final = 0.02
"""Refusals that are due within this time are told together."""

PATIENCE_S: Final = 0.005
"""How often is looked who has waited for too long, while anybody waits."""


class Gate:
    """Used from one event loop, which must be running when it is made."""

    def __init__(
        self, stalled: Callable[[], int] = lambda: 0, refuse_above: int | None = None
    ) -> None:
        """refuse_above: see `Router.open`."""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.places = (
            Places(now, stalled) if refuse_above is None else Places(now, stalled, refuse_above)
        )
        self.is_watched = False
        """Whoever begins while it is not calls `watch`."""
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._refused: deque[tuple[float, Callable[[], object]]] = deque()  # when each is told
        self._telling: asyncio.TimerHandle | None = None

    def wait(
        self, client: str, cost: int, begin: Callable[[], object], refuse: Callable[[], object]
    ) -> Waiter:
        """`begin` is called when there is a place, perhaps at once, else `refuse`: from the loop,
        never from within this call."""
        waiter = Waiter(client, begin, partial(self.refuse, refuse))
        self.places.ask(waiter, cost, self._loop.time())
        if self._timer is None:
            self.watch()
        return waiter

    def refuse(self, told: Callable[[], object]) -> None:
        """`told` is called, later."""
        if self._is_closed:
            self._loop.call_soon(told)
            return
        self._refused.append((self._loop.time() + REFUSAL_S, told))
        if self._telling is None:
            self._telling = self._loop.call_later(REFUSAL_S, self._tell)

    def _tell(self) -> None:
        """Those whose time has come: one timer for all of them."""
        self._telling = None
        due = self._loop.time()
        while self._refused and self._refused[0][0] <= due:
            _, told = self._refused.popleft()
            told()
        if self._refused and self._telling is None:
            wait = max(TOGETHER_S, self._refused[0][0] - due)
            self._telling = self._loop.call_later(wait, self._tell)

    def watch(self) -> None:
        """Look at the clock from time to time, as long as there is somebody to look for."""
        self.is_watched = True
        if self._timer is None:
            self._timer = self._loop.call_later(
                PATIENCE_S if self.places.waiting else COHORT_S, self._look
            )

    def _look(self) -> None:
        self._timer = None
        self.places.look(self._loop.time())
        self.is_watched = not self.places.is_idle
        if self.is_watched:
            self.watch()

    def close(self) -> None:
        """Refuse all who wait, at once."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        while self._refused:
            _, told = self._refused.popleft()
            self._loop.call_soon(told)
        self.places.close()


def takes_place(plan: Plan) -> bool:
    """Whether it asks a shard for anything, or begins what will."""
    return not isinstance(plan, _LIGHT)


class TooMuch(Unavailable):
    """For whom there was no place in time: they are all told the same."""

    def __init__(self) -> None:
        super().__init__(
            "the router has more to do than it can do in time",
            sqlstate="53300",
            detail="Nothing of the statement was done.",
            hint="Try again later, from fewer connections, or run another router.",
        )
