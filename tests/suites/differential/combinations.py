"""`--sweep --every` of the comparison: not at random, but all there is.

Every construct of the documentation, every function, operator and cast over columns of a table
that holds NULL and the edges of every type, each value with each: one statement for a product,
without the combinations that PostgreSQL refuses. The same expressions in the places where an
expression may stand, over the table's rows and over none. Every pair of types, typed or left to
the server, where PostgreSQL looks for a common type, and for every function and operator.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

from shardrouter import aggregates
from tests.suites.differential.comparison import difference, is_refusal
from tests.suites.differential.constructs import TAME, TYPES
from tests.suites.differential.pair import Pair
from tests.suites.differential.sweep import EDGES, Subject, subjects

__all__ = ["PHASES", "Combinations", "Counted", "compare_all"]

ROWS: Final = {1: 24, 2: 14, 3: 6, 4: 4, 5: 3}
"""Values of each operand, by the number of operands."""

TAME_ROWS: Final = 12

LISTED_MAX: Final = 300
"""Combinations that are listed where others fail."""

FAILURES: Final = 6
"""Of the combinations of one expression that PostgreSQL refuses, those asked for here."""

SHOWN: Final = 600
"""Characters of a statement, and of a difference."""

FAILS: Final = """
CREATE OR REPLACE FUNCTION fails(sql text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN EXECUTE sql; RETURN false; EXCEPTION WHEN OTHERS THEN RETURN true; END $$
"""
"""Of PostgreSQL's own: whether a statement does."""

TOGETHER: Final = 12
"""Expressions of one statement; one that differs is asked for alone."""

COLUMNS: Final = {kind: f"c{at}" for at, kind in enumerate(TYPES)}

PLACES: Final = (
    "SELECT n, {} FROM v AS a ORDER BY n",
    "SELECT {} FROM v AS a WHERE n < 0",
    "UPDATE v AS a SET m = m RETURNING n, {}",
    "DELETE FROM w AS a RETURNING n, {}",
    "SELECT {} FROM v AS a FULL JOIN w ON a.n = -w.n",
    "SELECT * FROM (SELECT n, {} FROM v AS a UNION ALL SELECT n, {} FROM v AS a) AS u",
)
"""Statements of several expressions."""

ALONE: Final = (
    "SELECT n FROM v AS a WHERE ({}) IS NULL ORDER BY n",
    "SELECT n FROM v AS a WHERE ({}) IS NOT DISTINCT FROM NULL ORDER BY n",
    "SELECT {} AS e, count(*) FROM v AS a GROUP BY 1",
    "SELECT count(*) FROM v AS a GROUP BY {} HAVING ({}) IS NOT NULL",
    "SELECT DISTINCT {} AS e FROM v AS a",
    "SELECT n FROM v AS a ORDER BY {}, n",
    "SELECT n FROM v AS a ORDER BY {} DESC NULLS LAST, n DESC",
    "SELECT count(DISTINCT {}), count({}), count(*) FILTER (WHERE ({}) IS NULL) FROM v AS a",
    "SELECT count({}), array_agg({}) FROM v AS a WHERE n < 0",
    (
        "SELECT n, lag({}) OVER (ORDER BY n), first_value({}) OVER (ORDER BY n ROWS 1 PRECEDING), "
        "count({}) OVER (ORDER BY n ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING) FROM v AS a"
    ),
    "SELECT n, rank() OVER (ORDER BY {}), count(*) OVER (PARTITION BY {}) FROM v AS a",
    "SELECT {} FROM v AS a UNION SELECT {} FROM v AS a WHERE n > 3",
    "SELECT {} FROM v AS a EXCEPT SELECT {} FROM v AS a WHERE n > 3",
    "SELECT {} FROM v AS a INTERSECT ALL SELECT {} FROM v AS a WHERE n > 3",
    "SELECT n FROM v AS a WHERE ({}) IN (SELECT {} FROM v AS a WHERE n > 3)",
    "SELECT n FROM v AS a WHERE ({}) NOT IN (SELECT {} FROM v AS a WHERE n > 3)",
    (
        "SELECT n, ({}) = ANY (SELECT {} FROM v AS a WHERE n > 3), "
        "({}) <> ALL (SELECT {} FROM v AS a WHERE n > 90) FROM v AS a"
    ),
    "SELECT n, (SELECT {} FROM w WHERE w.n = a.n), EXISTS (SELECT {} WHERE n > 3) FROM v AS a",
    (
        "UPDATE v AS a SET m = m RETURNING n, ({}) IS NULL, ({}) IS DISTINCT FROM ({}), "
        "CASE WHEN ({}) IS NULL THEN 1 ELSE 2 END, COALESCE(({})::text, 'none'), ({}) IN ({}, NULL)"
    ),
    "INSERT INTO w AS a SELECT * FROM v RETURNING n, m IS NULL, {}",
    "WITH q AS (SELECT n, {} AS e FROM v AS a) SELECT x.n, y.n FROM q x JOIN q y USING (e)",
    (
        "SELECT x.n, x.e, y.e FROM (SELECT n, {} AS e FROM v AS a) AS x LEFT JOIN "
        "(SELECT n + 2 AS n, {} AS e FROM v AS a) AS y ON x.n = y.n AND y.e IS NOT NULL"
    ),
    "SELECT n, {} FROM v AS a GROUP BY GROUPING SETS ((n), ({}, n), ())",
)
"""Statements of one expression, which stands for every pair of braces."""

COMMON: Final = (
    "CASE WHEN true THEN {} ELSE {} END",
    "CASE {} WHEN {} THEN 1 END",
    "COALESCE({}, {})",
    "NULLIF({}, {})",
    "GREATEST({}, {})",
    "LEAST({}, {})",
    "{} IN ({}, NULL)",
    "{} NOT IN ({})",
    "{} BETWEEN {} AND NULL",
    "ARRAY[{}, {}]",
    "{} IS DISTINCT FROM {}",
    "{} = ANY (ARRAY[{}])",
    "{} = ANY ({})",
    "({}, 1) = ({}, 1)",
    "({}, 1) < ({}, 1)",
    "(SELECT {} UNION ALL SELECT {} LIMIT 1)",
    "(SELECT count(*) FROM (VALUES ({}), ({})) AS q (x))",
    "(SELECT x FROM (VALUES ({}), ({})) AS q (x) ORDER BY x LIMIT 1)",
    "{} IN (SELECT {})",
    "{} = ALL (SELECT {})",
    "jsonb_build_array({}, {})",
    "concat({}, {})",
    "format('%s %s', {}, {})",
    "row_to_json(ROW({}, {}))",
    "({}, {}) IS NULL",
    "num_nulls({}, {})",
)
"""Where PostgreSQL looks for a type that two have in common, or takes any two."""


def literals() -> tuple[str, ...]:
    """Operands of every kind: of no type, and of each one."""
    untyped = ("NULL", "''", "'a'", "'1'", "'2024-02-29'", "'{1}'", "1", "3000000000", "1.5")
    typed = (_quoted(TAME[kind][1], kind) for kind in TYPES)
    arrays = ("'{1}'::bigint[]", "'{1.5}'::numeric[]", "'{2024-02-29}'::date[]", "'{t}'::boolean[]")
    return (*untyped, *typed, *arrays)


def _quoted(value: str, kind: str) -> str:
    return "'" + value.replace("'", "''") + f"'::{TYPES[kind]}"


@dataclass
class Counted:
    """What was compared."""

    statements: int = 0
    combinations: int = 0
    different: int = 0
    failed: int = 0
    """With the same error."""
    refused: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.combinations} combinations in {self.statements} statements, "
            f"{self.different} different; {self.refused.total()} refused here, "
            f"{self.failed} with the same error"
        )


