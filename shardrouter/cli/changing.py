"""What every verb does that changes cluster.toml: for all hosts, not for this one alone."""

from __future__ import annotations

from collections.abc import Callable

import click

from nodes.config import ClusterConfig
from shardrouter.cli.look import located
from shardrouter.cli.run import run_async

__all__ = ["changed"]


def changed(
    cluster_file: str | None,
    change: Callable[[ClusterConfig], ClusterConfig],
    *,
    new: str = "",
) -> ClusterConfig:
    """Change the cluster's description; says on stderr who has to learn it yet, but for a node
    that is `new` and gets it when it is started."""
    from shardrouter.cluster_change import change_cluster

    path, config = located(cluster_file)
    config, unaware = run_async(change_cluster(path, config, change))
    unaware = [node for node in unaware if node != new]
    if unaware:
        click.echo(
            f"not reached: {', '.join(unaware)}; they learn it when they run and are connected",
            err=True,
        )
    return config
