"""Types and the casts between them."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol import Value
from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NUMERIC,
    SMALLINT,
    TEXT,
    TYPES,
    VARCHAR,
    Type,
    cast_constant,
    check_value,
    from_text,
    integer_type,
    resolve,
    type_of_oid,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("int", INTEGER),
        ("integer", INTEGER),
        ("int4", INTEGER),
        ("int2", SMALLINT),
        ("bigint", BIGINT),
        ("bool", BOOLEAN),
        ("float", DOUBLE),
        ("float8", DOUBLE),
        ("double precision", DOUBLE),
        ("character varying", VARCHAR),
        ("text", TEXT),
    ],
)
def test_types_have_postgresqls_names(name: str, kind: Type) -> None:
    assert resolve(name, None, 1) is kind


@pytest.mark.parametrize(
    "name", ["real", "float4", "double", "string", "numeric", "uuid", "date", "char", "INT", "oid"]
)
def test_another_type_is_refused_and_the_supported_ones_are_named(name: str) -> None:
    with pytest.raises(NotSupported) as error:
        resolve(name, None, 7)
    assert error.value.position == 7
    assert "double precision" in error.value.hint


def test_a_length_is_refused_as_sqlite_would_not_keep_it() -> None:
    with pytest.raises(NotSupported, match=r"varchar\(10\)"):
        resolve("varchar", "10", 1)


def test_declared_types() -> None:
    assert type_of_oid(0, 1) is None
    assert type_of_oid(705, 1) is None
    assert type_of_oid(23, 1) is INTEGER
    with pytest.raises(NotSupported, match=r"\$2 has a type \(OID 1700\)"):
        type_of_oid(1700, 2)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, INTEGER),
        (2147483647, INTEGER),
        (-2147483648, INTEGER),
        (2147483648, BIGINT),
        (-(1 << 63), BIGINT),
        (1 << 63, NUMERIC),
    ],
)
def test_an_integer_literal_has_the_smallest_type(value: int, kind: Type) -> None:
    assert integer_type(value) is kind


@pytest.mark.parametrize(
    ("value", "source", "target", "result"),
    [
        (Decimal("1.5"), NUMERIC, INTEGER, 2),
        (Decimal("2.5"), NUMERIC, INTEGER, 3),
        (Decimal("-2.5"), NUMERIC, INTEGER, -3),
        (2.5, DOUBLE, INTEGER, 2),
        (3.5, DOUBLE, INTEGER, 4),
        (-2.5, DOUBLE, BIGINT, -2),
        (Decimal("0.1"), NUMERIC, DOUBLE, 0.1),
        (9007199254740993, BIGINT, DOUBLE, 9007199254740992.0),
        (5, INTEGER, TEXT, "5"),
        (True, BOOLEAN, TEXT, "true"),
        (1e20, DOUBLE, TEXT, "1e+20"),
        (" 7 ", TEXT, SMALLINT, 7),
        ("yes", TEXT, BOOLEAN, True),
        (0, INTEGER, BOOLEAN, False),
        (7, INTEGER, BOOLEAN, True),
        (True, BOOLEAN, INTEGER, 1),
        (None, INTEGER, TEXT, None),
        ("x", TEXT, VARCHAR, "x"),
    ],
)
def test_casts_round_and_read_as_postgresql_does(
    value: Value | Decimal, source: Type, target: Type, result: Value
) -> None:
    found = cast_constant(value, source, target)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("value", "source", "target", "sqlstate"),
    [
        (40000, INTEGER, SMALLINT, "22003"),
        (Decimal("1e999999"), NUMERIC, BIGINT, "22003"),
        (Decimal("1e400"), NUMERIC, DOUBLE, "22003"),
        (Decimal("1e-400"), NUMERIC, DOUBLE, "22003"),
        (math.inf, DOUBLE, INTEGER, "22003"),
        (1e300, DOUBLE, BIGINT, "22003"),
        ("x", TEXT, INTEGER, "22P02"),
        ("1.5", TEXT, INTEGER, "22P02"),
        ("nan", TEXT, DOUBLE, "0A000"),
        (True, BOOLEAN, BIGINT, "42846"),
        (None, BOOLEAN, BIGINT, "42846"),
        (1.0, DOUBLE, BOOLEAN, "42846"),
        (Decimal("1.5"), NUMERIC, TEXT, "0A000"),
    ],
)
def test_casts_that_do_not_exist_or_do_not_fit(
    value: Value | Decimal, source: Type, target: Type, sqlstate: str
) -> None:
    with pytest.raises(RouterError) as error:
        cast_constant(value, source, target)
    assert error.value.sqlstate == sqlstate


def test_an_error_in_a_literal_tells_its_place() -> None:
    with pytest.raises(StatementError) as error:
        from_text("five", INTEGER, 12)
    assert (error.value.sqlstate, error.value.position) == ("22P02", 12)


@given(st.sampled_from(sorted(TYPES)), st.data())
def test_a_checked_argument_is_unchanged_by_a_second_check(name: str, data: st.DataObject) -> None:
    kind = TYPES[name]
    value: Value = data.draw(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=3)
        )
    )
    try:
        checked = check_value(value, kind, 1)
    except RouterError:
        return
    assert checked == value
    assert check_value(checked, kind, 1) == checked
