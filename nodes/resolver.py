"""Carries what leaders of this node do about transactions over several groups that nobody finishes
(`nodes.resolution`) to the leaders that it is for, and back.

Every tick it looks at the groups that are led here and have something prepared, or an outcome that
others may not have; the rest costs nothing. A request goes to whoever leads the group at that
moment: nodes are asked in turn until one does, as long as the request is not due again. It may be
repeated, so an answer that is lost does no harm. Nothing here is kept: another leader begins anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from nodes.client import CallFailed, NodeClient
from nodes.config import ClusterConfig
from nodes.hosting import Hosted
from nodes.protocol import (
    Abort,
    Decided,
    Done,
    End,
    NotLeader,
    ResponseBody,
    TransactionId,
    TransactionOutcome,
)
from nodes.raft_engine import RaftEngine
from nodes.resolution import Resolution, ToLeader

__all__ = ["Resolver"]

CONCURRENT_MAX: Final = 64
"""Requests that are on their way at once; more wait for their turn."""

CALL_S: Final = 0.5
"""How long a node may take to answer, or to be reached."""

PAUSE_S: Final = 0.05
"""After all nodes have been asked and none led."""

_log = logging.getLogger(__name__)
_encode = msgspec.msgpack.Encoder().encode

_Key: TypeAlias = tuple[str, str, TransactionId, str]


class Hosts(Protocol):
    """The replicas of the node."""

    config: ClusterConfig
    running: dict[str, Hosted]


class Resolver:
    """Of one node, which has what `hosting` says; `client` makes a connection to a node of the
    cluster."""

    def __init__(
        self,
        hosting: Hosts,
        *,
        client: Callable[[str], NodeClient | None],
        clock: Callable[[], float],
    ) -> None:
        self._hosting = hosting
        self._after_s = hosting.config.raft.resolve_after_ms / 1000
        self._client = client
        self._clock = clock
        self._resolutions: dict[str, tuple[int, Resolution]] = {}  # by group, with the term
        self._leaders: dict[str, str] = {}  # where one was found last
        self._clients: dict[str, NodeClient] = {}
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(CONCURRENT_MAX)

    @property
    def is_at_work(self) -> bool:
        """Something was prepared in these groups when they were looked at last."""
        return bool(self._resolutions)

    def tick(self, leading: Iterable[RaftEngine]) -> None:
        """See what is due in the groups that are led here."""
        found: dict[str, tuple[int, Resolution]] = {}
        for engine in leading:
            group = engine.group
            hosted = self._hosting.running.get(group)
            if hosted is None or not hosted.machine.prepared.is_open or not engine.leads:
                continue
            before = self._resolutions.get(group)
            if before is None or before[0] != engine.term:
                before = (engine.term, Resolution(group, self._after_s))
            found[group] = before
            self._send(group, before[1], before[1].due(self._clock(), hosted.machine.prepared))
        self._resolutions = found

    def _send(self, group: str, resolution: Resolution, requests: Sequence[ToLeader]) -> None:
        for request in requests:
            key = (group, request.group, request.body.id, type(request.body).__name__)
            if key in self._tasks:
                continue
            task = asyncio.get_running_loop().create_task(self._carry(group, resolution, request))
            self._tasks[key] = task
            task.add_done_callback(lambda task, key=key: self._ended(key, task))  # type: ignore[misc]

    def _ended(self, key: _Key, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("resolving %s in group %s", key[2], key[0], exc_info=error)

    async def _carry(self, group: str, resolution: Resolution, request: ToLeader) -> None:
        async with self._turns:
            answer = await self._deliver(request)
        hosted = self._hosting.running.get(group)
        current = self._resolutions.get(group)
        if hosted is None or current is None or current[1] is not resolution:
            return  # another leader goes on
        follows = resolution.answered(request, answer, hosted.machine.prepared)
        if isinstance(answer, Decided):
            _log.info(
                "transaction %x-%d was in doubt in group %s: it is %s",
                request.body.id.router,
                request.body.id.number,
                group,
                "committed" if answer.commit else "aborted",
            )
        self._send(group, resolution, follows)

    # ------------------------------------------------------------------ finding the leader

    async def _deliver(self, request: ToLeader) -> ResponseBody | None:
        """The answer of the group's leader; None if there was none to be found."""
        deadline = self._clock() + 2 * self._after_s
        while True:
            asked: set[str] = set()
            names = self._nodes_of(request.group)
            while names:
                left_s = deadline - self._clock()
                if left_s <= 0:
                    return None
                name = names.pop(0)
                if name in asked:
                    continue
                asked.add(name)
                answer = await self._ask(name, request, min(left_s, CALL_S))
                if isinstance(answer, Decided | Done):
                    self._leaders[request.group] = name
                    return answer
                self._leaders.pop(request.group, None)
                if isinstance(answer, NotLeader) and answer.leader is not None:
                    names.insert(0, answer.leader)
            await asyncio.sleep(min(PAUSE_S, max(0.0, deadline - self._clock())))

    def _nodes_of(self, group: str) -> list[str]:
        """Whom to ask for the leader of a group, the likeliest first."""
        config = self._hosting.config
        founded = config.groups.get(group)
        first = [] if founded is None else [replica.node for replica in founded.replicas]
        if (last := self._leaders.get(group)) is not None:
            first.insert(0, last)
        return [*first, *config.nodes]

    async def _ask(self, name: str, request: ToLeader, timeout_s: float) -> ResponseBody | None:
        hosted = self._hosting.running.get(request.group)
        if hosted is not None and hosted.engine.leads:
            return await self._propose(hosted.engine, request.body, timeout_s)
        if name not in self._clients and (made := self._client(name)) is not None:
            self._clients[name] = made
        if (client := self._clients.get(name)) is None:
            return None
        try:
            return await client.call(request.group, request.body, timeout_s)
        except CallFailed:
            if self._clients.get(name) is client:  # the node may have moved
                del self._clients[name]
                await client.close()
            return None

    @staticmethod
    async def _propose(
        engine: RaftEngine, body: Abort | TransactionOutcome | End, timeout_s: float
    ) -> ResponseBody | None:
        answered: asyncio.Future[ResponseBody] = asyncio.get_running_loop().create_future()

        def done(answer: ResponseBody) -> None:
            if not answered.done():
                answered.set_result(answer)

        engine.propose(_encode(body), done, command=body)
        await asyncio.wait([answered], timeout=timeout_s)
        return answered.result() if answered.done() else None

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for client in self._clients.values():
            await client.close()
