"""Rows as text. What psql prints of the same rows is compared in tests/process/test_shell.py."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from shardrouter.cli.shell.layout import Column, Format, Row, Style, make_layout

COLUMNS = [Column("id", 23), Column("text", 25)]


def printed(
    rows: list[Row], *, columns: list[Column] = COLUMNS, piece: int = 1000, style: Style
) -> str:
    layout = make_layout(columns, style)
    pieces = [rows[at : at + piece] for at in range(0, len(rows), piece)]
    return "".join(map(layout.piece, pieces)) + layout.end([f"({len(rows)} rows)"])


def test_a_table() -> None:
    text = printed([("1", "a\nbc"), ("22", None)], style=Style(title="T"))
    assert text == (
        "     T\n id | text \n----+------\n  1 | a   +\n    | bc\n 22 | NULL\n(2 rows)\n\n"
    )


def test_a_later_piece_widens_a_table_and_repeats_no_head() -> None:
    text = printed([("1", "a"), ("2", "bbbbbb"), ("3", "c")], piece=1, style=Style())
    assert text.splitlines() == [
        " id | text ",
        "----+------",
        "  1 | a",
        "  2 | bbbbbb",
        "  3 | c",
        "(3 rows)",
        "",
    ]


def test_records_under_one_another() -> None:
    text = printed([("1", "a"), ("2", None)], style=Style(Format.VERTICAL))
    assert text == "-[ RECORD 1 ]\nid   | 1\ntext | a\n-[ RECORD 2 ]\nid   | 2\ntext | NULL\n\n"
    assert printed([], style=Style(Format.VERTICAL)) == "(0 rows)\n\n"


def test_what_a_terminal_takes_for_a_command_is_written_out() -> None:
    text = printed([("1", "\x1b[2J\x07\x9b")], style=Style())
    assert "\\x1B[2J\\x07\\u009B" in text
    assert "\x1b" not in text


CELLS = st.none() | st.text(alphabet=st.sampled_from('ab",\n\r\\.;é漢'), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5), st.integers(1, 3))
def test_csv_is_read_back(rows: list[Row], piece: int) -> None:
    text = printed(rows, piece=piece, style=Style(Format.CSV))
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read == [["id", "text"], *([value or "" for value in row] for row in rows)]


@given(st.lists(st.tuples(st.none() | st.integers().map(str), CELLS), max_size=5))
def test_json_is_read_back(rows: list[Row]) -> None:
    text = printed(rows, piece=2, style=Style(Format.JSON))
    assert json.loads(text) == [{"id": None if a is None else int(a), "text": b} for a, b in rows]


def test_json_keeps_what_json_has() -> None:
    columns = [
        Column("b", 16),
        Column("j", 3802),
        Column("n", 1700),
        Column("n", 1700),
        Column("f", 701),
    ]
    text = printed(
        [("t", '{"a": [1]}', "1.50", "NaN", "1e+300")], columns=columns, style=Style(Format.JSON)
    )
    assert '"n": 1.50' in text
    assert json.loads(text) == [{"b": True, "j": {"a": [1]}, "n": 1.5, "n_2": "NaN", "f": 1e300}]
