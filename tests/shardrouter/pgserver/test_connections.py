"""Connections as such: how they begin, end, are refused, and are kept within bounds."""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import Any

import pytest

from nodes.config import Address
from shardrouter.pgserver import PgServer, client, server
from shardrouter.pgserver.client import READ_BUFFER_MAX, WRITE_BUFFER_MAX, Client
from shardrouter.pgwire import messages as m
from shardrouter.router_port import WORKER_SHIFT, ListenError
from tests.shardrouter.pgserver.conftest import CREATE
from tests.shardrouter.pgserver.memory_session import Database
from tests.shardrouter.pgserver.wire_client import START, WireClient, kinds, sqlstates, texts

# ----------------------------------------------------------------- a socket in the hand


class Transport(asyncio.Transport):
    """Keeps what is written until the test reads it, as a socket whose peer is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.client: Client
        self.unread = bytearray()
        self.limit = 0
        self.reading = True
        self.resumed = asyncio.Event()
        self.closing = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.limit = high

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.unread += data
        if len(self.unread) > self.limit:
            self.client.pause_writing()

    def read(self) -> bytes:
        data = bytes(self.unread)
        self.unread.clear()
        self.client.resume_writing()
        return data

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True
        self.resumed.set()

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.client.connection_lost, None)

    abort = close


async def settled() -> None:
    """Let callbacks that are due run, and those that they make due."""
    for _ in range(20):
        await asyncio.sleep(0)


async def attached(server: PgServer) -> tuple[Client, Transport]:
    transport = Transport()
    transport.client = server.accept()
    transport.client.connection_made(transport)
    transport.client.data_received(m.encode(START))
    await settled()
    transport.read()
    return transport.client, transport


# ------------------------------------------------------------------------------ greeting


async def test_a_client_is_greeted_with_what_drivers_look_at(address: Address) -> None:
    async with WireClient(address) as client:
        told = await client.start(application_name="test")
    assert told["server_version"].startswith("15.")
    assert (
        told.items()
        >= {
            "application_name": "test",
            "client_encoding": "UTF8",
            "DateStyle": "ISO, MDY",
            "in_hot_standby": "off",
            "integer_datetimes": "on",
            "standard_conforming_strings": "on",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
        }.items()
    )


async def test_settings_of_the_startup_hold(address: Address) -> None:
    async with WireClient(address) as client:
        await client.start(
            options="-c statement_timeout=500ms --application-name=a\\ b", client_encoding="utf-8"
        )
        assert texts(await client.query("SHOW statement_timeout")) == [(b"500ms",)]
        assert texts(await client.query("SHOW application_name")) == [(b"a b",)]


@pytest.mark.parametrize(
    ("parameters", "sqlstate"),
    [
        ({"nosuch_setting": "1"}, "42704"),
        ({"options": "-c nosuch_setting=1"}, "42704"),
        ({"statement_timeout": "soon"}, "22023"),
        ({"client_encoding": "LATIN1"}, "22023"),
        ({"a = 1; DROP TABLE t; --": "1"}, "42704"),
        ({"replication": "true"}, "0A000"),
    ],
)
async def test_what_cannot_be_had_is_a_fatal_error(
    address: Address, parameters: dict[str, str], sqlstate: str
) -> None:
    async with WireClient(address) as client:
        client.send(
            m.StartupMessage(
                3, 0, (("user", "u"), ("database", "shardrouter"), *parameters.items())
            )
        )
        error, end = await client.receive(), await client.receive()
        assert (error.report.severity, error.report.sqlstate) == ("FATAL", sqlstate)
        assert end is None


async def test_encryption_is_refused_also_with_the_startup_right_behind(address: Address) -> None:
    async with WireClient(address) as client:
        client.send(m.GSSENCRequest(), m.SSLRequest(), START, m.Query("SELECT 1"))
        assert await client.reader.readexactly(2) == b"NN"
        said = await client.until(m.CommandComplete)
        assert kinds(said)[0] == "Authentication"
        assert texts(said) == [(b"1",)]


async def test_a_newer_protocol_is_negotiated_down(address: Address) -> None:
    async with WireClient(address) as client:
        client.send(
            m.StartupMessage(
                3, 2, (("user", "u"), ("database", "shardrouter"), ("_pq_.command_tag", "on"))
            )
        )
        said = await client.until(m.ReadyForQuery)
        assert said[0] == m.NegotiateProtocolVersion(3 << 16 | 2, ("_pq_.command_tag",))
        assert said[-1] == m.ReadyForQuery("I")


async def test_a_cancel_request_is_read_and_closed(address: Address) -> None:
    async with WireClient(address) as client:
        client.send(m.CancelRequest(1, b"\0\0\0\1"))
        assert await client.reader.read() == b""


async def test_too_many_clients(
    address: Address, monkeypatch: pytest.MonkeyPatch, client: WireClient
) -> None:
    monkeypatch.setattr(server, "CLIENTS_MAX", 1)
    async with WireClient(address) as second:
        second.send(START)
        assert sqlstates(await second.until(m.ReadyForQuery)) == ["53300"]
    assert texts(await client.query("SELECT 1")) == [(b"1",)]


async def test_one_that_never_says_who_it_is_is_cut_off(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "STARTUP_TIMEOUT_S", 0.0)
    async with WireClient(address) as silent:
        assert await silent.receive() is None


# ------------------------------------------------------------------------------- garbage


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(range(256)) * 300,
        b"\0\0\0\x08\0\2\0\0",
    ],
)
async def test_garbage_is_refused_logged_once_and_the_server_stays_up(
    address: Address, client: WireClient, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    for _ in range(3):
        async with WireClient(address) as other:
            other.writer.write(garbage)
            error = await other.receive()
            # What is still unread when the server closes may overtake the error.
            assert error is None or error.report.severity == "FATAL"
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "127.0.0.1" in warnings[0].getMessage()
    assert texts(await client.query("SELECT 1")) == [(b"1",)]


async def test_garbage_in_a_conversation_ends_only_that_connection(
    address: Address, client: WireClient
) -> None:
    async with WireClient(address) as other:
        await other.start()
        other.writer.write(b"\xff\xff\xff\xff\xff\xff")
        error, end = await other.receive(), await other.receive()
        assert (error.report.severity, error.report.sqlstate) == ("FATAL", "08P01")
        assert end is None
    assert texts(await client.query("SELECT 1")) == [(b"1",)]


async def test_a_whole_conversation_byte_by_byte(address: Address) -> None:
    said: list[m.FrontendMessage | m.StartupPacket] = [
        *(START, m.Query(CREATE), m.Query("INSERT INTO t (id, name) VALUES (1, 'é')")),
        m.Parse("s", "SELECT name FROM t WHERE id = $1", ()),
        m.Bind("", "s", (1,), (b"\0\0\0\1",), ()),
        *(m.Describe(m.Target.PORTAL, ""), m.Execute("", 0), m.Sync(), m.Terminate()),
    ]
    async with WireClient(address) as client:
        for byte in b"".join(map(m.encode, said)):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)  # one turn of the loop: each byte arrives on its own
        answers = await client.until(type(None))
    assert texts(answers) == [("é".encode(),)]
    assert kinds(answers)[-6:] == [
        *("ParseComplete", "BindComplete", "RowDescription", "DataRow", "CommandComplete"),
        "ReadyForQuery",
    ]


# --------------------------------------------------------------------------- disconnects


@pytest.mark.parametrize("size", [3, 9, 20, 40])
async def test_half_a_message_and_gone(address: Address, database: Database, size: int) -> None:
    async with WireClient(address) as client:
        client.writer.write((m.encode(START) + m.encode(m.Query("SELECT 1")))[:size])


async def test_terminate_closes_the_session(client: WireClient, database: Database) -> None:
    assert database.sessions == 1
    client.send(m.Terminate())
    assert await client.receive() is None


async def test_the_session_of_a_client_that_leaves_in_the_middle_ends_after_its_unit(
    server: PgServer, database: Database
) -> None:
    client, transport = await attached(server)
    client.data_received(m.encode(m.Query(CREATE)))
    await settled()
    database.gate = asyncio.Event()
    insert = "INSERT INTO t (id) VALUES (1)"
    client.data_received(m.encode(m.Query(insert)) + m.encode(m.Query("SELECT 1")))
    await database.waiting.wait()
    transport.abort()
    await settled()
    assert database.sessions == 1
    database.gate.set()
    await settled()
    assert database.sessions == 0
    assert database.units[-1] == [insert]


async def test_a_client_that_leaves_in_the_middle_is_waited_for(
    address: Address, database: Database, server: PgServer
) -> None:
    async with WireClient(address) as leaving:
        await leaving.start()
        await leaving.query(CREATE)
        database.gate = asyncio.Event()
        leaving.send(m.Query("INSERT INTO t (id) VALUES (1)"))
        await database.waiting.wait()
        leaving.writer.transport.abort()
    database.gate.set()
    await server.close(5)
    assert database.sessions == 0
    assert database.units[-1] == ["INSERT INTO t (id) VALUES (1)"]


# --------------------------------------------------------------------------------- limits


async def test_a_client_is_not_read_while_too_much_of_it_waits(
    server: PgServer, database: Database
) -> None:
    client, transport = await attached(server)
    database.gate = asyncio.Event()
    client.data_received(m.encode(m.Query("SELECT 1")))
    await settled()
    piece = m.encode(m.Query("SELECT 2" + " " * 100_000))
    sent = 0
    while transport.reading:
        client.data_received(piece)
        sent += len(piece)
        assert sent <= READ_BUFFER_MAX + len(piece)
    assert sent > READ_BUFFER_MAX
    database.gate.set()
    await asyncio.wait_for(transport.resumed.wait(), 10)


async def test_a_client_that_reads_nothing_is_answered_no_further(
    server: PgServer, database: Database
) -> None:
    client, transport = await attached(server)
    database.answer_at_once = True
    row = "x" * 10_000
    client.data_received(m.encode(m.Query(f"SELECT '{row}'; " * 1000)))
    await settled()
    assert WRITE_BUFFER_MAX < len(transport.unread) < 2 * WRITE_BUFFER_MAX
    ran = len(database.units)
    await settled()
    assert len(database.units) == ran < 100
    got = b""
    while not got.endswith(m.encode(m.ReadyForQuery("I"))):
        assert transport.unread, "the answer stopped before its end"
        got += transport.read()
        assert len(transport.unread) < 2 * WRITE_BUFFER_MAX
    assert len(database.units) == ran + (1000 - ran)
    assert got.count(row.encode()) == 1000


async def test_what_arrives_together_is_answered_by_one_write(
    server: PgServer, database: Database
) -> None:
    client, transport = await attached(server)
    writes: list[bytes] = []
    transport.write = writes.append  # type: ignore[method-assign, assignment]  # counts calls
    parse = m.encode(m.Parse("", "SELECT 1", ())) + m.encode(m.Bind("", "", (), (), ()))
    client.data_received((parse + m.encode(m.Execute("", 0))) * 3 + m.encode(m.Sync()))
    await settled()
    assert len(writes) == 1
    assert writes[0].endswith(m.encode(m.ReadyForQuery("I")))


# ------------------------------------------------------------------------ start and close


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org"])
async def test_only_loopback_is_listened_on(database: Database, host: str) -> None:
    with pytest.raises(ListenError, match=r"use 127\.0\.0\.1"):
        await PgServer(database.session, host=host, port=0).start()


async def test_a_port_in_use_is_said_in_a_sentence(address: Address, database: Database) -> None:
    second = PgServer(database.session, host=address.host, port=address.port)
    with pytest.raises(ListenError) as refused:
        await second.start()
    assert str(refused.value) == (
        f"the router cannot listen on {address}: the port is in use by another process; "
        "stop that one or choose another port."
    )
    await second.close(0)


async def test_closing_says_goodbye_to_the_idle(server: PgServer, client: WireClient) -> None:
    await server.close(5)
    said = await client.until(type(None))
    assert sqlstates(said) == ["57P01"]
    assert said[0].report.severity == "FATAL"


async def test_closing_waits_for_what_is_running(
    server: PgServer, client: WireClient, database: Database
) -> None:
    database.gate = asyncio.Event()
    client.send(m.Query("INSERT INTO t (id) VALUES (1)"), m.Query("SELECT 1"))
    await database.waiting.wait()
    closing = asyncio.create_task(server.close(5))
    await settled()
    assert not closing.done()
    database.gate.set()
    await closing
    said = await client.until(type(None))
    assert kinds(said) == ["CommandComplete", "ReadyForQuery", "ErrorResponse"]
    assert database.sessions == 0


async def test_closing_waits_for_an_answer_that_is_not_read_yet(
    server: PgServer, database: Database
) -> None:
    client, transport = await attached(server)
    row = "x" * (WRITE_BUFFER_MAX + 1)
    client.data_received(m.encode(m.Query(f"SELECT '{row}'; SELECT '{row}'; SELECT 3")))
    await settled()
    closing = asyncio.create_task(server.close(5))
    await settled()
    got = b""
    while not transport.closing:
        assert transport.unread, "the answer stopped before its end"
        got += transport.read()
        await settled()
    await closing
    got += bytes(transport.unread)
    complete, ready = m.encode(m.CommandComplete("SELECT 1")), m.encode(m.ReadyForQuery("I"))
    assert got.count(complete) == 3
    assert got.index(ready) < got.index(b"57P01")


async def test_what_does_not_end_in_time_is_cut_off_without_a_word(
    server: PgServer, client: WireClient, database: Database
) -> None:
    database.gate = asyncio.Event()
    client.send(m.Query("INSERT INTO t (id) VALUES (1)"))
    await database.waiting.wait()
    await server.close(0)
    assert database.sessions == 0
    assert await client.receive() is None, "whether it happened, the client cannot be told"


async def test_a_closed_server_accepts_nobody(server: PgServer, address: Address) -> None:
    await server.close(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address.host, address.port)


# ------------------------------------------------------------------------------ cancelling


async def identity(client: WireClient, minor: int = 0) -> m.BackendKeyData:
    client.send(m.StartupMessage(3, minor, (("user", "u"), ("database", "shardrouter"))))
    said = await client.until(m.ReadyForQuery)
    [data] = [message for message in said if isinstance(message, m.BackendKeyData)]
    return data


async def send_cancel(address: Address, pid: int, key: bytes) -> None:
    async with WireClient(address) as other:
        other.send(m.CancelRequest(pid, key))
        assert await other.receive() is None  # closed without an answer


@pytest.mark.parametrize("minor", [0, 2])
async def test_who_has_the_key_may_cancel(address: Address, database: Database, minor: int) -> None:
    async with WireClient(address) as client, WireClient(address) as neighbour:
        mine, others = await identity(client, minor), await identity(neighbour, minor)
        assert len(mine.key) == (32 if minor else 4)
        database.gate = asyncio.Event()
        client.send(m.Query("SELECT 1"))
        await database.waiting.wait()
        wrong = bytes([mine.key[0] ^ 1, *mine.key[1:]])
        for pid, key in (
            *((mine.pid, wrong), (mine.pid, mine.key + b"\0"), (mine.pid, b"")),
            *((mine.pid, others.key), (others.pid, mine.key), (others.pid + 1, mine.key)),
            (mine.pid | 1 << 20, mine.key),  # of another worker
            (others.pid, others.key),  # nothing runs there
        ):
            await send_cancel(address, pid, key)
        assert database.cancelled == 0
        await send_cancel(address, mine.pid, mine.key)
        assert database.cancelled == 1
        database.gate.set()
        await client.until(m.ReadyForQuery)
        await send_cancel(address, mine.pid, mine.key)
        assert database.cancelled == 1, "nothing was running"


async def test_a_key_is_compared_in_constant_time(
    address: Address, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but hmac.compare_digest decides: any other comparison tells its time."""
    async with WireClient(address) as client:
        mine = await identity(client)
        database.gate = asyncio.Event()
        client.send(m.Query("SELECT 1"))
        await database.waiting.wait()
        with monkeypatch.context() as patched:
            patched.setattr(hmac, "compare_digest", lambda _known, _said: False)
            await send_cancel(address, mine.pid, mine.key)
            assert database.cancelled == 0
        await send_cancel(address, mine.pid, mine.key)
        assert database.cancelled == 1
        database.gate.set()
        await client.until(m.ReadyForQuery)


