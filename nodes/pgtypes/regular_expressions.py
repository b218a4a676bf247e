"""Matches of regular expressions as PostgreSQL finds them, in time that is bounded.

As PostgreSQL's own, an automaton and no backtracking: the leftmost match, of these the longest (the
shortest if the first quantifier is one that prefers less), and then each part from left to right
as long, or short, as it likes while the rest still matches (its documentation, 9.7.3.5). States are
sets of the places in the expression where one may be; they are made when first met. Every step is
counted, so that a hopeless search ends in an error that is the same on every replica.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from nodes.pgtypes.formats import FunctionError
from nodes.pgtypes.regex_syntax import (
    Alternatives,
    Assertion,
    Characters,
    Group,
    Node,
    Repeat,
    Sequence,
    read,
)

__all__ = ["Expression", "Match", "compiled"]

PLACES_MAX: Final = 20_000
"""Of one automaton: {m,n} writes its operand out."""

STATES_MAX: Final = 2_000
"""Kept of one automaton; then it forgets them and goes on."""

STEPS_MAX: Final = 3_000_000
"""Of one search: about two seconds."""

Match = tuple[tuple[int, int] | None, ...]
"""Start and end of the whole, then of each group; None where a group took no part."""


def _too_complex() -> FunctionError:
    return FunctionError("2201B", "invalid regular expression: regular expression is too complex")


class _Budget:
    """Steps that one search may still make."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = STEPS_MAX

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise FunctionError(
                "54000",
                "the search for a regular expression takes too long",
                hint="Search shorter texts, or for something simpler.",
            )


# --------------------------------------------------------------------------- the automaton


class _State:
    """A set of places, after a character of one kind; what follows is looked up by the next."""

    __slots__ = ("before", "next", "places")

    def __init__(self, places: frozenset[int], before: str) -> None:
        self.places = places
        self.before = before
        self.next: dict[str, tuple[bool, _State | None, int]] = {}


def _kind(character: str) -> str:
    """What an assertion can tell of a neighbour: none, a newline, of a word, another."""
    if not character:
        return ""
    if character == "\n":
        return "n"
    return "w" if character.isalnum() or character == "_" else "o"


def _holds(kind: str, before: str, after: str) -> bool:
    word, next_word = before == "w", after == "w"
    match kind:
        case "^" | "A":
            return not before
        case "$" | "Z":
            return not after
        case "line ^":
            return before in ("", "n")
        case "line $":
            return after in ("", "n")
        case "m":
            return next_word and not word
        case "M":
            return word and not next_word
        case "y":
            return word != next_word
    return word == next_word  # Y


