"""The verb `node drain`: empties a node, so that it can be removed or repaired at leisure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import click

from nodes.config import ClusterConfig, ConfigError
from nodes.protocol import Status
from shardrouter.cli.changing import changed
from shardrouter.cli.progress import Steps
from shardrouter.cli.replicas import ends, known, pursuit_options, run_to_the_end
from shardrouter.draining import drain_goals, leave_goals
from shardrouter.mover import End, Mover
from shardrouter.moves import Goal, GroupView, Impossible, view_of

__all__ = ["drain"]


@click.command(short_help="Move every leader and replica away from a node.")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let NAME take replicas and leaders again.")
@click.option(
    "--at-once",
    type=click.IntRange(1, 16),
    default=2,
    show_default=True,
    help="Replicas that move at the same time; each is a copy of all data of its group.",
)
@pursuit_options
def drain(
    name: str,
    undo: bool,
    at_once: int,
    cluster_file: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Move every leader and replica away from node NAME, while the cluster serves.

    Use it before a host is repaired or given up. NAME is marked in cluster.toml, so that nothing
    is placed there meanwhile; its replicas go where the most capacity is free. NAME need not run.
    Interrupted, the same command goes on; --undo takes the mark away, and what has moved stays.

    \b
      shardrouter node drain n1
      shardrouter node drain --undo n1
    """
    known(cluster_file, [], [name])
    config = mark(cluster_file, name, draining=not undo)
    if undo:
        click.echo(f"node {name} takes replicas and leaders again; what has moved stays moved")
        return
    with Steps() as steps:
        found = run_to_the_end(_drain(config, name, at_once, timeout_s, steps))
    ends(found, as_json)
    if not as_json:
        click.echo(f"node {name} hosts nothing; shardrouter node remove {name}")


def mark(cluster_file: str | None, name: str, *, draining: bool) -> ClusterConfig:
    """Write on every host whether `name` is being emptied; returns what is written now."""

    def marked(config: ClusterConfig) -> ClusterConfig:
        if name not in config.nodes:
            raise ConfigError(f"there is no node {name}; there are {', '.join(config.nodes)}.")
        node = replace(config.nodes[name], drain=draining)
        return replace(config, nodes={**config.nodes, name: node})

    return changed(cluster_file, marked)


async def _drain(
    config: ClusterConfig, name: str, at_once: int, timeout_s: float, steps: Steps
) -> dict[str, End]:
    until = asyncio.get_running_loop().time() + timeout_s
    async with Mover(config, report=steps) as mover:
        found = _views(config, await mover.look())
        await _reach(mover, leave_goals(found.values(), name), at_once, until)
        found = _views(config, await mover.look())
        goals = drain_goals(config, found, name)
        silent = {
            group: End(False, (), f"nobody who answers knows who belongs to {group}.")
            for group, view in found.items()
            if not view.seats
        }
        return silent | await _reach(mover, goals, at_once, until)


async def _reach(
    mover: Mover, goals: Mapping[str, Goal | Impossible], at_once: int, until: float
) -> dict[str, End]:
    """All goals, so many at a time; one that fails does not keep the others from their end."""
    room = asyncio.Semaphore(at_once)

    async def one(group: str, goal: Goal | Impossible) -> End:
        if isinstance(goal, Impossible):
            return End(False, (), goal.why)
        async with room:
            return await mover.reach(group, goal, until)

    found = await asyncio.gather(*(one(group, goal) for group, goal in goals.items()))
    return dict(zip(goals, found, strict=True))


def _views(config: ClusterConfig, statuses: Mapping[str, Status | None]) -> dict[str, GroupView]:
    return {group: view_of(group, statuses) for group in config.groups}
