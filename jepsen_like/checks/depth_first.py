"""Depth first: follow the most promising order, step back where it ends.

A legal history is mostly explained without a wrong turn. The weakness: an early wrong turn that
shows late is undone last. `breadth_first.py` has the opposite strength and weakness.
"""

from __future__ import annotations

from collections.abc import Iterator

from jepsen_like.checks.layout import Found, Layout, Move, is_new

__all__ = ["PAUSE_EVERY", "depth_first"]

PAUSE_EVERY = 64  # configurations between two looks at the limits

# A configuration on the path: answers, placed, state, used, length of the path there, and the
# moves from it that were not tried yet, best last.
_Node = tuple[int, int, int, int, int, list[Move]]


def depth_first(layout: Layout) -> Iterator[tuple[int, int] | Found]:
    """Yields (configurations, answers passed) every so often, and at last what was found."""
    table, intervals = layout.table, layout.intervals
    slot_of, operation_of, fresh_of = layout.slot, layout.operation, layout.fresh
    pure_of, changing_of, has_crashed = layout.pure, layout.changing, layout.has_crashed
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
        if has_crashed:
            new = is_new(used_at.setdefault(key, []), used)
        else:
            new = key not in seen
            seen.add(key)
        if new:
            configurations += 1
            furthest = max(furthest, answers)
            if configurations % PAUSE_EVERY == 0:
                yield configurations, furthest
            moves: list[Move] = []
            for slot, i, c in changing_of[answers]:
                if not placed & slot:
                    after = row.get(c)
                    if after is None:
                        after = compute(state, c)
                    if after >= 0:
                        moves.append((after, slot, 0, i))
            if len(moves) > 1:
                moves.sort(key=lambda move: intervals[move[3]].returned, reverse=True)
            if has_crashed:
                moves = layout.crashed_moves(answers, placed, state, used) + moves
            stack.append((answers, placed, state, used, len(path), moves))
        while stack and not stack[-1][5]:
            stack.pop()
        if not stack:
            stuck = operation_of[furthest]
            yield Found("no", configurations, stuck=stuck, algorithm="depth-first")
            return
        answers, placed, _, used, length, moves = stack[-1]
        state, slot, crashed, i = moves.pop()
        placed |= slot
        used |= crashed
        del path[length:]
        path.append(i)
        candidates = pure_of[answers]