class _Automaton:
    """Of one part of an expression. Place 0 is its start, `final` its end."""

    def __init__(self, node: Node) -> None:
        self._free: list[list[tuple[str, int]]] = [[]]  # (assertion or nothing, to)
        self._eating: list[tuple[Characters, int] | None] = [None]
        self.final = self._add(node, 0)
        self._states: dict[tuple[frozenset[int], str], _State] = {}

    def _place(self) -> int:
        if len(self._free) >= PLACES_MAX:
            raise _too_complex()
        self._free.append([])
        self._eating.append(None)
        return len(self._free) - 1

    def _add(self, node: Node, start: int) -> int:
        """Way through `node` from a place; answers where it ends."""
        match node:
            case Characters():
                here, end = self._place(), self._place()
                self._free[start].append(("", here))
                self._eating[here] = (node, end)
                return end
            case Assertion():
                end = self._place()
                self._free[start].append((node.kind, end))
                return end
            case Sequence():
                for item in node.items:
                    start = self._add(item, start)
                return start
            case Alternatives():
                end = self._place()
                for branch in node.branches:
                    self._free[self._add(branch, start)].append(("", end))
                return end
            case Group():
                return self._add(node.item, start)
            case Repeat():
                return self._repeat(node, start)

    def _repeat(self, node: Repeat, start: int) -> int:
        for _ in range(node.least):
            start = self._add(node.item, start)
        if node.most is None:
            loop = self._place()
            self._free[start].append(("", loop))
            self._free[self._add(node.item, loop)].append(("", loop))
            end = self._place()
            self._free[loop].append(("", end))
            return end
        end = self._place()
        for _ in range(node.most - node.least):
            self._free[start].append(("", end))
            start = self._add(node.item, start)
        self._free[start].append(("", end))
        return end

    def state(self, places: frozenset[int], before: str) -> _State:
        found = self._states.get((places, before))
        if found is None:
            if len(self._states) >= STATES_MAX:
                self._states.clear()
            found = self._states[places, before] = _State(places, before)
        return found

    def follow(self, state: _State, character: str, budget: _Budget) -> tuple[bool, _State | None]:
        """Whether the state is an end if `character` comes next (nothing: the text's end), and
        the state behind it."""
        known = state.next.get(character)
        if known is None:
            known = self._follow(state, character)
        budget.spend(known[2])  # the same whether it was known before or not
        return known[0], known[1]

    def _follow(self, state: _State, character: str) -> tuple[bool, _State | None, int]:
        after = _kind(character)
        reached: set[int] = set()
        waiting = list(state.places)
        while waiting:
            place = waiting.pop()
            if place in reached:
                continue
            reached.add(place)
            waiting += [
                to
                for test, to in self._free[place]
                if not test or _holds(test, state.before, after)
            ]
        places = set()
        for place in reached:
            step = self._eating[place]
            if step is not None and character and step[0].matches(character):
                places.add(step[1])
        following = self.state(frozenset(places), after) if places else None
        if len(state.next) >= STATES_MAX:
            state.next.clear()
        found = state.next[character] = (self.final in reached, following, 1 + len(reached) // 8)
        return found

    def ends(self, text: str, start: int, end: int, budget: _Budget) -> Iterator[int]:
        """Where it can end, beginning at `start`: ascending, `end` at most."""
        state: _State | None = self.state(frozenset({0}), _kind(text[start - 1 : start]))
        at = start
        while state is not None:
            is_end, state = self.follow(state, text[at : at + 1], budget)
            if is_end:
                yield at
            if at == end:
                return
            at += 1

    def covers(self, text: str, start: int, end: int, budget: _Budget) -> bool:
        last = -1
        for last in self.ends(text, start, end, budget):  # noqa: B007 -- the last one counts
            pass
        return last == end


@lru_cache(maxsize=512)
def _automaton(node: Node) -> _Automaton:
    return _Automaton(node)


# --------------------------------------------------------------------------- preferences


@lru_cache(maxsize=4096)
def _has_groups(node: Node) -> bool:
    match node:
        case Group():
            return True
        case Sequence():
            return any(map(_has_groups, node.items))
        case Alternatives():
            return any(map(_has_groups, node.branches))
        case Repeat():
            return _has_groups(node.item)
    return False


@lru_cache(maxsize=4096)
def _prefers(node: Node) -> bool | None:
    """Whether it likes to be long; None: it has no wish."""
    match node:
        case Group():
            return _prefers(node.item)
        case Alternatives():
            return True
        case Repeat():
            return _prefers(node.item) if node.is_greedy is None else node.is_greedy
        case Sequence():
            return next((wish for wish in map(_prefers, node.items) if wish is not None), None)
    return None


@lru_cache(maxsize=4096)
def _wishes(node: Node) -> frozenset[bool]:
    """All wishes that are in it."""
    match node:
        case Group():
            return _wishes(node.item)
        case Alternatives():
            inner = frozenset[bool]().union(*map(_wishes, node.branches))
            return inner | {True}
        case Repeat():
            own = frozenset() if node.is_greedy is None else frozenset({node.is_greedy})
            return own | _wishes(node.item)
        case Sequence():
            return frozenset[bool]().union(*map(_wishes, node.items))
    return frozenset()


@lru_cache(maxsize=512)
def _units(items: tuple[Node, ...]) -> tuple[Node, ...]:
    """Neighbours without groups and of one wish are one: only how long they are together counts."""
    found: list[list[Node]] = []
    for item in items:
        if found and not _has_groups(item) and not any(map(_has_groups, found[-1])):
            together = _wishes(item).union(*map(_wishes, found[-1]))
            if len(together) <= 1:
                found[-1].append(item)
                continue
        found.append([item])
    return tuple(unit[0] if len(unit) == 1 else Sequence(tuple(unit)) for unit in found)


# --------------------------------------------------------------------------- an expression


class Expression:
    """One regular expression. Matching is the same whatever was matched before."""

    def __init__(self, pattern: str, *, any_case: bool, by_line: bool) -> None:
        self._node, self.groups = read(pattern, any_case=any_case, by_line=by_line)
        anything = Repeat(Characters(is_negated=True), 0, None, False)
        self._searching = _Automaton(Sequence((anything, self._node)))
        self._whole = _Automaton(self._node)

    def is_in(self, text: str) -> bool:
        ends = self._searching.ends(text, 0, len(text), _Budget())
        return next(ends, None) is not None

    def matches(self, text: str, start: int = 0) -> Iterator[Match]:
        """One after the other; behind an empty one the search goes on a character later."""
        budget = _Budget()
        while start <= len(text):
            found = self._first(text, start, budget)
            if found is None:
                return
            yield found
            whole = found[0]
            assert whole is not None
            start = whole[1] if whole[1] > whole[0] else whole[1] + 1

    def first(self, text: str, start: int = 0) -> Match | None:
        return self._first(text, start, _Budget())

    def _first(self, text: str, start: int, budget: _Budget) -> Match | None:
        is_greedy = _prefers(self._node) is not False
        for begin in range(start, len(text) + 1):
            ends = self._whole.ends(text, begin, len(text), budget)
            end = max(ends, default=None) if is_greedy else next(ends, None)
            if end is not None:
                spans: list[tuple[int, int] | None] = [None] * (self.groups + 1)
                spans[0] = (begin, end)
                if self.groups:
                    _dissect(self._node, text, begin, end, spans, budget)
                return tuple(spans)
        return None


def _dissect(
    node: Node,
    text: str,
    begin: int,
    end: int,
    spans: list[tuple[int, int] | None],
    budget: _Budget,
) -> None:
    """Which part of text[begin:end], which `node` covers, each of its groups has matched."""
    if not _has_groups(node):
        return
    match node:
        case Group():
            spans[node.number] = (begin, end)
            _dissect(node.item, text, begin, end, spans, budget)
        case Alternatives():
            for branch in node.branches:
                if _automaton(branch).covers(text, begin, end, budget):
                    _dissect(branch, text, begin, end, spans, budget)
                    return
        case Sequence():
            units = _units(node.items)
            first, rest = units[0], units[1:]
            if not rest:
                _dissect(first, text, begin, end, spans, budget)
                return
            behind = rest[0] if len(rest) == 1 else Sequence(rest)
            middle = _split(first, behind, text, begin, end, budget)
            _dissect(first, text, begin, middle, spans, budget)
            _dissect(behind, text, middle, end, spans, budget)
        case Repeat():
            _dissect_repeat(node, text, begin, end, spans, budget)


def _split(first: Node, rest: Node, text: str, begin: int, end: int, budget: _Budget) -> int:
    """Where `first` ends, as late as it can while `rest` covers what is left, or as early."""
    middles = list(_automaton(first).ends(text, begin, end, budget))
    if _prefers(first) is not False:
        middles.reverse()
    automaton = _automaton(rest)
    return next(m for m in middles if automaton.covers(text, m, end, budget))


def _dissect_repeat(
    node: Repeat,
    text: str,
    begin: int,
    end: int,
    spans: list[tuple[int, int] | None],
    budget: _Budget,
) -> None:
    """The groups are those of the last time around."""
    least, most = node.least, node.most
    if begin == end and least == 0:
        return
    while True:
        if most == 1 or begin == end:
            last = end
        else:
            rest = Repeat(
                node.item, max(least - 1, 0), None if most is None else most - 1, node.is_greedy
            )
            last = _split(node.item, rest, text, begin, end, budget)
        if last == end and least <= 1:
            _dissect(node.item, text, begin, end, spans, budget)
            return
        if last == begin and least <= 1:
            return
        begin, least = last, max(least - 1, 0)
        most = None if most is None else most - 1


@lru_cache(maxsize=256)
def compiled(pattern: str, any_case: bool, by_line: bool) -> Expression:
    return Expression(pattern, any_case=any_case, by_line=by_line)
