"""The verbs that look: `status` (groups, leaders, replicas) and `where` (a key's shard)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from nodes.config import ClusterConfig, ConfigError
from nodes.protocol import Status, leader_of
from shardrouter.cli.run import run_async
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


@click.command()
@cluster_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(cluster_file: str | None, as_json: bool) -> None:
    """Show every group: its leader, term, and commit and applied index of each replica.

    Exit code 1 when a group has no leader that answers.
    """
    _, config = located(cluster_file)
    nodes = run_async(_statuses(config))
    groups = {name: group_status(config, name, nodes) for name in config.groups}
    if as_json:
        click.echo(json.dumps({"cluster_id": config.cluster_id, "groups": groups}, indent=2))
    else:
        print_status(config, groups, nodes)
    if any(group["leader"] is None for group in groups.values()):
        sys.exit(1)


async def _statuses(config: ClusterConfig) -> dict[str, Status | None]:
    from shardrouter.router import node_statuses

    return await node_statuses(config, timeout=LOOK_TIMEOUT_S)


def group_status(
    config: ClusterConfig, group: str, nodes: dict[str, Status | None]
) -> dict[str, object]:
    """One group for the table and for JSON; a replica whose node is silent has role null."""
    by_node = {
        node: replica
        for node, status in nodes.items()
        if status is not None
        for replica in status.replicas
        if replica.group == group
    }
    return {
        "leader": leader_of(group, nodes.values()),
        "term": max((replica.term for replica in by_node.values()), default=None),
        "replicas": [
            {
                "id": member.id,
                "node": member.node,
                "role": replica.role if replica else None,
                "term": replica.term if replica else None,
                "commit": replica.commit if replica else None,
                "applied": replica.applied if replica else None,
                "last": replica.last if replica else None,
                "stopped": replica.stopped if replica else "",
            }
            for member in config.groups[group].replicas
            for replica in (by_node.get(member.node),)
        ],
    }


def print_status(
    config: ClusterConfig, groups: dict[str, dict[str, object]], nodes: dict[str, Status | None]
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    table = Table(
        box=None, pad_edge=False, title="commit/applied index of each replica", title_justify="left"
    )
    for title in ("group", "leader", "term"):
        table.add_column(title)
    for name in config.nodes:
        table.add_column(f"{name}", no_wrap=True)
    for group, value in groups.items():
        leader = value["leader"]
        row = [group, str(leader) if leader else "[red]none[/red]", str(value["term"] or "-")]
        replicas = value["replicas"]
        assert isinstance(replicas, list)
        cells = {r["node"]: r for r in replicas}
        for name in config.nodes:
            replica = cells.get(name)
            if replica is None:
                row.append("-")
            elif replica["role"] is None:
                row.append("[red]silent[/red]")
            else:
                shown = f"{replica['role']} {replica['commit']}/{replica['applied']}"
                row.append(f"[bold]{shown}[/bold]" if name == leader else shown)
        table.add_row(*row)
    console.print(table)
    for name, status in nodes.items():
        if status is None:
            console.print(f"[red]node {name} ({config.nodes[name].address}) does not answer[/red]")
            continue
        for refusal in status.refusals:
            console.print(f"[red]{refusal.node} does not listen to {name}: {refusal.reason}[/red]")
        for replica in status.replicas:
            if replica.stopped:
                console.print(f"[red]{name}, {replica.group}: {replica.stopped}[/red]")
    missing = [group for group, value in groups.items() if value["leader"] is None]
    if missing:
        console.print(
            f"[red]no leader: {', '.join(missing)}[/red] "
            "(a majority of its replicas has to run and reach each other)"
        )


@click.command()
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
        click.echo(
            f"{table} {key}: slot {place['slot']}, {place['shard']}, "
            f"leader {place['leader'] or 'none'}"
        )


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
