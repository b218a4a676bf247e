"""Histories for the checkers' benchmark: what a correct register answers, by seed.

Clients of a closed loop; every operation takes effect at an instant inside its interval.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, replace

from jepsen_like.history import Operation

__all__ = ["Load", "append_history", "register_history", "with_a_stale_read"]

REST_NS = 1_000  # between an answer and the client's next request
STEPS_MAX = 4  # of a transaction
LIST_MAX = 100


@dataclass(frozen=True)
class Load:
    operations: int
    clients: int
    keys: int = 1
    values: int | None = None  # None: every written value is new
    cas: float = 0.0  # share of operations
    info: float = 0.0  # share of operations without an answer
    seed: int = 1


def _drawn(load: Load, rng: random.Random) -> list[tuple[int, int, int, int, bool]]:
    """(instant of the effect, sent, returned, process, lost) of each operation, by effect."""
    ready = [(rng.randrange(100_000), client) for client in range(load.clients)]
    heapq.heapify(ready)
    process = list(range(load.clients))
    drawn = []
    for _ in range(load.operations):
        sent, client = heapq.heappop(ready)
        took = int(rng.expovariate(1 / 100_000)) + 5_000
        lost = rng.random() < load.info
        effect = sent + rng.randrange(took)
        drawn.append((effect, sent, sent + took, process[client], lost))
        if lost:
            process[client] += load.clients
        heapq.heappush(ready, (sent + took + REST_NS, client))
    return sorted(drawn)


def register_history(load: Load) -> list[Operation]:
    rng = random.Random(load.seed)
    state: dict[int, int] = {}
    history = []
    for number, (_, sent, returned, client, lost) in enumerate(_drawn(load, rng)):
        key = rng.randrange(load.keys)
        new = number if load.values is None else rng.randrange(load.values)
        now = state.get(key)
        drawn_f = rng.random()
        happens = not lost or rng.random() < 0.5
        value: object = None
        output: object = None
        if drawn_f < 0.5:
            f, output = "read", now
        elif drawn_f < 0.5 + load.cas:
            expected = now if rng.random() < 0.7 else rng.randrange(load.values or number + 1)
            f, value, output = "cas", (expected, new), expected == now
            if output and happens:
                state[key] = new
        else:
            f, value = "write", new
            if happens:
                state[key] = new
        history.append(
            Operation(
                client, f, key, value, "info" if lost else "ok", None if lost else output,
                sent, sent, returned, "n1", "timeout" if lost else "",
            )
        )  # fmt: skip
    history.sort(key=lambda operation: operation.sent_ns)
    return history


def append_history(load: Load) -> list[Operation]:
    """Transactions of reads and appends to `keys` lists; one that is full gives way to another."""
    rng = random.Random(load.seed)
    lists: dict[int, list[int]] = {}
    in_use = list(range(load.keys))
    history = []
    for number, (_, sent, returned, client, lost) in enumerate(_drawn(load, rng)):
        asked: list[tuple[str, int, int | None]] = []
        done: list[tuple[str, int, object]] = []
        happens = not lost or rng.random() < 0.5
        for _ in range(rng.randint(1, STEPS_MAX)):
            place = rng.randrange(load.keys)
            key = in_use[place]
            values = lists.setdefault(key, [])
            if rng.random() < 0.5:
                asked.append(("r", key, None))
                done.append(("r", key, tuple(values)))
                continue
            new = number * STEPS_MAX + len(asked)  # of this transaction alone
            asked.append(("append", key, new))
            done.append(("append", key, new))
            if happens:
                values.append(new)
            if len(values) >= LIST_MAX:
                in_use[place] = max(in_use) + 1
        history.append(
            Operation(
                client, "txn", "", tuple(asked), "info" if lost else "ok",
                None if lost else tuple(done), sent, sent, returned, "n1",
                "timeout" if lost else "",
            )
        )  # fmt: skip
    return history


def with_a_stale_read(history: list[Operation]) -> list[Operation]:
    """A read near the end returns a value from the middle."""
    reads = [i for i, o in enumerate(history) if o.f == "read" and o.outcome == "ok"]
    old = history[reads[len(reads) // 2]].output
    late = reads[len(reads) * 9 // 10]
    return [*history[:late], replace(history[late], output=old), *history[late + 1 :]]
