"""The state machine of one connection, fed whole, by the byte, and with garbage."""

from __future__ import annotations

import pytest

from shardrouter.pgwire import Connection, Event, ProtocolError, State, Status
from shardrouter.pgwire import messages as m

START = m.StartupMessage(3, 0, (("user", "u"),))
REPORT = m.Report("ERROR", "42601", "syntax error")


def answers(data: bytes) -> list[object]:
    """The server's messages in `data`."""
    found: list[object] = []
    while data:
        size = 1 + int.from_bytes(data[1:5])
        found.append(m.decode(m.BACKEND[data[0]], data[5:size]))
        data = data[size:]
    return found


def greeted() -> Connection:
    connection = Connection()
    connection.receive_data(m.encode(START))
    assert connection.next_event() == START
    connection.greet({}, pid=1, key=b"abcd")
    connection.data_to_send()
    return connection


def said(*messages: m.FrontendMessage) -> bytes:
    return b"".join(map(m.encode, messages))


def events(connection: Connection) -> list[Event]:
    found = []
    while (event := connection.next_event()) is not None:
        found.append(event)
    return found


PIPELINE = (
    m.Parse("s", "SELECT $1", (23,)),
    m.Bind("", "s", (1,), (b"\0\0\0\x01", None), ()),
    m.Describe(m.Target.PORTAL, ""),
    m.Execute("", 0),
    m.Close(m.Target.STATEMENT, "s"),
    m.Flush(),
    m.Sync(),
    m.Query("SELECT 'é'"),
    m.FunctionCall(b"?"),
    m.Terminate(),
)


def test_greeting() -> None:
    connection = Connection()
    connection.receive_data(m.encode(START))
    assert connection.next_event() == START
    assert connection.state is State.GREETING
    connection.greet({"server_version": "15.0", "TimeZone": "UTC"}, pid=7, key=b"9876")
    assert answers(connection.data_to_send()) == [
        m.Authentication(0),
        m.ParameterStatus("server_version", "15.0"),
        m.ParameterStatus("TimeZone", "UTC"),
        m.BackendKeyData(7, b"9876"),
        m.ReadyForQuery("I"),
    ]
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_every_message_arrives_however_the_stream_is_cut(size: int) -> None:
    connection = Connection()
    stream = m.encode(START) + said(*PIPELINE)
    found: list[Event] = []
    for at in range(0, len(stream), size):
        connection.receive_data(stream[at : at + size])
        while (event := connection.next_event()) is not None:
            found.append(event)
            if isinstance(event, m.StartupMessage):
                connection.greet({}, pid=1, key=b"abcd")
    assert found == [START, *PIPELINE]
    assert connection.state is State.CLOSED
    assert connection.buffered == 0


def test_nothing_is_read_before_the_greeting_is_answered() -> None:
    connection = Connection()
    connection.receive_data(m.encode(START) + said(m.Query("a")))
    assert events(connection) == [START]
    connection.greet({}, pid=1, key=b"abcd")
    assert events(connection) == [m.Query("a")]


def test_encryption_is_refused_and_plain_text_goes_on() -> None:
    connection = Connection()
    connection.receive_data(
        m.encode(m.GSSENCRequest()) + m.encode(m.SSLRequest()) + m.encode(START)
    )
    assert connection.next_event() == m.GSSENCRequest()
    connection.refuse_encryption()
    assert connection.next_event() == m.SSLRequest()
    connection.refuse_encryption()
    assert connection.data_to_send() == b"NN"
    assert connection.next_event() == START


def test_encryption_is_asked_for_once() -> None:
    connection = Connection()
    connection.receive_data(m.encode(m.SSLRequest()) * 2)
    connection.next_event()
    with pytest.raises(ProtocolError) as refused:
        connection.next_event()
    assert refused.value.fatal
    assert connection.state is State.CLOSED


def test_cancel_request_is_all_its_connection_says() -> None:
    connection = Connection()
    connection.receive_data(m.encode(m.CancelRequest(1, b"abcd")) + b"garbage")
    assert events(connection) == [m.CancelRequest(1, b"abcd")]
    assert connection.state is State.CLOSED


@pytest.mark.parametrize(
    ("startup", "minor", "unknown"),
    [
        (m.StartupMessage(3, 3, (("user", "u"),)), 2, ()),
        (m.StartupMessage(3, 2, (("_pq_.x", "1"), ("user", "u"))), 2, ("_pq_.x",)),
        (m.StartupMessage(3, 0, (("_pq_.x", "1"), ("user", "u"))), 0, ("_pq_.x",)),
    ],
)
def test_a_newer_minor_version_is_negotiated_down(
    startup: m.StartupMessage, minor: int, unknown: tuple[str, ...]
) -> None:
    connection = Connection()
    connection.receive_data(m.encode(startup))
    assert connection.next_event() == startup
    connection.greet({}, pid=1, key=b"abcd")
    first, second, *_ = answers(connection.data_to_send())
    assert first == m.NegotiateProtocolVersion(3 << 16 | minor, unknown)
    assert second == m.Authentication(0)


