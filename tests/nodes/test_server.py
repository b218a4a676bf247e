"""NodeClient and Server wired together over loopback: the bytes of the node protocol."""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from nodes import server as server_module
from nodes.client import (
    SILENT_AFTER_S,
    CallFailed,
    ConnectionLost,
    NodeClient,
    NotSent,
    Outcome,
)
from nodes.config import Address
from nodes.frames import ITEMS_MAX, FrameDecoder, encode_frame
from nodes.handshake import NONCE_BYTES, Dialing
from nodes.local_cluster import free_ports
from nodes.protocol import (
    FRAME_BYTES_MAX,
    GREETING_BYTES_MAX,
    PROTOCOL_VERSION,
    Busy,
    Done,
    GetStatus,
    Hello,
    NoSuchGroup,
    OpenSession,
    Proof,
    Refused,
    Request,
    SqlFailure,
    StatementResult,
    Welcome,
)
from nodes.server import ListenError
from nodes.work import UNWANTED
from tests.nodes.wired import (
    CLUSTER,
    OPEN,
    SECRET,
    Recorder,
    connecting,
    envelope,
    peers_of,
    sent_until_received,
    serving,
    unresponsive_node,
)


def _in_s(seconds: float) -> float:
    """That much later, by the loop's clock."""
    return asyncio.get_running_loop().time() + seconds


async def test_many_requests_are_answered_each_with_its_own_answer() -> None:
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address) as client:
        calls = [client.call("held", OpenSession("r"), 5) for _ in range(50)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
            await recorder.until(partial(recorder.holds, 50))
            for number, answer in reversed(list(enumerate(recorder.held))):
                answer(Done((), number))
        assert [task.result() for task in tasks] == [Done((), n) for n in range(50)]
        assert client.connected


async def test_the_time_left_travels_with_the_request() -> None:
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address) as client:
        answer = await client.call("echo", OpenSession("r"), 5)
    assert isinstance(answer, Done)
    assert 4_000 < answer.index <= 5_000


async def test_what_may_wait_leaves_with_the_next_that_may_not_and_before_it() -> None:
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address) as client:
        await client.call("echo", OpenSession("r"), 5)
        outcomes: list[Outcome] = []
        for _ in range(2):
            client.request(
                "held", OpenSession("r"), deadline=_in_s(60), done=outcomes.append, within_s=30
            )
        await client.call("echo", OpenSession("r"), 5)  # answered behind them, long before 30 s
        assert recorder.holds(2)
        client.request(
            "held", OpenSession("r"), deadline=_in_s(60), done=outcomes.append, within_s=0.001
        )
        await recorder.until(partial(recorder.holds, 3))  # nothing else came
        client.request(
            "held", OpenSession("r"), deadline=_in_s(60), done=outcomes.append, within_s=30
        )
        await client.close()
        await recorder.until(partial(recorder.holds, 4))
        assert [type(outcome) for outcome in outcomes] == [ConnectionLost] * 4


async def test_done_is_never_called_from_within_request() -> None:
    recorder = Recorder()
    async with serving(recorder) as (_, address):
        client = NodeClient(address, cluster_id=CLUSTER, name="test")
        await client.call("echo", OpenSession("r"), 5)
        await client.close()
        outcomes: list[Outcome] = []
        client.request("echo", OpenSession("r"), deadline=_in_s(1), done=outcomes.append)
        assert outcomes == []
        await asyncio.sleep(0)
        assert outcomes == [NotSent("the client is closed")]


async def test_a_dead_port_is_definite() -> None:
    address = Address("127.0.0.1", free_ports(1)[0])
    async with connecting(address) as client:
        with pytest.raises(CallFailed, match="cannot be reached") as caught:
            await client.call("echo", OpenSession("r"), 5)
        assert not caught.value.sent


async def test_a_request_without_answer_is_indefinite() -> None:
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address) as client:
        with pytest.raises(CallFailed, match="no answer") as caught:
            await client.call("held", OpenSession("r"), 0.05)
        assert caught.value.sent
        assert client.connected  # the node is slow, not silent: others may use the connection
        recorder.held[0](Done((), 1))  # too late: ignored
        assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)


