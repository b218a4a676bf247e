"""Histories for tests: written by hand in a few words, drawn at random, judged by brute force."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.history import Operation, Outcome
from jepsen_like.models import ILLEGAL, Model, State, call_of

INFINITY = float("inf")

RECORDED = Path(
    os.environ.get(
        "RECORDED_HISTORIES", Path(__file__).parents[3] / "shared" / "data" / "histories"
    )
)
recorded = pytest.mark.skipif(
    not RECORDED.is_dir(),
    reason=f"the recorded histories are not at {RECORDED}; RECORDED_HISTORIES names another place",
)


def op(
    f: str,
    value: Any = None,
    output: Any = None,
    *,
    at: tuple[int, int],
    outcome: Outcome = "ok",
    key: int | str = "x",
    process: int = 0,
    node: str = "n1",
) -> Operation:
    """One operation; `at` is (sent, returned)."""
    error = "" if outcome == "ok" else "timeout"
    sent, returned = at
    return Operation(process, f, key, value, outcome, output, sent, sent, returned, node, error)


def write(value: Any, *at: int, **more: Any) -> Operation:
    return op("write", value, at=(at[0], at[1]), **more)


def read(output: Any, *at: int, **more: Any) -> Operation:
    return op("read", None, output, at=(at[0], at[1]), **more)


def cas(expected: Any, new: Any, matched: bool | None, *at: int, **more: Any) -> Operation:
    return op("cas", (expected, new), matched, at=(at[0], at[1]), **more)


def explainable(
    operations: Sequence[Operation],
    model: Model,
    *,
    free: Sequence[Operation] = (),
    until: float = INFINITY,
) -> bool:
    """The definition, executed: try every order of what was answered until `until`.

    What was not yet may be placed or not; `free` may be placed at any time, any number of times.
    """
    history = [o for o in operations if o.outcome != "fail"]
    ends = [INFINITY if o.outcome == "info" else o.returned_ns for o in history]
    required = frozenset(i for i, end in enumerate(ends) if end != INFINITY and end <= until)
    seen: set[tuple[frozenset[int], State]] = set()

    def reach(placed: frozenset[int], state: State) -> bool:
        if required <= placed:
            return True
        if (placed, state) in seen:
            return False
        seen.add((placed, state))
        for o in free:
            after = model.step(state, call_of(o))
            if after is not ILLEGAL and reach(placed, after):
                return True
        waiting = [i for i in range(len(history)) if i not in placed]
        first_end = min(ends[i] for i in waiting)
        for i in waiting:
            if history[i].sent_ns <= first_end:
                after = model.step(state, call_of(history[i]))
                if after is not ILLEGAL and reach(placed | {i}, after):
                    return True
        return False

    return reach(frozenset(), model.init())


def legal_history(
    seed: int,
    *,
    count: int,
    keys: int = 1,
    clients: int = 4,
    values: int | None = None,
    info: float = 0.0,
) -> list[Operation]:
    """What a correct register answers: each operation takes effect at an instant inside it.

    `values` None: every written value is new, as the register workload of the harness does.
    """
    rng = random.Random(seed)
    free_at = [0] * clients
    process = list(range(clients))
    instants = []
    for _ in range(count):
        client = min(range(clients), key=lambda c: free_at[c])
        sent = free_at[client] + rng.randrange(1, 1_000)
        duration = rng.randrange(1, 5_000)
        crashes = rng.random() < info
        instants.append(
            (sent + rng.randrange(duration), sent, sent + duration, process[client], crashes)
        )
        free_at[client] = sent + duration
        if crashes:
            process[client] += clients
    state: dict[int, Any] = {}
    history = []
    for number, (_, sent, returned, who, crashes) in enumerate(sorted(instants)):
        key = rng.randrange(keys)
        new = number if values is None else rng.randrange(values)
        now = state.get(key)
        f = rng.choice(("read", "write", "cas"))
        node = f"n{who % 3 + 1}"
        common = {"key": key, "process": who, "node": node}
        happens = not crashes or rng.random() < 0.5
        if f == "read":
            done = read(now, sent, returned, **common)
        elif f == "write":
            done = write(new, sent, returned, **common)
            if happens:
                state[key] = new
        else:
            expected = now if rng.random() < 0.6 else rng.randrange(values or number + 1)
            done = cas(expected, new, expected == now, sent, returned, **common)
            if happens and expected == now:
                state[key] = new
        if crashes:
            done = replace(done, outcome="info", output=None, error="timeout")
        history.append(done)
    return history
