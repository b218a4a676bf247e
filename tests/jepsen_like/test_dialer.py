"""One address that all dial: whose process it was, and that the links follow."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jepsen_like.backends.backend import Backend, BackendError, Endpoint
from jepsen_like.backends.dialer import host_that_dialed
from jepsen_like.backends.proxy import Mesh
from tests.jepsen_like.test_proxy import SILENCE_S, WAIT_S, Service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp is Linux's")

DIAL = """
import socket, sys
host, port, family, word = sys.argv[1:]
sock = socket.socket(getattr(socket, family))
sock.connect((("::ffff:" if family == "AF_INET6" else "") + host, int(port)))
sock.sendall(word.encode())
sys.stdin.read()
"""


@asynccontextmanager
async def dialing(
    backend: Backend, host: str, at: Endpoint, *, family: str = "AF_INET"
) -> AsyncIterator[None]:
    """A process of `host` that connects, says its host's name, and stays until the block ends."""
    argv = backend.command(host, [sys.executable, "-c", DIAL, at[0], str(at[1]), family, host])
    process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.PIPE)
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def advertised(*hosts: str) -> AsyncIterator[tuple[Mesh, Service, Endpoint]]:
    """A service of the last host, at one address for all others."""
    mesh, service = Mesh(hosts), Service()
    try:
        yield mesh, service, await mesh.advertise(hosts[-1], "peers", await service.start())
    finally:
        await service.close()
        await mesh.close()


async def test_each_link_is_ruled_apart_at_one_address() -> None:
    async with advertised("a", "b", "c") as (mesh, service, at):
        await mesh.cut([("b", "c")])
        async with dialing(mesh, "b", at), dialing(mesh, "a", at, family="AF_INET6"):
            await service.until(lambda: service.received == b"a")
            await asyncio.sleep(SILENCE_S)
            assert service.received == b"a", "what b sent passed the cut"
            await mesh.heal([("b", "c")])
            await service.until(lambda: service.received == b"ab")
        delivered = await mesh.delivered()
        assert delivered["a", "c"] == delivered["b", "c"] == 1


async def test_who_is_a_process_of_no_host_is_not_carried_on() -> None:
    async with advertised("a", "b") as (_, service, at):
        reader, writer = await asyncio.open_connection(*at)  # this process is on no host
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(WAIT_S):
                await reader.readexactly(1)
        writer.close()
        assert not service.connections


async def test_processes_of_one_host_reach_each_other_whatever_is_cut() -> None:
    async with advertised("a", "b") as (mesh, service, at):
        await mesh.cut(mesh.pairs)
        async with dialing(mesh, "b", at):
            await service.until(lambda: service.received == b"b")
        assert set((await mesh.delivered()).values()) == {0}, "no link was taken"


async def test_without_the_kernels_list_the_backend_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jepsen_like.backends.proxy.can_tell", lambda: False)
    mesh = Mesh(["a", "b"])
    with pytest.raises(
        BackendError, match=r"proxy cannot tell here who dials peers of b: .* Linux"
    ):
        await mesh.advertise("b", "peers", ("127.0.0.1", 1))
    await mesh.close()


def test_a_socket_that_nobody_has_is_nobodys() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert host_that_dialed(unused.getsockname(), ("127.0.0.1", 1)) is None