async def test_each_request_ends_at_its_own_deadline_and_gives_up_whom_it_will() -> None:
    recorder = Recorder()
    ended: list[str] = []
    outcomes: list[Outcome] = []
    all_ended = asyncio.Event()
    async with serving(recorder) as (_, address), connecting(address) as client:
        assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
        now = _in_s(0)

        def end(name: str, outcome: Outcome) -> None:
            ended.append(name)
            outcomes.append(outcome)
            if name == "first":
                client.give_up(others["third"])
            elif name == "fourth":
                all_ended.set()

        others = {
            name: client.request(
                "held", OpenSession("r"), deadline=now + seconds, done=partial(end, name)
            )
            for name, seconds in (("third", -1), ("fourth", 0.1), ("second", -2), ("first", -3))
        }
        await asyncio.wait_for(all_ended.wait(), 10)
        assert ended == ["first", "second", "third", "fourth"]
        assert outcomes == [ConnectionLost(f"no answer from {address} in time")] * 4
        answers: list[Outcome] = []
        unsent = client.request("held", OpenSession("r"), deadline=now, done=answers.append)
        client.request("echo", OpenSession("r"), deadline=_in_s(5), done=answers.append)
        client.give_up(unsent)
        assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
        assert [type(answer) for answer in answers] == [NotSent, Done]
        assert client.outstanding == 0


async def test_a_lost_connection_is_indefinite_for_what_was_sent_and_made_anew() -> None:
    recorder = Recorder()
    async with serving(recorder) as (server, address), connecting(address) as client:
        outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        client.request("held", OpenSession("r"), deadline=_in_s(5), done=outcomes.put_nowait)
        await recorder.until(lambda: len(recorder.held) == 1)
        for connection in list(server.connections):
            connection.abort()
        assert isinstance(await outcomes.get(), ConnectionLost)
        assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)


async def test_a_silent_node_is_given_up_before_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a partition: the connection stands, and nothing comes through it."""
    monkeypatch.setattr("nodes.client.SILENT_AFTER_S", 0.1)
    async with (
        unresponsive_node(deaf=False) as (address, _),
        connecting(address) as client,
    ):
        with pytest.raises(CallFailed, match="silent") as caught:
            await client.call("held", OpenSession("r"), 60)
        assert caught.value.sent


@pytest.mark.slow
async def test_requests_that_end_before_silence_is_noticed_do_not_hide_it() -> None:
    """After a cut the kernel tries again late, and each request gives up earlier than that."""
    async with (
        unresponsive_node(deaf=False) as (address, connections),
        connecting(address) as client,
    ):
        with pytest.raises(CallFailed) as caught:
            await client.call("g", GetStatus(), 0.3)
        assert caught.value.sent
        first = await connections.get()
        unsent = 0
        async with asyncio.timeout(10):
            while connections.empty():
                with pytest.raises(CallFailed) as caught:
                    await client.call("g", GetStatus(), 0.3)
                unsent += not caught.value.sent
        assert unsent <= 1, "it did not go on over the new connection"
        await first.close()


async def test_a_link_on_which_one_request_had_no_answer_is_kept_if_it_lives() -> None:
    recorder = Recorder()
    async with serving(recorder) as (server, address), connecting(address) as client:
        with pytest.raises(CallFailed):
            await client.call("held", OpenSession("r"), 0.1)
        (connection,) = server.connections
        await asyncio.sleep(SILENT_AFTER_S)
        for _ in range(3):
            assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
        assert list(server.connections) == [connection]


async def test_a_slow_answer_is_not_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is answered, so the connection stays for as long as the deadline says."""
    monkeypatch.setattr("nodes.client.PROBE_AFTER_S", 0.02)
    monkeypatch.setattr("nodes.client.SILENT_AFTER_S", 60)
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address) as client:
        task = asyncio.create_task(client.call("held", OpenSession("r"), 60))

        def probes() -> list[Request]:
            return [r for r in recorder.requests if r.id == 0]

        await recorder.until(lambda: len(probes()) == 1)
        assert msgspec.msgpack.decode(probes()[0].body, type=GetStatus) == GetStatus()
        recorder.held[1](NoSuchGroup())  # the probe's answer belongs to nobody
        await recorder.until(lambda: len(probes()) == 2)  # heard, then silent again
        recorder.held[0](Done((), 7))
        assert await task == Done((), 7)


