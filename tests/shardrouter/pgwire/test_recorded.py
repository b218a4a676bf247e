"""Conversations with a real PostgreSQL 15 (see record_postgresql): every message of them is read,
and written again with the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardrouter.pgwire import Connection, Event, State
from shardrouter.pgwire import messages as m

RECORDED = Path(__file__).parents[2] / "testdata" / "wire" / "postgresql-15.jsonl"
TALKS = {talk["name"]: talk for talk in map(json.loads, RECORDED.read_text().splitlines())}


def split(stream: bytes) -> list[tuple[m.Layout, bytes]]:
    found = []
    while stream:
        size = 1 + int.from_bytes(stream[1:5])
        found.append((m.BACKEND[stream[0]], stream[:size]))
        stream = stream[size:]
    return found


@pytest.mark.parametrize("name", TALKS)
def test_what_postgresql_says_is_read_and_written_alike(name: str) -> None:
    for layout, data in split(bytes.fromhex(TALKS[name]["heard"])):
        message = m.decode(layout, data[5:])
        assert m.encode(message) == data, message


def test_every_message_of_a_server_was_heard() -> None:
    heard = {
        layout.type for talk in TALKS.values() for layout, _ in split(bytes.fromhex(talk["heard"]))
    }
    assert {layout.type for layout in m.BACKEND.values()} == heard


def test_what_an_error_is_about_is_read() -> None:
    duplicate, null = [
        m.decode(layout, data[5:]).report
        for layout, data in split(bytes.fromhex(TALKS["constraint"]["heard"]))
        if layout.type is m.ErrorResponse
    ]
    assert (duplicate.sqlstate, duplicate.constraint, duplicate.table) == ("23505", "u_pkey", "u")
    assert (null.sqlstate, null.column, null.table) == ("23502", "b", "u")
    [inner] = [
        m.decode(layout, data[5:]).report
        for layout, data in split(bytes.fromhex(TALKS["internal"]["heard"]))
        if layout.type is m.ErrorResponse
    ]
    assert (inner.internal_query, inner.internal_position) == ("SELEC 1", 1)
    assert inner.routine


def test_the_version_is_negotiated_as_by_postgresql() -> None:
    connection = Connection()
    connection.receive_data(bytes.fromhex(TALKS["newer"]["said"][0]))
    connection.next_event()
    [(layout, data), *_] = split(bytes.fromhex(TALKS["newer"]["heard"]))
    theirs = m.decode(layout, data[5:])
    ours = split(connection.data_to_send())[0][1]
    assert m.decode(m.BACKEND[ours[0]], ours[5:]) == m.NegotiateProtocolVersion(
        3 << 16 | 2, theirs.unknown
    )


# A message of each kind that a client sends, by the byte.
SAID: list[m.FrontendMessage] = [
    m.Query("SELECT 'é'"),
    m.Parse("s", "SELECT $1", (23, 0)),
    m.Bind("p", "s", (1,), (b"\0\0\0\x01", None, b""), (0, 1)),
    m.Describe(m.Target.STATEMENT, "s"),
    m.Execute("p", 7),
    m.Close(m.Target.PORTAL, "p"),
    m.Flush(),
    m.Sync(),
    m.FunctionCall(b"\0\0\0\x01"),
    m.Terminate(),
    m.CopyData(b"1\t2\n"),
    m.CopyDone(),
    m.CopyFail("no"),
    m.SASLResponse(b"c=biws,r=x,p=y"),
]
IGNORED = (m.CopyData, m.CopyDone, m.CopyFail)  # outside of COPY


def test_there_is_one_of_each_kind() -> None:
    assert {type(message) for message in SAID} == {x.type for x in m.FRONTEND.values()}


@pytest.mark.parametrize("message", SAID, ids=lambda message: type(message).__name__)
def test_a_message_by_the_byte_is_heard_with_its_last(message: m.FrontendMessage) -> None:
    connection = Connection()
    start = m.StartupMessage(3, 0, (("user", "u"),))
    for byte in m.encode(start):
        assert connection.state is State.STARTUP
        connection.receive_data(bytes([byte]))
        heard: Event | None = connection.next_event()
    assert heard == start
    if isinstance(message, m.SASLResponse):
        connection.ask_sasl(["SCRAM-SHA-256"])
        connection.receive_data(m.encode(m.SASLInitialResponse("SCRAM-SHA-256", None)))
        connection.next_event()
        connection.continue_sasl(b"")
    else:
        connection.greet({}, pid=1, key=b"abcd")
    data = m.encode(message)
    for byte in data[:-1]:
        connection.receive_data(bytes([byte]))
        assert connection.next_event() is None
    connection.receive_data(data[-1:])
    heard = connection.next_event()
    assert heard is None if isinstance(message, IGNORED) else heard == message
    assert connection.buffered == 0
