"""The verbs that run something: `up` (a whole local cluster) and `serve` (a router).

`up` is a supervisor: nodes are child processes (a killed one is started again), the router
runs in this process. Nodes are started as `python -m nodes`; nothing of them is imported.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from nodes.cluster_file import load_cluster, new_secret, write_cluster
from nodes.config import (
    ENGINES,
    META_GROUP,
    REPLICA_CHOICES,
    Address,
    ClusterConfig,
    ConfigError,
    parse_zone,
)
from nodes.local_cluster import LOOPBACK, LocalCluster, ProcessFailed, new_cluster_config
from nodes.log_format import log_to_stderr
from nodes.metrics import Family
from nodes.metrics_page import MetricsPage
from shardrouter.cli.look import cluster_option
from shardrouter.cli.run import run_async, until_stopped, watch_stdin
from shardrouter.locate import find_cluster
from shardrouter.placement import place_replicas

if TYPE_CHECKING:
    from shardrouter.pgserver.tls import Encryption
    from shardrouter.statement_log import Level

__all__ = ["up", "serve"]

CLUSTER_FILE = "cluster.toml"
READY_TIMEOUT_S = 60.0
"""How long `up` waits for the first linearizable read before it gives up."""

RESTART_DELAY_S = 1.0
"""A node that dies is started again after this long, so that a crash loop stays readable."""

CLOSE_GRACE_S = 5.0
"""Running statements may take this long to end when the router stops."""


log_option = click.option(
    "--log-statements",
    type=click.Choice(("none", "text", "values")),
    default="none",
    show_default=True,
    help="Write statements to standard error: their text without values, or all of them.",
)


metrics_option = click.option(
    "--metrics", metavar="HOST:PORT", help="Answer /metrics there.  [default: as cluster.toml says]"
)


def say(text: str) -> None:
    """Progress goes to stderr: stdout carries only what a script may want to read."""
    click.echo(text, err=True)


# ------------------------------------------------------------------------------ up


def plan_cluster(
    nodes: int, shards: int, replicas: int, port: int, engine: str = ENGINES[0]
) -> ClusterConfig:
    """A new cluster on loopback: the router on `port`, the nodes on the ports behind it.

    Raises ConfigError if the numbers do not fit together.
    """
    if replicas > nodes:
        raise ConfigError(
            f"{replicas} replicas need {replicas} nodes, there are {nodes}: "
            f"use --nodes {replicas} or more, or --replicas {nodes} or fewer."
        )
    if engine == "local" and replicas > 1:
        raise ConfigError("--engine local has one replica of each group: add --replicas 1.")
    if port + nodes > 65535:
        raise ConfigError(f"--port {port} leaves no room for {nodes} node ports behind it.")
    names = [f"n{i}" for i in range(1, nodes + 1)]
    groups = [META_GROUP] + [f"shard-{i}" for i in range(1, shards + 1)]
    return new_cluster_config(
        placement=place_replicas(dict.fromkeys(names, 1), groups, replicas),
        nodes=names,
        ports=range(port + 1, port + 1 + nodes),
        router_port=port,
        engine=engine,
        secret=new_secret(),
    )


def with_metrics(config: ClusterConfig, port: int) -> ClusterConfig:
    """The router answers /metrics at `port` of loopback, the nodes at those behind it."""
    if port + len(config.nodes) > 65535:
        raise ConfigError(f"--metrics-port {port} leaves no room for the nodes' behind it.")
    nodes = {
        node.name: replace(node, metrics=Address(LOOPBACK, port + number))
        for number, node in enumerate(config.nodes.values(), 1)
    }
    changed = replace(config, nodes=nodes, router_metrics=Address(LOOPBACK, port))
    return config if changed == config else replace(changed, revision=config.revision + 1)


def same_shape(
    config: ClusterConfig, asked: Mapping[str, int | str | None], directory: Path
) -> None:
    """Refuse options that an existing cluster does not have; they are fixed when it is made."""
    has = {
        "nodes": len(config.nodes),
        "shards": len(config.shards),
        "replicas": len(config.groups[META_GROUP].replicas),
        "port": config.router.port,
        "engine": config.engine,
    }
    for name, wanted in asked.items():
        if wanted is not None and wanted != has[name]:
            raise ConfigError(
                f"{directory} holds a cluster with --{name} {has[name]}, you asked for {wanted}: "
                "that is fixed when a cluster is made. Leave the option out to start this cluster, "
                f"or name another directory for a new one."
            )


def open_cluster(
    directory: Path,
    asked: Mapping[str, int | None],
    engine: str | None = None,
    metrics_port: int | None = None,
) -> tuple[ClusterConfig, bool]:
    """The cluster of `directory`, made if there is none. Returns (config, whether it is new)."""
    path = directory / CLUSTER_FILE
    if path.exists():
        config = load_cluster(path)
        same_shape(config, {**asked, "engine": engine}, directory)
        if metrics_port is not None:
            config = with_metrics(config, metrics_port)
            write_cluster(path, config)
        return config, False
    if directory.exists() and any(p.name != "up.lock" for p in directory.iterdir()):
        raise ConfigError(
            f"{directory} is not empty and has no {CLUSTER_FILE}: name a new or empty directory."
        )
    config = plan_cluster(
        asked["nodes"] or 3,
        asked["shards"] or 3,
        asked["replicas"] or 3,
        asked["port"] or 6433,
        engine or ENGINES[0],
    )
    if metrics_port is not None:
        config = replace(with_metrics(config, metrics_port), revision=0)
    require_free_ports(config)
    write_cluster(path, config)
    return config, True


def require_free_ports(config: ClusterConfig) -> None:
    """Find a port in use before a new cluster is tied to it; raises ConfigError."""
    nodes = config.nodes.values()
    pages = [config.router_metrics, *(node.metrics for node in nodes)]
    if taken := [page for page in pages if page is not None and _is_taken(page)]:
        raise ConfigError(f"port {taken[0].port} is in use: choose another with --metrics-port.")
    for address in (config.router, *(node.address for node in nodes)):
        if _is_taken(address):
            first, last = config.router.port, config.router.port + len(nodes)
            raise ConfigError(
                f"port {address.port} is in use, and this cluster needs {first} to {last}: "
                "choose others with --port."
            )


def _is_taken(address: Address) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError:
            return True
    return False


def lock_directory(directory: Path) -> IO[str]:
    """Hold `directory` for this process; raises ConfigError naming who holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / "up.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise ConfigError(
            f"{directory} is in use by another `shardrouter up` (pid {holder}): "
            "stop that one first, or name another directory."
        ) from exc
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


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
@log_option
def up(
    directory: Path,
    nodes: int | None,
    shards: int | None,
    replicas: int | None,
    port: int | None,
    engine: str | None,
    metrics_port: int | None,
    log_statements: Level,
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
            run_async(_up(config, directory, log_statements, is_new=is_new))
    except (ConfigError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


async def _up(
    config: ClusterConfig, directory: Path, log_statements: Level, *, is_new: bool
) -> None:
    started = time.monotonic()
    say(
        f"{'creating' if is_new else 'starting'} the cluster in {directory}: "
        f"{len(config.nodes)} nodes, {len(config.shards)} shards x "
        f"{len(config.groups[META_GROUP].replicas)} replicas"
    )
    async with until_stopped(), LocalCluster(config, directory) as cluster:
        await cluster.start(progress=lambda text: say(f"  {text}"))
        await follow_new_release(directory)
        path = directory / CLUSTER_FILE
        encryption = encryption_for(path, config.router)
        async with running_router(
            config, path, name="up", encryption=encryption, log_statements=log_statements
        ):
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


# ------------------------------------------------------------------------------ a router


@asynccontextmanager
async def running_router(
    config: ClusterConfig,
    path: Path,
    *,
    name: str,
    address: Address | None = None,
    encryption: Encryption | None,
    metrics: Address | None = None,
    log_statements: Level = "none",
    replica_choice: str | None = None,
    zone: str = "",
) -> AsyncIterator[Address]:
    """A router that serves the PostgreSQL wire, once the cluster answers linearizable reads and
    has a role that may connect."""
    from shardrouter.access import admit_first
    from shardrouter.pgserver import PgServer
    from shardrouter.pgserver.client_metrics import client_families
    from shardrouter.router import Router

    listen = address or config.router
    log_to_stderr(name, logging.WARNING if log_statements == "none" else logging.INFO)
    async with Router.open(
        path,
        name=name,
        timeout=READY_TIMEOUT_S,
        progress=say,
        log_statements=log_statements,
        replica_choice=replica_choice,
        zone=zone,
    ) as router:
        server = PgServer(
            router.new_session,
            host=listen.host,
            port=listen.port,
            authenticator=router.roles,
            encryption=encryption,
        )

        async def gather() -> list[Family]:
            return [*router.metrics(), *client_families(server.counts)]

        bound = await server.start()
        page = metrics or config.router_metrics
        try:
            deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
            await admit_first(router.roles, path, config.router, deadline)
            await router.wait_ready(timeout=READY_TIMEOUT_S)
            async with nullcontext() if page is None else MetricsPage(page, gather):
                yield bound
        finally:
            await server.close(CLOSE_GRACE_S)


def encryption_for(
    path: Path,
    address: Address,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    no_tls: bool = False,
) -> Encryption | None:
    """How the router at `address` encrypts. Raises ConfigError."""
    from shardrouter.access import encryption_from, own_encryption

    if (certificate is None) != (key is None) or (no_tls and certificate is not None):
        raise ConfigError("give --tls-cert and --tls-key together, or --no-tls alone.")
    if no_tls:
        return None
    if certificate is not None and key is not None:
        return encryption_from(certificate, key)
    return own_encryption(path, address)


@click.command()
@cluster_option
@click.option("--name", default=None, help="This router's name in logs.  [default: router-PID]")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen here instead (0: any).")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    help="Certificate for TLS, PEM.  [default: router.crt beside cluster.toml, made if missing]",
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, PEM.")
@click.option("--no-tls", is_flag=True, help="Refuse encryption.")
@click.option(
    "--replica-choice",
    type=click.Choice(REPLICA_CHOICES),
    help="How sessions choose among replicas that may answer.  [default: as cluster.toml says]",
)
@click.option("--zone", default="", help="Where this router is: eu/paris/a, say.")
@metrics_option
@log_option
@click.option("--exit-with-stdin", is_flag=True, help="Stop when standard input is closed.")
def serve(
    cluster_file: str | None,
    name: str | None,
    port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    no_tls: bool,
    replica_choice: str | None,
    zone: str,
    metrics: str | None,
    log_statements: Level,
    exit_with_stdin: bool,
) -> None:
    """Run a router alone, for a cluster whose nodes run elsewhere.

    A router keeps no state: run as many as you like, side by side. Prints `ready HOST:PORT`
    once the cluster answers it a linearizable read. The first router of a cluster makes the role
    shardrouter and writes how to connect as it into the file `dsn` beside cluster.toml.
    """
    try:
        path = find_cluster(cluster_file)
        config = load_cluster(path)
        listen = config.router if port is None else Address(config.router.host, port)
        encryption = encryption_for(path, listen, tls_cert, tls_key, no_tls=no_tls)
        name = name or f"router-{os.getpid()}"
        page = None if metrics is None else Address.parse(metrics, "--metrics")
        parse_zone(zone, "--zone")
        router = running_router(
            config,
            path,
            name=name,
            address=listen,
            encryption=encryption,
            metrics=page,
            log_statements=log_statements,
            replica_choice=replica_choice,
            zone=zone,
        )
        run_async(_serve(router, exit_with_stdin=exit_with_stdin))
    except (ConfigError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


async def _serve(router: AbstractAsyncContextManager[Address], *, exit_with_stdin: bool) -> None:
    async with until_stopped() as stop:
        if exit_with_stdin:
            watch_stdin(stop)
        async with router as address:
            click.echo(f"ready {address}")
            sys.stdout.flush()
            await asyncio.Event().wait()
