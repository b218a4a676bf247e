"""A node as a router sees it: a connection, and whether it is worth waiting for.

A contact is *suspect* when the last attempt to reach it failed, or when it owes answers and has
fallen silent. Requests do not wait for a suspect; a *knock*, a status request of its own, tries
it in the background, since dialing a node that is cut off takes a second. What a knock over a
standing connection takes is the way to the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from nodes.client import NodeClient, Outcome
from nodes.protocol import GetStatus, Status
from shardrouter.nearest import Distance
from shardrouter.replica_choice import Latency

__all__ = ["KNOCK_EVERY_S", "OVERDUE_S", "WATCH_S", "Contact", "Knock"]

KNOCK_TIMEOUT_S: Final = 1.0
"""How long a node may take to answer a knock: one at a time is under way to each."""

KNOCK_EVERY_S: Final = 0.5
"""How often a suspect is tried while requests pass it over."""

OVERDUE_S: Final = 0.3
"""An answer that has not come by then makes the router ask around: well above a commit on a
busy machine, well below an election."""

WATCH_S: Final = 0.1
"""How often overdue answers are looked for while any are awaited."""


_ASKING: Final = GetStatus()

Knock: TypeAlias = "Callable[[Contact], None]"
"""Knock, and do with the answer what is to be done."""


class Contact:
    """One node; shared by all groups that have a replica there."""

    __slots__ = (
        *("_is_knocking", "_knocked_at"),
        *("client", "distance", "draining", "latency", "name", "suspect", "weight", "zone"),
    )

    def __init__(self, name: str, client: NodeClient, weight: int = 1, zone: str = "") -> None:
        self.name = name
        self.client = client
        self.weight = weight
        self.zone = zone
        self.suspect = False
        self.draining = False  # it has said that it is about to stop
        self.distance = Distance()
        self.latency = Latency()
        self._is_knocking = False
        self._knocked_at = float("-inf")

    @property
    def outstanding(self) -> int:
        """Answers that the node owes this router."""
        return self.client.outstanding

    @property
    def is_knocked_at(self) -> bool:
        """Whether a knock waits for its answer."""
        return self._is_knocking

    def knock(self, told: Callable[[Contact, Status], None], asking: GetStatus = _ASKING) -> None:
        """Ask for the node's status, unless that is under way; `told` hears of an answer."""
        if not self._is_knocking:
            self._is_knocking = True
            now = asyncio.get_running_loop().time()
            sent_at = now if self.client.connected else None
            self.client.request(
                "",
                asking,
                deadline=now + KNOCK_TIMEOUT_S,
                done=partial(self._knocked, told, sent_at),
            )

    def knock_again(self, now: float, knock: Knock, every_s: float = KNOCK_EVERY_S) -> None:
        """Knock at a suspect that is passed over, so that it comes back; not all the time."""
        if now - self._knocked_at >= every_s:
            self._knocked_at = now
            knock(self)

    def _knocked(
        self,
        told: Callable[[Contact, Status], None],
        sent_at: float | None,  # None: it had to be dialed first
        outcome: Outcome,
    ) -> None:
        self._is_knocking = False
        self.suspect = not isinstance(outcome, Status)
        if isinstance(outcome, Status):
            self.draining = outcome.draining
            if sent_at is not None:
                self.distance.add(asyncio.get_running_loop().time() - sent_at)
            told(self, outcome)

    def lost_patience(self) -> bool:
        """Whether a node that owes an answer is silent: it did not even answer the knock that it
        got when the answer became overdue. Then it is suspect."""
        if self.client.is_silent(OVERDUE_S + WATCH_S):
            self.suspect = True
        return self.suspect
