"""What an error proves: the table, and asyncpg itself against a server that goes away in every way
that there is. What is called `fail` has to be proof to the linter too."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any, Final, cast, get_args

import asyncpg
import pytest
import uvloop

from jepsen_like.clients import SqlClient, connect_sql
from jepsen_like.history import Operation, Outcome, lint
from jepsen_like.load import Call
from jepsen_like.outcomes import Stage, outcome_of_error, words_of
from jepsen_like.workloads.workload import SqlCall, SqlTransaction, Statements

DEFINITE: Final = {"57014", "23"}

LOST: Final = (
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.ConnectionFailureError("08006"),
    asyncpg.TransactionResolutionUnknownError("08007"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
    asyncpg.InternalClientError("got result for unknown protocol state 3"),
    asyncpg.ProtocolError("unexpected message"),
    ConnectionResetError("Connection reset by peer"),
    BrokenPipeError(),
    TimeoutError(),
    OSError("unable to perform operation: the transport is closed"),
    AttributeError("'NoneType' object has no attribute 'decode'"),
    RuntimeError("unable to perform operation on <TCPTransport closed=True>"),
)


def failed(f: str, ended: str, error: str) -> Operation:
    return Operation(0, f, 1, None, cast("Outcome", ended), None, 0, 1, 2, "n1", error)


def outcome(error: Exception, stage: Stage) -> str:
    return outcome_of_error(error, stage=stage, definite_codes=DEFINITE)


@pytest.mark.parametrize("error", LOST, ids=repr)
def test_silence_is_info_unless_nothing_can_come_of_it(error: Exception) -> None:
    found = {stage: outcome(error, stage) for stage in get_args(Stage)}
    assert found == {"read": "fail", "uncommitted": "fail", "sent": "info", "begun": "info"}
    generous = outcome_of_error(error, stage="sent", definite_codes={"08", "08003", "08007"})
    assert generous == "info", "whatever a list of definite codes says"


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (asyncpg.QueryCanceledError("57014"), "fail"),
        (asyncpg.UniqueViolationError("23505, by its class"), "fail"),
        (asyncpg.SerializationError("40001, not listed here"), "info"),
        (asyncpg.InternalServerError("XX000"), "info"),
        (asyncpg.AdminShutdownError("57P01"), "info"),
    ],
)
def test_an_answer_is_as_definite_as_its_code(error: Exception, sent: str) -> None:
    found = {stage: outcome(error, stage) for stage in get_args(Stage)}
    assert found == {"read": "fail", "uncommitted": "fail", "sent": sent, "begun": "info"}


@pytest.mark.parametrize("error", [*LOST, asyncpg.QueryCanceledError("timed out")], ids=repr)
@pytest.mark.parametrize("stage", get_args(Stage))
def test_the_linter_takes_what_the_table_says_for_proof(error: Exception, stage: Stage) -> None:
    f = "read any" if stage == "read" else "walk"
    said = words_of(error, stage)
    assert not lint([failed(f, outcome(error, stage), said)])


def test_the_linter_does_not_take_a_lost_connection_for_proof() -> None:
    said = words_of(LOST[0], "sent")
    assert lint([failed("walk", "fail", said)])


# ------------------------------------------------------------------- asyncpg and a server that goes

WAYS: Final = ("closes", "resets", "hangs", "says goodbye", "says nothing of it", "is nonsense")


class Server:
    """Speaks as much of the wire as a client needs to connect, and goes away at a statement."""

    def __init__(self, way: str, at: str) -> None:
        self.way, self.at = way, at
        self.reached = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            await reader.readexactly(size - 4)
            hello = b"server_version\x0016.0\x00"
            key = struct.pack("!II", 1, 1)
            writer.write(said(b"R", bytes(4)) + said(b"S", hello) + said(b"K", key) + READY[b"I"])
            state = b"I"
            while True:
                kind, size = struct.unpack("!cI", await reader.readexactly(5))
                text = (await reader.readexactly(size - 4)).rstrip(b"\x00").decode()
                if kind != b"Q":
                    return
                if text == self.at:
                    self.reached.set()
                    await self._go(reader, writer)
                    return
                state = {"BEGIN": b"T", "COMMIT": b"I", "ROLLBACK": b"I"}.get(text, state)
                tag = text if state == b"T" and text == "BEGIN" else "UPDATE 1"
                writer.write(said(b"C", tag.encode() + b"\x00") + READY[state])
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _go(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.way == "resets":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.way == "hangs":
            await reader.read()  # until the client is aborted
        elif self.way == "says goodbye":
            writer.write(failure("57P01", "the server is shutting down"))
        elif self.way == "says nothing of it":
            writer.write(failure("08007", "the outcome is unknown"))
        elif self.way == "is nonsense":
            writer.write(said(b"D", b"\x00\x07nonsense"))


def said(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def failure(code: str, text: str) -> bytes:
    fields = f"SFATAL\x00VFATAL\x00C{code}\x00M{text}\x00\x00"
    return said(b"E", fields.encode())


READY: Final = {state: said(b"Z", state) for state in (b"I", b"T", b"E")}

PUT: Final = "UPDATE t SET n = 1"
MORE: Final = "UPDATE t SET n = 2"


def statements(call: Call) -> Statements:
    one, two = SqlCall(PUT, (), "changed"), SqlCall(MORE, (), "changed")
    if call.f == "both":
        return one, two
    if call.f == "transfer":

        def run() -> Generator[SqlCall, Any, Any]:
            yield one
            yield two

        return SqlTransaction(run)
    return one


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[SqlClient]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        client = await connect_sql(
            "127.0.0.1",
            listening.sockets[0].getsockname()[1],
            statements,
            user="u",
            database="d",
            deadline_s=1.0,
            definite_codes=DEFINITE,
        )
        try:
            yield client
        finally:
            client.abort()
    finally:
        listening.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("f", "at", "expected"),
    [
        ("write", PUT, "info"),
        ("read any", PUT, "fail"),
        ("both", PUT, "info"),
        ("both", MORE, "info"),
        ("transfer", "BEGIN", "fail"),
        ("transfer", MORE, "fail"),
        ("transfer", "COMMIT", "info"),
    ],
)
def test_a_server_that_goes_away(way: str, f: str, at: str, expected: str) -> None:
    """On the loop that runs use: its transports speak otherwise of being closed."""

    async def ask() -> None:
        server = Server(way, at)
        async with connected(server) as client, asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(client.invoke(Call(f, 1)))
            if way == "hangs":
                await server.reached.wait()
                client.abort()
            answer = await asked
            assert answer.outcome == expected, answer
            assert answer.error
            assert not lint([failed(f, expected, answer.error)])
            if way != "says nothing of it":
                again = await client.invoke(Call("write", 1))
                assert again.outcome == "info", again

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(ask(), 10))
