"""The embedded API's edge: Python's values in, the same out."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardrouter import types
from shardrouter.errors import StatementError
from shardrouter.planned import ResultColumn
from shardrouter.python_values import from_stored, to_stored

_ANY = {
    types.NUMERIC: st.decimals(allow_nan=False, allow_infinity=True, places=3),
    types.DATE: st.dates(),
    types.TIME: st.times(),
    types.TIMESTAMP: st.datetimes(),
    types.TIMESTAMPTZ: st.datetimes(timezones=st.just(UTC)),
    types.INTERVAL: st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
    types.UUID: st.uuids(),
    types.TEXT: st.text(),
    types.BOOLEAN: st.booleans(),
}


@given(st.sampled_from(sorted(_ANY, key=lambda kind: kind.name)), st.data())
def test_what_goes_in_comes_out(kind: types.Type, data: st.DataObject) -> None:
    value = data.draw(_ANY[kind])
    stored = to_stored((kind.oid,), (value,))
    assert from_stored([stored], [ResultColumn("a", kind.oid)]) == ((value,),)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (types.NUMERIC, "1.50", Decimal("1.50")),
        (types.DATE, "2024-02-29", date(2024, 2, 29)),
        (types.DATE, "infinity", date.max),
        (types.TIME, "10:11:12.5", time(10, 11, 12, 500_000)),
        (types.TIMESTAMP, "2024-02-29 10:00", datetime(2024, 2, 29, 10)),
        (types.TIMESTAMPTZ, "2024-02-29 10:00+02", datetime(2024, 2, 29, 8, tzinfo=UTC)),
        (types.INTERVAL, "1 year 1 mon 1 day", timedelta(days=396)),
        (types.UUID, "00000000-0000-0000-0000-000000000007", uuid.UUID(int=7)),
    ],
)
def test_a_text_is_read_as_postgresql_reads_it(kind: types.Type, text: str, value: Any) -> None:
    stored = to_stored((kind.oid,), (text,))
    assert from_stored([stored], [ResultColumn("a", kind.oid)]) == ((value,),)


@pytest.mark.parametrize(
    ("kind", "value", "sqlstate"),
    [
        (types.TIMESTAMPTZ, datetime(2024, 1, 1), "42804"),
        (types.TIMESTAMP, datetime(2024, 1, 1, tzinfo=UTC), "42804"),
        (types.UUID, 5, "42804"),
        (types.DATE, "tomorrowish", "22007"),
        (types.NUMERIC, [], "42804"),
    ],
)
def test_another_kind_of_value_is_refused(kind: types.Type, value: Any, sqlstate: str) -> None:
    with pytest.raises(StatementError) as error:
        to_stored((kind.oid,), (value,))
    assert error.value.sqlstate == sqlstate
