"""Carries out where replicas and leaders shall be: looks, asks for one step, looks again.

What the next step is, `moves` decides; here are the connections, the deadline and the patience.
Nothing is kept from one look to the next, so a mover that is killed leaves a group that another
one goes on with. Every step is a request to the group's leader that changes nothing when it is
made twice.

    async with Mover(config, report=print_it) as mover:
        end = await mover.reach("shard-1", Goal(on={"n4"}, off={"n1"}), until)

A step that was refused, or one that waits for somebody to start a node, is tried again for
`PATIENCE_S`: nodes restart and leaders change. Then it is given up with its sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeAlias

from nodes.client import NodeClient
from nodes.config import ClusterConfig
from nodes.protocol import (
    Changed,
    ChangeReplicas,
    Denied,
    GetStatus,
    MoveLeadership,
    RequestBody,
    ResponseBody,
    Status,
)
from shardrouter.moves import (
    Ask,
    Blocked,
    Goal,
    Impossible,
    Move,
    Reached,
    next_step,
    view_of,
)

__all__ = ["End", "Mover", "Report"]

POLL_S: Final = 0.2
"""How often the group is looked at while there is nothing to ask for."""

LOOK_TIMEOUT_S: Final = 2.0
"""How long a node may take to say how it is."""

ASK_TIMEOUT_S: Final = 10.0
"""How long a leader may take for one step: it commits an entry. Then it is looked at again."""

PATIENCE_S: Final = 10.0
"""How long an obstacle that the group cannot mend is looked at before it is given up: several
elections and the restart of a node."""

Report: TypeAlias = Callable[[str, Move], None]
"""Called with a group and each step it takes, and with what it waits for at every look."""


@dataclass(frozen=True)
class End:
    """How a goal ended: reached or not, the steps that were taken, and a sentence."""

    reached: bool
    steps: tuple[str, ...]
    what: str


class Mover:
    """Connections to all nodes of a cluster. Several goals may be pursued at once, of different
    groups."""

    def __init__(self, config: ClusterConfig, *, report: Report) -> None:
        self._report = report
        self._clients = {node: NodeClient.to(node, config, name="mover") for node in config.nodes}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    async def look(self) -> dict[str, Status | None]:
        """What each node says of itself; None if it does not answer. Raises ConnectionError if
        all of them refuse this program."""

        async def ask(client: NodeClient) -> Status | None:
            try:
                answer = await client.call("", GetStatus(), LOOK_TIMEOUT_S)
            except ConnectionError:
                return None
            return answer if isinstance(answer, Status) else None

        answers = await asyncio.gather(*map(ask, self._clients.values()))
        refusals = [client.refusal for client in self._clients.values()]
        if refusals and all(refusals):
            raise ConnectionError(f"the cluster refuses this program: {refusals[0]}")
        return dict(zip(self._clients, answers, strict=True))

    async def call(
        self, node: str, group: str, body: RequestBody, timeout_s: float
    ) -> ResponseBody:
        """Ask `node` for something. Raises ConnectionError if it does not answer."""
        return await self._clients[node].call(group, body, timeout_s)

    async def reach(self, group: str, goal: Goal, until: float) -> End:
        """Take steps until `goal` is reached, cannot be, or the loop's clock passes `until`."""
        loop = asyncio.get_running_loop()
        steps: list[str] = []
        blocked_since: float | None = None
        while True:
            view = view_of(group, await self.look())
            move = next_step(view, goal)
            if isinstance(move, Reached):
                return End(True, tuple(steps), move.what)
            if isinstance(move, Impossible):
                return End(False, tuple(steps), move.why)
            self._report(group, move)
            why = move.what if isinstance(move, Ask) else move.why
            obstacle = isinstance(move, Blocked)
            if isinstance(move, Ask):
                assert view.leader is not None, "without a leader there is nothing to ask for"
                refusal = await self._ask(group, view.leader, move.body, until)
                if refusal is None:
                    steps.append(move.what)
                    blocked_since = None
                    continue
                obstacle = isinstance(refusal, Denied)
                if isinstance(refusal, Denied):
                    why = refusal.reason
                    self._report(group, Blocked(why.rstrip(".")))
            now = loop.time()
            blocked_since = (blocked_since or now) if obstacle else None
            if blocked_since is not None and now - blocked_since >= PATIENCE_S:
                return End(False, tuple(steps), f"{why.rstrip('.')}.")
            if now >= until:
                return End(
                    False,
                    tuple(steps),
                    f"the time is over; last: {why.rstrip('.')}. "
                    "Run the same command again to go on.",
                )
            await asyncio.sleep(min(POLL_S, until - now))

    async def _ask(
        self, group: str, leader: str, body: ChangeReplicas | MoveLeadership, until: float
    ) -> Denied | str | None:
        """None once it is done; a refusal; or in words why that is not known."""
        left = until - asyncio.get_running_loop().time()
        try:
            answer = await self.call(leader, group, body, min(ASK_TIMEOUT_S, max(left, 0)))
        except ConnectionError as exc:
            return str(exc)
        if isinstance(answer, Changed):
            return None
        return answer if isinstance(answer, Denied) else type(answer).__name__