async def test_a_node_of_another_cluster_refuses_with_a_sentence() -> None:
    async with serving(Recorder()) as (_, address), connecting(address, "other") as client:
        with pytest.raises(CallFailed, match="belongs to cluster c-1, not to other") as caught:
            await client.call("echo", OpenSession("r"), 5)
        assert not caught.value.sent


async def greet(address: Address, hello: bytes) -> bytes:
    """What the node answers to `hello` before it closes the connection."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    answer = b""
    with suppress(ConnectionError):  # closing with unread bytes resets the connection
        writer.write(hello)
        async with asyncio.timeout(10):
            while data := await reader.read(65_536):
                answer += data
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (
            Hello(PROTOCOL_VERSION - 1, CLUSTER, "client", "r"),
            f"n1 speaks version {PROTOCOL_VERSION}",
        ),
        (Hello(PROTOCOL_VERSION, CLUSTER, "guest", "r"), "neither client nor peer"),
    ],
)
async def test_a_wrong_greeting_is_refused(hello: Hello, reason: str) -> None:
    async with serving(Recorder()) as (_, address):
        answer = await greet(address, encode_frame(msgspec.msgpack.encode(hello)))
    refused = msgspec.msgpack.decode(answer[4:], type=Refused)
    assert reason in refused.reason


async def welcomed(
    address: Address, secret: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of a client, greeted."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    dialing = Dialing(
        kind="client",
        name="r",
        cluster_id=CLUSTER,
        secret=secret,
        nonce=os.urandom(NONCE_BYTES),
    )
    said: Hello | Proof | Welcome | Refused = dialing.hello
    while not isinstance(said, Welcome | Refused):
        writer.write(encode_frame(msgspec.msgpack.encode(said)))
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        said = dialing.receive(await reader.readexactly(length))
    assert isinstance(said, Welcome)
    return reader, writer


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        struct.pack(">I", 0xFFFFFFFF) + b"x" * 100,
        encode_frame(b"\xc1 not msgpack"),
        struct.pack(">I", GREETING_BYTES_MAX + 1),  # over the limit of who is not known
        encode_frame(msgspec.msgpack.encode(Request(1, "echo", 9, msgspec.Raw(b"\xc0")))),
        encode_frame(msgspec.msgpack.encode(Hello(PROTOCOL_VERSION, "c\n1", "client", "r"))),
        encode_frame(msgspec.msgpack.encode(Hello(PROTOCOL_VERSION, CLUSTER, "client", "r", b""))),
    ],
)
async def test_garbage_closes_that_connection_and_is_logged_once(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    with caplog.at_level(logging.WARNING):
        async with serving(recorder) as (_, address), connecting(address) as client:
            for _ in range(3):
                await greet(address, garbage)
            assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
    assert len(caplog.records) == 1
    assert "does not speak the node protocol" in caplog.text
    assert len(recorder.requests) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", 9 * 1024 * 1024),
        encode_frame(msgspec.msgpack.encode(["request", "one"])),
        encode_frame(msgspec.msgpack.encode([Request(1, "echo", 1, OPEN)] * (ITEMS_MAX + 1))),
    ],
)
async def test_garbage_of_a_welcome_client_closes_that_connection(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with serving(Recorder()) as (_, address), connecting(address) as client:
            for _ in range(3):
                reader, writer = await welcomed(address)
                writer.write(garbage)
                with suppress(ConnectionError):
                    async with asyncio.timeout(10):
                        assert await reader.read() == b""
                writer.close()
            assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
    assert len(caplog.records) == 1
    assert "does not speak the node protocol" in caplog.text


async def test_work_is_given_up_when_who_asked_says_so_or_is_gone() -> None:
    recorder = Recorder()
    outcomes: list[object] = []
    async with serving(recorder) as (_, address):
        async with connecting(address) as client:
            numbers = [
                client.request("work", OpenSession(name), deadline=_in_s(30), done=outcomes.append)
                for name in "abc"
            ]
            await recorder.until(lambda: recorder.holds(3))
            client.give_up(numbers[1])
            await recorder.until(lambda: len(recorder.given_up) == 1)
            recorder.held[2](Done((), 3))
            # Given up too late, and what is not known.
            for number in (numbers[2], numbers[1], 99):
                client.give_up(number)
            assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
            assert outcomes == [UNWANTED, Done((), 3)]
            unsent = client.request(
                "work", OpenSession("d"), deadline=_in_s(30), done=outcomes.append
            )
            client.give_up(unsent)
            assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
            assert outcomes[2:] == [NotSent("nobody waits for the answer")]
            assert len(recorder.given_up) == 1
            assert len(recorder.held) == 3
        await recorder.until(lambda: len(recorder.given_up) == 2)
    assert [type(outcome) for outcome in outcomes[3:]] == [ConnectionLost]


async def test_a_secret_is_proved_both_ways() -> None:
    recorder = Recorder()
    async with (
        serving(recorder, secret=SECRET) as (_, address),
        connecting(address, secret=SECRET) as client,
        peers_of(address, secret=SECRET) as peers,
    ):
        assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
        await sent_until_received(peers, recorder, envelope(1))


@pytest.mark.parametrize("theirs", [b"", bytes(32)], ids=["none", "another"])
async def test_who_has_not_the_secret_is_refused_logged_once_and_nothing_is_handed_on(
    theirs: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    with caplog.at_level(logging.WARNING):
        async with (
            serving(recorder, secret=SECRET) as (server, address),
            connecting(address, secret=theirs) as client,
            peers_of(address, secret=theirs) as peers,
        ):
            for _ in range(3):
                with pytest.raises(CallFailed, match="does not know the secret") as caught:
                    await client.call("echo", OpenSession("r"), 5)
                assert not caught.value.sent
            assert not peers.connected()
            assert not peers.refusals()  # who did not prove anything has no say
            assert not server.heard()
    complaints = [r for r in caplog.records if "left without a proof" in r.getMessage()]
    assert len(complaints) == 1
    assert not recorder.requests
    assert not recorder.batches


async def test_a_node_without_the_secret_is_not_believed() -> None:
    """The other way round: a client of a cluster with a secret tells a node without it nothing."""
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address, secret=SECRET) as client:
        with pytest.raises(CallFailed, match="the node there does not know the secret"):
            await client.call("echo", OpenSession("r"), 5)
    assert not recorder.requests


async def test_a_false_proof_is_refused_with_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    hello = Hello(PROTOCOL_VERSION, CLUSTER, "client", "r", bytes(NONCE_BYTES))
    said = [hello, Proof(None, 0, bytes(32))]
    async with serving(Recorder(), secret=SECRET) as (_, address):
        with caplog.at_level(logging.WARNING):
            answer = await greet(
                address, b"".join(encode_frame(msgspec.msgpack.encode(part)) for part in said)
            )
    *_, refused = FrameDecoder().feed(answer)
    assert "r does not know the secret" in msgspec.msgpack.decode(refused, type=Refused).reason
    assert "r does not know the secret" in caplog.text


async def test_who_only_waits_does_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "GREETING_MAX", 4)
    async with serving(Recorder(), secret=SECRET) as (server, address):
        waiting = [await asyncio.open_connection(address.host, address.port) for _ in range(10)]
        async with connecting(address, secret=SECRET) as client:
            assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)
        assert len(server.greeting) <= 4
        for _, writer in waiting:
            writer.close()


async def test_a_greeting_has_an_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "GREETING_TIMEOUT_S", 0.05)
    hello = Hello(PROTOCOL_VERSION, CLUSTER, "client", "r", bytes(NONCE_BYTES))
    async with serving(Recorder(), secret=SECRET) as (server, address):
        assert await greet(address, b"") == b""
        assert await greet(address, encode_frame(msgspec.msgpack.encode(hello)))  # the challenge
        assert not server.greeting
        assert not server.connections
    assert "was not greeted within" in caplog.text


async def test_a_node_that_is_not_known_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        serving(Recorder(), secret=SECRET) as (server, address),
        peers_of(address, node="n9", secret=SECRET) as peers,
        asyncio.timeout(10),
    ):
        while True:
            if "node n1 does not listen to this node" in caplog.text:
                break
            await asyncio.sleep(0.005)
        assert "n1 knows no node n9" in peers.refusals()["n1"]
        assert not server.heard()


async def test_a_client_that_does_not_read_is_not_read_and_the_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "OUTSTANDING_MAX", 8)
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address) as other:
        _, writer = await welcomed(address)
        body = msgspec.Raw(msgspec.msgpack.encode(OpenSession("r" * 200_000)))

        async def flood() -> None:
            for number in range(400):
                request = Request(number, "held", 60_000, body)
                writer.write(encode_frame(msgspec.msgpack.encode([request])))
                await writer.drain()

        task = asyncio.create_task(flood())
        await recorder.until(lambda: len(recorder.held) >= 8)
        for _ in range(50):
            assert isinstance(await other.call("echo", OpenSession("r"), 5), Done)
        assert len(recorder.held) < 16  # nearly all of the 80 MB stay with the sender
        assert not task.done()
        for number in range(400):  # answers are given again: so are requests read
            await recorder.until(partial(recorder.holds, number + 1))
            recorder.held[number](Done((), 1))
        await task
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_lets_its_answers_pile_up_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "WRITE_BYTES_MAX", 20_000_000)
    recorder = Recorder()
    async with serving(recorder) as (_, address), connecting(address) as other:
        reader, writer = await welcomed(address)
        body = msgspec.Raw(msgspec.msgpack.encode(OpenSession("r")))
        for number in range(100):
            request = Request(number, "held", 60_000, body)
            writer.write(encode_frame(msgspec.msgpack.encode([request])))
        await recorder.until(partial(recorder.holds, 100))
        megabyte = Done((StatementResult(1, bytes(1_000_000)),), 1)
        for answer in recorder.held:  # all of them, also those behind the end
            answer(megabyte)
        with suppress(ConnectionError):
            while await reader.read(1_000_000):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        assert isinstance(await other.call("echo", OpenSession("r"), 5), Done)
    assert "does not read its answers" in caplog.text


async def test_a_request_that_cannot_be_encoded_spoils_no_other_of_its_turn() -> None:
    async with serving(Recorder()) as (_, address), connecting(address) as client:
        await client.call("echo", OpenSession("r"), 5)
        routers = ["a", "\ud800", "b", "x" * FRAME_BYTES_MAX, "c"]
        answers = await asyncio.gather(
            *[client.call("echo", OpenSession(router), 5) for router in routers],
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [Done, CallFailed, Done, CallFailed, Done]
        assert all("cannot be encoded" in str(answers[n]) for n in (1, 3))


async def test_an_answer_over_the_limit_of_a_frame_becomes_an_error() -> None:
    async with serving(Recorder()) as (_, address), connecting(address) as client:
        answer = await client.call("huge", OpenSession("r"), 5)
        assert isinstance(answer, SqlFailure)
        assert answer.sqlstate == "54000"


async def test_only_loopback_is_bound_without_a_secret() -> None:
    with pytest.raises(ListenError, match="without a secret"):
        async with serving(Recorder(), Address("0.0.0.0", 0)):
            pass
    async with serving(Recorder(), Address("0.0.0.0", 0), secret=SECRET) as (_, address):
        here = Address("127.0.0.1", address.port)
        async with connecting(here, secret=SECRET) as client:
            assert isinstance(await client.call("echo", OpenSession("r"), 5), Done)


async def test_a_port_in_use_is_one_sentence() -> None:
    async with serving(Recorder()) as (_, address):
        with pytest.raises(ListenError, match=f"cannot listen on {address}: the port is in use"):
            async with serving(Recorder(), address):
                pass


async def test_a_stopping_node_answers_busy() -> None:
    recorder = Recorder()
    async with serving(recorder) as (server, address), connecting(address) as client:
        await client.call("echo", OpenSession("r"), 5)
        server.refuse_requests()
        assert isinstance(await client.call("echo", OpenSession("r"), 5), Busy)


def test_ports_are_distinct_and_below_the_outgoing_range() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    file = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if file.exists():
        assert max(ports) < int(file.read_text(encoding="ascii").split()[0])
