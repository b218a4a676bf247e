"""Texts of intervals that look like dates or like clocks with a zone are none (PostgreSQL 15)."""

from __future__ import annotations

import pytest

from nodes.values import INTERVAL, ValueFormatError, decode_text


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "2024-02-29 12:34:56",
        "12:34:56+02",
        "1-2-3",
        "1.5-2",
        "1:02-3",
        "1+2",
        "1day-2hours",
        "1 day+2",
    ],
)
def test_a_sign_stands_behind_a_space_only(text: str) -> None:
    with pytest.raises(ValueFormatError) as caught:
        decode_text(text.encode(), INTERVAL)
    assert caught.value.sqlstate == "22007"


@pytest.mark.parametrize(
    ("text", "stored"),
    [("-1-2", "-14 0 0"), ("1-2 3 4:05", "14 3 14700000000"), ("1 -2:00", "0 1 -7200000000")],
)
def test_signs_at_their_places(text: str, stored: str) -> None:
    assert decode_text(text.encode(), INTERVAL) == stored
