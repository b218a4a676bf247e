"""The table of messages: what goes out comes back, and PostgreSQL's own bytes are met."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardrouter.pgwire import messages as m

text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
int16 = st.integers(-(1 << 15), (1 << 15) - 1)
int32 = st.integers(-(1 << 31), (1 << 31) - 1)
oids = st.lists(st.integers(0, (1 << 32) - 1), max_size=5).map(tuple)
formats = st.lists(int16, max_size=5).map(tuple)
values = st.lists(st.none() | st.binary(max_size=20), max_size=5).map(tuple)
position = st.integers(0, 1 << 20)
reports = st.builds(
    m.Report,
    *[text] * 5,
    *(position, position),
    *[text] * 10,
)
fields = st.builds(
    m.Field, text, st.integers(0, 99), int16, st.integers(0, 99), int16, int32, int16
)

EVERY: dict[type[Any], st.SearchStrategy[Any]] = {
    m.Query: st.builds(m.Query, text),
    m.Parse: st.builds(m.Parse, text, text, oids),
    m.Bind: st.builds(m.Bind, text, text, formats, values, formats),
    m.Describe: st.builds(m.Describe, st.sampled_from(m.Target), text),
    m.Execute: st.builds(m.Execute, text, int32),
    m.Close: st.builds(m.Close, st.sampled_from(m.Target), text),
    m.SASLInitialResponse: st.builds(m.SASLInitialResponse, text, st.none() | st.binary()),
    m.SASLResponse: st.builds(m.SASLResponse, st.binary()),
    m.FunctionCall: st.builds(m.FunctionCall, st.binary()),
    m.CopyData: st.builds(m.CopyData, st.binary()),
    m.CopyFail: st.builds(m.CopyFail, text),
    m.Authentication: st.builds(m.Authentication, int32, st.binary()),
    m.ParameterStatus: st.builds(m.ParameterStatus, text, text),
    m.BackendKeyData: st.builds(m.BackendKeyData, int32, st.binary()),
    m.NegotiateProtocolVersion: st.builds(
        m.NegotiateProtocolVersion, int32, st.lists(text, max_size=3).map(tuple)
    ),
    m.ReadyForQuery: st.builds(m.ReadyForQuery, st.sampled_from("ITE")),
    m.RowDescription: st.builds(m.RowDescription, st.lists(fields, max_size=4).map(tuple)),
    m.ParameterDescription: st.builds(m.ParameterDescription, oids),
    m.DataRow: st.builds(m.DataRow, values),
    m.CommandComplete: st.builds(m.CommandComplete, text),
    m.ErrorResponse: st.builds(m.ErrorResponse, reports),
    m.NoticeResponse: st.builds(m.NoticeResponse, reports),
    m.NotificationResponse: st.builds(m.NotificationResponse, int32, text, text),
    m.CopyInResponse: st.builds(m.CopyInResponse, st.integers(0, 255), formats),
    m.CopyOutResponse: st.builds(m.CopyOutResponse, st.integers(0, 255), formats),
}
TABLE = (*m.LAYOUTS, m.SASL_INITIAL)
BARE = [layout.type for layout in m.LAYOUTS if not layout.kinds]

STARTUP = st.one_of(
    st.just(m.SSLRequest()),
    st.just(m.GSSENCRequest()),
    st.builds(m.CancelRequest, int32, st.binary(max_size=32)),
    st.builds(
        m.StartupMessage,
        st.just(3),
        st.integers(0, 3),
        st.lists(st.tuples(text.filter(bool), text), max_size=4).map(tuple),
    ),
)


def test_every_message_of_the_table_is_tested_here() -> None:
    assert {layout.type for layout in TABLE} == {*EVERY, *BARE}


@given(st.one_of(*EVERY.values(), *(st.builds(kind) for kind in BARE)))
def test_a_message_comes_back_as_it_went(message: Any) -> None:
    data = m.encode(message)
    (layout,) = (layout for layout in TABLE if layout.type is type(message))
    assert data[:1] == layout.tag
    assert int.from_bytes(data[1:5]) == len(data) - 1
    assert m.decode(layout, data[5:]) == message


@given(STARTUP)
def test_a_packet_before_the_greeting_comes_back_as_it_went(packet: m.StartupPacket) -> None:
    data = m.encode(packet)
    assert int.from_bytes(data[:4]) == len(data)
    assert m.decode_startup(data[4:]) == packet


@pytest.mark.parametrize("direction", [m.FRONTEND, m.BACKEND])
def test_a_tag_means_one_message_in_one_direction(direction: dict[int, m.Layout]) -> None:
    both = [x for x in m.LAYOUTS if x in direction.values()]
    assert len(both) == len(direction)
    assert {x.tag[0] for x in both} == set(direction)


# Laid out by hand from chapter 55.7, not by the code under test.
BYTES: list[tuple[bytes, Any]] = [
    (b"Q\x00\x00\x00\x0eSELECT 1;\x00", m.Query("SELECT 1;")),
    (
        b"P\x00\x00\x00\x1cs1\x00SELECT $1::int\x00\x00\x01\x00\x00\x00\x17",
        m.Parse("s1", "SELECT $1::int", (23,)),
    ),
    (
        b"B\0\0\0\x1a\0s1\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\x01\0\x01",
        m.Bind("", "s1", (1,), (b"\0\0\0\x07",), (1,)),
    ),
    (b"E\x00\x00\x00\t\x00\x00\x00\x00\x00", m.Execute("", 0)),
    (b"D\x00\x00\x00\x08Ss1\x00", m.Describe(m.Target.STATEMENT, "s1")),
    (b"S\x00\x00\x00\x04", m.Sync()),
    (b"Z\x00\x00\x00\x05I", m.ReadyForQuery("I")),
    (b"C\x00\x00\x00\rSELECT 1\x00", m.CommandComplete("SELECT 1")),
    (
        b"T\0\0\0!\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
        m.RowDescription((m.Field("?column?", 0, 0, 23, 4, -1, 0),)),
    ),
    (
        b"D\x00\x00\x00\x0f\x00\x02\x00\x00\x00\x011\xff\xff\xff\xff",
        m.DataRow((b"1", None)),
    ),
    (
        b"\x00\x00\x00\x1b\x00\x03\x00\x00user\x00u\x00database\x00d\x00\x00"[: -0 or None],
        m.StartupMessage(3, 0, (("user", "u"), ("database", "d"))),
    ),
    (b"\x00\x00\x00\x08\x04\xd2\x16/", m.SSLRequest()),
    (
        b"\x00\x00\x00\x10\x04\xd2\x16.\x00\x00\x00\x05\x00\x00\x00\x06",
        m.CancelRequest(5, b"\0\0\0\x06"),
    ),
]


@pytest.mark.parametrize(("data", "message"), BYTES)
def test_bytes_are_those_of_postgresql(data: bytes, message: Any) -> None:
    assert m.encode(message) == data


@pytest.mark.parametrize(
    ("tag", "body", "sqlstate"),
    [
        (b"Q", b"SELECT 1", "08P01"),  # no end of string
        (b"Q", b"SELECT 1\0more", "08P01"),  # something behind
        (b"Q", b"\xff\xfe\0", "22021"),  # not UTF-8
        (b"P", b"\0SELECT 1\0\0\x02\0\0\0\x17", "08P01"),  # two types announced, one there
        (b"B", b"\0\0\0\0\0\x01\0\0\0\x05ab", "08P01"),  # a value that ends too early
        (b"B", b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "08P01"),  # length -2
        (b"B", b"\0\0\0\0\xff\xff", "54000"),  # more values than any statement may have
        (b"D", b"X\0", "08P01"),  # neither statement nor portal
        (b"D", b"", "08P01"),
        (b"S", b"x", "08P01"),
    ],
)
def test_contents_that_are_not_the_message_are_refused(
    tag: bytes, body: bytes, sqlstate: str
) -> None:
    with pytest.raises(m.MessageError) as refused:
        m.decode(m.FRONTEND[tag[0]], body)
    assert refused.value.sqlstate == sqlstate


@given(st.sampled_from([x for x in m.LAYOUTS if x in m.FRONTEND.values()]), st.binary())
def test_any_contents_are_a_message_or_refused(layout: m.Layout, body: bytes) -> None:
    with contextlib.suppress(m.MessageError):
        assert type(m.decode(layout, body)) is layout.type


def test_a_text_from_elsewhere_cannot_end_a_field_of_an_error_early() -> None:
    report = m.Report("ERROR", "XX000", 'near "a\0b\udc80": syntax error')
    data = m.encode(m.ErrorResponse(report))
    back = m.decode(m.BACKEND[ord("E")], data[5:])
    assert back.report.message == 'near "ab?": syntax error'
