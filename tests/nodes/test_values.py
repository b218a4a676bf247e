"""Keys, slots and PostgreSQL's formats."""

from __future__ import annotations

import math
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol import OutputColumn, Value
from nodes.values import (
    BOOL,
    FLOAT8,
    INT2,
    INT4,
    INT8,
    SLOTS,
    TEXT,
    UNKNOWN,
    VARCHAR,
    ValueFormatError,
    canonical_key,
    decode_binary,
    decode_text,
    encode_binary,
    encode_data_row,
    encode_data_rows,
    encode_text,
    slot_finder,
    slot_of,
)

CHAR = 18
""""char", a byte of the system catalogs."""

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
FLOATS = st.floats(allow_nan=False)


# --------------------------------------------------------------------------- keys


def test_slots_never_change() -> None:
    """A change of these numbers loses every row that was stored before it."""
    assert slot_of(canonical_key(1, "integer")) == 1668
    assert slot_of(canonical_key(-1, "bigint")) == 514
    assert slot_of(canonical_key("a", "text")) == 11703
    assert slot_of(canonical_key("", "text")) == 14637
    assert slot_of(canonical_key(True, "boolean")) == 4477


@given(INT64, st.sampled_from(["smallint", "integer", "bigint", "int2", "int4", "int8"]))
def test_integer_types_are_alike(value: int, type_name: str) -> None:
    assert canonical_key(value, type_name) == canonical_key(value, "bigint")


KEY_TYPES = ("smallint", "bigint", "date", "text", "boolean", "bytea", "uuid", "real")


@given(
    st.sampled_from(KEY_TYPES),
    st.integers(-(1 << 65), 1 << 65) | INT64 | STRINGS | st.booleans() | st.binary() | st.none(),
)
def test_a_slot_finder_finds_the_slot_of_the_canonical_key(type_name: str, value: Value) -> None:
    try:
        expected = slot_of(canonical_key(value, type_name))
    except ValueError as exc:
        with pytest.raises(ValueError, match=f"^{re.escape(str(exc))}$"):
            slot_finder(type_name)(value)
    else:
        assert slot_finder(type_name)(value) == expected


def test_types_are_told_apart() -> None:
    keys = {
        canonical_key(1, "integer"),
        canonical_key("1", "text"),
        canonical_key(True, "boolean"),
        canonical_key("\x01", "text"),
    }
    assert len(keys) == 4
    assert canonical_key("x", "text") == canonical_key("x", "varchar")
    assert canonical_key(1, "boolean") == canonical_key(True, "boolean")


