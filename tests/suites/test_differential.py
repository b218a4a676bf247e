"""Statements made at random are answered here as a real PostgreSQL answers them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.suites.compatibility import PAGE, supported_in
from tests.suites.differential.comparison import difference, explained
from tests.suites.differential.constructs import EXPRESSIONS, SIMPLEST
from tests.suites.differential.grammar import Grammar
from tests.suites.differential.pair import Pair, running_pair
from tests.suites.differential.programs import Tally, explore, minimal
from tests.suites.differential.statements import STATEMENTS
from tests.suites.differential.trees import leaf, listed, render, smaller, tags, template
from tests.suites.differential.worker import Share, all_worked
from tests.suites.pgclient import Answer
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
        derandomize=True,
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


def test_an_error_that_comes_first_is_explained() -> None:
    constant, unknown = Answer(error={"C": "22P02"}), Answer(error={"C": "42703"})
    assert explained([constant], [unknown])
    assert not explained([unknown], [constant])
    assert not explained([constant], [Answer(tag="SELECT 1")])


def test_rows_in_another_order_differ_only_where_the_order_is_told() -> None:
    ours, theirs = Answer(rows=[(b"1",), (b"2",)]), Answer(rows=[(b"2",), (b"1",)])
    assert difference([ours], [theirs], is_ordered=False) == ""
    assert difference([ours], [theirs], is_ordered=True).startswith("order: (1) (2)")
