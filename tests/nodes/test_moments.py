"""Variance in two steps: what the shards answer of their own rows, and what is made of that."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from nodes.functions import AGGREGATES
from nodes.protocol import Value

VARIANTS = ("var_samp", "var_pop", "stddev_samp", "stddev_pop")


def aggregated(name: str, rows: list[Value]) -> Value:
    made = AGGREGATES[name].make()
    for row in rows:
        made.step(row)
    found: Value = made.finalize()
    return found


def number(rng: random.Random) -> Value:
    return rng.choice(
        (
            None,
            rng.randrange(-9, 9),
            rng.randrange(-(1 << 63), 1 << 63),
            str(Decimal(rng.randrange(-(10**6), 10**6)).scaleb(-rng.randrange(0, 9))),
            f"{rng.randrange(1, 99)}e-120",
            f"{rng.randrange(1, 99)}{'0' * 3_000}",
        )
    )


@pytest.mark.parametrize("seed", range(20))
def test_it_is_that_of_all_rows_to_the_last_digit(seed: int) -> None:
    rng = random.Random(seed)
    kinds = rng.choice([(number,), (lambda each: each.randrange(4),)])
    shards: list[list[Value]] = [
        [rng.choice(kinds)(rng) for _ in range(rng.randrange(4))] for _ in range(3)
    ]
    if not seed % 5:
        rng.choice(shards).append(rng.choice(["NaN", "Infinity", "-Infinity"]))
    moments = [aggregated("pg_moments_numeric", rows) for rows in shards]
    every = [row for rows in shards for row in rows]
    for variant in VARIANTS:
        assert aggregated(f"pg_{variant}_moments", moments) == aggregated(
            f"pg_{variant}_numeric", every
        )