@given(STRINGS)
def test_slots_are_in_range(text: str) -> None:
    assert 0 <= slot_of(canonical_key(text, "text")) < SLOTS


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (None, "integer"),
        ("1", "integer"),
        (True, "integer"),
        (1.0, "bigint"),
        (1 << 63, "bigint"),
        (1, "text"),
        ("a\0b", "text"),
        (2, "boolean"),
        (1.5, "double precision"),
        ("x", "bytea"),
    ],
)
def test_what_is_not_a_key(value: Value, type_name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- ValueError is the promise
        canonical_key(value, type_name)


# --------------------------------------------------------------------------- text format


@pytest.mark.parametrize(
    ("value", "oid", "text"),
    [
        (7, INT4, b"7"),
        (-(1 << 63), INT8, b"-9223372036854775808"),
        (True, BOOL, b"t"),
        (0, BOOL, b"f"),
        ("h\u00e9", TEXT, b"h\xc3\xa9"),
        ("", VARCHAR, b""),
        # PostgreSQL 15: select 0.1::float8, ...
        (0.1, FLOAT8, b"0.1"),
        (1.0, FLOAT8, b"1"),
        (-0.0, FLOAT8, b"-0"),
        (1e20, FLOAT8, b"1e+20"),
        (1e15, FLOAT8, b"1e+15"),
        (1e14, FLOAT8, b"100000000000000"),
        (123456789012345.6, FLOAT8, b"123456789012345.6"),
        (1234567890123456.0, FLOAT8, b"1.234567890123456e+15"),
        (-1234567890123456.5, FLOAT8, b"-1.2345678901234565e+15"),
        (1.5e300, FLOAT8, b"1.5e+300"),
        (0.0001, FLOAT8, b"0.0001"),
        (0.00001, FLOAT8, b"1e-05"),
        (5e-324, FLOAT8, b"5e-324"),
        (math.inf, FLOAT8, b"Infinity"),
        (-math.inf, FLOAT8, b"-Infinity"),
        (math.nan, FLOAT8, b"NaN"),
        (3, FLOAT8, b"3"),
    ],
)
def test_text_as_postgresql_prints_it(value: Value, oid: int, text: bytes) -> None:
    assert encode_text(value, oid) == text


@pytest.mark.parametrize(
    ("data", "oid", "value"),
    [
        (b" 12 ", INT4, 12),
        (b"+5", INT2, 5),
        (b"0000000000000000000000000000000000001", INT8, 1),
        (b"-9223372036854775808", INT8, -(1 << 63)),
        (b"tru", BOOL, True),
        (b" ON ", BOOL, True),
        (b"of", BOOL, False),
        (b"n", BOOL, False),
        (b"0", BOOL, False),
        (b"1e3", FLOAT8, 1000.0),
        (b".5", FLOAT8, 0.5),
        (b"5.", FLOAT8, 5.0),
        (b"-Infinity", FLOAT8, -math.inf),
        (b"inf", FLOAT8, math.inf),
        (b" as it is ", TEXT, " as it is "),
        (b"x", UNKNOWN, "x"),
    ],
)
def test_text_as_postgresql_reads_it(data: bytes, oid: int, value: Value) -> None:
    got = decode_text(data, oid)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("data", "oid", "sqlstate", "message"),
    [
        (b"abc", INT4, "22P02", 'invalid input syntax for type integer: "abc"'),
        (b"", INT8, "22P02", 'invalid input syntax for type bigint: ""'),
        (b"1_000", INT4, "22P02", 'invalid input syntax for type integer: "1_000"'),
        ("\u0661".encode(), INT4, "22P02", 'invalid input syntax for type integer: "\u0661"'),
        (b"\xc2\xa01", INT4, "22P02", 'invalid input syntax for type integer: "\xa01"'),
        (b"32768", INT2, "22003", 'value "32768" is out of range for type smallint'),
        (b"2147483648", INT4, "22003", 'value "2147483648" is out of range for type integer'),
        (b"9" * 30, INT8, "22003", f'value "{"9" * 30}" is out of range for type bigint'),
        (b"o", BOOL, "22P02", 'invalid input syntax for type boolean: "o"'),
        (b"", BOOL, "22P02", 'invalid input syntax for type boolean: ""'),
        (b"1e400", FLOAT8, "22003", '"1e400" is out of range for type double precision'),
        (b"1e-400", FLOAT8, "22003", '"1e-400" is out of range for type double precision'),
        (b"1_0", FLOAT8, "22P02", 'invalid input syntax for type double precision: "1_0"'),
        (b"nan", FLOAT8, "0A000", "NaN is not supported as a value of type double precision"),
        (b"a\0b", TEXT, "22021", 'invalid byte sequence for encoding "UTF8": 0x00'),
        (b"a\xff", TEXT, "22021", 'invalid byte sequence for encoding "UTF8": 0xff'),
        (b"x", 790, "0A000", "the type with OID 790 is not supported"),
    ],
)
def test_text_that_postgresql_refuses(data: bytes, oid: int, sqlstate: str, message: str) -> None:
    with pytest.raises(ValueFormatError) as caught:
        decode_text(data, oid)
    assert (caught.value.sqlstate, caught.value.message) == (sqlstate, message)


@given(FLOATS)
def test_float_text_reads_back(value: float) -> None:
    text = encode_text(value, FLOAT8)
    got = decode_text(text, FLOAT8)
    assert got == value
    assert math.copysign(1, got) == math.copysign(1, value)


@given(INT64)
def test_integer_text_reads_back(value: int) -> None:
    assert decode_text(encode_text(value, INT8), INT8) == value


# --------------------------------------------------------------------------- binary format


