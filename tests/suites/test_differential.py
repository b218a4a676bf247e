"""Statements made at random are answered here as a real PostgreSQL answers them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.suites.compatibility import PAGE, supported_in
from tests.suites.differential.combinations import Combinations, Counted
from tests.suites.differential.comparison import difference, explained, is_refusal
from tests.suites.differential.constructs import EXPRESSIONS, OIDS, SIMPLEST
from tests.suites.differential.grammar import Grammar, Made
from tests.suites.differential.over_shards import OverShards
from tests.suites.differential.pair import Pair, running_pair, running_shards
from tests.suites.differential.programs import (
    Difference,
    Tally,
    each_alone,
    explore,
    minimal,
    reason_of,
)
from tests.suites.differential.statements import STATEMENTS
from tests.suites.differential.sweep import Sweep, subjects
from tests.suites.differential.trees import Parameter, leaf, listed, render, smaller, tags, template
from tests.suites.differential.worker import LENGTH_OVER_SHARDS, Found, Share, _behind, all_worked
from tests.suites.pgclient import Answer, Column
from tests.suites.postgres import PostgresMissing, find_programs

STATEMENTS_OF_A_PROGRAM = 25


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    try:
        find_programs()
    except PostgresMissing as exc:
        pytest.skip(str(exc))
    with running_pair() as both:
        yield both


@pytest.mark.slow
def test_hundreds_of_statements_made_at_random(pair: Pair) -> None:
    """Of the constructs that the documentation claims."""
    tally = Tally()
    known = supported_in(PAGE.read_text(encoding="utf-8"))

    @settings(
        max_examples=14,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # what differs is made smaller as a tree, below
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 1 << 32))
    def compare(seed: int) -> None:
        grammar = Grammar(random.Random(seed), known, refused_share=0)
        found = explore(pair, grammar, STATEMENTS_OF_A_PROGRAM, tally)
        assert found is None, str(minimal(pair, found))

    compare()
    assert tally.statements >= 300
    assert tally.refused < tally.statements / 2


def test_names_of_constructs_are_told_apart() -> None:
    names = [expression.name for expression in EXPRESSIONS] + [e.name for e in STATEMENTS]
    assert len(names) == len(set(names)), sorted({n for n in names if names.count(n) > 1})


def test_every_construct_is_on_the_page() -> None:
    """`make compatibility` renews it."""
    text = PAGE.read_text(encoding="utf-8")
    shown = [name for line in text.splitlines() for name in re.findall(r"`([^`]*)`", line)]
    names = [e.name for e in EXPRESSIONS] + [e.name for e in STATEMENTS]
    assert not [name for name in names if shown.count(name.replace("`", "'")) == 0]
    assert supported_in(text) <= set(names)


def test_a_worker_that_dies_is_told_of() -> None:
    """Instead of being waited for."""
    broken = Share(seeds=range(1), statements="many")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a worker ended with exit code 1"):
        all_worked([broken])


def test_a_worker_that_dies_costs_its_program() -> None:
    share = Share(seeds=range(5, 15, 2), statements=100, known=frozenset({"WHERE"}))
    told = Found(Tally(statements=60), programs=2)
    rest = _behind(share, told, exitcode=-11)
    assert list(rest.seeds) == [11, 13]
    assert rest.statements == 40
    with pytest.raises(RuntimeError, match="exit code 1"):
        _behind(replace(share, known=None), Found(), exitcode=1)


@pytest.mark.slow
def test_expressions_of_every_type_made_at_random(pair: Pair) -> None:
    tally = Tally()
    sweep = Sweep(random.Random(1), subjects(pair))
    found = list(each_alone(pair, (sweep.make() for _ in range(300)), tally))
    assert not found, "\n".join(str(minimal(pair, one)) for one in found)
    assert tally.refused < tally.statements / 5


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["values", "common"])
def test_combinations_of_all_values_and_types(pair: Pair, phase: str) -> None:
    counted = Counted()
    found = list(Combinations(pair, random.Random(4), counted, share=0.004).phase(phase))
    assert not found, "\n".join(found)
    assert counted.combinations > 100


@pytest.mark.slow
def test_a_combination_that_differs_is_told(pair: Pair) -> None:
    """But not if only the scale of equal numbers or the sign of zero does."""
    every = Combinations(pair, random.Random(1), Counted(), share=0)
    every.prepare(is_tame=True)
    pair.ours.query("INSERT INTO w (n, m, c5) VALUES (1, 2, 1.50), (2, NULL, 0)")
    pair.theirs.query("INSERT INTO w (n, m, c5) VALUES (1, 3, 1.5), (2, NULL, -0.00)")
    assert not list(every.compare("SELECT n, c5 FROM w", 1))
    [told] = every.compare("SELECT m FROM w", 1)
    assert told.endswith("rows: [((b'2',), 1)] instead of [((b'3',), 1)]\n")
    assert every.counted.different == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("items", "is_explained"),
    [
        # Each of the two fails by itself on both servers.
        (("split_part('a', ' ', 0)", "get_byte('\\x'::bytea, 0)"), True),
        # An error of this server's own: PostgreSQL knows nothing of it.
        (("chr(65)", "get_byte('\\x'::bytea, 0)"), False),
        # One error, and the other one is nowhere.
        (("split_part('a', ' ', 0)", "'a'"), False),
    ],
)
def test_two_errors_are_explained_if_both_servers_know_both(
    pair: Pair, items: tuple[str, str], *, is_explained: bool
) -> None:
    trees = [leaf(item, "text") for item in items]
    made = Made(template("SELECT {}, {}", *trees))
    told = Difference((made,), "error: 22023 (one) instead of 2202E (the other)")
    assert bool(reason_of(pair, told)) is is_explained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "what", "is_explained"),
    [
        # Planned already it fails, and no row is there.
        ("UPDATE p SET c = btrim('x_y%z')::varchar", "error: UPDATE 0 instead of 22001 (a)", True),
        # A row would fail, and only a row.
        ("SELECT 1 / length(c) FROM p", "error: SELECT 0 instead of 22012 (a)", False),
        # The planner's fails with another SQLSTATE than was told.
        ("UPDATE p SET c = btrim('x_y%z')::varchar", "error: UPDATE 0 instead of 22003 (a)", False),
        # What is left of it once it is planned has a modifier.
        ("SELECT CASE WHEN true THEN n WHEN true THEN 1 END FROM p", "columns: -1 for 5", True),
    ],
)
def test_what_the_planner_alone_does_is_explained_if_explain_does_it(
    pair: Pair, text: str, what: str, *, is_explained: bool
) -> None:
    table = Made(template("CREATE TABLE p (c varchar(3), n numeric(8,2))"))
    found = Difference((table, Made(template(text))), what)
    assert bool(reason_of(pair, found)) is is_explained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "why"),
    [
        # It is planned with the parameter's value before it may not write.
        ("INSERT INTO p VALUES (1) RETURNING 1 / ({} - 5)", "the planner"),
        # A row would be needed.
        ("INSERT INTO p SELECT 1 FROM p WHERE 1 / (k - k * {}) = 1", ""),
    ],
)
def test_what_the_planner_does_before_a_transaction_may_not_write(
    pair: Pair, text: str, why: str
) -> None:
    five = leaf("5", "int4", parameter=Parameter("5", OIDS["int4"]))
    program = (
        Made(template("CREATE TABLE p (k int)")),
        Made(template("BEGIN READ ONLY")),
        Made(template(text, five), is_prepared=True),
    )
    what = "error: 25006 (cannot execute INSERT in a read-only transaction) instead of 22012 (a)"
    assert reason_of(pair, Difference(program, what)) == why
    pair.both("ROLLBACK")


KEYED = (
    "CREATE TABLE p (k text PRIMARY KEY, v text)",
    "INSERT INTO p VALUES ('k9', 'x')",  # 22P02 as an integer
    "INSERT INTO p VALUES ('k10', '99999999999')",  # 22003
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        # The first row there is the one that was inserted first, here that of the first key.
        ("SELECT v::int FROM p", "22003 (k10) instead of 22P02 (k9)", "the order of rows"),
        ("UPDATE p SET v = v::int + 1", "22003 (k10) instead of 22P02 (k9)", "the order of rows"),
        # No row fails so.
        ("SELECT v::int FROM p", "22012 (of none) instead of 22P02 (k9)", ""),
        # A row does, and is the second one in both orders.
        (
            "SELECT v::int FROM (SELECT * FROM p ORDER BY k DESC OFFSET 0) AS q",
            "22003 (k10) instead of 22P02 (k9)",
            "",
        ),
        # There is one row, and the other error is its second.
        (
            "SELECT v::int, 1 / (length(v) - 1) FROM p WHERE k = 'k9'",
            "22012 (by zero) instead of 22P02 (k9)",
            "",
        ),
        # Only one of the two servers fails.
        ("SELECT v::int FROM p WHERE k = 'k9'", "SELECT 1 instead of 22P02 (k9)", ""),
        # PostgreSQL tells something else than it is said to.
        ("SELECT v::int FROM p", "22003 (k10) instead of 22012 (by zero)", ""),
    ],
)
def test_another_rows_error_is_explained_if_postgresql_tells_it_in_the_order_of_keys(
    pair: Pair, text: str, what: str, why: str
) -> None:
    program = tuple(Made(template(sql)) for sql in (*KEYED, text))
    assert reason_of(pair, Difference(program, f"error: {what}")) == why


EQUAL: Final = "SELECT x.k, y.k, count(*) FROM p AS x JOIN p AS y USING (k) GROUP BY"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "why"),
    [
        # The keys are equal in the join, and are not in the sets.
        (f"{EQUAL} CUBE (x.k, y.k) ORDER BY 1, 2", "an order that is not kept"),
        # It is kept.
        (f"{EQUAL} x.k, y.k ORDER BY 1, 2", ""),
        # With a limit another order would be other rows.
        (f"{EQUAL} CUBE (x.k, y.k) ORDER BY 1, 2 LIMIT 4", ""),
    ],
)
def test_an_order_that_postgresql_does_not_keep_is_explained_if_it_does_apart(
    pair: Pair, text: str, why: str
) -> None:
    program = tuple(Made(template(sql)) for sql in (*KEYED, text))
    assert reason_of(pair, Difference(program, "order: (1) (2) instead of (2) (1)")) == why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("SELECT v::int FROM p", "22003 (k10) instead of 22P02 (k9)", "errors of two rows"),
        ("SELECT v::int FROM p", "22P02 (k9) instead of 22003 (k10)", "errors of two rows"),
        # No row fails so.
        ("SELECT v::int FROM p", "22012 (of none) instead of 22P02 (k9)", ""),
        # One row has both: their order is the statement's, wherever it is.
        (
            "SELECT v::int, 1 / (length(v) - 1) FROM p WHERE k = 'k9'",
            "22012 (by zero) instead of 22P02 (k9)",
            "",
        ),
        # Only one of the two fails.
        ("SELECT v::int FROM p WHERE k = 'k9'", "SELECT 1 instead of 22P02 (k9)", ""),
    ],
)
def test_errors_of_two_rows_are_explained_if_each_is_told_of_one_alone(
    text: str, what: str, why: str
) -> None:
    program = tuple(Made(template(sql)) for sql in (*KEYED, text))
    with running_shards() as both:
        assert reason_of(both, Difference(program, f"error: {what}")) == why


def test_a_duplicate_beside_another_error_is_explained_by_two_rows() -> None:
    program = tuple(
        Made(template(sql))
        for sql in (
            "CREATE TABLE q (k int PRIMARY KEY, v int CHECK (v > 0))",
            "INSERT INTO q VALUES (12, 5)",
            "INSERT INTO q VALUES (5, 1)",  # 23514
            "INSERT INTO q VALUES (9, 5)",  # 23505, where there is 12
            "INSERT INTO q SELECT k + 3, v - 1 FROM q ORDER BY k",
        )
    )
    with running_shards() as both:
        found = Difference(program, "error: 23505 (12) instead of 23514 (8)")
        assert reason_of(both, found) == "errors of two rows"
        other = Difference(program[:3] + program[4:], "error: 23505 (12) instead of 23514 (8)")
        assert reason_of(both, other) == "", "nothing is there twice"


def test_trees_get_smaller_step_by_step() -> None:
    sum_ = template("{} + {}", leaf("1", "int4"), leaf("2", "int4"), type_="int4", tag="sum")
    tree = listed([sum_, leaf("3", "int4")], before="SELECT ")
    assert render(tree) == ("SELECT 1 + 2, 3", [])
    assert list(tags(tree)) == ["sum"]
    shown = [render(other)[0] for other in smaller(tree, SIMPLEST)]
    assert shown == ["SELECT 3", "SELECT 1 + 2", "SELECT 0, 3", "SELECT 1, 3", "SELECT 2, 3"]


@pytest.mark.parametrize(
    ("ours", "kind"),
    [
        (Answer(tag="SELECT 1", rows=[(b"1",)]), ""),
        (Answer(tag="SELECT 1", rows=[(b"1.0",)]), "rows"),
        (Answer(tag="SELECT 1", rows=[(None,)]), "rows"),
        (Answer(tag="SELECT 2", rows=[(b"1",)]), "tag"),
        (Answer(error={"C": "22012"}), "error"),
        (Answer(tag="SELECT 1", rows=[(b"1",)], parameters=(23,)), "parameters"),
    ],
)
def test_every_kind_of_difference_is_one(ours: Answer, kind: str) -> None:
    theirs = Answer(tag="SELECT 1", rows=[(b"1",)])
    assert difference([ours], [theirs]).partition(":")[0] == kind


def test_a_limit_of_this_database_is_a_refusal_and_one_of_both_is_not() -> None:
    own = {"C": "54000", "M": "a series of more than 1000000 values is not supported"}
    assert is_refusal([Answer(error=own)])
    assert not is_refusal([Answer(error={"C": "54000", "M": "the query is too large"})])


def test_an_error_that_comes_first_is_explained() -> None:
    assert explained("22P02", "42703")
    assert explained("22P02", "22003")
    assert explained("42703", "22P02")
    assert not explained("23505", "22P02")
    assert not explained("22P02", "")
    assert not explained("22P02", "23505")


def test_the_flag_of_an_array_is_no_difference_and_its_elements_are() -> None:
    columns = (Column("a", 1007, -1, -1),)
    head, tail = b"\0\0\0\1", b"\0\0\0\x17\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0"
    ours, flagged, other = (
        Answer(columns=columns, rows=[(cell,)])
        for cell in (
            head + bytes(4) + tail + b"\7",
            head + b"\0\0\0\1" + tail + b"\7",
            head + bytes(4) + tail + b"\x08",
        )
    )
    assert difference([ours], [flagged]) == ""
    assert difference([ours], [other]).startswith("rows: ")


def test_rows_in_another_order_differ_only_where_the_order_is_told() -> None:
    ours, theirs = Answer(rows=[(b"1",), (b"2",)]), Answer(rows=[(b"2",), (b"1",)])
    assert difference([ours], [theirs], is_ordered=False) == ""
    assert difference([ours], [theirs], is_ordered=True).startswith("order: (1) (2)")


@pytest.mark.slow
def test_queries_made_at_random_are_answered_over_three_shards_as_over_one() -> None:
    tally = Tally()
    known = supported_in(PAGE.read_text(encoding="utf-8"))
    with running_shards() as both:
        for seed in range(4):
            grammar = OverShards(random.Random(seed), known, refused_share=0)
            found = explore(both, grammar, LENGTH_OVER_SHARDS, tally)
            assert found is None, str(minimal(both, found))
    assert tally.statements >= 300
    assert tally.refused < tally.statements / 5
