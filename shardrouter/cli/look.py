"""The verbs that look: `status` (groups, leaders, replicas) and `where` (a key's shard)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from nodes.config import ClusterConfig, ConfigError
from nodes.protocol import Status
from shardrouter.cli.run import run_async
from shardrouter.health import ClusterHealth, ReplicaHealth, health_of
from shardrouter.locate import find_cluster, load_cluster

__all__ = ["status", "where"]

LOOK_TIMEOUT_S = 2.0
"""How long a node may take to say how it is; a paused or unreachable one is reported as such."""

WIDE = 10_000
"""Columns of output that is not a terminal, so that no row is ever cut."""

cluster_option = click.option(
    "--cluster",
    "cluster_file",
    help="The cluster's cluster.toml.  [default: $SHARDROUTER_CLUSTER, ./cluster.toml, "
    "./shardrouter-data/cluster.toml]",
)


def located(cluster_file: str | None) -> tuple[Path, ClusterConfig]:
    try:
        path = find_cluster(cluster_file)
        return path, load_cluster(path)
    except ConfigError as exc:
        raise click.ClickException(str(exc)) from exc


@click.command(short_help="Show leaders, replicas, and what is missing.")
@cluster_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(cluster_file: str | None, as_json: bool) -> None:
    """Show every group: leader, term, members and how far each is, and what is missing.

    A cell says what the replica on that node is, its commit and applied index, and how many
    entries it lags behind its leader, if any. Below stands what needs somebody: silent nodes,
    stopped replicas, groups with fewer voters than meant, learners, draining nodes.

    Exit code 1 when a group has no leader that answers.
    """
    _, config = located(cluster_file)
    health = health_of(config, run_async(_answers(config)))
    if as_json:
        click.echo(json.dumps(health.to_json(), indent=2))
    else:
        print_status(health)
    if not health.is_led:
        sys.exit(1)


async def _answers(config: ClusterConfig) -> dict[str, Status | str]:
    from shardrouter.router import node_answers

    return await node_answers(config, timeout=LOOK_TIMEOUT_S)


def print_status(health: ClusterHealth) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    title = "commit/applied index of each replica"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for column in ("group", "leader", "term"):
        table.add_column(column)
    known = (replica.node for group in health.groups.values() for replica in group.replicas)
    names = list(dict.fromkeys((*health.nodes, *known)))
    for name in names:
        node = health.nodes.get(name)
        table.add_column(f"{name} (draining)" if node and node.draining else name, no_wrap=True)
    for group, value in health.groups.items():
        cells = {replica.node: cell(replica) for replica in value.replicas}
        if value.leader in cells:
            cells[value.leader] = f"[bold]{cells[value.leader]}[/bold]"
        table.add_row(
            group,
            value.leader or "[red]none[/red]",
            str(value.term or "-"),
            *(cells.get(name, "-") for name in names),
        )
    console.print(table)
    for each in health.avoided:
        console.print(
            f"{each.router} avoids {each.group} on {each.node} (circuit breaker {each.state}): "
            f"{each.reason}",
            style="yellow",
            markup=False,
        )
    for line in health.missing:
        console.print(line, style="red", markup=False)


def cell(replica: ReplicaHealth) -> str:
    """One replica in the table."""
    if replica.role is None:
        return "[red]silent[/red]" if not replica.up else "learner, empty"
    role = replica.role if replica.voter or replica.stopped else "learner"
    lag = f", {replica.lag} behind" if replica.lag and role != "leader" else ""
    return f"{role} {replica.commit}/{replica.applied}{lag}"


@click.command(short_help="Show on which shard a row lives.")
@click.argument("table")
@click.argument("key")
@cluster_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def where(table: str, key: str, cluster_file: str | None, as_json: bool) -> None:
    """Show where a row lives: the slot of KEY (a value of TABLE's shard key), shard and leader.

    \b
      shardrouter where accounts 4711
    """
    path, _ = located(cluster_file)
    place = run_async(_where(path, table, key))
    if as_json:
        click.echo(json.dumps(place))
    else:
        slot = "not placed by slots" if place["slot"] is None else f"slot {place['slot']}"
        leader = "" if place["shard"] == "every shard" else f", leader {place['leader'] or 'none'}"
        click.echo(f"{table} {key}: {slot}, {place['shard']}{leader}")


async def _where(path: Path, table: str, key: str) -> dict[str, object]:
    from shardrouter.router import Router

    async with Router.open(path, name="where") as router:
        place = await router.where(table, key)
        return {
            "table": table,
            "key": key,
            "slot": place.slot,
            "shard": place.shard,
            "leader": place.leader,
        }
