"""The kernel's own network between hosts: what a cut drops, what is counted, who may make it."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jepsen_like.backends.abilities import CAN
from jepsen_like.backends.backend import PROBE_SERVICE, BackendError, Endpoint, connected
from jepsen_like.backends.netns import Netns
from jepsen_like.dummy_faults import FAULTS
from jepsen_like.faults.trials import TRIALS
from jepsen_like.kernel import kernel
from tests.jepsen_like.networks import require_namespaces

pytestmark = pytest.mark.processes

HOSTS = ("a", "b", "c")
PORT = 7000
OWN_NAMESPACE = Path("/proc/self/ns/net")
WAIT_S = 10.0
SILENCE_S = 0.3


@pytest.fixture
async def network() -> AsyncIterator[Netns]:
    require_namespaces()
    network = await Netns.open(HOSTS)
    yield network
    await network.close()


class Line:
    """An established connection from a to b."""

    def __init__(self, network: Netns) -> None:
        self._network = network
        self._near: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self._near = asyncio.Queue()

    async def open(self, service: str = "node") -> None:
        listener = self._network.socket("b")
        listener.bind((self._network.address("b"), PORT))
        self.server = await asyncio.start_server(
            lambda reader, writer: self._near.put_nowait((reader, writer)), sock=listener
        )
        dial = await self._network.expose("b", service, listener.getsockname())
        sock = await connected(self._network.socket("a"), dial["a"])
        self.from_b, self.to_b = await asyncio.open_connection(sock=sock)
        self.from_a, self.to_a = await self._near.get()

    def close(self) -> None:
        self.to_a.close()
        self.to_b.close()
        self.server.close()


@pytest.fixture
async def line(network: Netns) -> AsyncIterator[Line]:
    line = Line(network)
    await line.open()
    yield line
    line.close()


async def nothing_from(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SILENCE_S):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


# ------------------------------------------------------------------------------ links


async def test_a_cut_drops_one_direction_of_one_pair_and_the_heal_delivers(
    network: Netns, line: Line
) -> None:
    await network.cut([("a", "b"), ("b", "c")])
    line.to_b.write(b"held")
    line.to_a.write(b"back")
    assert await line.from_b.readexactly(4) == b"back"
    assert await nothing_from(line.from_a)
    await network.heal([("a", "b")])
    async with asyncio.timeout(WAIT_S):
        assert await line.from_a.readexactly(4) == b"held"


async def test_what_a_link_delivers_is_counted_and_what_is_dropped_is_not(
    network: Netns, line: Line
) -> None:
    before = await network.delivered()
    line.to_b.write(b"x" * 10_000)
    async with asyncio.timeout(WAIT_S):
        await line.from_a.readexactly(10_000)
    after = await network.delivered()
    assert after["a", "b"] - before["a", "b"] > 10_000  # headers count
    assert 0 < after["b", "a"] - before["b", "a"] < 10_000  # acknowledgements
    assert after["a", "c"] == before["a", "c"]

    await network.cut(network.pairs)
    before = await network.delivered()
    line.to_b.write(b"x" * 10_000)
    assert await nothing_from(line.from_a)
    assert await network.delivered() == before


async def test_the_bytes_of_probes_are_not_the_databases(network: Netns) -> None:
    line = Line(network)
    await line.open(PROBE_SERVICE)
    line.to_b.write(b"token")
    async with asyncio.timeout(WAIT_S):
        await line.from_a.readexactly(5)
    assert not any((await network.delivered()).values())
    line.close()


async def test_there_is_no_ipv6_as_a_way_around_a_cut(network: Netns) -> None:
    listing = network.command("a", ("ip", "address", "show", "dev", "eth0"))
    said = await asyncio.to_thread(subprocess.check_output, listing, text=True)
    assert "inet 10." in said
    assert "inet6" not in said


async def test_a_process_runs_on_its_host_under_its_own_id(network: Netns) -> None:
    program = "import os; print(os.getpid()); print(os.readlink('/proc/self/ns/net'))"
    command = network.command("b", (sys.executable, "-I", "-S", "-c", program))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said = (await process.communicate())[0].decode().split()
    assert int(said[0]) == process.pid
    assert said[1] != str(OWN_NAMESPACE.readlink())  # noqa: ASYNC240 - /proc does not block


async def test_the_harness_reaches_a_host_during_a_cut(network: Netns, line: Line) -> None:
    await network.cut(network.pairs)
    endpoint: Endpoint = (network.address("b"), PORT)
    door = await network.reach("b", endpoint)
    assert door == await network.reach("b", endpoint)
    _, writer = await asyncio.open_connection(*door)
    writer.write(b"asked")
    async with asyncio.timeout(WAIT_S):
        reader, answer = await line._near.get()
        assert await reader.readexactly(5) == b"asked"
    answer.close()
    writer.close()


async def test_the_end_leaves_no_process(network: Netns) -> None:
    holders = [holder.pid for holder in network._namespaces._holders.values()]
    assert len(holders) == len(HOSTS) + 1
    await network.close()
    assert not [pid for pid in holders if kernel().state(pid)]
    with pytest.raises(BackendError, match="the namespace of a is gone"):
        network.socket("a")


# ------------------------------------------------------------------------------ who may


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("user", ["who runs the tests", "nobody in particular"])
def test_every_fault_works_with_and_without_root(user: str) -> None:
    """The doctor tries them for real. A user without rights is made by a user namespace, so that
    it may still read this Python; and no user has more open files than shells give."""
    require_namespaces()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    drop = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    command = [sys.executable, "-m", "jepsen_like", "doctor", "--json"]
    done = subprocess.run(
        [
            "prlimit",
            f"--nofile=1024:{most}",
            *(drop if user.startswith("nobody") else []),
            *command,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)["findings"]
    claimed = {
        ("link", trial, backend)
        for trial, fault in TRIALS.items()
        for backend in ("netns", "proxy")
        if fault.needs <= CAN[backend]
    }
    works = {(f["kind"], f["name"], f["backend"]) for f in findings if f["works"]}
    assert claimed <= works, [f for f in findings if not f["works"]]
    assert works - claimed == {
        ("backend", "proxy", ""),
        ("backend", "netns", ""),
        *(("fault", name, "") for name in FAULTS),
    }


async def test_what_is_missing_is_said_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nft" else name)
    with pytest.raises(BackendError, match="nft is missing: apt-get install nftables"):
        await Netns.open(HOSTS)


async def test_a_kernel_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    require_namespaces()
    monkeypatch.setattr("jepsen_like.backends.namespaces.HOLDER", ("sh", "-c", "echo no >&2"))
    with pytest.raises(BackendError, match=r"cannot be made here \(no\): run as root"):
        await Netns.open(HOSTS)
