"""to_date and to_timestamp by patterns: what PostgreSQL 15 answered."""

from __future__ import annotations

import pytest

from nodes.pgtypes.dates import date_text, timestamp_text
from nodes.pgtypes.formats import FunctionError
from nodes.pgtypes.time_reading import FUNCTIONS


@pytest.mark.parametrize(
    ("text", "pattern", "answer"),
    [
        ("0000-00-00", "YYYY-MM-DD", "0001-01-01 BC"),
        ("-44-3-15", "YYYY-MM-DD", "0044-03-15 BC"),
        ("2000-00-00", "YYYY-MM-DD", "2000-01-01"),
        ("0000-02-31", "YYYY-MM-DD", "0001-03-02 BC"),
        ("2024022", "YYYYMMDD", "2024-02-02"),
        ("Dec052000", "MonDDYYYY", "2000-12-05"),
        ("december 5, 2000", "Month DD, YYYY", "2000-12-05"),
        ("120", "YYY", "2120-01-01"),
        ("620", "YYY", "1620-01-01"),
        ("12345", "YY", "12345-01-01"),
        ("2011x 12x 18", "YYYYxMMxDD", "2011-12-18"),
        ("2000 - 01 - 01", "YYYY-MM-DD", "2000-01-01"),
        ("x2000", '"xyz"YYYY', "0001-01-01 BC"),
        ("3rd 4th 2000", "DDth MMth YYYY", "2000-04-03"),
        ("2024 60", "YYYY DDD", "2024-02-29"),
        ("2451545", "J", "2000-01-01"),
        ("5874897-12-31", "YYYY-MM-DD", "5874897-12-31"),
        ("-4714-11-24", "YYYY-MM-DD", "4714-11-24 BC"),
        ("", "YYYY", "0001-01-01 BC"),
        ("2000-13-01", "YYYY-MM-DD", "22008"),
        ("-2.25", "YYYY-MM-DD", "22008"),
        ("-4714-11-23", "YYYY-MM-DD", "22008"),
        ("99999999999", "YYYY-MM-DD", "22008"),
        (" ", "YYYY", "22007"),
        ("1e308", "YYYY-MM-DD", "22007"),
        ("decx 5", "Month DD", "22007"),
        ("1-2", "YYYY-YYYY", "22007"),
        ("60", "DDD", "22007"),
        ("2024 1", "YYYY IW", "0A000"),
    ],
)
def test_dates(text: str, pattern: str, answer: str) -> None:
    assert _answer("pg_to_date", text, pattern) == answer


@pytest.mark.parametrize(
    ("text", "pattern", "answer"),
    [
        ("2000-01-01 12:30:15.5 PM", "YYYY-MM-DD HH12:MI:SS.MS PM", "2000-01-01 12:30:15.5"),
        ("2000-01-01 12:30 am", "YYYY-MM-DD HH12:MI AM", "2000-01-01 00:30:00"),
        ("2000-01-01T10:00", 'YYYY-MM-DD"T"HH24:MI', "2000-01-01 10:00:00"),
        ("12:30:15.123456", "HH24:MI:SS.MSUS", "0001-01-01 12:30:15.579 BC"),
        ("3601", "SSSSS", "0001-01-01 01:00:01 BC"),
        ("13:30 am", "HH24:MI AM", "22007"),
        ("0:30 p.m.", "HH12:MI a.m.", "22007"),
        ("-2:00", "HH24:MI", "22008"),
        ("86400", "SSSS", "22008"),
        ("12:30:15.1234567", "HH24:MI:SS.US", "22008"),
        ("294277-01-01", "YYYY-MM-DD", "22008"),
    ],
)
def test_times(text: str, pattern: str, answer: str) -> None:
    assert _answer("pg_to_timestamp", text, pattern) == answer


def _answer(function: str, text: str, pattern: str) -> str:
    """As a text, or the SQLSTATE of the error."""
    try:
        value = FUNCTIONS[function].call(text, pattern)
    except FunctionError as exc:
        return exc.sqlstate
    assert isinstance(value, int)
    return date_text(value) if function == "pg_to_date" else timestamp_text(value)
