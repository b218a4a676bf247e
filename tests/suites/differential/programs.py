"""Runs programs of the grammar on both servers, and makes a program that differs smaller."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from typing import Final

from tests.suites.differential.chance import Made
from tests.suites.differential.comparison import difference, explained, is_refusal
from tests.suites.differential.constructs import SIMPLEST
from tests.suites.differential.grammar import Grammar
from tests.suites.differential.pair import Pair, Sharded
from tests.suites.differential.trees import (
    Tree,
    render,
    smaller,
    tags,
    template,
    without,
)
from tests.suites.pgclient import Answer, Client, Gone

_SQLSTATE = re.compile(r"\b[0-9A-Z]{5}(?= \()")

_FOR_NO_ROW: Final = re.compile(
    r"error: (?:(?:SELECT|UPDATE|DELETE|INSERT 0) 0|25006 \(cannot execute .*?\)) instead of "
    r"(?P<sqlstate>(?:22|54)...) "
)

_BY_POSITIONS: Final = re.compile(r"ORDER BY \d+(?:, \d+)*\Z")

_FOR_EVERY_KEY: Final = """
DO $$ DECLARE a record; BEGIN
    FOR a IN SELECT format('%I.%I', nspname, t.relname) AS name, format('%I', k.relname) AS key
        FROM pg_index JOIN pg_class t ON t.oid = indrelid JOIN pg_class k ON k.oid = indexrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace
        WHERE indisprimary AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
    LOOP EXECUTE format('{}', a.name, a.key); END LOOP;
END $$
"""

__all__ = ["Difference", "Tally", "each_alone", "explore", "minimal", "reason_of", "run_program"]

STEPS_MAX: Final = 400
"""Programs that are tried while one is made smaller."""

CANCELED: Final = "57014"

UNCOMPARED: Final = "not compared"


@dataclass
class Tally:
    """What all programs have asked so far."""

    statements: int = 0
    refused: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By message, how often this database refused."""
    failed: int = 0
    """Both servers gave the same error."""
    explained: Counter[str] = field(default_factory=Counter)
    """By reason (see `reason_of`), how many differences stay."""
    uncompared: int = 0
    """PostgreSQL took longer than `pair.TIMEOUT_S`, and this database did not."""
    constructs: Counter[str] = field(default_factory=Counter)
    """By construct, how often it was run on both."""

    def add(self, other: Tally) -> None:
        """What another worker has asked."""
        self.statements += other.statements
        self.refused += other.refused
        self.refusals += other.refusals
        self.failed += other.failed
        self.explained += other.explained
        self.uncompared += other.uncompared
        self.constructs += other.constructs


@dataclass(frozen=True)
class Difference:
    """The last statement of `program` is answered differently."""

    program: tuple[Made, ...]
    what: str

    @property
    def name(self) -> str:
        """What is different."""
        return self.what.partition(": ")[0]

    @property
    def sqlstates(self) -> list[str]:
        """Of an error here and of one there."""
        return _SQLSTATE.findall(self.what) if self.name == "error" else []

    @property
    def kind(self) -> str:
        """What it must stay while the program gets smaller."""
        return " ".join([self.name, *self.sqlstates])

    def __str__(self) -> str:
        lines = [_shown(made) for made in self.program]
        return "\n".join([*lines, f"-- {self.what}"])


def explore(pair: Pair, grammar: Grammar, length: int, tally: Tally) -> Difference | None:
    """A program made while it runs, from an empty database, so that the grammar knows what its
    statements have done; ends at the first difference, also one that is explained."""
    pair.reset()
    program: list[Made] = []
    for _ in range(length):
        made = grammar.make()
        program.append(made)
        outcome = _compare(pair, made, tally)
        if outcome is UNCOMPARED:
            return None
        if isinstance(outcome, str):
            found = Difference(tuple(program), outcome)
            why = reason_of(pair, found)
            if not why:
                return found
            tally.explained[why] += 1
            return None  # the databases are not as they were
        grammar.settle(
            made,
            is_done=outcome is not None and outcome.error is None,
            status=pair.ours.status,
            tag="" if outcome is None else outcome.tag,
        )
    return None


