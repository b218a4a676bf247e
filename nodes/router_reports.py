"""What routers say of themselves when they ask a node for its status, for whoever looks later.

A router keeps nothing and has no port for tools; which replicas it avoids it tells the nodes that
it still asks, and `shardrouter status` reads it there. Pure: the time comes in.
"""

from __future__ import annotations

from typing import Final

from nodes.protocol import GetStatus, RouterReport

__all__ = ["RouterReports"]

ROUTERS_MAX: Final = 64
"""Remembered; of more, those that spoke last."""

AVOIDED_MAX: Final = 64
"""Of each router."""

KEPT_S: Final = 10.0
"""A router that has not been heard for so long is gone, or has nothing to say."""


class RouterReports:
    """By router, the latest."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, RouterReport]] = {}  # oldest first

    def note(self, now: float, asked: GetStatus) -> None:
        self._reports.pop(asked.router, None)
        if asked.avoided:
            report = RouterReport(asked.router, asked.avoided[:AVOIDED_MAX])
            self._reports[asked.router] = now, report
            if len(self._reports) > ROUTERS_MAX:
                del self._reports[next(iter(self._reports))]

    def lately(self, now: float) -> tuple[RouterReport, ...]:
        """Those that hold, by the routers' names."""
        for router, (at, _) in list(self._reports.items()):
            if now - at > KEPT_S:
                del self._reports[router]
        return tuple(self._reports[router][1] for router in sorted(self._reports))
