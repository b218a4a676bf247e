"""Connections between nodes: made, lost, given up, made anew."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import pytest

from nodes.config import Address
from nodes.local_cluster import free_ports
from nodes.peers import Peers
from nodes.protocol import (
    Beat,
)
from nodes.raft.messages import AppendRequest
from tests.nodes.wired import (
    NO_PROGRESS_S,
    Recorder,
    envelope,
    peers_of,
    sent_until_received,
    serving,
    unresponsive_node,
)


async def test_peers_deliver_in_order_and_dial_again_after_a_loss() -> None:
    recorder = Recorder()
    async with serving(recorder) as (server, address), peers_of(address) as peers:
        await sent_until_received(peers, recorder, envelope(1))
        for number in range(2, 100):
            peers.send("n1", [envelope(number), envelope(number, size=10_000)])
        await recorder.until(lambda: envelope(99) in recorder.batches[-1].envelopes)
        seen = [e.message for batch in recorder.batches for e in batch.envelopes]
        rounds = [m.round for m in seen if isinstance(m, AppendRequest)]
        assert rounds == sorted(rounds)
        for connection in list(server.connections):
            connection.abort()
        await sent_until_received(peers, recorder, envelope(100))


async def test_a_batch_over_the_limit_of_a_frame_is_split() -> None:
    recorder = Recorder()
    async with serving(recorder) as (_, address), peers_of(address) as peers:
        await sent_until_received(peers, recorder, envelope(1))
        peers.send("n1", [envelope(number, size=1_000_000) for number in range(2, 14)])
        await recorder.until(
            lambda: any(envelope(13, 1_000_000) in b.envelopes for b in recorder.batches)
        )
        assert sum(len(batch.envelopes) for batch in recorder.batches) >= 13


@pytest.mark.slow
@pytest.mark.parametrize("by", ["the kernel", "the transport"])
async def test_a_peer_that_takes_nothing_is_given_up_and_dialed_again(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts and welcomes, then never reads: its buffers fill, and progress ends."""
    if by == "the transport":
        monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    async with unresponsive_node(deaf=True) as (address, connections), peers_of(address) as peers:
        first = await connections.get()
        async with asyncio.timeout(10):
            while connections.empty():
                if peers.connected():
                    peers.send("n1", [envelope(1, size=100_000)])
                await asyncio.sleep(0.002)
        await first.close()


@pytest.mark.slow
async def test_a_peer_that_fell_silent_is_dialed_once_more() -> None:
    """Something in between may acknowledge for it, and then the kernel sees no sign of a cut."""
    beat = Beat(1, 0)
    async with unresponsive_node(deaf=False) as (address, connections), peers_of(address) as peers:
        first = await connections.get()
        await connected(peers)
        peers.beat(beat)
        await asyncio.sleep(2 * NO_PROGRESS_S)
        peers.beat(beat)
        assert connections.empty(), "it was never heard: its silence says nothing"
        peers.heard("n1")
        peers.beat(beat)
        async with asyncio.timeout(10):
            while connections.empty():
                peers.beat(beat)
                await asyncio.sleep(0.01)
        second = await connections.get()
        await connected(peers)
        for _ in range(3):
            peers.beat(beat)
            await asyncio.sleep(NO_PROGRESS_S)
        assert connections.empty(), "silence has other causes, and connections end nothing"
        await first.close()
        await second.close()


async def connected(peers: Peers) -> None:
    for _ in range(2_000):
        if peers.connected():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the peer was not reached")


def _tee(
    first: Callable[[logging.LogRecord], None], second: Callable[[logging.LogRecord], None]
) -> Callable[[logging.LogRecord], None]:
    def both(record: logging.LogRecord) -> None:
        first(record)
        second(record)

    return both


async def test_an_unreachable_peer_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    complained: asyncio.Queue[logging.LogRecord] = asyncio.Queue()
    monkeypatch.setattr("nodes.peers.COMPLAINT_AFTER_S", 0)
    monkeypatch.setattr(caplog.handler, "emit", _tee(caplog.handler.emit, complained.put_nowait))
    address = Address("127.0.0.1", free_ports(1)[0])
    recorder = Recorder()
    with caplog.at_level(logging.WARNING):
        async with peers_of(address) as peers:
            await complained.get()
            async with serving(recorder, address):
                await sent_until_received(peers, recorder, envelope(1))
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("cannot reach node n1")
    assert second == "node n1 is reachable again"


async def test_nodes_come_move_and_go_while_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = Recorder(), Recorder()
    async with (
        serving(here) as (server, first),
        serving(there) as (_, second),
        peers_of(first) as peers,
    ):
        await sent_until_received(peers, here, envelope(1))
        assert here.senders == {"n2"}
        with caplog.at_level(logging.WARNING):
            for number in range(10):
                peers.send("n9", [envelope(number)])
        (record,) = caplog.records
        assert record.getMessage().startswith("there are messages for node n9, which this node")
        peers.set_addresses({"n1": first, "n9": second})
        async with asyncio.timeout(10):
            while not there.batches:
                peers.send("n9", [envelope(2)])
                await asyncio.sleep(0.005)
        peers.set_addresses({"n1": second})
        there.batches.clear()
        await sent_until_received(peers, there, envelope(3))
        assert peers.connected() == {"n1"}
        peers.set_addresses({"n1": first})
        await sent_until_received(peers, here, envelope(4))
        gone = [connection.closed for connection in server.connections]
        server.set_peers({"n3"})
        async with asyncio.timeout(10):
            await asyncio.wait(gone)
        assert not server.heard()
