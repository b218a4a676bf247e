"""Retries are a share of what is asked, whatever happens."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol import Done, NotLeader, Read, Stale, Statement, StatementResult
from shardrouter.retry_budget import RATIO, TOKENS_MAX, TRICKLE_PER_S, RetryBudget
from tests.shardrouter.scripted import advance, run, scripted

moments = st.lists(
    st.tuples(st.floats(0, 2), st.integers(0, 500), st.integers(0, 200)), max_size=50
)


@given(moments)
def test_retries_are_at_most_a_tenth_of_the_requests_and_a_trickle(
    steps: list[tuple[float, int, int]],
) -> None:
    budget, now, requests, retries = RetryBudget(0.0), 0.0, 0, 0
    for pause, more, wanted in steps:
        now += pause
        requests += more
        retries += sum(budget.take(now, requests) for _ in range(wanted))
        assert retries <= TOKENS_MAX + RATIO * requests + TRICKLE_PER_S * now + 1e-6


def test_what_is_not_used_is_saved_up_to_a_limit() -> None:
    budget = RetryBudget(0.0)
    assert sum(budget.take(1e6, 10**9) for _ in range(1000)) == int(TOKENS_MAX)


def test_a_router_with_nothing_else_to_do_tries_ten_times_a_second() -> None:
    budget = RetryBudget(0.0)
    while budget.take(0.0, 0):
        pass
    tries = sum(budget.take(step / 100, 0) for step in range(1, 1001))
    assert 99 <= tries <= 101


@pytest.mark.parametrize("consistency", ["linearizable", "any"])
def test_an_outage_makes_no_storm_and_its_end_reaches_everybody(
    consistency: Literal["linearizable", "any"],
) -> None:
    """Statements that wait while nobody leads ask for a leader together, and not each by itself."""
    waiting, seconds = 400, 8
    refusal = NotLeader(None) if consistency == "linearizable" else Stale("table:t", 1, 2)

    async def scenario() -> None:
        async with scripted(3) as (shards, nodes):
            for node in nodes:
                node.plays(refusal)
            await shards.statuses(5.0)
            began = asyncio.get_running_loop().time()
            deadline = began + 60.0
            sql = (Statement("SELECT 1"),)
            works = [
                asyncio.create_task(
                    shards.read(
                        "shard-1", sql, quick=True, deadline=deadline, consistency=consistency
                    )
                )
                for _ in range(waiting)
            ]
            for _ in range(seconds * 10):
                advance(0.1)
                await shards.statuses(5.0)
            asked = sum(len(node.of(Read)) for node in nodes)
            passed = asyncio.get_running_loop().time() - began  # a busy machine adds to `seconds`
            fair = waiting + TOKENS_MAX + RATIO * waiting + TRICKLE_PER_S * (passed + 1)
            assert waiting <= asked <= fair, asked
            assert shards.counts.held_back > 0
            for node in nodes:
                node.plays(Done((StatementResult(1),), 7))
            nodes[1].leads["shard-1"] = 7
            while not all(work.done() for work in works):
                advance(0.5)
                await asyncio.wait(works, timeout=0.01)
            assert {type(work.result()) for work in works} == {Done}

    run(scenario())