@pytest.mark.parametrize(("minor", "key_bytes"), [(0, 4), (1, 4), (2, 32), (3, 32)])
def test_a_cancel_key_is_as_long_as_the_version_allows(minor: int, key_bytes: int) -> None:
    connection = Connection()
    connection.receive_data(m.encode(m.StartupMessage(3, minor, (("user", "u"),))))
    connection.next_event()
    assert connection.key_bytes == key_bytes


def test_bytes_sent_before_encryption_was_granted_are_refused() -> None:
    connection = Connection()
    connection.receive_data(m.encode(m.SSLRequest()) + m.encode(START))
    assert connection.next_event() == m.SSLRequest()
    with pytest.raises(ProtocolError, match="unencrypted data after SSL request") as refused:
        connection.accept_encryption()
    assert refused.value.fatal
    assert connection.data_to_send() == b""
    assert connection.state is State.CLOSED


def test_inside_encryption_the_client_says_who_it_is() -> None:
    connection = Connection()
    connection.receive_data(m.encode(m.SSLRequest()))
    assert connection.next_event() == m.SSLRequest()
    connection.accept_encryption()
    assert connection.data_to_send() == b"S"
    connection.receive_data(m.encode(START))
    assert connection.next_event() == START


def test_encryption_inside_encryption_is_refused() -> None:
    connection = Connection()
    connection.receive_data(m.encode(m.SSLRequest()))
    connection.next_event()
    connection.accept_encryption()
    connection.receive_data(m.encode(m.GSSENCRequest()))
    with pytest.raises(ProtocolError):
        connection.next_event()


def test_sasl_takes_turns() -> None:
    connection = Connection()
    first, second = m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=x"), m.SASLResponse(b"c=,r=")
    connection.receive_data(m.encode(START) + said(first, second, m.Query("SELECT 1")))
    assert connection.next_event() == START
    connection.ask_sasl(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])
    assert events(connection) == [first]
    connection.continue_sasl(b"r=xy,s=,i=4096")
    assert events(connection) == [second]
    connection.end_sasl(b"v=")
    connection.greet({}, pid=1, key=b"abcd")
    assert answers(connection.data_to_send()) == [
        m.Authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
        m.Authentication(11, b"r=xy,s=,i=4096"),
        m.Authentication(12, b"v="),
        m.Authentication(0),
        m.BackendKeyData(1, b"abcd"),
        m.ReadyForQuery("I"),
    ]
    assert events(connection) == [m.Query("SELECT 1")]


@pytest.mark.parametrize(
    "data",
    [
        said(m.Query("SELECT 1")),
        b"?\0\0\0\4",
        b"p\0\0\0\x08SCRA",  # a mechanism without an end
        b"p\0\0\x27\x11",  # of 10 001 bytes
    ],
)
def test_who_does_not_answer_the_demand_for_sasl_is_not_heard(data: bytes) -> None:
    connection = Connection()
    connection.receive_data(m.encode(START))
    connection.next_event()
    connection.ask_sasl(["SCRAM-SHA-256"])
    connection.receive_data(data)
    with pytest.raises(ProtocolError) as refused:
        connection.next_event()
    assert (refused.value.sqlstate, refused.value.fatal) == ("08P01", True)
    assert connection.state is State.CLOSED


@pytest.mark.parametrize("status", ["I", "T", "E"])
def test_ready_says_how_the_session_stands(status: Status) -> None:
    connection = greeted()
    connection.ready(status)
    connection.receive_data(said(m.Query("x")))
    connection.next_event()
    connection.fail(REPORT, status)
    assert answers(connection.data_to_send()) == [
        m.ReadyForQuery(status),
        m.ErrorResponse(REPORT),
        m.ReadyForQuery(status),
    ]


