"""The directory of `shardrouter up`: whose it is, and the cluster that is described in it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from nodes.cluster_file import load_cluster, new_secret, write_cluster
from nodes.config import ENGINES, META_GROUP, Address, ClusterConfig, ConfigError
from nodes.local_cluster import LOOPBACK, new_cluster_config
from shardrouter.placement import place_replicas

__all__ = ["CLUSTER_FILE", "lock_directory", "open_cluster"]

CLUSTER_FILE: Final = "cluster.toml"


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
