"""Clusters on this machine: node processes that are started, found, paused and killed.

The one place that does so, for `shardrouter up`, the demo, the tests, the benchmark and the
fault injection. It knows how a node is started (a command line, a cluster.toml, a line `ready`)
and nothing of what runs inside.

A child never outlives its parent: it runs in a session of its own, so that Ctrl-C in a terminal
reaches the parent only and shutdown has one conductor, and it watches its standard input, whose
other end the kernel closes when the parent dies, however it dies.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nodes.client import NodeClient
from nodes.cluster_file import load_cluster, write_cluster
from nodes.config import (
    ENGINES,
    Address,
    ClusterConfig,
    ConfigError,
    GroupConfig,
    NodeConfig,
    RaftConfig,
    Replica,
)
from nodes.protocol import GetStatus, Status, leader_of

__all__ = [
    "ProcessFailed",
    "ManagedProcess",
    "free_ports",
    "new_cluster",
    "new_cluster_config",
    "LocalCluster",
]

LOOPBACK: Final = "127.0.0.1"

READY_TIMEOUT_S: Final = 30.0
"""Longest start of a node, its log's recovery on a loaded machine included."""

TERMINATE_TIMEOUT_S: Final = 5.0
"""How long a child may take to stop by itself before it is killed."""

STATUS_TIMEOUT_S: Final = 0.5
"""A running node answers at once; one that does not, because it is paused, is reported as None
and should not hold up who asks again and again."""

POLL_S: Final = 0.02
"""How often `wait_for` asks the nodes again."""

_PORTS_FROM: Final = 15_000
_PORT_TRIES: Final = 1_000


class ProcessFailed(Exception):
    """A child process did not start; the message is its own last sentence."""


