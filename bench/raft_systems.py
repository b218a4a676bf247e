"""The systems that bench/raft.py compares: three processes on loopback, fresh directories.

All of them replicate 150-byte commands to three copies. What each does with one is said in
`work`: a faster system that does less is not a better one.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nodes.local_cluster import LOOPBACK, LocalCluster, free_ports, new_cluster_config

__all__ = ["ETCD_MISSING", "SYSTEMS", "Running", "System", "running_etcd", "running_stock"]

GROUP = "shard-1"
NODES = ("n1", "n2", "n3")
START_S = 30.0
POLL_S = 0.05
ETCD_MISSING = "etcd is missing: apt-get install etcd-server"


@dataclass(frozen=True)
class Running:
    """A started system."""

    leader: str
    """HOST:PORT that takes commands."""
    pids: tuple[int, ...]
    """The leader's process first."""
    cluster_id: str = ""


@dataclass(frozen=True)
class System:
    name: str
    kind: str
    """How bench.raft_load talks to it."""
    work: str

    @property
    def is_installed(self) -> bool:
        return self.kind != "etcd" or shutil.which("etcd") is not None

    @asynccontextmanager
    async def started(self, directory: Path) -> AsyncIterator[Running]:
        """Three processes with a leader; stopped at the end."""
        if self.kind == "nodes":
            starting = _nodes(self.name, directory)
        elif self.kind == "stock":
            starting = running_stock(directory)
        else:
            starting = running_etcd(directory)
        async with starting as running:
            yield running


SYSTEMS = (
    System("core", "nodes", "log fsynced by a majority; SQLite, exactly once, SQL checked"),
    System("core, bare", "nodes", "the same, but of a command only its SQL, as stock does"),
    System("pysyncobj", "nodes", "as core, around pysyncobj's consensus"),
    System("stock", "stock", "pysyncobj as shipped: log in memory, no fsync; SQLite"),
    System("etcd", "etcd", "log fsynced by a majority; versioned keys in bbolt"),
)


@asynccontextmanager
async def _nodes(name: str, directory: Path) -> AsyncIterator[Running]:
    ports = free_ports(len(NODES) + 1)
    config = new_cluster_config(
        placement={"meta": NODES[1:] + NODES[:1], GROUP: NODES},  # each leader has its own node
        ports=ports[:-1],
        router_port=ports[-1],
        engine="pysyncobj" if name == "pysyncobj" else "core",
    )
    program = "bench.bare_node" if name == "core, bare" else "nodes"
    command = (sys.executable, "-m", program)
    async with LocalCluster(config, directory, node_command=command) as cluster:
        await cluster.start()
        leader = (await cluster.wait_for_leaders())[GROUP]
        names = sorted(NODES, key=lambda node: node != leader)
        pids = tuple(cluster.node(node).pid for node in names)
        yield Running(str(config.nodes[leader].address), pids, config.cluster_id)


@asynccontextmanager
async def _processes(
    commands: Sequence[Sequence[str]], log: Path
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    async with AsyncExitStack() as stack:
        stderr = stack.enter_context(log.open("wb"))
        processes: list[asyncio.subprocess.Process] = []
        for command in commands:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=stderr
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
