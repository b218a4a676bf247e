"""Runs programs of the grammar on both servers, and makes a program that differs smaller."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tests.suites.differential.comparison import difference, explained, is_refusal
from tests.suites.differential.constructs import SIMPLEST
from tests.suites.differential.grammar import Grammar, Made
from tests.suites.differential.pair import Pair
from tests.suites.differential.trees import render, smaller, tags
from tests.suites.pgclient import Answer, Client, Gone

_SQLSTATE = re.compile(r"\b[0-9A-Z]{5}(?= \()")

__all__ = ["Difference", "Tally", "make_program", "minimal", "run_program"]

_CREATED = re.compile(r"^CREATE TABLE (\w+)")

STEPS_MAX = 400
"""Programs that are tried while one is made smaller."""


@dataclass
class Tally:
    """What all programs have asked so far."""

    statements: int = 0
    refused: int = 0
    failed: int = 0
    """Both servers gave the same error."""
    explained: int = 0
    """Both failed, with different errors, for a reason that `comparison.EXPLAINED` gives."""
    constructs: Counter[str] = field(default_factory=Counter)
    """By construct, how often it was run on both."""


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


def make_program(
    rng: random.Random, known: Collection[str], length: int, refused_share: float = 0.02
) -> tuple[Made, ...]:
    grammar = Grammar(rng, known, refused_share)
    return tuple(grammar.make() for _ in range(length))


def run_program(
    pair: Pair, program: Sequence[Made], tally: Tally | None = None
) -> Difference | None:
    """From an empty database; stops at the first difference."""
    pair.reset()
    found = _run(pair, program, tally or Tally())
    pair.ours.query("ROLLBACK")
    pair.drop([table for made in program for table in _CREATED.findall(render(made.tree)[0])])
    return found


def _run(pair: Pair, program: Sequence[Made], tally: Tally) -> Difference | None:
    for at, made in enumerate(program):
        tally.statements += 1
        try:
            ours = _ask(pair.ours, made)
        except Gone as exc:
            return Difference(tuple(program[: at + 1]), f"connection: {exc}")
        if is_refusal(ours):
            tally.refused += 1
            if pair.ours.status == "E":  # the other one knows of no failure
                pair.both("ROLLBACK")
            continue
        theirs = _ask(pair.theirs, made)
        what = difference(ours, theirs, is_ordered=made.is_ordered)
        if not what and pair.ours.status != pair.theirs.status:
            what = f"transaction: {pair.ours.status} instead of {pair.theirs.status}"
        if what and explained(ours, theirs):
            tally.explained += 1
            continue
        if what:
            return Difference(tuple(program[: at + 1]), what)
        if theirs[-1].error is None:
            tally.constructs.update(set(tags(made.tree)))
        else:
            tally.failed += 1
    return None


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