def each_alone(pair: Pair, statements: Iterable[Made], tally: Tally) -> Iterator[Difference]:
    """Statements that leave nothing behind; every difference, but for those that are explained."""
    for made in statements:
        outcome = _compare(pair, made, tally)
        if outcome is UNCOMPARED or not isinstance(outcome, str) or _is_for_no_row(outcome):
            continue
        found = Difference((made,), outcome)
        why = reason_of(pair, found)
        if why:
            tally.explained[why] += 1
        else:
            yield found


def _is_for_no_row(outcome: str) -> bool:
    """PostgreSQL computes while planning what fails here when a row needs it: see
    `comparison.UNPROMISED`."""
    return outcome.startswith(("error: SELECT 0 instead of 22", "error: SELECT 0 instead of 54"))


def run_program(
    pair: Pair, program: Sequence[Made], tally: Tally | None = None
) -> Difference | None:
    """From an empty database; stops at the first difference."""
    pair.reset()
    tally = tally or Tally()
    for at, made in enumerate(program):
        outcome = _compare(pair, made, tally)
        if outcome is UNCOMPARED:
            return None
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
    if theirs[-1].sqlstate == CANCELED and ours[-1].sqlstate != CANCELED:
        tally.uncompared += 1
        return UNCOMPARED
    what = difference(ours, theirs, is_ordered=made.is_ordered)
    if not what and pair.ours.status != pair.theirs.status:
        what = f"transaction: {pair.ours.status} instead of {pair.theirs.status}"
    if what:
        return what
    if theirs[-1].error is None:
        tally.constructs.update(set(tags(made.tree)))
    else:
        tally.failed += 1
    return theirs[-1]


# ------------------------------------------------------------------ differences that stay


def reason_of(pair: Pair, found: Difference) -> str:
    """Why the difference is one that stays, each time proved by asking; empty if it is none."""
    for why, is_so in (
        ("two errors", _has_two_errors),
        ("the planner", _is_the_planners),
        ("the order of rows", _is_by_the_order_of_rows),
        ("an order that is not kept", _is_not_kept),
        ("errors of two rows", _is_of_two_rows),
    ):
        if is_so(pair, found):
            return why
    return ""


def _is_the_planners(pair: Pair, found: Difference) -> bool:
    """Whether PostgreSQL's planner alone makes it (see `comparison.UNPROMISED`): EXPLAIN of what
    fails there for no row, or before it may not write, fails alike; what is described there,
    unplanned, has our columns."""
    *before, last = found.program
    sql, parameters = render(last.tree, apart=last.is_prepared)
    types = [parameter.oid for parameter in parameters]
    if (told := _FOR_NO_ROW.match(found.what)) is not None:
        if run_program(pair, before) is not None:
            return False
        planned = _ask(pair.theirs, replace(last, tree=_explain(last)))[-1]
        return planned.sqlstate == told["sqlstate"]
    if found.name == "columns":
        if run_program(pair, before) is not None:
            return False
        ours = _ask(pair.ours, last)[-1]
        if run_program(pair, before) is not None:
            return False
        described = pair.theirs.describe(sql, types)
        return ours.error is None and described.columns == ours.columns
    return False


def _explain(made: Made, options: str = "") -> Tree:
    return template(f"EXPLAIN {options}{{}}", made.tree)


def _is_by_the_order_of_rows(pair: Pair, found: Difference) -> bool:
    """Whether both fail, and PostgreSQL tells our error instead of its own as soon as the rows of
    every table lie there in the order of their keys, as they do here (see `comparison.UNPROMISED`).
    Nothing else may be another one: the rows, what is known of them, and the plan. Two errors of
    one row come in the same order then, so one is never explained by the other."""
    if found.name != "error" or len(found.sqlstates) != 2:
        return False
    *before, last = found.program
    plans, told = [], []
    for command in ("ANALYZE %1$s", "CLUSTER %1$s USING %2$s; ANALYZE %1$s"):
        if run_program(pair, before) is not None:
            return False
        [prepared] = pair.theirs.query(_FOR_EVERY_KEY.format(command))
        plan = _ask(pair.theirs, replace(last, tree=_explain(last, "(COSTS OFF, VERBOSE) ")))[-1]
        if prepared.error is not None or plan.error is not None:
            return False
        plans.append(plan.rows)
        told.append(_ask(pair.theirs, last)[-1].sqlstate)
    as_inserted, by_key = told
    return plans[0] == plans[1] and [by_key, as_inserted] == found.sqlstates