class ManagedProcess:
    """A child process that ends with us.

    `argv` must name a program that exits when its standard input closes (`--exit-with-stdin`).
    Its stderr, and what it prints besides the line `ready ...`, go to `log_path`. `on_exit`, if
    set, is called once per run with this object when the process has ended.
    """

    def __init__(self, name: str, argv: Sequence[str], *, log_path: Path) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log_path = log_path
        self.on_exit: Callable[[ManagedProcess], None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[int] | None = None
        self._ready: asyncio.Future[str] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        """Process id of the current or last run."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._reader is not None and not self._reader.done()

    async def start(self) -> None:
        """Start the program, again if it has ended. Raises ProcessFailed if there is none."""
        assert not self.running, f"{self.name} is running"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                process = await asyncio.create_subprocess_exec(
                    *self.argv,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as exc:
                raise ProcessFailed(f"{self.argv[0]} cannot be started: {exc}.") from exc
        loop = asyncio.get_running_loop()
        self._process = process
        self._ready = loop.create_future()
        self._reader = loop.create_task(self._watch(process, self._ready))

    async def _watch(self, process: asyncio.subprocess.Process, ready: asyncio.Future[str]) -> int:
        """Read what the child prints until it ends; returns its exit code."""
        assert process.stdout is not None
        assert process.stdin is not None
        with self.log_path.open("ab") as log:
            while line := await process.stdout.readline():
                text = line.decode(errors="replace").strip()
                if text.startswith("ready ") and not ready.done():
                    ready.set_result(text.removeprefix("ready "))
                else:
                    log.write(line)
                    log.flush()
        code = await process.wait()
        process.stdin.close()
        if not ready.done():
            ready.cancel()
        if self.on_exit is not None:
            self.on_exit(self)
        return code

    async def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> str:
        """What the child printed after `ready `. Raises ProcessFailed if it ended before, or
        took longer than `timeout_s`."""
        assert self._ready is not None
        assert self._reader is not None
        await asyncio.wait({self._ready}, timeout=timeout_s)
        if not self._ready.done():
            raise ProcessFailed(
                f"{self.name} was not ready after {timeout_s:g} s; see {self.log_path}."
            )
        if self._ready.cancelled():
            code = await self._reader
            raise ProcessFailed(self._last_words() or f"{self.name} ended with exit code {code}.")
        return self._ready.result()

    def _last_words(self) -> str:
        """The last line this run wrote to its log: by convention one sentence."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("Error: ") if lines else ""

    def kill(self) -> None:
        """SIGKILL, if it runs: nothing is flushed, nobody is told."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: the process keeps its connections and does nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def terminate(self, timeout_s: float = TERMINATE_TIMEOUT_S) -> None:
        """SIGTERM, then SIGKILL after `timeout_s`; returns when the process has ended."""
        if not self.running:
            return
        self._signal(signal.SIGTERM)
        self.resume()  # a paused process does not see SIGTERM
        assert self._reader is not None
        try:
            await asyncio.wait({self._reader}, timeout=timeout_s)
        finally:
            if self.running:
                self.kill()
                await asyncio.wait({self._reader})

    async def wait(self) -> int:
        """Exit code, once the process has ended; negative: killed by that signal."""
        assert self._reader is not None, f"{self.name} was never started"
        return await asyncio.shield(self._reader)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, from below the range of outgoing connections.

    A port from that range (what binding port 0 gives) may be taken by some outgoing connection
    while its node is down, and then the node cannot start again. Worse, dialing a dead port of
    that range may choose it as its own source and connect to itself.
    """
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        below = int(text.split()[0])
    except OSError:  # not Linux; its range starts at 49152 by convention
        below = 49_152
    candidates = range(_PORTS_FROM, max(below, _PORTS_FROM + _PORT_TRIES))
    held: list[socket.socket] = []
    try:
        for port in random.sample(candidates, min(len(candidates), _PORT_TRIES + count)):
            if len(held) == count:
                break
            listener = socket.socket()
            try:
                listener.bind((LOOPBACK, port))
            except OSError:
                listener.close()
            else:
                held.append(listener)
        if len(held) < count:
            raise ProcessFailed(f"there are no {count} free ports on {LOOPBACK}.")
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


def new_cluster_config(
    *,
    placement: Mapping[str, Sequence[str]],
    ports: Sequence[int],
    router_port: int,
    nodes: Sequence[str] | None = None,
    raft: RaftConfig | None = None,
    engine: str = ENGINES[0],
    secret: bytes = b"",
) -> ClusterConfig:
    """A new cluster on loopback, with a fresh cluster id.

    `placement` maps each group to the nodes of its replicas, the preferred leader first. Each
    of `nodes` gets the next of `ports`; None: all that `placement` names, in the order of
    their names' length and letters (n2 before n10).
    """
    placed = {node for replicas in placement.values() for node in replicas}
    names = sorted(placed, key=_by_number) if nodes is None else nodes
    return new_cluster(
        nodes={name: Address(LOOPBACK, port) for name, port in zip(names, ports, strict=True)},
        placement=placement,
        router=Address(LOOPBACK, router_port),
        raft=raft,
        engine=engine,
        secret=secret,
    )


def new_cluster(
    *,
    nodes: Mapping[str, Address],
    placement: Mapping[str, Sequence[str]],
    router: Address,
    raft: RaftConfig | None = None,
    engine: str = ENGINES[0],
    secret: bytes = b"",
) -> ClusterConfig:
    """A new cluster of `nodes`, wherever they are, with a fresh cluster id. `placement` as in
    `new_cluster_config`."""
    return ClusterConfig(
        cluster_id=uuid.uuid4().hex,
        nodes={name: NodeConfig(name, address) for name, address in nodes.items()},
        groups={
            group: GroupConfig(group, tuple(Replica(i, node) for i, node in enumerate(members, 1)))
            for group, members in placement.items()
        },
        router=router,
        raft=raft or RaftConfig(),
        engine=engine,
        secret=secret,
    )


def _is_newer(file: Path, config: ClusterConfig) -> bool:
    """Whether the nodes have changed the description since `config` was read."""
    try:
        found = load_cluster(file)
    except ConfigError:
        return False
    return found.cluster_id == config.cluster_id and found.revision > config.revision


def _by_number(name: str) -> tuple[int, str]:
    return len(name), name


class LocalCluster:
    """The nodes of one cluster as child processes.

        async with LocalCluster(config, directory) as cluster:
            await cluster.start()

    Each node has DIRECTORY/<name>/ with its cluster.toml, its data/ and its node.log.
    `views` gives single nodes a cluster.toml of their own, in which the addresses of their
    peers lead through proxies; `command_on` turns a node's name and command line into the one
    that starts it where it belongs, under the same process id. Leaving the context stops every
    node.
    """

    def __init__(
        self,
        config: ClusterConfig,
        directory: Path,
        *,
        node_command: Sequence[str] = (sys.executable, "-m", "nodes"),
        views: Mapping[str, ClusterConfig] | None = None,
        command_on: Callable[[str, Sequence[str]], Sequence[str]] = lambda _, argv: argv,
    ) -> None:
        self.config = config
        self.directory = directory
        self._views = dict(views or {})
        self._processes = {
            name: ManagedProcess(
                name,
                command_on(
                    name,
                    (
                        *node_command,
                        *("--cluster", str(directory / name / "cluster.toml")),
                        *("--name", name),
                        *("--data", str(directory / name / "data")),
                        "--exit-with-stdin",
                    ),
                ),
                log_path=directory / name / "node.log",
            )
            for name in config.nodes
        }
        self._clients: dict[str, NodeClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def node(self, name: str) -> ManagedProcess:
        return self._processes[name]

    async def start(self, progress: Callable[[str], None] | None = None) -> None:
        """Start all nodes and return when each listens. Raises ProcessFailed, with every node
        stopped again, if one does not start."""

        async def start_one(name: str) -> None:
            await self.start_node(name)
            if progress is not None:
                process = self._processes[name]
                progress(
                    f"node {name} listens on {self.config.nodes[name].address} (pid {process.pid})"
                )

        starts = [asyncio.ensure_future(start_one(name)) for name in self._processes]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            raise

    async def start_node(self, name: str) -> None:
        """Start one node, again if it has ended, and return when it listens. Raises
        ProcessFailed with the node's own sentence."""
        process = self._processes[name]
        file = self.directory / name / "cluster.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not _is_newer(file, self.config):
            write_cluster(file, self._views.get(name, self.config))
        await process.start()
        await process.wait_ready()

    def kill_node(self, name: str) -> None:
        """SIGKILL; wait for the end with `node(name).wait()`."""
        self._processes[name].kill()

    async def stop(self) -> None:
        """Stop all nodes, all at once, and return when they have ended."""
        await asyncio.gather(*(process.terminate() for process in self._processes.values()))
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(client.close() for client in clients.values()))

    async def status(self) -> dict[str, Status | None]:
        """What each node says of itself; None if it does not answer."""
        answers = await asyncio.gather(*map(self.status_of, self._processes))
        return dict(zip(self._processes, answers, strict=True))

    async def status_of(self, name: str) -> Status | None:
        """What node `name` says of itself; None if it does not answer."""
        if not self._processes[name].running:
            return None
        if name not in self._clients:
            self._clients[name] = NodeClient.to(name, self.config, name="local-cluster")
        try:
            answer = await self._clients[name].call("", GetStatus(), STATUS_TIMEOUT_S)
        except ConnectionError:
            return None
        return answer if isinstance(answer, Status) else None

    async def leaders(self) -> dict[str, str]:
        """Node that leads each group, by its own word in the highest term; groups without a
        leader are left out."""
        statuses = (await self.status()).values()
        leaders = {group: leader_of(group, statuses) for group in self.config.groups}
        return {group: node for group, node in leaders.items() if node is not None}

    async def wait_for_leaders(
        self, timeout_s: float = READY_TIMEOUT_S, *, other_than: str | None = None
    ) -> dict[str, str]:
        """`leaders`, once every group has one, on a node other than `other_than`. Raises
        TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                leaders = await self.leaders()
                if len(leaders) == len(self.config.groups) and other_than not in leaders.values():
                    return leaders
                await asyncio.sleep(POLL_S)