async def test_a_key_ends_with_its_client(
    address: Address, database: Database, server: PgServer
) -> None:
    async with WireClient(address) as client:
        mine = await identity(client)
        client.send(m.Terminate())
        assert await client.receive() is None
    async with WireClient(address) as other:
        assert (await identity(other)).pid != mine.pid
        await send_cancel(address, mine.pid, mine.key)


async def test_pids_go_round_past_those_in_use(database: Database) -> None:
    numbered = PgServer(database.session, host="127.0.0.1", port=0, worker=3)
    first = numbered.accept()
    pids = [numbered.enter(first, 4)[0]]
    numbered._number = (1 << WORKER_SHIFT) - 2
    pids += [numbered.enter(first, 4)[0] for _ in range(2)]
    top = 3 << WORKER_SHIFT
    assert pids == [top + 1, top + (1 << WORKER_SHIFT) - 1, top + 2]


# --------------------------------------------------------------------------------- silence


async def test_who_is_silent_in_a_session_for_too_long_goes(address: Address) -> None:
    async with WireClient(address) as client:
        await client.start()
        await client.query("SET idle_session_timeout = '1h'")
        client.send(m.Query("SET idle_session_timeout = '50ms'"))
        said = await client.until(type(None))
    assert sqlstates(said) == ["57P05"]


