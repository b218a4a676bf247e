"""The verb `init`: describes a new cluster of several machines, and starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from nodes.cluster_file import new_secret, secret_path, write_cluster
from nodes.config import (
    META_GROUP,
    Address,
    ClusterConfig,
    ConfigError,
    format_cluster,
    parse_cluster,
)
from nodes.local_cluster import new_cluster
from shardrouter.placement import place_replicas

__all__ = ["init", "named_address"]

REPLICAS_DEFAULT = 3


def named_address(text: str) -> tuple[str, Address]:
    """`NAME=HOST:PORT`. Raises ConfigError."""
    name, equals, address = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is no node; write NAME=HOST:PORT.")
    return name, Address.parse(address, f"node {name}")


def plan_machines(
    nodes: Sequence[tuple[str, Address]], shards: int, replicas: int | None, router: Address
) -> ClusterConfig:
    """A new cluster of these nodes. Raises ConfigError."""
    named: dict[str, Address] = {}
    for name, address in nodes:
        if name in named:
            raise ConfigError(f"there are two nodes {name}; give each a name of its own.")
        if address in named.values():
            raise ConfigError(f"two nodes are at {address}; give each an address of its own.")
        named[name] = address
    count = replicas or min(REPLICAS_DEFAULT, len(named))
    if count > len(named):
        raise ConfigError(
            f"{count} replicas need {count} nodes, there are {len(named)}: name more with --node, "
            f"or use --replicas {len(named)} or fewer."
        )
    groups = [META_GROUP] + [f"shard-{i}" for i in range(1, shards + 1)]
    config = new_cluster(
        nodes=named,
        placement=place_replicas(dict.fromkeys(named, 1), groups, count),
        router=router,
        secret=new_secret(),
    )
    parse_cluster(format_cluster(config), "the new cluster.toml")  # the names, for instance
    return config


@click.command(short_help="Describe a new cluster of several machines.")
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option(
    "--node",
    "nodes",
    multiple=True,
    required=True,
    metavar="NAME=HOST:PORT",
    help="A node, and where all other hosts reach it; once for each.",
)
@click.option("--shards", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option(
    "--replicas",
    type=click.IntRange(1, 9),
    help="Of each shard.  [default: 3, at most one on each node]",
)
@click.option(
    "--router",
    default="127.0.0.1:6433",
    show_default=True,
    metavar="HOST:PORT",
    help="Where routers listen.",
)
def init(
    directory: Path, nodes: tuple[str, ...], shards: int, replicas: int | None, router: str
) -> None:
    """Describe a new cluster of several machines: write DIRECTORY/cluster.toml and its secret.

    \b
      shardrouter init --node a=10.0.0.1:6434 --node b=10.0.0.2:6434 --node c=10.0.0.3:6434
    """
    path = directory / "cluster.toml"
    secret = secret_path(path)
    try:
        config = plan_machines(
            [named_address(text) for text in nodes],
            shards,
            replicas,
            Address.parse(router, "--router"),
        )
        for file in (path, secret):
            if file.exists():
                raise ConfigError(
                    f"{file} exists and may be a cluster's: move it, or name another directory."
                )
        directory.mkdir(parents=True, exist_ok=True)
        write_cluster(path, config)
    except (ConfigError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo("\n".join(next_steps(config.nodes, path)))


def next_steps(nodes: Mapping[str, object], path: Path) -> list[str]:
    names = ", ".join(nodes)
    return [
        f"wrote {path} and {secret_path(path)}, for nodes {names}",
        "next:",
        "  1. copy both files to every host, the secret readable by its owner only:",
        f"       scp -p {path} {secret_path(path)} HOST:",
        "  2. on each host, where they are, start its node:",
        *(f"       shardrouter node {name}" for name in nodes),
        "  3. start a router where your clients are:",
        "       shardrouter serve",
    ]
