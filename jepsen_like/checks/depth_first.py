"""Depth first: follow the most promising order, step back where it ends.

A legal history is mostly explained without a wrong turn. The weakness: an early wrong turn that
shows late is undone last. `breadth_first.py` has the opposite strength and weakness.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

from jepsen_like.checks.layout import Found, Layout, Move, is_new

__all__ = ["PAUSE_EVERY", "depth_first"]

PAUSE_EVERY = 64  # configurations between two looks at the limits

# A configuration on the path: answers, placed, state, used, length of the path there, and the
# moves from it that were not tried yet, best first.
_Node: TypeAlias = tuple[int, int, int, int, int, Iterator[Move]]


def depth_first(layout: Layout) -> Iterator[tuple[int, int] | Found]:
    """Yields (configurations, answers passed) every so often, and at last what was found."""
    table = layout.table
    slot_of, operation_of, fresh_of = layout.slot, layout.operation, layout.fresh
    pure_of, changing_of, available_of = layout.pure, layout.changing, layout.available
    has_free = bool(layout.free)
    transitions, compute = table.next, table.after
    end = len(slot_of)
    seen: set[tuple[int, int, int]] = set()
    used_at: dict[tuple[int, int, int], list[int]] = {}
    path: list[int] = []
    stack: list[_Node] = []
    configurations = furthest = 0
    answers = placed = state = used = 0
    candidates = fresh_of[0] if end else []
    while True:
        row = transitions[state]
        # Every pure operation that is legal now: placing it costs nothing and closes no way.
        for slot, i, c in candidates:
            if not placed & slot:
                after = row.get(c)
                if (compute(state, c) if after is None else after) >= 0:
                    placed |= slot
                    path.append(i)
        while answers < end and placed & slot_of[answers]:
            placed ^= slot_of[answers]
            answers += 1
            if answers < end:
                for slot, i, c in fresh_of[answers]:
                    after = row.get(c)
                    if (compute(state, c) if after is None else after) >= 0:
                        placed |= slot
                        path.append(i)
        if answers == end:
            yield Found("yes", configurations, tuple(path), algorithm="depth-first")
            return
        key = (answers, placed, state)
        has_crashed = has_free or available_of[answers]
        if has_crashed:
            known = used_at.get(key)
            if known is None:
                used_at[key] = [used]
            new = known is None or is_new(known, used)
        else:
            new = key not in seen
            seen.add(key)
        if new:
            configurations += 1
            if answers > furthest:
                furthest = answers
            if configurations % PAUSE_EVERY == 0:
                yield configurations, furthest
            # The operation that is answered next comes first: most often it may
            moves: Iterator[Move] = iter(changing_of[answers])
            if has_crashed:
                moves = chain(moves, layout.crashed_moves(answers, placed, state, used))
            stack.append((answers, placed, state, used, len(path), moves))
        while stack:
            answers, placed, state, used, length, moves = stack[-1]
            row = transitions[state]
            for crashed, slot, i, c in moves:
                if not placed & slot:
                    after = row.get(c)
                    if after is None:
                        after = compute(state, c)
                    if after >= 0:
                        state = after
                        placed |= slot
                        used |= crashed
                        del path[length:]
                        path.append(i)
                        candidates = pure_of[answers]
                        break
            else:
                stack.pop()
                continue
            break
        else:
            stuck = operation_of[furthest]
            yield Found("no", configurations, stuck=stuck, algorithm="depth-first")
            return