async def test_who_is_silent_in_a_transaction_for_too_long_goes(
    address: Address, database: Database
) -> None:
    async with WireClient(address) as client:
        await client.start(idle_in_transaction_session_timeout="50ms", idle_session_timeout="0")
        for _ in range(3):
            await client.query("SELECT 1")
        database.status = "T"
        client.send(m.Query("SELECT 1"), m.Parse("", "", ()))
        client.writer.write(b"Q\0\0")  # half a message is as good as none
        said = await client.until(type(None))
    assert sqlstates(said) == ["25P03"]
    database.status = "I"


async def test_who_waits_for_an_answer_is_not_silent(
    address: Address, database: Database, server: PgServer
) -> None:
    async with WireClient(address) as client:
        await client.start(idle_session_timeout="50ms")
        database.gate = asyncio.Event()
        client.send(m.Query("SELECT 1"))
        await database.waiting.wait()
        [served] = server._clients
        assert served._idle_until is None
        served._look_at_idleness()
        database.gate.set()
        assert kinds(await client.until(m.ReadyForQuery))[-1] == "ReadyForQuery"


async def test_notices_that_nobody_wants_are_not_sent(address: Address) -> None:
    async with WireClient(address) as client:
        await client.start(client_min_messages="warning")
        await client.query(CREATE)
        again = CREATE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
        assert kinds(await client.query(again)) == ["CommandComplete"]
        await client.query("SET client_min_messages = notice")
        assert kinds(await client.query(again)) == ["NoticeResponse", "CommandComplete"]


