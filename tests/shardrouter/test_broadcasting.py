"""Rows that are sent to the shards are there what they are here."""

from __future__ import annotations

from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.protocol import Value
from shardrouter.broadcasting import BYTES_MAX, rows_sent, sent_as
from shardrouter.finishing import new_database
from shardrouter.tables import Column

COLUMNS = [
    Column("n", "bigint"),
    Column('a "name"', "text"),
    Column("f", "double precision"),
    Column("m", "numeric"),
    Column("b", "bytea"),
    Column("ok", "boolean"),
]

rows = st.lists(
    st.tuples(
        st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.sampled_from(["1.5", "1.50", "-2", "10"]),
        st.none() | st.binary(max_size=20),
        st.sampled_from([None, 0, 1]),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows)
def test_they_come_out_as_they_went_in(sent: list[tuple[Value, ...]]) -> None:
    listed = 't2."n", t2."a ""name""", t2."f", t2."m", t2."b", t2."ok"'
    with closing(new_database()) as database:
        text = f"SELECT {listed} FROM {sent_as(2, COLUMNS, 1)} AS t2"
        found = database.raw.execute(text, (rows_sent(sent),)).fetchall()
    assert list(map(repr, found)) == list(map(repr, sent))


def test_columns_compare_as_those_of_the_table() -> None:
    """Numbers by their value, whatever they look like, and as many as there are rows."""
    source = sent_as(2, [Column("m", "numeric")], 1)
    with closing(new_database()) as database:
        run = database.raw.execute
        run("CREATE TABLE big (m TEXT COLLATE numeric, n INTEGER) STRICT")
        run("INSERT INTO big VALUES ('1.50', 1), ('7', 2)")
        joined = f"SELECT n FROM {source} AS t2 JOIN big ON t2.m = big.m"
        assert run(joined, (rows_sent([("1.5",), ("7.0",), (None,)]),)).fetchall() == [(1,), (2,)]
        least = f"SELECT min(t2.m) FROM {source} AS t2"
        assert run(least, (rows_sent([("10",), ("9",)]),)).fetchall() == [("9",)]
        none = f"SELECT count(*) FROM {sent_as(2, [], 1)} AS t2"
        assert run(none, (rows_sent([(1,), (1,)]),)).fetchall() == [(2,)]


def test_what_is_too_large_is_not_sent() -> None:
    row = ("x" * (BYTES_MAX // 2),)
    assert rows_sent([row]) is not None
    assert rows_sent([row, row]) is None
