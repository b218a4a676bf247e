"""A scalar of jsonb answers to an index as an array of itself would (PostgreSQL 15)."""

from __future__ import annotations

import pytest

from nodes.functions import FUNCTIONS


@pytest.mark.parametrize(
    ("value", "index", "part"),
    [('"x"', 0, '"x"'), ("1", -1, "1"), ("null", 0, "null"), ("1", 1, None), ('{"a": 1}', 0, None)],
)
def test_a_scalar_by_an_index(value: str, index: int, part: str | None) -> None:
    assert FUNCTIONS["pg_get_jsonb"].call(value, index) == part
    assert FUNCTIONS["pg_get_jsonb"].call(value, "b") is None
