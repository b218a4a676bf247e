"""The verb `up`: a whole local cluster.

It is a supervisor: nodes are child processes (a killed one is started again), the router
runs in this process. Nodes are started as `python -m nodes`; nothing of them is imported.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import click

from nodes.cluster_file import load_cluster
from nodes.config import ENGINES, META_GROUP, ClusterConfig, ConfigError
from nodes.local_cluster import LocalCluster, ProcessFailed
from shardrouter.cli.directory import CLUSTER_FILE, lock_directory, open_cluster
from shardrouter.cli.router_process import (
    RouterOptions,
    Running,
    encryption_for,
    log_options,
    running_router,
    say,
    workers_option,
)
from shardrouter.cli.run import run_async, until_stopped
from shardrouter.cli.workers import Workers, router_command

__all__ = ["connectable", "up"]

RESTART_DELAY_S = 1.0
"""A node that dies is started again after this long, so that a crash loop stays readable."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default="shardrouter-data")
@click.option("--nodes", type=click.IntRange(1, 64), help="Node processes.  [default: 3]")
@click.option("--shards", type=click.IntRange(1, 1000), help="Shards.  [default: 3]")
@click.option("--replicas", type=click.IntRange(1, 9), help="Replicas of each.  [default: 3]")
@click.option("--port", type=click.IntRange(1, 65535), help="The router's port.  [default: 6433]")
@click.option("--engine", type=click.Choice(ENGINES), help="Who replicates.  [default: core]")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    help="Answer /metrics: the router there, the nodes on the ports behind it.",
)
@workers_option
@log_options
def up(
    directory: Path,
    nodes: int | None,
    shards: int | None,
    replicas: int | None,
    port: int | None,
    engine: str | None,
    metrics_port: int | None,
    workers: int,
    **logs: Any,
) -> None:
    """Start a whole cluster on this machine, in the foreground.

    The first time, DIRECTORY (default ./shardrouter-data) is made and the cluster is described
    in DIRECTORY/cluster.toml; later the same command finds its data again. A node that dies is
    started again. Ctrl-C or SIGTERM stops everything cleanly. DIRECTORY/dsn says how to connect,
    and has the password of the role shardrouter.

    \b
      shardrouter up                      three nodes, three shards, three replicas of each
      shardrouter up demo --nodes 5 --shards 4
      psql "$(cat shardrouter-data/dsn)"
    """
    asked = {"nodes": nodes, "shards": shards, "replicas": replicas, "port": port}
    try:
        lock = lock_directory(directory)
        with lock:
            config, is_new = open_cluster(directory, asked, engine, metrics_port)
            options = RouterOptions("up", **logs)
            run_async(_up(config, directory, options, workers, is_new=is_new))
    except (ConfigError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


async def _up(
    config: ClusterConfig, directory: Path, options: RouterOptions, workers: int, *, is_new: bool
) -> None:
    options.begin_log()
    command = (sys.executable, "-m", "nodes", "--log-format", options.log_format)
    started = time.monotonic()
    say(
        f"{'creating' if is_new else 'starting'} the cluster in {directory}: "
        f"{len(config.nodes)} nodes, {len(config.shards)} shards x "
        f"{len(config.groups[META_GROUP].replicas)} replicas"
    )
    async with until_stopped(), LocalCluster(config, directory, node_command=command) as cluster:
        await cluster.start(progress=lambda text: say(f"  {text}"))
        await follow_new_release(directory)
        path = directory / CLUSTER_FILE
        router: AbstractAsyncContextManager[Running | Workers]
        if workers == 1:
            encryption = encryption_for(path, config.router)
            router = running_router(config, path, options, encryption)
        else:
            of_router = router_command(path, options)
            router = Workers(of_router, workers, config.router, config.router_metrics)
        async with router:
            say(f"ready after {time.monotonic() - started:.1f} s; Ctrl-C stops everything")
            click.echo(f"ready: {connectable(path)}")
            sys.stdout.flush()
            try:
                await keep_running(cluster, directory)
            finally:
                say("stopping")
    say("stopped; the same command starts this cluster again")


def connectable(path: Path) -> str:
    """The DSN that connects; one without a password if this directory has none."""
    from shardrouter.dsn_file import USER, dsn_path, read_dsn

    if dsn_path(path).exists():
        return read_dsn(path)
    return f"postgresql://{USER}@{load_cluster(path).router}/{USER}"


async def follow_new_release(directory: Path) -> None:
    """All nodes are ours: what they run now, their groups may execute with."""
    from shardrouter.mover import Mover
    from shardrouter.upgrading import follow_release

    config = load_cluster(directory / CLUSTER_FILE)  # nodes may have come since it was started
    async with Mover(config, report=lambda group, move: None) as mover:
        await follow_release(mover, config, say)


async def keep_running(cluster: LocalCluster, directory: Path) -> None:
    """Start nodes again that die, until cancelled. They may come back with a new release."""
    is_back = asyncio.Event()

    async def follow() -> None:
        while True:
            await is_back.wait()
            is_back.clear()
            try:
                await follow_new_release(directory)
            except ConfigError as exc:
                say(str(exc))

    async def watch(name: str) -> None:
        while True:
            process = cluster.node(name)
            code = await process.wait()
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited ({code})"
            say(
                f"node {name} (pid {process.pid}) {how}; starting it again. Log: {process.log_path}"
            )
            await asyncio.sleep(RESTART_DELAY_S)
            try:
                await cluster.start_node(name)
            except ProcessFailed as exc:
                say(f"node {name} does not start: {exc}")
                return
            say(f"node {name} is back (pid {cluster.node(name).pid})")
            is_back.set()

    async with asyncio.TaskGroup() as watchers:
        watchers.create_task(follow())
        for name in cluster.config.nodes:
            watchers.create_task(watch(name))
        await asyncio.Event().wait()
