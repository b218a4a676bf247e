"""Texts that are no dates and times, with what PostgreSQL 15 said of them."""

from __future__ import annotations

import pytest

from nodes.pgtypes.date_faults import fault


@pytest.mark.parametrize(
    ("text", "of_date", "of_time"),
    [
        ("", "22007", "22007"),
        ("abc", "22007", "22007"),
        ("-1", "22007", "22007"),
        ("-32768", "22009", "22009"),
        ("13", "22008", "22007"),
        ("2147483648", "22008", "22007"),
        ("24:00:01", "22008", "22008"),
        ("1 day", "22007", "22007"),
        ("12345678-1234-5678-1234-567812345678", "22008", "22009"),
        ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "22007", "22023"),
        ("0jan", "22007", "22007"),
        ("/00.", "22007", "22007"),
    ],
)
def test_the_first_field_that_makes_no_sense_decides(text: str, of_date: str, of_time: str) -> None:
    assert (fault(text, is_time=False), fault(text, is_time=True)) == (of_date, of_time)


@pytest.mark.parametrize(
    "text", ["20240229Z1.5", "_2024-02-29x10:20", "{1,2,3}", "2024 jan 1 t 123456"]
)
def test_what_postgresql_reads_in_its_own_way_has_no_fault(text: str) -> None:
    assert fault(text, is_time=False) == ""


@pytest.mark.parametrize("count", [1, 30, 3000])
def test_texts_of_any_length_are_told_of(count: int) -> None:
    assert fault("1 " * count, is_time=False) in ("22007", "22008")
