"""The end of a node that nobody notices: it hands over what it leads and lets large reads end.

A node that is told to stop says so to the others with its next beat, so that nobody hands
anything over to it, and to routers with its status, so that they ask for nothing new. What it
leads it gives to voters that are up, caught up and not about to stop themselves: an exchange of
messages, where its silence would cost an election timeout. A result that is being read in pieces
is here and nowhere else: the node waits for its end, a while.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final

from nodes.leader_balance import choose_handover
from nodes.protocol import Changed, MoveLeadership, ResponseBody
from nodes.raft_engine import RaftEngine

__all__ = ["hand_over", "until_read"]

HANDOVER_S: Final = 1.0
"""How long the handovers may take, all at the same time; each takes some milliseconds."""

READS_S: Final = 3.0
"""How long results that are read in pieces may take: their clients may be slow."""

LOOK_S: Final = 0.02

_log = logging.getLogger(__name__)


async def hand_over(
    node: str,
    engines: Iterable[RaftEngine],
    leads: Mapping[str, int],
    stopping: Collection[str],
    rng: random.Random,
    ask: Callable[[RaftEngine, Callable[[], None]], object],
) -> None:
    """Let others lead what `node` leads. `leads` says how many groups each node leads that is
    heard; `ask` does a replica's work and stops the replica if that fails."""
    counts = dict(leads)
    waiting: list[asyncio.Future[None]] = []
    loop = asyncio.get_running_loop()
    for engine in engines:
        if not engine.leads:
            continue
        chosen = choose_handover(node, counts, [engine.led()], {node, *stopping}, rng)
        if chosen is None:
            continue
        counts[chosen.node] += 1
        over = loop.create_future()
        waiting.append(over)
        request, answered = MoveLeadership(chosen.replica), partial(_answered, engine.group, over)
        ask(engine, partial(engine.change, request, answered))
    if waiting:
        await asyncio.wait(waiting, timeout=HANDOVER_S)


def _answered(group: str, over: asyncio.Future[None], answer: ResponseBody) -> None:
    if not isinstance(answer, Changed):
        _log.info("group %s was not handed over: %s", group, answer)
    if not over.done():
        over.set_result(None)


async def until_read(count: Callable[[], int]) -> None:
    """Return when no result is being read in pieces, or when that takes too long."""
    for _ in range(round(READS_S / LOOK_S)):
        if not count():
            return
        await asyncio.sleep(LOOK_S)
    if left := count():
        _log.warning("%d results were not read to their end", left)
