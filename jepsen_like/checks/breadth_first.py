"""Breadth first: all configurations before one answer, then all before the next.

It never follows a wrong turn far, which is what hard illegal histories need: the answer at which
no configuration is left is the one that no order gets past. The weakness: it explores every order
where any would do.

For the order that explains a legal history each configuration remembers how it was reached.
"""

from __future__ import annotations

from collections.abc import Iterator

from jepsen_like.checks.depth_first import PAUSE_EVERY
from jepsen_like.checks.layout import Found, Layout, is_new

__all__ = ["breadth_first"]

# How a configuration was reached: the operations placed last, and what was before them.
_Trail = tuple[tuple[int, ...], "_Trail | None"]


def breadth_first(layout: Layout) -> Iterator[tuple[int, int] | Found]:
    """Yields (configurations, answers passed) every so often, and at last what was found."""
    table = layout.table
    transitions, compute = table.next, table.after
    has_crashed = layout.has_crashed
    configurations = 0
    # (placed, state, used) -> trail; `used` in it only matters where operations crashed
    frontier: dict[tuple[int, int, int], _Trail | None] = {(0, 0, 0): None}
    for answers, (answered, stuck) in enumerate(zip(layout.slot, layout.operation, strict=True)):
        pure, changing = layout.pure[answers], layout.changing[answers]
        fresh = layout.fresh[answers]
        passed: dict[tuple[int, int, int], _Trail | None] = {}
        passed_used: dict[tuple[int, int], list[int]] = {}
        seen_used: dict[tuple[int, int], list[int]] = {}
        # Fewest crashed operations first, so that what is dominated is mostly met later.
        waiting = sorted(frontier.items(), key=lambda item: item[0][2].bit_count())
        frontier = {}
        candidates = fresh
        started = len(waiting)
        for index, ((placed, state, used), trail) in enumerate(waiting):
            row = transitions[state]
            steps = []
            for slot, i, c in candidates if index < started else pure:
                if not placed & slot:
                    after = row.get(c)
                    if (compute(state, c) if after is None else after) >= 0:
                        placed |= slot
                        steps.append(i)
            if steps:
                trail = (tuple(steps), trail)
            if placed & answered:
                key = (placed ^ answered, state, used)
                if key not in passed and (
                    not has_crashed or is_new(passed_used.setdefault(key[:2], []), used)
                ):
                    passed[key] = trail
                continue
            if not is_new(seen_used.setdefault((placed, state), []), used):
                continue
            configurations += 1
            if configurations % PAUSE_EVERY == 0:
                yield configurations, answers
            for _, slot, i, c in changing:
                if not placed & slot:
                    after = row.get(c)
                    if after is None:
                        after = compute(state, c)
                    if after >= 0:
                        waiting.append(((placed | slot, after, used), ((i,), trail)))
            if has_crashed:
                for bit, _, i, c in layout.crashed_moves(answers, placed, state, used):
                    after = compute(state, c)
                    waiting.append(((placed, after, used | bit), ((i,), trail)))
        if not passed:
            yield Found("no", configurations, stuck=stuck, algorithm="breadth-first")
            return
        frontier = passed
    order = _unwind(next(iter(frontier.values())))
    yield Found("yes", configurations, order, algorithm="breadth-first")


def _unwind(trail: _Trail | None) -> tuple[int, ...]:
    parts = []
    while trail is not None:
        steps, trail = trail
        parts.append(steps)
    return tuple(i for steps in reversed(parts) for i in steps)