@pytest.mark.parametrize(
    ("data", "sqlstate"),
    [
        (m.encode(m.StartupMessage(2, 0, ())), "0A000"),
        (m.encode(m.StartupMessage(4, 0, ())), "0A000"),
        (b"GET / HTTP/1.1\r\n\r\n", "08P01"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "08P01"),  # TLS without asking
        (b"\0\0\0\x07abc", "08P01"),
        (b"\0\0\x27\x11\0\3\0\0", "08P01"),  # 10 001 bytes
        (b"\0\0\0\x0d\0\3\0\0user\0", "08P01"),  # a name without a value
        (b"\0\0\0\x0f\0\3\0\0\0more\0\0", "08P01"),
        (b"\0\0\0\x0a\x04\xd2\x16\x2f\0\0", "08P01"),  # SSLRequest with contents
    ],
)
def test_a_first_packet_that_is_not_postgresql_ends_the_connection(
    data: bytes, sqlstate: str
) -> None:
    connection = Connection()
    connection.receive_data(data)
    with pytest.raises(ProtocolError) as refused:
        connection.next_event()
    assert (refused.value.sqlstate, refused.value.fatal) == (sqlstate, True)
    assert connection.state is State.CLOSED
    connection.receive_data(b"more")
    assert connection.next_event() is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00\x04",
        b"!\x00\x00\x00\x04",
        b"p\x00\x00\x00\x06a\x00",  # a password nobody asked for
        b"Q\x00\x00\x00\x03",
        b"Q\x7f\xff\xff\xff",  # longer than PostgreSQL would take
        b"S\x00\x00\x27\x11",  # a Sync of 10 001 bytes
    ],
)
def test_a_stream_that_lost_its_message_borders_ends_the_connection(data: bytes) -> None:
    connection = greeted()
    connection.receive_data(data)
    with pytest.raises(ProtocolError) as refused:
        connection.next_event()
    assert (refused.value.sqlstate, refused.value.fatal) == ("08P01", True)
    assert connection.state is State.CLOSED


def test_after_an_error_the_extended_protocol_skips_to_sync() -> None:
    connection = greeted()
    connection.receive_data(said(*PIPELINE[:2]))
    assert connection.next_event() == PIPELINE[0]
    connection.fail(REPORT)
    assert connection.state is State.SKIPPING
    assert connection.next_event() is None
    connection.receive_data(said(m.Query("skipped too"), *PIPELINE[2:]))
    assert connection.next_event() == m.Sync()
    connection.ready()
    assert answers(connection.data_to_send()) == [m.ErrorResponse(REPORT), m.ReadyForQuery("I")]
    assert connection.next_event() == m.Query("SELECT 'é'")


def test_after_an_error_a_query_or_sync_is_ready_at_once() -> None:
    for message in (m.Query("x"), m.Sync(), m.FunctionCall(b"")):
        connection = greeted()
        connection.receive_data(said(message, m.Query("y")))
        connection.next_event()
        connection.fail(REPORT)
        assert answers(connection.data_to_send()) == [
            m.ErrorResponse(REPORT),
            m.ReadyForQuery("I"),
        ]
        assert connection.next_event() == m.Query("y")


def test_terminate_is_heard_while_skipping() -> None:
    connection = greeted()
    connection.receive_data(said(m.Execute("", 0), m.Terminate()))
    connection.next_event()
    connection.fail(REPORT)
    assert connection.next_event() == m.Terminate()
    assert connection.state is State.CLOSED


def test_a_message_with_wrong_contents_is_refused_and_the_connection_goes_on() -> None:
    connection = greeted()
    connection.receive_data(b"B\0\0\0\x05x" + said(m.Sync(), m.Query("y")))
    with pytest.raises(ProtocolError) as refused:
        connection.next_event()
    assert not refused.value.fatal
    connection.fail(REPORT)
    assert connection.state is State.SKIPPING
    assert events(connection) == [m.Sync(), m.Query("y")]


def test_copy_messages_outside_of_copy_are_ignored() -> None:
    connection = greeted()
    connection.receive_data(said(m.CopyData(b"1\n"), m.CopyDone(), m.CopyFail("no"), m.Sync()))
    assert events(connection) == [m.Sync()]


@pytest.mark.parametrize("tag", [b"Q", b"B"])
def test_an_oversized_message_is_read_past_without_being_kept(tag: bytes) -> None:
    connection = greeted()
    size = m.LARGE_BYTES_MAX + 1
    connection.receive_data(tag + size.to_bytes(4))
    left = size - 4
    piece = bytes(1 << 20)
    while left > len(piece):
        connection.receive_data(piece)
        assert connection.next_event() is None
        assert connection.buffered == 0
        left -= len(piece)
    connection.receive_data(bytes(left) + said(m.Sync()))
    with pytest.raises(ProtocolError) as refused:
        connection.next_event()
    assert (refused.value.sqlstate, refused.value.fatal) == ("54000", False)
    connection.fail(REPORT)
    assert events(connection) == [m.Sync()]


def test_a_large_message_in_many_pieces_is_joined_once() -> None:
    connection = greeted()
    query = m.Query("x" * (1 << 20))
    data = m.encode(query)
    for at in range(0, len(data), 1000):
        assert connection.next_event() is None
        connection.receive_data(data[at : at + 1000])
    assert connection.buffered == len(data)
    assert connection.next_event() == query
    assert connection.buffered == 0
