"""Statements of any length cost what their length is worth, and no other client waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from shardrouter import plan_cache
from shardrouter.errors import StatementError
from shardrouter.lexer import TOKENS_MAX, tokenize
from shardrouter.plan import make_plan
from shardrouter.plan_cache import PlanCache
from tests.shardrouter.planning import PlannedCluster

CLUSTER = PlannedCluster()
CLUSTER.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
CATALOG = CLUSTER.catalog

SHAPES: list[Callable[[int], str]] = [
    lambda n: "SELECT id FROM t WHERE " + " AND ".join(f"id <> {i}" for i in range(n)),
    lambda n: "SELECT id FROM t WHERE " + " OR ".join(f"id = -{i}" for i in range(n)),
    lambda n: "SELECT id FROM t WHERE id IN (" + ", ".join(f"${i + 1}" for i in range(n)) + ")",
    lambda n: "SELECT " + ", ".join(f"{i}::text" for i in range(n)),
    lambda n: "INSERT INTO t VALUES " + ", ".join(f"({i})" for i in range(n)),
]


def steps(sql: str) -> int:
    """Lines of Python that planning takes: time that no other process has a share in."""
    import sys

    count = 0

    def trace(_frame: object, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        make_plan(sql, CATALOG)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_planning_is_linear_in_the_length(shape: Callable[[int], str]) -> None:
    steps(shape(2))
    once, twice = steps(shape(200)), steps(shape(400))
    assert twice < 2.2 * once


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_thousands_of_conditions_are_no_deep_expression(shape: Callable[[int], str]) -> None:
    for key in (-7, 20_000):
        CLUSTER.execute(f"DELETE FROM t WHERE id = {key}")
        CLUSTER.execute(f"INSERT INTO t VALUES ({key})")
    _, rows, _ = CLUSTER.execute(shape(3000) + " ORDER BY id")
    assert rows == ([(-7,)] if shape is SHAPES[1] else [(-7,), (20_000,)])


def test_a_text_of_too_many_tokens_is_refused_before_it_is_parsed() -> None:
    assert len(tokenize("1 " * TOKENS_MAX)) == TOKENS_MAX
    with pytest.raises(StatementError, match="more than 200000") as caught:
        tokenize("1 " * (TOKENS_MAX + 2))
    assert caught.value.sqlstate == "54000"


async def test_others_go_on_while_a_long_text_is_planned() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    text = SHAPES[0](2000)
    assert len(text) > plan_cache.LONG_TEXT
    cache = PlanCache()
    prepared = await cache.make(text, (), CATALOG, "ann")
    beside.cancel()
    assert turns > 3
    assert cache.get(text, (), CATALOG, CATALOG.search_path) is prepared


async def test_the_cache_is_bounded_in_bytes_and_in_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_cache, "PREPARED_BYTES_MAX", 100)
    monkeypatch.setattr(plan_cache, "PREPARED_MAX", 4)
    cache = PlanCache()

    def kept(text: str) -> bool:
        return cache.get(text, (), CATALOG, CATALOG.search_path) is not None

    long = "SELECT '" + "a" * 60 + "'::text"
    await cache.make(long, (), CATALOG, "ann")
    assert kept(long)
    texts = [f"SELECT {i}" for i in range(5)]
    for text in texts:
        await cache.make(text, (), CATALOG, "ann")
        await cache.make(text, (), CATALOG, "ann")  # again: it is counted once
    assert [kept(text) for text in (long, *texts)] == [False, False, True, True, True, True]
    await cache.make("SELECT '" + "a" * 200 + "'", (), CATALOG, "ann")
    assert kept(texts[4])  # what is larger than the cache clears nothing