PHASES: Final = ("values", "places", "kinds", "common")


@dataclass
class Combinations:
    """Compares them all, phase by phase."""

    pair: Pair
    rng: random.Random
    counted: Counted
    share: float = 1.0
    """Of the combinations, drawn at random."""

    def phase(self, name: str) -> Iterator[str]:
        """Differences as they are found, each with what was asked."""
        self.prepare(is_tame=name == "places")
        match name:
            case "values":
                yield from self._values()
            case "places":
                yield from self._places()
            case "kinds":
                yield from self._one_by_one(self._of_kinds())
            case "common":
                yield from self._one_by_one(self._of_common())

    def prepare(self, *, is_tame: bool = False) -> None:
        """Makes `v`, a table of values, and `w`, which has none. The tame values of a type stand in
        other rows than those of the next one, so that NULL meets each."""
        self.pair.reset()
        self.pair.both("SET timezone = 'UTC'")
        types = ", ".join(f"{COLUMNS[kind]} {name}" for kind, name in TYPES.items())
        for table in ("v", "w"):
            self.pair.both(f"CREATE TABLE {table} (n int PRIMARY KEY, m int, {types})")
        held = [_turned(kind, at) if is_tame else _at_edges(kind) for at, kind in enumerate(TYPES)]
        for n, cells in enumerate(itertools.zip_longest(*held, fillvalue="NULL")):
            ours, theirs = self.pair.both(f"INSERT INTO v VALUES ({n}, NULL, {', '.join(cells)})")
            assert not difference(ours, theirs), cells
            assert theirs[-1].error is None, theirs[-1].error
        self.pair.theirs.query(FAILS)

    # ------------------------------------------------------------------ every value with each

    def _subjects(self) -> list[Subject]:
        """Without aggregates, whose operands are rows."""
        every = dict.fromkeys(s for part in subjects(self.pair) for s in part)
        return [
            subject
            for subject in every
            if 0 < len(subject.operands) <= max(ROWS)
            and all(subject.operands)
            and not _is_aggregate(subject.text)
        ]

    def _values(self) -> Iterator[str]:
        for subject in self._subjects():
            if self.rng.random() > self.share:
                continue
            kinds = dict(zip("abcdef", subject.operands, strict=False))
            expression = _filled(subject.text, [f"{x}.{COLUMNS[k]}" for x, k in kinds.items()])
            source = "FROM " + ", ".join(f"v AS {x}" for x in kinds)
            numbers = ", ".join(f"{x}.n" for x in kinds)
            rows = ROWS[len(kinds)]
            where = " AND ".join(
                f"{x}.n < {min(rows, len(_at_edges(k)))}" for x, k in kinds.items()
            )
            asked = f"SELECT {numbers}, {expression} AS e {source} WHERE "
            [whole] = self.pair.theirs.query(asked + where)
            if whole.error is None:
                yield from self.compare(asked + where, len(whole.rows), is_ordered=False)
                continue
            if whole.sqlstate.startswith("42"):
                continue  # of its types, whatever the values are: see the kinds
            good, bad = self._parted(expression, source, where, list(kinds))
            if good:
                listed = f"({numbers}) IN ({', '.join(f'({one})' for one in good[:LISTED_MAX])})"
                yield from self.compare(asked + listed, len(good[:LISTED_MAX]), is_ordered=False)
            for one in self.rng.sample(bad, min(FAILURES, len(bad))):
                alone = f"SELECT {expression} {source} WHERE ({numbers}) = ({one})"
                yield from self.compare(alone, 1)

    def _parted(
        self, expression: str, source: str, where: str, names: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """Numbers of rows for which PostgreSQL computes it, and of those for which it fails."""
        numbers = ", ".join(f"{x}.n" for x in names)
        inner = f"SELECT {expression} {source} WHERE ".replace("'", "''").replace("%", "%%")
        chosen = " AND ".join(f"{x}.n = %s" for x in names)
        fails = f"fails(format('{inner}{chosen}', {numbers}))"
        [told] = self.pair.theirs.query(f"SELECT {fails}, {numbers} {source} WHERE {where}")
        parts: dict[bytes | None, list[str]] = {b"f": [], b"t": []}
        for answer, *row in told.rows:
            parts[answer].append(", ".join((cell or b"").decode() for cell in row))
        return parts[b"f"], parts[b"t"]

    def compare(self, sql: str, size: int, *, is_ordered: bool = True) -> Iterator[str]:
        """What is different in the answers to a statement of so many combinations."""
        ours, theirs = self.pair.both(sql)
        self.counted.statements += 1
        self.counted.combinations += size
        if is_refusal(ours):
            self.counted.refused[(ours[-1].error or {}).get("M", "")] += 1
            return
        found = difference(ours, theirs, is_ordered=is_ordered)
        own, other = ours[-1], theirs[-1]
        if found.startswith("columns") and self.pair.theirs.describe(sql).columns == own.columns:
            found = ""  # what the planner says of a constant's modifier: see UNPROMISED
        if found.startswith("rows"):
            mine, its = Counter(own.rows), Counter(other.rows)
            if Counter(map(_number, own.rows)) == Counter(map(_number, other.rows)):
                return  # which of several equal numbers stands for them nobody promises
            found = f"rows: {list((mine - its).items())[:5]} instead of "
            found += f"{list((its - mine).items())[:5]}"
        if found:
            self.counted.different += 1
            yield f"-- {sql[:SHOWN]}\n{found[:SHOWN]}\n"
        elif other.error is not None:
            self.counted.failed += 1

    # ------------------------------------------------------------------ every place

    def _places(self) -> Iterator[str]:
        good: list[str] = []
        for subject in self._subjects():
            expression = _filled(subject.text, [f"a.{COLUMNS[k]}" for k in subject.operands])
            ours, theirs = self.pair.both(f"SELECT {expression} FROM v AS a")
            if theirs[-1].error is None and ours[-1].error is None:
                good.append(expression)
        for start in range(0, len(good), TOGETHER):
            several = ", ".join(good[start : start + TOGETHER])
            for place in PLACES:
                yield from self._placed(place, several)
        for expression in good:
            for place in ALONE:
                if self.rng.random() < self.share:
                    yield from self._placed(place, expression)

    def _placed(self, place: str, expression: str) -> Iterator[str]:
        """`w` has the rows of `v` where they are to be deleted, else none."""
        self.pair.both("DELETE FROM w")
        if place.startswith("DELETE"):
            self.pair.both("INSERT INTO w SELECT * FROM v")
        sql = place.replace("{}", expression)
        yield from self.compare(sql, 1, is_ordered=sql.endswith(" ORDER BY n"))

    # ------------------------------------------------------------------ every pair of types

    def _of_kinds(self) -> Iterator[str]:
        every = literals()
        named: dict[str, int] = {}
        for part in subjects(self.pair):
            for subject in part:
                named[subject.text] = len(subject.operands)
        for text, count in named.items():
            if count == 0 or count > 4:
                continue
            for operands in itertools.product(every, repeat=min(count, 2)):
                if self.rng.random() > self.share:
                    continue
                rest = [self.rng.choice(every) for _ in range(count - len(operands))]
                yield _filled(text, [f"({each})" for each in (*operands, *rest)])

    def _of_common(self) -> Iterator[str]:
        every = literals()
        for text in COMMON:
            for one, other in itertools.product(every, every):
                if self.rng.random() < self.share:
                    yield _filled(text, [one, other])

    def _one_by_one(self, expressions: Iterator[str]) -> Iterator[str]:
        """What PostgreSQL computes is asked for together, each of the rest alone."""
        held: list[str] = []
        for expression in expressions:
            [theirs] = self.pair.theirs.query(f"SELECT {expression}")
            if theirs.error is not None:
                yield from self.compare(f"SELECT {expression}", 1)
                continue
            held.append(expression)
            if len(held) == 2 * TOGETHER:
                yield from self._together(held)
                held.clear()
        if held:
            yield from self._together(held)

    def _together(self, held: Sequence[str]) -> Iterator[str]:
        ours, theirs = self.pair.both(f"SELECT {', '.join(held)}")
        if not difference(ours, theirs):
            self.counted.statements += 1
            self.counted.combinations += len(held)
        elif len(held) == 1:
            yield from self.compare(f"SELECT {held[0]}", 1)
        else:
            half = len(held) // 2
            yield from self._together(held[:half])
            yield from self._together(held[half:])


def _at_edges(kind: str) -> list[str]:
    """NULL and values of one type, those at the edges and the tame in turn."""
    both = itertools.chain(*itertools.zip_longest(EDGES[kind], TAME[kind]))
    every = dict.fromkeys(value for value in both if value not in (None, "NaN"))
    return ["NULL", *(_quoted(value, kind) for value in every if value is not None)][: ROWS[1]]


def _turned(kind: str, by: int) -> list[str]:
    """NULL, then as many values as there are rows of tame ones, begun elsewhere for each type."""
    values = itertools.cycle(["NULL", *(_quoted(value, kind) for value in TAME[kind])])
    return ["NULL", *itertools.islice(values, by % 5, TAME_ROWS + by % 5)]


def _filled(text: str, operands: Sequence[str]) -> str:
    """`text` with an operand for each `{}`."""
    first, *rest = text.split("{}")
    return first + "".join(o + t for o, t in zip(operands, rest, strict=True))


def _is_aggregate(text: str) -> bool:
    return "OVER" in text or any(f"{name}(" in text for name in aggregates.NAMES)


def _number(row: Sequence[bytes | None]) -> tuple[object, ...]:
    """Equal rows look the same, also where they have numbers of another scale or sign of zero."""
    cells: list[object] = []
    for cell in row:
        try:
            cells.append(cell and Decimal(cell.decode()) + 0)
        except (InvalidOperation, UnicodeDecodeError):
            cells.append(cell)
    return tuple(cells)


def compare_all(pair: Pair, seed: int, share: float) -> Iterator[str]:
    """Differences as they are found, and a line for each phase."""
    for name in PHASES:
        began, counted = time.monotonic(), Counted()
        yield from Combinations(pair, random.Random(seed), counted, share).phase(name)
        yield f"{name}: {counted}, {time.monotonic() - began:.0f} s"