# ------------------------------------------------------------------------------- too much


async def test_a_message_without_room_is_read_past(server: PgServer) -> None:
    client, transport = await attached(server)
    neighbour = server.accept()
    assert server.hold(neighbour, 256 << 20)
    head = b"P" + (8 << 20).to_bytes(4)
    client.data_received(head + bytes(2 << 20))
    assert client._connection.buffered == 0, "nothing of it is kept"
    client.data_received(bytes((8 << 20) - 4 - (2 << 20)) + m.encode(m.Sync()))
    assert b"53200" in transport.read()
    server.hold(neighbour, 0)
    client.data_received(head + bytes(2 << 20))
    assert client._connection.buffered > 2 << 20
    client.connection_lost(None)
    neighbour.connection_lost(None)


async def test_two_gigabytes_are_refused_and_nobody_else_is_hurt(address: Address) -> None:
    async with WireClient(address) as client, WireClient(address) as other:
        await client.start()
        await other.start()
        client.writer.write(b"Q" + (2**31 - 1).to_bytes(4) + b"SELECT '")
        assert sqlstates(await client.until(type(None))) == ["08P01"]
        assert texts(await other.query("SELECT 1")) == [(b"1",)]


async def test_a_hundred_thousand_parameters_are_refused(address: Address) -> None:
    async with WireClient(address) as client:
        await client.start()
        many = ", ".join(f"${number}" for number in range(1, 100_001))
        said = await client.ask(m.Parse("", f"SELECT 1 WHERE 1 IN ({many})", ()), m.Sync())
        assert len(sqlstates(said)) == 1
        assert sqlstates(said)[0] in ("54000", "54001", "42P02", "0A000")
        body = b"\0\0" + b"\0\0" + (65535).to_bytes(2) + b"\xff\xff\xff\xff" * 65535 + b"\0\0"
        client.writer.write(b"B" + (len(body) + 4).to_bytes(4) + body + m.encode(m.Sync()))
        assert sqlstates(await client.until(m.ReadyForQuery)) == ["54000"]
        assert texts(await client.query("SELECT 1")) == [(b"1",)]
