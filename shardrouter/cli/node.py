"""The verb `node`: runs one, and holds the verbs about them.

    shardrouter node a               run node a on this host
    shardrouter node VERB ...        one of NODE_VERBS of nodes.config, which no node is called

What is no verb is a node's name, so that each host's command stays as short as it can be.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from nodes.config import ConfigError
from shardrouter.cli.drain import drain
from shardrouter.cli.look import cluster_option
from shardrouter.locate import find_cluster, load_cluster

__all__ = ["node"]


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
      shardrouter node a           run node a; its options: shardrouter node a --help
      shardrouter node drain a     move every leader and replica away from node a
    """


@click.command()
@click.argument("name")
@cluster_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where this node keeps its files.  [default: NAME/data beside cluster.toml]",
)
def run(name: str, cluster_file: str | None, data: Path | None) -> None:
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
    os.execv(sys.executable, argv)  # noqa: S606 - the node takes this process' place


node.add_command(drain)
