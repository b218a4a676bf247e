"""Systems of three processes on loopback of which one leads, each in a fresh directory: nodes of
this database without a router, pysyncobj as shipped, etcd, rqlite.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.clusters import NODES, new_config, running_nodes
from nodes.local_cluster import LOOPBACK, free_ports

__all__ = [
    "ETCD_MISSING",
    "RQLITE_MISSING",
    "Running",
    "running_etcd",
    "running_nodes_of",
    "running_rqlite",
    "running_stock",
]

GROUP: Final = "shard-1"
START_S: Final = 30.0
POLL_S: Final = 0.05
ETCD_MISSING: Final = "etcd is missing: apt-get install etcd-server"
RQLITE_MISSING: Final = "rqlited is not on PATH; Debian has no package of it"


@dataclass(frozen=True)
class Running:
    """A started system."""

    leader: str
    """HOST:PORT that takes commands."""
    pids: tuple[int, ...]
    """The leader's process first."""
    cluster_id: str = ""


def running_nodes_of(kind: str) -> Callable[[Path], AbstractAsyncContextManager[Running]]:
    """Our nodes, `core`, `core, bare` (bench.bare_node) or around `pysyncobj`."""

    @asynccontextmanager
    async def running(directory: Path) -> AsyncIterator[Running]:
        # Each leader has its own node.
        config = new_config(1, placement={"meta": NODES[1:] + NODES[:1], GROUP: NODES})
        config = replace(config, engine="pysyncobj" if kind == "pysyncobj" else "core")
        program = "bench.bare_node" if kind == "core, bare" else "nodes"
        command = (sys.executable, "-m", program)
        async with running_nodes(directory, config, node_command=command) as nodes:
            leader = (await nodes.cluster.wait_for_leaders())[GROUP]
            names = sorted(NODES, key=lambda node: node != leader)
            pids = tuple(nodes.pids[node] for node in names)
            yield Running(str(config.nodes[leader].address), pids, config.cluster_id)

    return running


@asynccontextmanager
async def _processes(
    commands: Sequence[Sequence[str]], log: Path
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    async with AsyncExitStack() as stack:
        stderr = stack.enter_context(log.open("wb"))
        processes: list[asyncio.subprocess.Process] = []
        for command in commands:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is heard here only
            )
            processes.append(process)
            stack.push_async_callback(_end, process)
        yield processes


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.communicate()


@asynccontextmanager
async def running_stock(directory: Path) -> AsyncIterator[Running]:
    ports = free_ports(6)
    addresses = [f"{LOOPBACK}:{port}" for port in ports[:3]]
    commands = [
        (
            *(sys.executable, "-m", "bench.stock_pysyncobj", own),
            *(other for other in addresses if other != own),
            *(str(ports[3 + i]), str(directory / str(i))),
        )
        for i, own in enumerate(addresses)
    ]
    async with _processes(commands, directory / "log") as processes:
        readers = {asyncio.ensure_future(_first_line(p)): i for i, p in enumerate(processes)}
        done, waiting = await asyncio.wait(
            readers, timeout=START_S, return_when=asyncio.FIRST_COMPLETED
        )
        for reader in waiting:
            reader.cancel()
        leaders = [readers[reader] for reader in done if reader.result() == "leads"]
        if not leaders:
            raise RuntimeError(f"pysyncobj has no leader: {(directory / 'log').read_text()}")
        order = sorted(range(3), key=lambda i: i != leaders[0])
        yield Running(f"{LOOPBACK}:{ports[3 + leaders[0]]}", tuple(processes[i].pid for i in order))


async def _first_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


@asynccontextmanager
async def running_etcd(directory: Path) -> AsyncIterator[Running]:
    ports = free_ports(6)
    clients = [f"http://{LOOPBACK}:{port}" for port in ports[:3]]
    peers = [f"http://{LOOPBACK}:{port}" for port in ports[3:]]
    members = ",".join(f"m{i}={peer}" for i, peer in enumerate(peers))
    commands = [
        (
            *("etcd", "--name", f"m{i}", "--data-dir", str(directory / f"m{i}")),
            *("--listen-client-urls", clients[i], "--advertise-client-urls", clients[i]),
            *("--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i]),
            *("--initial-cluster", members, "--log-level", "error", "--logger", "zap"),
        )
        for i in range(3)
    ]
    async with _processes(commands, directory / "log") as processes:
        try:
            async with asyncio.timeout(START_S):
                leader = await _leader_of_etcd(clients)
        except TimeoutError:
            raise RuntimeError(f"etcd did not start: {(directory / 'log').read_text()}") from None
        order = sorted(range(3), key=lambda i: i != leader)
        yield Running(f"{LOOPBACK}:{ports[leader]}", tuple(processes[i].pid for i in order))


async def _leader_of_etcd(urls: Sequence[str]) -> int:
    """Number of the member that says it leads, once there is one."""
    while True:
        for number, url in enumerate(urls):
            try:
                status = await asyncio.to_thread(_etcd_status, url)
            except OSError:
                continue
            if status.get("leader", "0") == status["header"]["member_id"]:
                return number
        await asyncio.sleep(POLL_S)


def _etcd_status(url: str) -> dict[str, dict[str, str]]:
    request = urllib.request.Request(f"{url}/v3/maintenance/status", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=2) as answer:
        found: dict[str, dict[str, str]] = json.load(answer)
        return found


@asynccontextmanager
async def running_rqlite(directory: Path) -> AsyncIterator[Running]:
    ports = free_ports(6)
    clients = [f"{LOOPBACK}:{port}" for port in ports[:3]]
    peers = [f"{LOOPBACK}:{port}" for port in ports[3:]]
    commands = [
        (
            *("rqlited", "-node-id", f"m{i}", "-http-addr", clients[i], "-raft-addr", peers[i]),
            *("-bootstrap-expect", "3", "-join", ",".join(peers), str(directory / f"m{i}")),
        )
        for i in range(3)
    ]
    async with _processes(commands, directory / "log") as processes:
        try:
            async with asyncio.timeout(START_S):
                leader = await _leader_of_rqlite(clients)
        except TimeoutError:
            raise RuntimeError(f"rqlite did not start: {(directory / 'log').read_text()}") from None
        order = sorted(range(3), key=lambda i: i != leader)
        yield Running(clients[leader], tuple(processes[i].pid for i in order))


async def _leader_of_rqlite(addresses: Sequence[str]) -> int:
    while True:
        for number, address in enumerate(addresses):
            try:
                status = await asyncio.to_thread(_rqlite_status, address)
            except OSError:
                continue
            if status.get("store", {}).get("raft", {}).get("state") == "Leader":
                return number
        await asyncio.sleep(POLL_S)


def _rqlite_status(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{address}/status", timeout=2) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
