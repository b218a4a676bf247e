"""When a node hands the leadership of a group to another node, so that leaders are spread.

After a restart a node leads nothing: elections went around it. Every node tells in its beats how
many groups it leads. A node that leads at least two more than another one hands it a group, if
the other has a voter of it that is up and has nearly the whole log. With one handover at a time
each of them makes the sum of squares of the counts smaller, so they end.

Nothing swings. A difference of one is left alone, for turning it around would gain nothing. A node
acts only when the counts, its own and the others', have stood still for a pause that is jittered:
of several that have too much one acts first, and the others see it and start their pauses anew.

A group that was given to this node by hand (`shardrouter leader transfer`) stays, until the node
loses it in another way or is drained.

Pure: the driver brings ticks, counts and chance.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["PAUSE_S", "Balance", "Handover", "Led", "choose_handover"]

PAUSE_S: Final = 1.0
"""How long the counts must have stood still, and up to twice that: each handover costs its group
a moment without writes, so there is no haste."""


@dataclass(frozen=True)
class Led:
    """A group that this node leads."""

    group: str
    successors: tuple[tuple[int, str], ...]
    """(replica, node) of the other voters that are up and caught up."""
    is_kept: bool = False
    """Somebody wants this node to lead it: only a node that is being emptied gives it away."""


@dataclass(frozen=True)
class Handover:
    """Let `replica`, on `node`, lead `group`."""

    group: str
    replica: int
    node: str


def choose_handover(
    node: str,
    leads: Mapping[str, int],
    led: Sequence[Led],
    draining: Collection[str],
    rng: random.Random,
) -> Handover | None:
    """What `node` should hand over now, if anything.

    `leads` is how many groups each node leads that is heard, this one among them; `draining` are
    nodes that are being emptied: they get nothing, and a node that is one gives what it has.
    """
    wanted = 0 if node in draining else 2
    options = [
        (leads[successor], Handover(group.group, replica, successor))
        for group in led
        for replica, successor in group.successors
        if successor in leads
        and successor not in draining
        and (not wanted or (not group.is_kept and leads[node] - leads[successor] >= wanted))
    ]
    if not options:
        return None
    fewest = min(count for count, _ in options)
    return rng.choice([handover for count, handover in options if count == fewest])


class Balance:
    """Tells one node when it is time to look whether there is something to hand over."""

    def __init__(self, pause_ticks: int, rng: random.Random) -> None:
        self._pause_ticks = max(1, pause_ticks)
        self._rng = rng
        self._leads: Mapping[str, int] = {}
        self._ticks_left = 0
        self._is_handing_over = False

    def tick(self, leads: Mapping[str, int], ticks: int = 1) -> bool:
        """So many ticks have passed, and these are the counts. True: look now."""
        if leads != self._leads or self._is_handing_over:
            self._leads = dict(leads)
            self._begin_pause()
            return False
        self._ticks_left -= ticks
        if self._ticks_left > 0:
            return False
        self._begin_pause()
        return True

    def begun(self) -> None:
        """A handover is under way; no other before `ended`."""
        self._is_handing_over = True

    def ended(self) -> None:
        """Whatever came of it."""
        self._is_handing_over = False

    def _begin_pause(self) -> None:
        self._ticks_left = self._pause_ticks + self._rng.randrange(self._pause_ticks + 1)
