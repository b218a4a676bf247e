"""This database inside the test's own process: one node, and a router that serves the wire.

Its event loop runs on a thread of its own, so that blocking clients can talk to it.
"""

from __future__ import annotations

import asyncio
import queue
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nodes.config import META_GROUP, RaftConfig, format_cluster
from nodes.local_cluster import free_ports, new_cluster_config
from nodes.node import Node
from shardrouter.pgserver import PgServer
from shardrouter.router import Router

__all__ = ["serving"]

SHARDS = ("shard-1", "shard-2", "shard-3")


@contextmanager
def serving(shards: Sequence[str] = SHARDS) -> Iterator[int]:
    """A new database; yields the port that speaks PostgreSQL's protocol."""
    started: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event] | Exception]
    started = queue.Queue()

    async def serve(directory: Path) -> None:
        node_port, router_port = free_ports(2)
        config = new_cluster_config(
            placement={group: ["n1"] for group in (META_GROUP, *shards)},
            ports=[node_port],
            router_port=router_port,
            raft=RaftConfig(tick_ms=20, election_ticks=10),
        )
        path = directory / "cluster.toml"
        path.write_text(format_cluster(config))
        async with (
            Node(config, "n1", directory / "n1", rng=random.Random(1)),
            Router.open(path, name="suite", rng=random.Random(2)) as router,
        ):
            server = PgServer(router.new_session, host="127.0.0.1", port=router_port)
            address = await server.start()
            stop = asyncio.Event()
            started.put((address.port, asyncio.get_running_loop(), stop))
            try:
                await stop.wait()
            finally:
                await server.close(1.0)

    def run() -> None:
        with tempfile.TemporaryDirectory(prefix="shardrouter-") as directory:
            try:
                asyncio.run(serve(Path(directory)))
            except Exception as exc:
                started.put(exc)
                raise

    thread = threading.Thread(target=run, name="database")
    thread.start()
    told = started.get()
    if isinstance(told, Exception):
        thread.join()
        raise told
    port, loop, stop = told
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
