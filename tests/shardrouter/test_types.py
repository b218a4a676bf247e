"""Types and the casts between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.pgtypes import strings
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
    check_value,
    from_text,
    integer_type,
    resolve,
    shown,
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
    assert resolve(name, (), 1) == (kind, -1)


@pytest.mark.parametrize(("name", "sqlstate"), [("money", "0A000"), ("string", "42704")])
def test_another_type_is_refused_and_the_supported_ones_are_named(name: str, sqlstate: str) -> None:
    with pytest.raises(RouterError) as error:
        resolve(name, (), 7)
    assert (error.value.sqlstate, error.value.position) == (sqlstate, 7)
    assert "double precision" in error.value.hint


@pytest.mark.parametrize(
    ("name", "modifiers", "modifier", "as_shown"),
    [
        ("varchar", ("10",), 14, "character varying(10)"),
        ("numeric", ("8", "2"), 524294, "numeric(8,2)"),
        ("numeric", ("3",), 196612, "numeric(3,0)"),
        ("numeric", ("3", "-2"), 198658, "numeric(3,-2)"),
        ("float", ("53",), -1, "double precision"),
    ],
)
def test_a_modifier_is_postgresqls_atttypmod(
    name: str, modifiers: tuple[str, ...], modifier: int, as_shown: str
) -> None:
    kind, found = resolve(name, modifiers, 1)
    assert (found, shown(kind, found)) == (modifier, as_shown)


@pytest.mark.parametrize(
    ("name", "modifiers", "sqlstate", "message"),
    [
        ("varchar", ("0",), "22023", "length for type varchar must be at least 1"),
        ("varchar", ("10485761",), "22023", "length for type varchar cannot exceed 10485760"),
        ("varchar", ("1", "2"), "22023", "invalid type modifier"),
        ("numeric", ("0",), "22023", "NUMERIC precision 0 must be between 1 and 1000"),
        ("numeric", ("5", "1001"), "22023", "NUMERIC scale 1001 must be between -1000 and 1000"),
        ("numeric", ("1", "1", "1"), "22023", "invalid NUMERIC type modifier"),
        ("int", ("4",), "42601", 'type modifier is not allowed for type "int4"'),
        ("float", ("54",), "22023", "precision for type float must be less than 54 bits"),
        ("text", ("'a'",), "42601", "type modifiers must be simple constants or identifiers"),
    ],
)
def test_modifiers_that_postgresql_refuses(
    name: str, modifiers: tuple[str, ...], sqlstate: str, message: str
) -> None:
    with pytest.raises(StatementError) as error:
        resolve(name, modifiers, 1)
    assert (error.value.sqlstate, error.value.message) == (sqlstate, message)


def test_declared_types() -> None:
    assert type_of_oid(0, 1) is None
    assert type_of_oid(705, 1) is None
    assert type_of_oid(23, 1) is INTEGER
    with pytest.raises(NotSupported, match=r"\$2 has a type \(OID 790\)"):
        type_of_oid(790, 2)


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


@pytest.mark.parametrize(
    ("text", "upper", "lower"),
    [
        ("äßẞ", "Äßẞ", "äßß"),
        ("\u0130\u0131", "\u0130I", "i\u0131"),
        ("ᾀﬁǆ", "ᾈﬁǄ", "ᾀﬁǆ"),
        ("\u0391\u03a3", "\u0391\u03a3", "\u03b1\u03c3"),
        ("Az", "AZ", "az"),
    ],
)
def test_cases_change_character_by_character_as_in_c_utf8(
    text: str, upper: str, lower: str
) -> None:
    assert (strings.upper(text), strings.lower(text)) == (upper, lower)
