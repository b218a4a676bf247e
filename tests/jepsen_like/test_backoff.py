"""How long after a heal a connection goes on: by the rules, and side by side on both networks."""

from __future__ import annotations

import asyncio

import pytest

from jepsen_like.backends.backend import Backend, Endpoint, connected
from jepsen_like.backends.backoff import next_attempt, next_knock
from nodes.local_cluster import free_ports
from tests.jepsen_like.networks import opened

HOSTS = ("a", "b", "c", "d", "e")

CUTS = {"b": 0.3, "c": 0.6, "d": 1.2}
"""How long each host is cut from a, well between two attempts of TCP."""

KNOCKED_ON = {"e": 0.4}
"""The same for a connection that is dialed during the cut."""

TOLERANCE_S = 0.15


def test_pauses_double() -> None:
    assert next_attempt(10.0, 10.0) == pytest.approx(10.21)
    assert next_attempt(10.0, 10.3) == pytest.approx(10.42)
    assert next_attempt(10.0, 12.0) == pytest.approx(13.36)
    assert next_attempt(0.0, 1000.0) - 1000.0 <= 120.0
    assert [next_knock(0.0, now) for now in (0.0, 1.5, 4.5, 5.5, 8.0)] == [1, 2, 5, 7, 11]


async def silences(backend: Backend) -> dict[str, float]:
    """For each host, how long after the beginning of its cut a word from a arrived."""
    loop = asyncio.get_running_loop()
    found: dict[str, float] = {}

    async def one(host: str, cut_s: float, *, established: bool) -> None:
        arrived: asyncio.Queue[float] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(100):
                arrived.put_nowait(loop.time())
            writer.close()

        endpoint: Endpoint = (backend.address(host), free_ports(1)[0])
        listener = backend.socket(host)
        listener.bind(endpoint)
        server = await asyncio.start_server(serve, sock=listener)
        dial = (await backend.expose(host, "node", endpoint))["a"]

        async def line() -> asyncio.StreamWriter:
            sock = await connected(backend.socket("a"), dial)
            return (await asyncio.open_connection(sock=sock))[1]

        if established:
            writer = await line()
            writer.write(b"before")
            await arrived.get()
        pairs = [("a", host), (host, "a")]
        await backend.cut(pairs)
        began_s = loop.time()
        healing = loop.create_task(asyncio.sleep(cut_s))
        if established:
            writer.write(b"held")
            await healing
            await backend.heal(pairs)
        else:
            dialing = asyncio.ensure_future(line())
            await healing
            await backend.heal(pairs)
            writer = await dialing
            writer.write(b"held")
        found[host] = await arrived.get() - began_s
        writer.close()
        server.close()

    async with asyncio.TaskGroup() as tasks:
        for host, cut_s in CUTS.items():
            tasks.create_task(one(host, cut_s, established=True))
        for host, cut_s in KNOCKED_ON.items():
            tasks.create_task(one(host, cut_s, established=False))
    await backend.close()
    return found


@pytest.mark.slow
@pytest.mark.alone
async def test_after_a_heal_the_proxy_goes_on_when_the_kernel_would() -> None:
    netns, proxy, instant = await asyncio.gather(
        silences(await opened("netns", HOSTS)),
        silences(await opened("proxy", HOSTS)),
        silences(await opened("proxy-instant", HOSTS)),
    )
    for host, cut_s in (CUTS | KNOCKED_ON).items():
        print(
            f"cut for {cut_s} s, heard after: netns {netns[host]:.2f} s, "
            f"proxy {proxy[host]:.2f} s, proxy-instant {instant[host]:.2f} s"
        )
        assert abs(netns[host] - proxy[host]) < TOLERANCE_S
        assert netns[host] > cut_s + 0.1
        assert instant[host] < cut_s + TOLERANCE_S