def _is_not_kept(pair: Pair, found: Difference) -> bool:
    """Whether PostgreSQL leaves its own ORDER BY out (see `comparison.UNPROMISED`): it has our
    order as soon as it sorts the same rows apart from what made them."""
    *before, last = found.program
    ordered = _BY_POSITIONS.search(render(last.tree, apart=last.is_prepared)[0])
    if found.name != "order" or ordered is None or run_program(pair, before) is not None:
        return False
    apart = f"WITH made AS MATERIALIZED ({{}}) SELECT * FROM made {ordered[0]}"
    ours, theirs, in_order = (
        _ask(client, made)[-1].rows
        for client, made in (
            (pair.ours, last),
            (pair.theirs, last),
            (pair.theirs, replace(last, tree=template(apart, last.tree))),
        )
    )
    return theirs != ours == in_order


def _is_of_two_rows(pair: Pair, found: Difference) -> bool:
    """Whether two rows fail, each of which may be met first where they are on several shards: of
    the rows that the program inserts there is one with which alone both servers tell the one error,
    and one with which alone both tell the other; a duplicate takes two."""
    if not isinstance(pair, Sharded) or found.name != "error" or len(set(found.sqlstates)) != 2:
        return False
    *before, last = found.program
    inserts = [n for n, made in enumerate(before) if render(made.tree)[0].startswith("INSERT ")]
    sizes = (1, 2) if "23505" in found.sqlstates else (1,)
    told = set()
    for kept in chain.from_iterable(combinations(inserts, size) for size in sizes):
        alone = [made for n, made in enumerate(before) if n in kept or n not in inserts]
        if run_program(pair, alone) is None:
            ours, theirs = (_ask(client, last)[-1].sqlstate for client in (pair.ours, pair.theirs))
            told |= {ours} & {theirs}
        if told.issuperset(found.sqlstates):
            return True
    return False


def _has_two_errors(pair: Pair, found: Difference) -> bool:
    """Whether the statement has two errors, and both servers know both of them: what fails here
    fails by itself on PostgreSQL, with the same SQLSTATE, and without it both servers tell the
    error that PostgreSQL told. A wrong SQLSTATE of a single error is never explained so."""
    if found.name != "error" or len(found.sqlstates) != 2:
        return False
    ours, theirs = found.sqlstates
    if not explained(ours, theirs):
        return False
    *before, last = found.program
    culprits = _culprits(pair, last, last.tree, ours)
    if not culprits:
        return False
    if run_program(pair, before) is not None:
        return False
    rest = replace(last, tree=without(last.tree, culprits, SIMPLEST))
    told = (_ask(pair.ours, rest)[-1].sqlstate, _ask(pair.theirs, rest)[-1].sqlstate)
    return told == (theirs, theirs)


def _culprits(pair: Pair, made: Made, tree: Tree, sqlstate: str) -> list[Tree]:
    """The smallest expressions in it that fail by themselves on PostgreSQL, with `sqlstate`."""
    below = [found for child in tree.children for found in _culprits(pair, made, child, sqlstate)]
    if below or not tree.type:
        return below
    alone = replace(made, tree=template("SELECT {}", tree))
    pair.reset()
    return [tree] if _ask(pair.theirs, alone)[-1].sqlstate == sqlstate else []


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
            if other is not None and other.kind == found.kind and not reason_of(pair, other):
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
        return client.query(render(made.tree)[0], copied=made.copied)
    sql, parameters = render(made.tree, apart=True)
    return [
        client.execute(
            sql,
            [parameter.value for parameter in parameters],
            [parameter.oid for parameter in parameters],
            result_format=int(made.is_binary),
            copied=made.copied,
        )
    ]


def _shown(made: Made) -> str:
    sql, parameters = render(made.tree, apart=made.is_prepared)
    if made.copied is not None:
        sql = f"{sql} /* {made.copied!r} */"
    if not made.is_prepared:
        return f"{sql};"
    values = ", ".join(f"{p.value!r}:{p.oid}" for p in parameters)
    return f"{sql};  -- prepared{', binary' if made.is_binary else ''} ({values})"