@given(
    st.one_of(
        st.tuples(INT64, st.just(INT8)),
        st.tuples(st.integers(-(1 << 31), (1 << 31) - 1), st.just(INT4)),
        st.tuples(st.integers(-(1 << 15), (1 << 15) - 1), st.just(INT2)),
        st.tuples(FLOATS, st.just(FLOAT8)),
        st.tuples(st.booleans(), st.just(BOOL)),
        st.tuples(STRINGS, st.sampled_from([TEXT, VARCHAR])),
    )
)
def test_binary_reads_back(case: tuple[Value, int]) -> None:
    value, oid = case
    assert decode_binary(encode_binary(value, oid), oid) == value


@pytest.mark.parametrize(
    ("data", "oid", "sqlstate"),
    [
        (b"\0\0\0", INT4, "22P03"),
        (b"", BOOL, "22P03"),
        (b"\0\0", BOOL, "22P03"),
        (b"1", FLOAT8, "22P03"),
        (struct.pack(">d", math.nan), FLOAT8, "0A000"),
        (b"\0", TEXT, "22021"),
    ],
)
def test_bad_binary(data: bytes, oid: int, sqlstate: str) -> None:
    with pytest.raises(ValueFormatError) as caught:
        decode_binary(data, oid)
    assert caught.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("value", "oid", "sqlstate"),
    [
        (1 << 31, INT4, "22003"),
        ("1", INT4, "42804"),
        (1.5, INT4, "42804"),
        (b"x", TEXT, "42804"),
        (2, BOOL, "42804"),
        ("x", FLOAT8, "42804"),
        (1, 790, "0A000"),
    ],
)
def test_values_of_another_type_are_not_encoded(value: Value, oid: int, sqlstate: str) -> None:
    for encode in (encode_text, encode_binary):
        with pytest.raises(ValueFormatError) as caught:
            encode(value, oid)
        assert caught.value.sqlstate == sqlstate


# --------------------------------------------------------------------------- rows


def test_a_char_of_the_catalogs_is_one_byte() -> None:
    assert [encode_text(value, CHAR) for value in ("r", "")] == [b"r", b""]
    assert [encode_binary(value, CHAR) for value in ("r", "")] == [b"r", b"\0"]
    assert [decode_binary(data, CHAR) for data in (b"r", b"\0")] == ["r", ""]
    with pytest.raises(ValueFormatError):
        decode_binary(b"", CHAR)


def test_data_row_bytes() -> None:
    columns = (OutputColumn(INT4, False), OutputColumn(TEXT, False), OutputColumn(BOOL, True))
    row = encode_data_row((12, None, 1), columns)
    assert row == (
        b"D" + struct.pack(">ih", 4 + 2 + 4 + 2 + 4 + 4 + 1, 3)
        + struct.pack(">i", 2) + b"12" + struct.pack(">i", -1) + struct.pack(">i", 1) + b"\x01"
    )  # fmt: skip


@given(st.lists(st.tuples(INT64 | st.none(), STRINGS | st.none(), FLOATS), max_size=5))
def test_data_rows_are_one_message_per_row(rows: list[tuple[Value, ...]]) -> None:
    columns = (OutputColumn(INT8, True), OutputColumn(TEXT, False), OutputColumn(FLOAT8, False))
    data = encode_data_rows(rows, columns)
    got: list[tuple[Value, ...]] = []
    while data:
        kind, size, count = struct.unpack_from(">cih", data)
        assert (kind, count) == (b"D", 3)
        body, data = data[7 : size + 1], data[size + 1 :]
        values: list[Value] = []
        for column in columns:
            (length,) = struct.unpack_from(">i", body)
            cell, body = body[4 : 4 + max(length, 0)], body[4 + max(length, 0) :]
            decode = decode_binary if column.binary else decode_text
            values.append(None if length < 0 else decode(cell, column.oid))
        assert not body
        got.append(tuple(values))
    assert got == rows


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueFormatError, match="returns 2 columns, 1 were expected"):
        encode_data_row((1, 2), (OutputColumn(INT4, False),))


def test_a_long_cell_has_its_length() -> None:
    data = encode_data_row(("x" * 1000,), (OutputColumn(TEXT, False),))
    assert data[7:11] == struct.pack(">i", 1000)
    assert len(data) == 11 + 1000
