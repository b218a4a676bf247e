"""What is made of data that is sent to COPY FROM, as PostgreSQL 15 makes it."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol import OutputColumn, Value
from nodes.values import INT4, INT8, TEXT, encode_data_rows
from shardrouter.copying.binary import HEADER, TRAILER
from shardrouter.copying.columns import CopyColumn
from shardrouter.copying.grammar import parse_copy
from shardrouter.copying.lines import ROW_BYTES_MAX, LineReader
from shardrouter.copying.options import CopyOptions
from shardrouter.copying.output import CopyWriter
from shardrouter.copying.reader import RowReader, row_reader
from shardrouter.errors import StatementError
from shardrouter.lexer import tokenize

COLUMNS = (CopyColumn("a", INT4), CopyColumn("b", TEXT), CopyColumn("c", INT8))
RECORDED = Path(__file__).parents[2] / "testdata" / "postgresql" / "copy_from.json"


def reader(options: CopyOptions) -> RowReader:
    return row_reader("t", COLUMNS, options)


def options_of(statement: str) -> CopyOptions:
    return parse_copy(tokenize(statement), statement).options


def made_of(options: CopyOptions, data: bytes, cuts: random.Random | None = None) -> Any:
    """Rows, or the error. With `cuts` the data comes in small pieces, each looked at by itself."""
    found: list[Any] = []
    into = reader(options)
    try:
        if cuts is None:
            found += into.feed(data)
        else:
            at = 0
            while at < len(data):
                size = cuts.randint(1, 9)
                if isinstance(into, LineReader):
                    into._wanted = 1
                found += into.feed(data[at : at + size])
                at += size
        found += into.finish()
    except StatementError as error:
        return [error.sqlstate, error.message, error.where]
    return [list(row) for row in found]


CASES = json.loads(RECORDED.read_text(encoding="utf-8"))


def test_what_postgresql_makes_of_it_is_made_of_it_here() -> None:
    for statement, data, expected in CASES:
        options = options_of(statement)
        assert made_of(options, data.encode()) == expected, (statement, data)
        assert made_of(options, data.encode(), random.Random(data)) == expected, (statement, data)


CELLS = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0")))
ROWS = st.lists(st.tuples(st.integers(-5, 5), CELLS, st.one_of(st.none(), st.integers(0, 9))))


@given(
    ROWS,
    st.sampled_from(
        [
            "",
            "(format csv)",
            "(format csv, header match, quote '''', force_quote *)",
            "(format csv, escape '\\', delimiter ';', null 'nil')",
            "(delimiter '|', null 'nil', header)",
            "(format binary)",
        ]
    ),
)
def test_what_goes_out_comes_in_again(rows: list[tuple[Value, ...]], options: str) -> None:
    wanted = options_of(f"COPY t TO STDOUT {options.replace('header match', 'header')}")
    is_binary = wanted.format == "binary"
    outputs = tuple(OutputColumn(column.oid, is_binary) for column in COLUMNS)
    writer = CopyWriter([column.name for column in COLUMNS], wanted)
    messages = writer.begin() + writer.rows(encode_data_rows(rows, outputs)) + writer.end()
    data = bytearray()
    while messages:
        (length,) = struct.unpack_from(">I", messages, 1)
        data += messages[5 : 1 + length]
        messages = messages[1 + length :]
    taken = options_of(f"COPY t FROM STDIN {options.replace(', force_quote *', '')}")
    expected = [list(row) for row in rows]
    assert made_of(taken, bytes(data)) == expected
    assert made_of(taken, bytes(data), random.Random(1)) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "COPY file signature not recognized"),
        (b"PGCOPY\n\xff\r\n\1" + bytes(8) + TRAILER, "COPY file signature not recognized"),
        (HEADER[:11] + struct.pack(">iI", 1 << 16, 0) + TRAILER, "WITH OIDS"),
        (HEADER[:11] + struct.pack(">iI", 1 << 20, 0) + TRAILER, "unrecognized critical flags"),
        (HEADER + struct.pack(">h", 2), "row field count is 2, expected 3"),
        (HEADER + struct.pack(">hi", 3, -2), "invalid field size"),
        (HEADER + struct.pack(">hi", 3, 4) + b"ab", "unexpected EOF in COPY data"),
        (HEADER + struct.pack(">hihii", 3, 2, 0, -1, -1), "incorrect binary data format"),
        (HEADER + TRAILER + b"x", "received copy data after EOF marker"),
    ],
)
def test_what_is_no_binary_copy_is_refused(data: bytes, message: str) -> None:
    [_, said, _] = made_of(CopyOptions("binary"), data)
    assert message in said


def test_a_row_without_an_end_is_given_up() -> None:
    [sqlstate, _, _] = made_of(CopyOptions(), b"x" * (ROW_BYTES_MAX + 1))
    assert sqlstate == "54000"


@given(st.lists(st.sampled_from(["1,x,1", '2,"a\nb",2', '3,"\n\n",3']), max_size=9))
def test_the_line_of_a_row_is_known_afterwards(lines: list[str]) -> None:
    into = reader(options_of("COPY t FROM STDIN (format csv, header)"))
    into.feed("\n".join(["a,b,c", *lines, ""]).encode())
    into.finish()
    assert isinstance(into, LineReader)
    end = 1
    for row, line in enumerate(lines, 1):
        # Inside the quotes of the first row PostgreSQL counts no lines.
        end += 1 + line.count("\n")
        assert into.line_of(row) == end
