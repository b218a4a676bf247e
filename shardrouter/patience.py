"""How long a schema change may take: as long as somebody is at work on it.

A key over millions of rows takes the time that it takes, on every replica, and a client that has
set no `statement_timeout` wants it made. What nobody wants is to wait for a shard that has no
leader. A leader without a majority gives up its office, and one that applies something large goes
on answering for its node; so a group is served while a node says that it leads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, Protocol, TypeVar

from nodes.protocol import Status, leader_of
from shardrouter.errors import DeadlineExceeded, IndefiniteError
from shardrouter.verdicts import canceled, time_over

__all__ = ["LOOK_S", "SILENCE_S", "Turn", "all_of", "while_served"]

SILENCE_S: Final = 10.0
"""Without a leader that is heard of, after which a group is waited for no longer."""

LOOK_S: Final = 1.0
"""How often it is looked who leads; what takes less asks nobody."""

T = TypeVar("T")


class Nodes(Protocol):
    """Whom to ask; `shardrouter.shards.Shards` is one."""

    async def statuses(self, timeout_s: float) -> dict[str, Status | None]:
        """What each node says of itself; None if it does not answer in time."""


async def while_served(
    work: Coroutine[Any, Any, T], nodes: Nodes, awaited: Callable[[], Collection[str]]
) -> T:
    """What `work` returns or raises, which waits for the groups that `awaited` tells.

    If one of them has not been led for SILENCE_S, the work is cancelled; and so it is, once, if
    its caller is. What then becomes of it is the outcome, for it may have happened.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    served_at: dict[str, float] = {}
    unserved = ""
    try:
        while not task.done():
            try:
                await asyncio.wait({task}, timeout=LOOK_S)
                if task.done():
                    break
                statuses = (await nodes.statuses(LOOK_S)).values()
            except asyncio.CancelledError:
                task.cancel()
                continue
            now = loop.time()
            served_at = {
                group: now if leader_of(group, statuses) else served_at.get(group, now)
                for group in awaited()
            }
            late = [group for group, at in served_at.items() if now - at >= SILENCE_S]
            if late:
                unserved = late[0]
                task.cancel()
    finally:
        task.cancel()
    try:
        return task.result()
    except (asyncio.CancelledError, DeadlineExceeded) as exc:
        if unserved:
            raise time_over(unserved, f"no node has led it for {SILENCE_S:g} s") from exc
        if isinstance(exc, DeadlineExceeded):
            raise
        raise canceled() from exc


async def all_of(*works: Coroutine[Any, Any, object]) -> None:
    """Await all to their end, also when this is cancelled, as each of them is then. Raises an
    error of one of them, rather one that leaves its outcome open."""
    tasks = [asyncio.ensure_future(work) for work in works]
    while under_way := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(under_way)
        except asyncio.CancelledError:
            for task in under_way:
                task.cancel()
    errors = [canceled() if task.cancelled() else task.exception() for task in tasks]
    found = [error for error in errors if error is not None]
    for error in found:
        if isinstance(error, IndefiniteError):
            raise error
    if found:
        raise found[0]


class Turn:
    """One at a time of what takes the lock, waited for until the deadline."""

    __slots__ = ("_deadline", "_lock")

    def __init__(self, lock: asyncio.Lock, deadline: float) -> None:
        self._lock = lock
        self._deadline = deadline

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._lock.acquire()
        except TimeoutError as exc:
            raise DeadlineExceeded(
                "canceling statement due to statement timeout",
                detail="Another schema change of this router is under way.",
            ) from exc

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
