"""Search objects in processes side by side, when there is enough to search.

Children are forked: they have the history already and send back only verdicts. Where forking is
not safe (other threads run) or not possible, everything happens in this process.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import connection
from pathlib import Path

from jepsen_like.checks.layout import NEVER, Limit
from jepsen_like.checks.objects import (
    FIRST_ROUND_CONFIGURATIONS,
    Judged,
    Object,
    key_text,
    settle,
)
from jepsen_like.models.model import Model

__all__ = ["memory_in_use", "settle_side_by_side"]

PARALLEL_OPERATIONS_MIN = 20_000  # forking and sending verdicts costs some ten milliseconds
OVERTIME_SECONDS = 0.2  # a child looks at the clock itself; one that does not come back is ended
CHILD_BYTES = 16 << 20  # what a child is taken to need before it has searched anything


def memory_in_use() -> int:
    """Resident bytes of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def settle_side_by_side(
    objects: Sequence[Object],
    model: Model,
    limit: Limit,
    processes: int | None,
    *,
    only_a_round: bool = False,
) -> Iterator[tuple[int, Judged]]:
    """As `settle`. `only_a_round`: an illegal object is known, do not look hard for another."""
    if only_a_round:
        limit = replace(limit, configurations=min(limit.configurations, FIRST_ROUND_CONFIGURATIONS))
    wanted = max(1, min(processes or os.cpu_count() or 1, len(objects)))
    total = sum(len(mine.operations) for mine in objects)
    if wanted > 1 and total >= PARALLEL_OPERATIONS_MIN and _may_fork():
        shared = _share_of(limit, wanted)
        if shared is not None:
            yield from _forked(objects, model, shared, wanted)
            return
    yield from settle(objects, model, limit)


def _may_fork() -> bool:
    """A child of a process with threads may inherit a lock that nobody will release."""
    return (
        "fork" in multiprocessing.get_all_start_methods()
        and threading.active_count() == 1
        and not multiprocessing.current_process().daemon
    )


def _forked(
    objects: Sequence[Object], model: Model, limit: Limit, processes: int
) -> Iterator[tuple[int, Judged]]:
    context = multiprocessing.get_context("fork")
    shares = _shares(objects, processes)
    running = {}
    unsettled = set(range(len(objects)))
    try:
        for share in shares:
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(
                target=_work, args=(sender, objects, share, model, limit), daemon=True
            )
            child.start()
            sender.close()
            running[receiver] = child
        while running:
            left = max(0.0, limit.deadline - limit.clock()) + OVERTIME_SECONDS
            ready = connection.wait(list(running), left)
            if not ready:
                break
            for receiver in [r for r in running if r in ready]:
                try:
                    k, judged = receiver.recv()
                except EOFError:
                    running.pop(receiver).join()
                    receiver.close()
                    continue
                unsettled.discard(k)
                yield k, judged
    finally:
        for receiver, child in running.items():
            child.terminate()
            child.join()
            receiver.close()
    for k in sorted(unsettled):
        where = key_text(objects[k].key)
        yield k, Judged("unknown", problem=f"the process that searched {where} ended early")


def _work(
    sender: connection.Connection,
    objects: Sequence[Object],
    share: list[int],
    model: Model,
    limit: Limit,
) -> None:
    for k, judged in settle([objects[k] for k in share], model, limit):
        sender.send((share[k], judged))
    sender.close()


def _shares(objects: Sequence[Object], processes: int) -> list[list[int]]:
    """Alternately by size: each process has large and small ones."""
    by_size = sorted(range(len(objects)), key=lambda k: len(objects[k].operations))
    return [by_size[p::processes] for p in range(processes)]


def _share_of(limit: Limit, processes: int) -> Limit | None:
    """What each of `processes` children may use; None: too little to start them.

    A child begins with the pages of its parent and shares them until either writes, and counting
    references writes. So they count for each.
    """
    if limit.memory_bytes == NEVER:
        return limit
    used = limit.memory()
    each = (limit.memory_bytes - used) // processes
    return replace(limit, memory_bytes=each) if each >= used + CHILD_BYTES else None
