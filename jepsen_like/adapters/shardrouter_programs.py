"""This database's programs as coroutines: what a simulation runs in place of its processes.

Each takes the options of the real one and runs the same `Node` or router; what it leaves out is
what concerns a process alone: its signals, its garbage collector, its standard streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from jepsen_like.sim.children import Child, Programs
from nodes.__main__ import main as nodes_command
from nodes.cluster_file import load_cluster
from nodes.config import Address
from nodes.node import Node
from shardrouter import access, pgserver  # noqa: F401 - a router imports them when it starts
from shardrouter.cli.router_process import RouterOptions, running_router
from shardrouter.cli.serve import serve as serve_command

__all__ = ["PROGRAMS"]


async def node(child: Child, words: Sequence[str]) -> None:
    """`python -m nodes`."""
    given = nodes_command.make_context("nodes", list(words)).params
    file = given["cluster"]
    async with Node(load_cluster(file), given["name"], given["data"], file=file) as running:
        child.print(f"ready {running.address}")
        await asyncio.Event().wait()


async def router(child: Child, words: Sequence[str]) -> None:
    """`python -m shardrouter.cli serve`."""
    given = serve_command.make_context("serve", list(words)[1:]).params
    from pathlib import Path

    file = Path(given["cluster_file"])
    config = load_cluster(file)
    options = RouterOptions(
        given["name"],
        Address(config.router.host, given["port"]),
        replica_choice=given["replica_choice"],
        zone=given["zone"],
        refuse_above=given["refuse_above"],
    )
    async with running_router(config, file, options, None) as running:
        child.print(f"ready {running.address}")
        await asyncio.Event().wait()


PROGRAMS: Final[Programs] = {"nodes": node, "shardrouter.cli": router}
