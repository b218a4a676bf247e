"""Runs programs of the grammar on both servers, and makes a program that differs smaller."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tests.suites.differential.chance import Made
from tests.suites.differential.comparison import difference, explained, is_refusal
from tests.suites.differential.constructs import SIMPLEST
from tests.suites.differential.grammar import Grammar
from tests.suites.differential.pair import Pair
from tests.suites.differential.trees import render, smaller, tags
from tests.suites.pgclient import Answer, Client, Gone

_SQLSTATE = re.compile(r"\b[0-9A-Z]{5}(?= \()")

__all__ = ["Difference", "Tally", "explore", "minimal", "run_program"]

STEPS_MAX = 400
"""Programs that are tried while one is made smaller."""


@dataclass
class Tally:
    """What all programs have asked so far."""

    statements: int = 0
    refused: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By message, how often this database refused."""
    failed: int = 0
    """Both servers gave the same error."""
    explained: int = 0
    """Both failed, with different errors, for a reason that `comparison.EXPLAINED` gives."""
    constructs: Counter[str] = field(default_factory=Counter)
    """By construct, how often it was run on both."""

    def add(self, other: Tally) -> None:
        """What another worker has asked."""
        self.statements += other.statements
        self.refused += other.refused
        self.refusals += other.refusals
        self.failed += other.failed
        self.explained += other.explained
        self.constructs += other.constructs


@dataclass(frozen=True)
class Difference:
    """The last statement of `program` is answered differently."""

    program: tuple[Made, ...]
    what: str

    @property
    def kind(self) -> str:
        """What it must stay while the program gets smaller."""
        name, _, rest = self.what.partition(": ")
        return f"{name} {' '.join(_SQLSTATE.findall(rest))}" if name == "error" else name

    def __str__(self) -> str:
        lines = [_shown(made) for made in self.program]
        return "\n".join([*lines, f"-- {self.what}"])


def explore(pair: Pair, grammar: Grammar, length: int, tally: Tally) -> Difference | None:
    """A program made while it runs, from an empty database, so that the grammar knows what its
    statements have done; ends at the first difference."""
    pair.reset()
    program: list[Made] = []
    for _ in range(length):
        made = grammar.make()
        program.append(made)
        outcome = _compare(pair, made, tally)
        if isinstance(outcome, str):
            return Difference(tuple(program), outcome)
        grammar.settle(
            made,
            is_done=outcome is not None and outcome.error is None,
            status=pair.ours.status,
            tag="" if outcome is None else outcome.tag,
        )
    return None


def run_program(
    pair: Pair, program: Sequence[Made], tally: Tally | None = None
) -> Difference | None:
    """From an empty database; stops at the first difference."""
    pair.reset()
    tally = tally or Tally()
    for at, made in enumerate(program):
        outcome = _compare(pair, made, tally)
        if isinstance(outcome, str):
            return Difference(tuple(program[: at + 1]), outcome)
    return None


def _compare(pair: Pair, made: Made, tally: Tally) -> Answer | str | None:
    """What both answered to one statement, or how they differ; None if it is refused here."""
    tally.statements += 1
    try:
        ours = _ask(pair.ours, made)
    except Gone as exc:
        return f"connection: {exc}"
    if is_refusal(ours):
        tally.refused += 1
        tally.refusals[ours[-1].error["M"] if ours[-1].error else ""] += 1
        if pair.ours.status == "E":  # the other one knows of no failure
            pair.both("ROLLBACK")
        return None
    theirs = _ask(pair.theirs, made)
    what = difference(ours, theirs, is_ordered=made.is_ordered)
    if not what and pair.ours.status != pair.theirs.status:
        what = f"transaction: {pair.ours.status} instead of {pair.theirs.status}"
    if what and not explained(ours, theirs):
        return what
    if what:
        tally.explained += 1
    elif theirs[-1].error is None:
        tally.constructs.update(set(tags(made.tree)))
    else:
        tally.failed += 1
    return theirs[-1]


def minimal(pair: Pair, found: Difference) -> Difference:
    """A program as small as can be found that has a difference of the same kind."""
    steps = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for program in _smaller_programs(found.program):
            steps += 1
            if steps > STEPS_MAX:
                return found
            other = run_program(pair, program)
            if other is not None and other.kind == found.kind:
                found = other
                is_smaller = True
                break
    return found


def _smaller_programs(program: Sequence[Made]) -> Iterator[tuple[Made, ...]]:
    *before, last = program
    size = len(before)
    while size:
        for start in range(0, len(before), size):
            yield (*before[:start], *before[start + size :], last)
        size //= 2
    if last.is_prepared:
        yield (*before, replace(last, is_prepared=False, is_binary=False))
    if last.is_binary:
        yield (*before, replace(last, is_binary=False))
    for tree in smaller(last.tree, SIMPLEST):
        yield (*before, replace(last, tree=tree))
    for at, made in enumerate(before):
        for tree in smaller(made.tree, SIMPLEST):
            yield (*before[:at], replace(made, tree=tree), *before[at + 1 :], last)


def _ask(client: Client, made: Made) -> list[Answer]:
    if not made.is_prepared:
        return client.query(render(made.tree)[0])
    sql, parameters = render(made.tree, apart=True)
    return [
        client.execute(
            sql,
            [parameter.value for parameter in parameters],
            [parameter.oid for parameter in parameters],
            result_format=int(made.is_binary),
        )
    ]


def _shown(made: Made) -> str:
    sql, parameters = render(made.tree, apart=made.is_prepared)
    if not made.is_prepared:
        return f"{sql};"
    values = ", ".join(f"{p.value!r}:{p.oid}" for p in parameters)
    return f"{sql};  -- prepared{', binary' if made.is_binary else ''} ({values})"
