"""The verb `node`: runs one, and holds the verbs about them.

    shardrouter node a               run node a on this host
    shardrouter node VERB ...        one of NODE_VERBS of nodes.config, which no node is called

What is no verb is a node's name, so that each host's command stays as short as it can be.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from nodes.cluster_file import load_cluster, secret_path
from nodes.config import ClusterConfig, ConfigError, NodeConfig
from nodes.log_format import LOG_FORMATS
from nodes.protocol import Status
from shardrouter.cli.changing import changed
from shardrouter.cli.drain import drain
from shardrouter.cli.init import named_address
from shardrouter.cli.look import cluster_option, located
from shardrouter.cli.run import run_async
from shardrouter.departures import require_unused
from shardrouter.locate import find_cluster

__all__ = ["node"]

HERE = ("127.0.0.1", "localhost", "::1")
"""A node there finds the cluster's files where they are."""


class NodeGroup(click.Group):
    """A group of verbs whose unknown ones are names of nodes to run."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "", run, args

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["NAME | VERB", "..."]


@click.group(cls=NodeGroup, context_settings={"ignore_unknown_options": True})
def node() -> None:
    """Run node NAME of a cluster, in the foreground.

    \b
      shardrouter node a                   run node a; its options: shardrouter node a --help
      shardrouter node add d=HOST:6434     make another one known
      shardrouter node drain a             move every leader and replica away from node a
      shardrouter node remove a            take node a out of the cluster
    """


@click.command()
@click.argument("name")
@cluster_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where this node keeps its files.  [default: NAME/data beside cluster.toml]",
)
@click.option(
    "--metrics", metavar="HOST:PORT", help="Answer /metrics there.  [default: as cluster.toml says]"
)
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    default="text",
    show_default=True,
    help="Lines for people, or an object in each.",
)
def run(
    name: str, cluster_file: str | None, data: Path | None, metrics: str | None, log_format: str
) -> None:
    """Run node NAME of a cluster, in the foreground, until SIGTERM or Ctrl-C."""
    try:
        path = find_cluster(cluster_file)
        config = load_cluster(path)
    except ConfigError as exc:
        raise click.ClickException(str(exc)) from exc
    if name not in config.nodes:
        raise click.ClickException(
            f"{path} has no node {name!r}; it has {', '.join(config.nodes)}."
        )
    argv = [sys.executable, "-m", "nodes", "--cluster", str(path), "--name", name]
    argv += ["--data", str(data or path.parent / name / "data")]
    argv += ["--log-format", log_format]
    if metrics is not None:
        argv += ["--metrics", metrics]
    os.execv(sys.executable, argv)  # noqa: S606 - the node takes this process' place


@node.command()
@click.argument("new", metavar="NAME=HOST:PORT")
@cluster_option
def add(new: str, cluster_file: str | None) -> None:
    """Make node NAME known to the cluster, at HOST:PORT.

    It holds nothing yet: start it with the new cluster.toml and the secret beside it, then move
    replicas there.

    \b
      shardrouter node add d=10.0.0.4:6434
    """
    try:
        name, address = named_address(new)
    except ConfigError as exc:
        raise click.ClickException(str(exc)) from exc

    def with_node(config: ClusterConfig) -> ClusterConfig:
        known = config.nodes.get(name)
        if known is not None and known.address == address:
            return config
        if known is not None:
            raise ConfigError(f"there is a node {name} already, at {known.address}.")
        for other in config.nodes.values():
            if other.address == address:
                raise ConfigError(f"node {other.name} is at {address} already.")
        return replace(config, nodes={**config.nodes, name: NodeConfig(name, address)})

    path, _ = located(cluster_file)
    config = changed(cluster_file, with_node, new=name)
    click.echo(f"node {name} is at {address} (revision {config.revision} of {path})")
    if address.host in HERE:
        click.echo(f"next: shardrouter node {name} --cluster {path}")
    else:
        click.echo(f"next: copy {path} and {secret_path(path)} to its host, and there:")
        click.echo(f"       shardrouter node {name}")


@node.command(short_help="Take a node without replicas out of the cluster.")
@click.argument("name")
@cluster_option
def remove(name: str, cluster_file: str | None) -> None:
    """Take node NAME, which hosts no replica any more, out of the cluster.

    \b
      shardrouter node drain d       move its replicas away first
      shardrouter node remove d      then stop it
    """
    path, config = located(cluster_file)
    statuses = run_async(_statuses(config))

    def without_node(config: ClusterConfig) -> ClusterConfig:
        if name not in config.nodes:
            return config
        require_unused(config, name, statuses)
        return replace(config, nodes={n: node for n, node in config.nodes.items() if n != name})

    config = changed(cluster_file, without_node)
    click.echo(
        f"there is no node {name} (revision {config.revision} of {path}); stop it if it runs"
    )


async def _statuses(config: ClusterConfig) -> dict[str, Status | None]:
    from shardrouter.router import node_statuses

    return await node_statuses(config)


node.add_command(drain)
