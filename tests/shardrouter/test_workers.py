"""Router processes that share a port: what they say to each other, and when they come back."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from nodes.config import Address
from nodes.local_cluster import ProcessFailed
from nodes.metrics import family
from shardrouter.cli.workers import RESTART_S_MAX, Workers, restart_delay_s
from shardrouter.router_port import ListenError
from shardrouter.worker_link import UNSENT_BYTES_MAX, Ask, CancelOf, LinkMessage, Told, open_link

LOOPBACK = "127.0.0.1"


class End:
    """One end of a link, and what it heard."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[LinkMessage] = asyncio.Queue()
        self.lost = asyncio.Event()


async def test_messages_arrive_as_they_were_said_and_the_end_is_heard() -> None:
    ours, theirs = socket.socketpair()
    one, other = End(), End()
    link = await open_link(ours, one.heard.put_nowait, one.lost.set)
    back = await open_link(theirs, other.heard.put_nowait, other.lost.set)
    told = Told(7, [family("up", "gauge", "", 1)])
    said: list[LinkMessage] = [Ask(7), CancelOf(1 << 20 | 3, b"\0key"), told]
    for message in said:
        link.send(message)
    assert [await other.heard.get() for _ in said] == said
    back.close()
    await one.lost.wait()
    link.send(Ask(8))  # to nobody


async def test_garbage_ends_a_link_and_who_does_not_read_is_told_no_more() -> None:
    ours, theirs = socket.socketpair()
    end = End()
    link = await open_link(ours, end.heard.put_nowait, end.lost.set)
    for _ in range(3 * UNSENT_BYTES_MAX // 1000):
        link.send(CancelOf(1, b"x" * 1000))
    theirs.setblocking(False)
    said = 0
    while True:
        await asyncio.sleep(0)
        try:
            said += len(theirs.recv(1 << 20))
        except BlockingIOError:
            break
    assert said < 2 * UNSENT_BYTES_MAX
    theirs.sendall(b"\0\0\0\2\xc1\xc1")
    await end.lost.wait()
    assert end.heard.empty()
    theirs.close()


def test_a_worker_that_keeps_dying_is_started_less_and_less_often() -> None:
    delays = [restart_delay_s(deaths) for deaths in range(1, 12)]
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == RESTART_S_MAX


async def test_a_port_that_somebody_has_is_not_shared_with_him() -> None:
    with socket.create_server((LOOPBACK, 0), reuse_port=True) as taken:
        address = Address(LOOPBACK, taken.getsockname()[1])
        with pytest.raises(ListenError, match="in use by another process"):
            async with Workers(["false"], 2, address, None):
                pytest.fail("it must not begin")


async def test_a_worker_that_cannot_start_ends_the_start() -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(ProcessFailed, match="worker 1 ended with exit code 3 before it was ready"):
        async with Workers(command, 2, Address(LOOPBACK, 0), None):
            pytest.fail("it must not begin")
