"""Compares the replicas of each group every so often, without being asked.

SQLite has no checksums of its pages, and a bug or a bad machine may change a row on one replica
alone; what finds it is comparing replicas, and the sooner the more of them are still right. So
every node looks after the groups it leads: each group has its time in the interval, spread by
its name, and whoever leads it then proposes a CHECKSUM and compares (`nodes.comparison`). One
group of a node at a time; the trees are built at half speed on a thread of their own.

What was found is known to the node that found it, in its memory. It goes on saying so when another
one leads, until that one must have compared the group itself: nothing is forgotten with an office.
With a process it is, and found again in the next interval.

Knows who leads what and when; what is compared, and how, is `comparison`'s.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from nodes.client import NodeClient
from nodes.comparison import Comparison, compare, describe
from nodes.protocol import ReplicaStatus

__all__ = ["Verifier"]

COMPARE_TIMEOUT_S: Final = 600.0
"""How long the replicas of a group may take for their checksums; a large one takes minutes."""

LOOK_S_MAX: Final = 30.0
"""Longest pause between two looks at which groups are due: leaders change."""

_log = logging.getLogger(__name__)


class Verifier:
    """The task of one node. `hosted` says how its replicas are, `client` makes a connection to a
    node by name, None if it is not known."""

    def __init__(
        self,
        every_s: float,
        *,
        hosted: Callable[[], Collection[ReplicaStatus]],
        client: Callable[[str], NodeClient | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s = every_s
        self._hosted = hosted
        self._client = client
        self._clock = clock
        self._due: dict[str, float] = {}
        self._found: dict[str, list[tuple[int, str]]] = {}  # (replica that differs, sentence)
        self._found_at: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it is switched off."""
        if self._every_s > 0:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Return when nothing is compared any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def noted(self, status: ReplicaStatus) -> ReplicaStatus:
        """`status` with what this node's last comparison of the group found: of those that are
        still members, for a rebuilt one is another. One that does not lead any more says it until
        its successor has looked for itself."""
        found = self._found.get(status.group)
        if not found:
            return status
        lasts_s = self._every_s + COMPARE_TIMEOUT_S
        if status.role != "leader" and self._clock() > self._found_at[status.group] + lasts_s:
            return status
        members = {member.replica for member in status.members}
        diverged = " ".join(sentence for replica, sentence in found if replica in members)
        return msgspec.structs.replace(status, diverged=diverged)

    # ------------------------------------------------------------------ the task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_S_MAX, self._every_s / 10))
            for status in self._take_due(self._clock()):
                try:
                    await self._verify(status)
                except Exception as exc:  # one comparison failed; the next is due as ever
                    _log.error(
                        "group %s was not compared",
                        status.group,
                        exc_info=exc,
                        extra={"group": status.group},
                    )

    def _take_due(self, now: float) -> list[ReplicaStatus]:
        """Groups whose time has come and that this node leads."""
        due = []
        for status in self._hosted():
            at = self._due.setdefault(
                status.group, now + self._every_s * zlib.crc32(status.group.encode()) / 2**32
            )
            if at <= now:
                self._due[status.group] = now + self._every_s
                if status.role == "leader" and len(status.members) > 1:
                    due.append(status)
        return due

    async def _verify(self, status: ReplicaStatus) -> None:
        """Compare those that answer their leader: nobody waits for one that is down."""
        replicas = {
            member.node: member.replica
            for member in status.members
            if member.is_voter and member.is_active is not False
        }
        async with AsyncExitStack() as stack:
            clients: dict[str, NodeClient] = {}
            for node in replicas:
                if (client := self._client(node)) is not None:
                    stack.push_async_callback(client.close)
                    clients[node] = client
            if len(clients) < 2:
                return
            result = await compare(status.group, clients, timeout_s=COMPARE_TIMEOUT_S)
        self._note(status.group, result, replicas)

    def _note(self, group: str, result: Comparison | str, replicas: Mapping[str, int]) -> None:
        if isinstance(result, str):
            _log.warning("%s", result)
            return
        for node, reason in result.silent.items():
            _log.warning(
                "group %s: the replica on %s was not compared: %s",
                group,
                node,
                reason,
                extra={"group": group},
            )
        found = [(replicas[each.node], describe(group, each)) for each in result.differences]
        for each in result.differences:
            _log.error("%s", describe(group, each, with_keys=False), extra={"group": group})
        if not found and not result.silent:
            _log.info(
                "group %s: %d replicas are equal at index %d (%d rows)",
                group,
                len(result.compared),
                result.index,
                result.rows,
                extra={"group": group},
            )
        if found or not result.silent:
            self._found[group], self._found_at[group] = found, self._clock()
