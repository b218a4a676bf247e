"""Merging: what comes from several shards is what one database would have answered."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.protocol import Value
from shardrouter.bounds import INT8_MAX, limit_clause, reach
from shardrouter.merge import Merger, merge_rows
from shardrouter.plan import make_plan
from shardrouter.planned import Constant, Merge, OrderKey, Parameter, Scatter
from tests.shardrouter.catalogs import catalog_of
from tests.shardrouter.planning import PlannedCluster


def test_without_order_rows_come_shard_by_shard() -> None:
    assert merge_rows(Merge(), [[(3,)], [], [(1,), (2,)]], ()) == [(3,), (1,), (2,)]


def test_limit_and_offset_count_over_all_shards() -> None:
    plan = Merge(order=(OrderKey(0, False, False),), limit=Parameter(2), offset=Constant(1))
    shards: list[list[tuple[Value, ...]]] = [[(1,), (4,)], [(2,), (3,)]]
    assert merge_rows(plan, shards, (None, 2)) == [(2,), (3,)]
    assert merge_rows(plan, shards, (None, None)) == [(2,), (3,), (4,)]
    assert merge_rows(plan, shards, (None, 0)) == []
    far = Merge(limit=Constant((1 << 63) - 1), offset=Constant((1 << 63) - 1))
    assert merge_rows(far, shards, ()) == []


def test_hidden_columns_order_and_vanish() -> None:
    plan = Merge(order=(OrderKey(1, True, True),), hidden=1)
    assert merge_rows(plan, [[(1, "b"), (2, "a")], [(3, None)]], ()) == [(3,), (1,), (2,)]


def test_equal_keys_keep_the_order_of_the_shards() -> None:
    plan = Merge(order=(OrderKey(0, False, False),))
    assert merge_rows(plan, [[(1, 1), (1, 2)], [(1, 3)]], ()) == [(1, 1), (1, 2), (1, 3)]


orders = st.lists(
    st.builds(OrderKey, st.integers(0, 1), st.booleans(), st.booleans()), max_size=2
).map(tuple)
numbers = st.one_of(st.none(), st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.tuples(numbers, numbers), max_size=12), min_size=1, max_size=4),
    orders,
    st.one_of(st.none(), st.integers(0, 20)),
    st.integers(0, 6),
    st.randoms(use_true_random=False),
)
def test_in_pieces_it_is_the_same(
    data: list[list[tuple[int | None, int | None]]],
    order: tuple[OrderKey, ...],
    limit: int | None,
    offset: int,
    rng: random.Random,
) -> None:
    """However the rows of a shard are cut, and of equal ones those of the first shard first."""
    plan = Merge(order, 0, None if limit is None else Constant(limit), Constant(offset))
    whole = Merge(order)
    shards = [
        merge_rows(whole, [[(*row, shard, at) for at, row in enumerate(rows)]], ())
        for shard, rows in enumerate(data)
    ]
    merger, fed = Merger(plan, len(shards), ()), [0] * len(shards)
    found: list[tuple[Value, ...]] = []
    while not merger.is_over:
        for source in merger.wanted():
            start = fed[source]
            fed[source] = end = start + rng.randint(1, 4)
            rows = shards[source][start:end]
            merger.feed(source, rows, is_over=end >= len(shards[source]))
        found += merger.take()
    if order:
        assert found == merge_rows(plan, shards, ())
    else:
        wanted = sum(map(len, shards)) - offset
        assert len(found) == max(0, wanted if limit is None else min(wanted, limit))


# --------------------------------------------------------------------------- the dumb twin

CREATE = "CREATE TABLE t (id int PRIMARY KEY, b text, f float8, n bigint, s smallint, ok bool)"
CATALOG = catalog_of(CREATE)

texts = st.one_of(st.none(), st.sampled_from(["", "a", "B", "b", "é", "z", "𐀀", "\uffff"]))
rows = st.lists(
    st.tuples(
        st.integers(-5, 40),
        texts,
        st.one_of(st.none(), st.sampled_from([0.0, 0.5, -1e300, 1e300, float("inf")])),
        st.one_of(st.none(), st.integers(-3, 3), st.just((1 << 63) - 1)),
        st.one_of(st.none(), st.integers(-2, 2)),
        st.one_of(st.none(), st.booleans()),
    ),
    max_size=25,
    unique_by=lambda row: row[0],
)
sort_keys = st.lists(
    st.tuples(
        st.sampled_from(["id", "b", "f", "n", "s", "ok", "s + id", "1"]),
        st.sampled_from(["", " DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC NULLS LAST"]),
    ),
    min_size=1,
    max_size=3,
)
bounds = st.one_of(st.none(), st.integers(0, 12))
filters = st.sampled_from(
    ["", " WHERE ok", " WHERE n > 0 OR b IS NULL", " WHERE id IN (1, 2, 3, 30)", " WHERE s <= f"]
)


@settings(max_examples=20, deadline=None)
@given(rows, sort_keys, filters, bounds, bounds, st.sampled_from(["id", "b, f", "ok, id, n"]))
def test_three_shards_answer_as_one(
    data: list[tuple[Value, ...]],
    keys: list[tuple[str, str]],
    condition: str,
    limit: int | None,
    offset: int | None,
    columns: str,
) -> None:
    """The last key makes the order total, so that there is one right answer."""
    order = ", ".join(f"{name}{way}" for name, way in keys)
    query = f"SELECT {columns} FROM t{condition} ORDER BY {order}, id LIMIT $1 OFFSET $2"
    answers = []
    for shards in (1, 3):
        cluster = PlannedCluster(shards)
        cluster.execute(CREATE)
        for row in data:
            cluster.execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6)", *row)
        answers.append(
            (
                cluster.execute(query, limit, offset)[1],
                cluster.execute(f"SELECT count(*) FROM t{condition}")[1],
            )
        )
    assert answers[0] == answers[1]
    assert answers[0][1][0][0] == len([*_matching(data, condition)])


def _matching(data: list[tuple[Value, ...]], condition: str) -> list[tuple[Value, ...]]:
    """The filter once more, in Python: NULL is not true."""
    found = []
    for row in data:
        number, text, real, big, small, flag = row
        holds = {
            "": True,
            " WHERE ok": flag is True,
            " WHERE n > 0 OR b IS NULL": (isinstance(big, int) and big > 0) or text is None,
            " WHERE id IN (1, 2, 3, 30)": number in (1, 2, 3, 30),
            " WHERE s <= f": isinstance(small, int) and isinstance(real, float) and small <= real,
        }[condition]
        if holds:
            found.append(row)
    return found


def test_a_pushed_down_limit_is_limit_plus_offset() -> None:
    plan = make_plan("SELECT id FROM t ORDER BY id LIMIT 3 OFFSET 4", CATALOG)
    assert isinstance(plan, Scatter)
    assert plan.fragments[0].sql.endswith("LIMIT 7")


def test_a_limit_of_nothing_is_pushed_down_as_nothing_so_that_no_row_is_computed() -> None:
    plan = make_plan("SELECT id FROM t ORDER BY id LIMIT 0 OFFSET 4", CATALOG)
    assert isinstance(plan, Scatter)
    assert plan.fragments[0].sql.endswith("LIMIT 0")


@pytest.mark.parametrize("limit", [None, 0, 1, 3, INT8_MAX])
@pytest.mark.parametrize("offset", [None, 0, 2, INT8_MAX])
def test_a_limit_that_is_an_argument_reaches_as_far_as_is_wanted(
    limit: int | None, offset: int | None
) -> None:
    text = limit_clause(reach(Parameter(1), Parameter(2)), None)
    rows = f"SELECT value FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9]'){text}"
    with closing(sqlite3.connect(":memory:")) as connection:
        found = len(connection.execute(rows, (limit, offset)).fetchall())
    wanted = 9 if limit is None else min(9, limit + (offset or 0)) if limit else 0
    assert found == wanted
