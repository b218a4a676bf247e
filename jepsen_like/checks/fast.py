"""The blocks of all objects at once, in numpy: the same rules as `blocks.py`, the same answers.

The one module of the checkers that imports numpy, and only when it is asked for the first time;
without it everything is done by `blocks.py`. What is not plain sailing (repeated values, a cas
that did not match, a cycle of links) is left to it too, object by object: `unclear`. So is the
evidence for an object found illegal.

`order` is replayed here as well, from the columns that were given and not from what was derived.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from jepsen_like.checks.layout import NEVER
from jepsen_like.models.model import LINK, MISMATCH, NOTHING, READ, WRITE

__all__ = ["INITIAL", "Columns", "FastAnswer", "available", "decide_all"]

# Arrays, unknown to a type checker as numpy need not be there.
Ints: TypeAlias = Any
Flags: TypeAlias = Any

INITIAL = -1  # the version an object begins with; all others are not negative
SPAN_MAX = 1 << 61  # times times objects must fit in 63 bits; else Python's integers do it
AFTER_MAX = 1 << 58
KIND_BITS = 3  # what a step does to the versions, beside a version in one integer
TRIES_MAX = 8  # to find the least of many by writing them
JUMPS_MAX = 40  # chains of up to 2 ** 40 links; what is not at its root by then goes in a circle


def available() -> bool:
    return importlib.util.find_spec("numpy") is not None


@dataclass(frozen=True)
class Columns:
    """One entry per operation: anything that numpy takes for 64-bit integers.

    `key` counts from 0; `kind`, `before` and `after` as in `Versions`; `returned` NEVER for info.
    """

    sent: Any
    returned: Any
    key: Any
    kind: Any
    before: Any
    after: Any

    def as_arrays(self) -> Columns | None:
        """None: numbers too large for 64 bits."""
        import numpy as np

        try:
            return Columns(*(np.asarray(getattr(self, f.name), np.int64) for f in fields(self)))
        except OverflowError:
            return None


@dataclass(frozen=True)
class FastAnswer:
    """Objects that are in neither list are linearizable."""

    illegal: list[int]
    unclear: list[int]
    order: Any  # positions of the operations of all linearizable objects, object after object


def decide_all(columns: Columns) -> FastAnswer | None:
    """None: numbers too large for numpy."""
    import numpy as np

    arrays = columns.as_arrays()
    if arrays is None:
        return None
    if not len(arrays.sent):
        return FastAnswer([], [], np.zeros(0, np.int64))
    return _Fast(np, arrays).decide()


class _Fast:
    """Columns shrink as operations are dropped and objects are settled; `position` remembers."""

    def __init__(self, numpy: Any, given: Columns) -> None:
        self._np = numpy
        self._given = given
        self._sent, self._returned, self._key = given.sent, given.returned, given.key
        self._kind, self._before, self._after = given.kind, given.before, given.after
        self._position: Ints = numpy.arange(len(given.sent))
        self._objects = int(given.key.max()) + 1
        self._illegal: Flags = numpy.zeros(self._objects, bool)
        self._unclear: Flags = numpy.zeros(self._objects, bool)
        self._nobody: int | None = None  # known: each version has one writer, except this one

    def decide(self) -> FastAnswer | None:
        np = self._np
        live = self._returned != NEVER
        first = int(self._sent.min())
        last = max(int(self._sent.max()), int(np.where(live, self._returned, first).max()))
        span = last - first + 3
        if span > SPAN_MAX // (self._objects + 1) or int(self._after.max()) >= AFTER_MAX:
            return None
        odd = (self._kind == MISMATCH) | ((self._kind == NOTHING) & live)
        if odd.any():
            self._unclear[self._key[odd]] = True
        self._leave_out(odd, live)
        if len(self._sent):
            self._name_versions()
            self._drop_unobserved()
            self._keep_undecided()
            self._check_writers()
            self._keep_undecided()
        order = self._order(first, span) if len(self._sent) else self._position
        # What did not match may only make a linearizable object's order harder to find.
        yes = ~self._illegal & ~self._unclear
        if not yes.all():
            order = order[yes[self._given.key[order]]]
        wrong = self._replay(order, span, first)
        assert not len(wrong), "an order found by numpy does not replay"
        illegal, unclear = np.flatnonzero(self._illegal), np.flatnonzero(self._unclear)
        return FastAnswer(
            illegal.tolist(), [k for k in unclear.tolist() if not self._illegal[k]], order
        )

    def _leave_out(self, odd: Flags, live: Flags) -> None:
        """What says nothing is a read that never came back; `_drop_unobserved` drops it."""
        np, kind = self._np, self._kind
        silent = (kind == NOTHING) | ((kind == READ) & ~live)
        if odd.any():
            self._keep(~(silent | odd))
        elif silent.any():
            self._kind = np.where(silent, READ, kind)
            self._after = np.where(silent, INITIAL, self._after)

    def _keep(self, chosen: Flags) -> None:
        if chosen.all():
            return
        places = self._np.flatnonzero(chosen)
        names = ("_sent", "_returned", "_key", "_kind", "_before", "_after", "_position")
        for name in names:
            setattr(self, name, getattr(self, name).take(places))

    def _keep_undecided(self) -> None:
        settled = self._illegal | self._unclear
        if settled.any():
            self._keep(~settled[self._key])

    def _name_versions(self) -> None:
        """`before` and `after` become numbers of (object, value); the first ones are initial."""
        np = self._np
        count, objects = len(self._sent), self._objects
        writes = np.flatnonzero(self._kind != READ)  # taken by place: by flags it takes longer
        links = self._kind == LINK
        values = int(max(self._after.max(), self._before[links].max(initial=0))) + 1
        written = self._after[writes]
        if (written < 0).any():  # the initial value written again is a repeated value
            again = self._key[writes][written < 0]
            self._unclear[again] = True
            self._keep_undecided()
            writes = np.flatnonzero(self._kind != READ)
            links = self._kind == LINK
            written = self._after[writes]
        if values <= 8 * count and not (np.bincount(written, minlength=1) > 1).any():
            nobody = objects + values  # a value not written to this object
            owner = np.full(nobody + 1, -1, np.int64)
            owner[:objects] = np.arange(objects)
            owner[objects + written] = self._key[writes]

            def named(value: Ints) -> Ints:
                name = value + objects
                initial = np.flatnonzero(value < 0)
                name[initial] = self._key[initial]
                name[owner[name] != self._key] = nobody
                return name

            self._versions = nobody + 1
            self._nobody = nobody
            self._after = named(self._after)
            if links.any():
                before = named(np.where(links, self._before, -1))
                self._before = np.where(links, before, 0)
            return
        if values >= NEVER // (objects + 1):
            self._unclear[:] = True
            self._keep_undecided()
            return
        width = values + 1
        after = self._key * width + self._after + 1
        before = self._key * width + np.where(links, self._before, -1) + 1
        initial = np.arange(objects) * width
        names, number = np.unique(np.concatenate([initial, after, before]), return_inverse=True)
        rank = np.empty(len(names), np.int64)  # the initial version of object k is named k
        rank[:] = -1
        rank[number[:objects]] = np.arange(objects)
        rank[rank < 0] = np.arange(objects, len(names))
        self._versions = len(names)
        self._after = rank[number[objects : objects + count]]
        self._before = rank[number[objects + count :]]

    def _drop_unobserved(self) -> None:
        """Indeterminate operations whose value nobody saw; links that are kept see one."""
        np = self._np
        lost = np.flatnonzero(self._returned == NEVER)
        if not len(lost):
            return
        # Of all operations only those count that see what a lost one may have written
        doubtful = np.zeros(self._versions, bool)
        doubtful[self._after[lost]] = True
        lost_kinds = self._kind[lost]
        waiting = np.zeros(len(self._kind), bool)
        waiting[lost] = True
        observed = np.zeros(self._versions, bool)
        seeing = np.flatnonzero(doubtful[self._after] & ~waiting)
        observed[self._after[seeing[self._kind[seeing] == READ]]] = True
        links = np.flatnonzero((self._kind == LINK) & ~waiting)
        observed[self._before[links]] = True
        while True:
            changes = lost[waiting[lost] & (lost_kinds != READ)]
            found = changes[observed[self._after[changes]]]
            if not len(found):
                break
            waiting[found] = False
            observed[self._before[found[self._kind[found] == LINK]]] = True
        self._keep(~waiting)

    def _check_writers(self) -> None:
        np = self._np
        writes, links = self._kind != READ, self._kind == LINK
        if self._nobody is not None and not links.any():
            self._illegal[self._key[self._after == self._nobody]] = True
            return
        times = np.bincount(self._after[writes], minlength=self._versions)
        times[: self._objects] += 1
        of_mine = times[self._after]
        repeated = writes & (of_mine > 1)
        self._unclear[self._key[repeated]] = True
        bad = np.zeros(self._objects, bool)
        bad[self._key[of_mine == 0]] = True
        if links.any():
            nowhere = links & (times[self._before] == 0)
            follow = np.bincount(self._before[links], minlength=self._versions)
            bad[self._key[nowhere | (links & (follow[self._before] > 1))]] = True
        doubtful = np.zeros(self._objects, bool)
        doubtful[self._key[repeated]] = True
        self._illegal |= bad & ~doubtful

    def _order(self, first: int, span: int) -> Ints:
        """Find illegal objects; the others' operations in an order that explains them."""
        np = self._np
        sent, returned, key = self._sent - first, self._returned, self._key
        returned = np.minimum(returned - first, span - 1)
        reads, links = self._kind == READ, self._kind == LINK
        block, depth = self._roots(links)
        layer = 2 * depth + reads if depth is not None else reads.astype(np.int64)
        if depth is None:
            written = np.full(self._versions, -1, np.int64)
            writes = np.flatnonzero(~reads)
            written[self._after[writes]] = sent[writes]
            bad = returned < written[self._after]
            self._illegal[key[bad]] = True
        unsorted = bool((sent[1:] < sent[:-1]).any())
        soonest = np.full(self._versions, span, np.int64)
        latest = np.full(self._versions, -1, np.int64)
        _lower(np, soonest, block, returned)
        if unsorted:
            np.maximum.at(latest, block, sent)
        else:
            latest[block] = sent  # the last one stays
        owner = np.full(self._versions, -1, np.int64)
        owner[block] = key
        used = np.flatnonzero(owner >= 0)
        soonest[: self._objects] = -1
        rank = self._compare(used, soonest[used], latest[used], owner[used], span)
        place = np.empty(self._versions, np.int64)
        place[used] = rank
        within = place[block] * (int(layer.max()) + 1) + layer
        order = np.lexsort((sent, within)) if unsorted else _sorting(np, within)
        if depth is not None:
            self._check_chains(order, block, layer, sent, returned, span)
        return self._position[order]

    def _roots(self, links: Flags) -> tuple[Ints, Ints | None]:
        """Of each operation: the version its block begins with, and links from there."""
        np = self._np
        if not links.any():
            return self._after, None
        parent = np.arange(self._versions)
        parent[self._after[links]] = self._before[links]
        depth = np.zeros(self._versions, np.int64)
        depth[self._after[links]] = 1
        for _ in range(JUMPS_MAX):
            further = parent[parent]
            if (further == parent).all():
                break
            depth += depth[parent]
            parent = further
            if int(depth.max()) > self._versions:
                break
        rooted = np.zeros(self._versions, bool)
        rooted[: self._objects] = True
        rooted[self._after[self._kind == WRITE]] = True
        circular = ~rooted[parent[self._after]]
        self._unclear[self._key[circular]] = True
        depth = np.where(rooted[parent], depth, 0)
        return parent[self._after], depth[self._after]

    def _check_chains(
        self, order: Ints, block: Ints, layer: Ints, sent: Ints, returned: Ints, span: int
    ) -> None:
        """No operation was over before one of an earlier layer of its block was sent."""
        np = self._np
        blocks, layers = block[order], layer[order]
        new_block = np.ones(len(order), bool)
        new_block[1:] = blocks[1:] != blocks[:-1]
        new_layer = new_block.copy()
        new_layer[1:] |= layers[1:] != layers[:-1]
        number = np.cumsum(new_block) - 1
        # one block's times do not reach the next one's: the maximum up to here is the block's
        if int(number[-1] + 2) * span >= SPAN_MAX:
            self._unclear[self._key] = True
            return
        running = np.maximum.accumulate(sent[order] + number * span)
        before = np.empty(len(order), np.int64)
        before[0] = -1
        before[1:] = running[:-1]
        before = np.where(new_block, -1, before - number * span)
        before = before[new_layer][np.cumsum(new_layer) - 1]
        self._illegal[self._key[order][returned[order] < before]] = True

    def _compare(self, used: Ints, soonest: Ints, latest: Ints, owner: Ints, span: int) -> Ints:
        """Rule 2 of the blocks; where each block stands among all.

        A forward block is put at its first answer, a backward one at its last request, and before
        a forward one of the same instant.
        """
        np = self._np
        forward = soonest < latest
        offset = owner * span
        at = np.where(forward, soonest, latest) + offset
        by = _sorting(np, 2 * (at + 1) + forward)
        begin = (soonest + offset)[by]
        end = np.where(forward, latest + offset, -1)[by]
        # The latest end of the forward ones before: as long as these do not overlap, the last's
        clash = begin[1:] < np.maximum.accumulate(end)[:-1]
        if clash.any():
            self._illegal[owner[by[1:][clash]]] = True
        rank = np.empty(len(by), np.int64)
        rank[by] = np.arange(len(by))
        return rank

    def _replay(self, order: Ints, span: int, first: int) -> Ints:
        """Positions in `order` at which the columns given are not explained."""
        np = self._np
        given = self._given
        count = len(order)
        if not count:
            return order
        # In the order of `order`. One object's times do not reach the next one's, so the latest
        # request up to here is the object's own.
        key, sent, returned = given.key[order], given.sent[order], given.returned[order]
        offset = key * span - first
        begun = np.maximum.accumulate(sent + offset)
        wrong = returned + offset < begun
        after = ((given.after << KIND_BITS) | given.kind)[order]
        kind, after = after & ((1 << KIND_BITS) - 1), after >> KIND_BITS
        starts = np.ones(count, bool)
        starts[1:] = key[1:] != key[:-1]
        # What an operation leaves is what it wrote, or, as it is legal itself, what it read
        met = np.empty(count, np.int64)
        met[1:] = after[:-1]
        met[starts] = INITIAL
        reads = kind == READ
        wrong |= reads & (after != met)
        wrong |= ~(reads | (kind == WRITE) | (kind == LINK))
        links = np.flatnonzero(kind == LINK)
        wrong[links] |= given.before[order[links]] != met[links]
        answered = returned != NEVER
        wrong |= reads & ~answered
        keys = key[starts]
        sorted_keys = bool((keys[1:] > keys[:-1]).all())
        live = given.returned != NEVER
        settled = self._illegal | self._unclear
        if settled.any():
            live &= ~settled[given.key]
        complete = np.count_nonzero(answered) == np.count_nonzero(live)
        if not (sorted_keys and complete):
            return np.arange(count)
        return np.flatnonzero(wrong)


def _lower(np: Any, least: Ints, at: Ints, values: Ints) -> None:
    """As `np.minimum.at(least, at, values)` for a `least` that no value is above, and faster.

    Where several values have one place, the first is written last. Answers come in about the
    order of requests, so few are lower than the first, and only those are looked at again.
    """
    for _ in range(TRIES_MAX):
        least[at[::-1]] = values[::-1]
        lower = np.flatnonzero(values < least[at])
        if not len(lower):
            return
        at, values = at[lower], values[lower]
    np.minimum.at(least, at, values)


def _sorting(np: Any, values: Ints) -> Ints:
    """Positions by value, and equal values in their order: as a stable argsort, and faster.

    Value and position in one integer are sorted as they are, which needs no order to be kept.
    """
    bits = max(len(values) - 1, 1).bit_length()
    if int(values.min()) < 0 or int(values.max()).bit_length() + bits > 62:
        return np.argsort(values, kind="stable")
    packed = (values << bits) | np.arange(len(values))
    packed.sort()
    return packed & ((1 << bits) - 1)
