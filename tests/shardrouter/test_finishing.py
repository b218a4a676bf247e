"""Where a query over several shards is finished: its bounds, its errors, its end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.protocol import Value
from shardrouter.errors import DeadlineExceeded, StatementError
from shardrouter.finishing import Finishing, Rows, finished, new_database
from shardrouter.gathering import Held, Limits
from shardrouter.merge import totalled
from shardrouter.plan import make_plan
from shardrouter.planned import Finish, Fragment, Scatter
from tests.shardrouter.catalogs import catalog_of

NUMBERS = Fragment("f1", "", (), ('"n" INTEGER',), why="rows of t to be finished here")
TOTALLED = catalog_of("CREATE TABLE t (k int PRIMARY KEY, n bigint)")
ROWS: Rows = [(n,) for n in range(400)]
ENDLESS = Finish("SELECT count(*) FROM f1 a, f1 b, f1 c, f1 d, f1 e", ())


def unbounded(_rows: int) -> None:
    pass


def ran(
    *finishes: Finish, seconds: float = 20.0, check: Callable[[int], None] = unbounded
) -> list[object]:
    """What each of them comes to, one after the other in one router."""

    async def run() -> list[object]:
        found: list[object] = []
        finishing = Finishing(random.Random(1))
        deadline = asyncio.get_running_loop().time() + seconds
        for finish in finishes:
            try:
                found.append(await finishing.run(finish, [(NUMBERS, ROWS)], (), check, deadline))
            except (StatementError, DeadlineExceeded) as exc:
                found.append(exc.sqlstate)
        finishing.close()
        return found

    return asyncio.run(run())


def test_a_database_is_used_again_and_holds_nothing_of_before() -> None:
    asked = Finish("SELECT sum(n) FROM f1", ())
    failing = Finish("SELECT pg_div_int4(1, n) FROM f1", ())
    tables = Finish("SELECT count(*) FROM sqlite_schema", ())
    assert ran(asked, failing, asked, tables) == [[(79800,)], "22012", [(79800,)], [(1,)]]


def test_a_query_ends_with_the_statements_time() -> None:
    began = time.monotonic()
    assert ran(ENDLESS, seconds=0.2) == ["57014"]
    assert time.monotonic() - began < 10


def test_a_query_that_nobody_waits_for_ends() -> None:
    async def run() -> list[tuple[object, ...]]:
        finishing = Finishing(random.Random(1))
        deadline = asyncio.get_running_loop().time() + 60
        fragments = [(NUMBERS, ROWS)]
        running = asyncio.ensure_future(finishing.run(ENDLESS, fragments, (), unbounded, deadline))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        asked = Finish("SELECT max(n) FROM f1", ())
        answer = await finishing.run(asked, fragments, (), unbounded, deadline)
        finishing.close()
        return [*answer]

    assert asyncio.run(run()) == [(399,)]


def test_what_is_held_of_fragments_is_bounded_and_the_error_names_them() -> None:
    held = Held(Limits(rows=3, bytes=100), [NUMBERS])
    assert held.add(0, [(1,), (2,)]) == [(1,), (2,)]
    with pytest.raises(StatementError, match="more than 3 rows") as error:
        held.add(0, [(3,), (4,)])
    assert error.value.sqlstate == "54000"
    assert "rows of t" in error.value.detail
    assert "shardrouter.finish_rows_max" in error.value.hint
    with pytest.raises(StatementError, match="more than 100 bytes"):
        Held(Limits(rows=3, bytes=100), [NUMBERS]).add(0, [("x" * 200,)])


def test_the_answer_is_bounded_too() -> None:
    held = Held(Limits(rows=1000, bytes=1 << 20), [NUMBERS])
    asked = Finish("SELECT 1 FROM f1 a, f1 b", ())
    assert ran(asked, check=held.check_answer) == ["54000"]


NUMBERS_OF_ROWS = st.lists(
    st.tuples(
        st.integers(0, 1 << 62),
        *[
            st.one_of(
                st.none(),
                st.integers(-9, 9),
                st.sampled_from([(1 << 63) - 1, -(1 << 63), 1 << 62]),
                st.sampled_from([0.5, "a", ""]),
            )
        ]
        * 3,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(NUMBERS_OF_ROWS)
def test_totals_are_what_the_finish_answers(rows: list[tuple[Value, ...]]) -> None:
    """Or they are left to it."""
    plan = make_plan("SELECT count(*), sum(k), min(n), max(n) FROM t", TOTALLED)
    assert isinstance(plan, Scatter)
    assert isinstance(plan.finish, Finish)
    found = totalled(plan.finish.totals, rows)
    assert found is not None or not all(
        value is None or (type(value) is int and abs(value) < 1 << 59)
        for row in rows
        for value in row
    )
    if found is not None:
        given_rows = [(plan.fragments[0], rows)]
        with closing(new_database()) as database:
            assert finished(
                database, plan.finish, given_rows, (), lambda _rows: None, lambda: False
            ) == [found]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) + 1 FROM t",
        "SELECT count(*) FROM t LIMIT 0",
        "SELECT count(*) FROM t HAVING count(*) > 1",
        "SELECT count(*) FROM t GROUP BY n",
        "SELECT count(DISTINCT n) FROM t",
        "SELECT avg(n) FROM t",
        "SELECT 1, count(*) FROM t",
        "SELECT count(*) FROM t a, t b",
    ],
)
def test_what_is_more_than_totals_is_finished(sql: str) -> None:
    plan = make_plan(sql, TOTALLED)
    assert isinstance(plan, Scatter)
    assert isinstance(plan.finish, Finish)
    assert plan.finish.totals == ()
