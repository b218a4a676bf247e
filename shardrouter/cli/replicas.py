"""The verbs that move replicas and leaders: `replica add | move | remove`, `leader transfer |
leave`.

Each names where something shall be, not what to do: the verb looks at the group, asks its
leader for the next step and looks again, and keeps nothing itself. So the same command again is
always right: after Ctrl-C, after kill -9, or when it has long been done.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from nodes.config import ClusterConfig, ConfigError
from shardrouter.cli.look import cluster_option, located
from shardrouter.cli.progress import Steps
from shardrouter.cli.run import run_async
from shardrouter.draining import leave_goals
from shardrouter.mover import End, Mover
from shardrouter.moves import Goal, view_of
from shardrouter.repair import rebuild_goals

__all__ = ["ends", "follow", "known", "leader", "pursuit_options", "replica", "run_to_the_end"]

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def pursuit_options(command: F) -> F:
    """The options of every verb that takes steps."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The result for machines, on stdout."),
        click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(min=0, min_open=True),
            default=600.0,
            show_default=True,
            help="Seconds; what is not done by then goes on with the same command.",
        ),
        cluster_option,
    ):
        command = option(command)
    return command


@click.group()
def replica() -> None:
    """Add, move and remove replicas of a group, while it serves.

    \b
      shardrouter replica add shard-1 n4         one replica more
      shardrouter replica move shard-1 n1 n4     the same number, elsewhere
      shardrouter replica remove shard-1 n1      one replica fewer

    A new replica first gets the data (as a learner, which counts in no majority), then it votes,
    and only then does an old one go. Every command may be interrupted and run again.
    """


@replica.command()
@click.argument("group")
@click.argument("node")
@pursuit_options
def add(group: str, node: str, cluster_file: str | None, timeout_s: float, as_json: bool) -> None:
    """Give GROUP a replica on NODE.

    Use it to survive the loss of more nodes: 3 voters survive the loss of 1, 5 of 2 (4 no more
    than 3). NODE gets all the group's data; the group serves on.

    \b
      shardrouter replica add shard-1 n4
    """
    config = known(cluster_file, [group], [node])
    follow(config, {group: Goal(on=frozenset([node]))}, timeout_s, as_json)


@replica.command()
@click.argument("group")
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
@pursuit_options
def move(
    group: str, source: str, to: str, cluster_file: str | None, timeout_s: float, as_json: bool
) -> None:
    """Move GROUP's replica from node FROM to node TO.

    TO has all data and votes before FROM goes, so the group is never weaker than before. If FROM
    leads, the leadership is handed over first. It also replaces a replica whose node is dead:
    FROM need not run.

    \b
      shardrouter replica move shard-1 n1 n4
    """
    config = known(cluster_file, [group], [source, to])
    if source == to:
        raise click.UsageError(f"FROM and TO are both {to}.")
    goal = Goal(on=frozenset([to]), off=frozenset([source]))
    follow(config, {group: goal}, timeout_s, as_json)


@replica.command()
@click.argument("group")
@click.argument("node")
@click.option("--force", is_flag=True, help="Leave fewer voters than the group was made with.")
@pursuit_options
def remove(
    group: str,
    node: str,
    force: bool,
    cluster_file: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Take GROUP's replica away from NODE, with its data there.

    Use it after `replica add`, or for a learner that was left behind. If it would leave fewer
    voters than the group was made with, it says what redundancy is lost and needs --force. The
    last voter is never removed, nor one without which no majority would be up.

    \b
      shardrouter replica remove shard-1 n4
    """
    config = known(cluster_file, [group], [node])
    meant = len(config.groups[group].replicas)
    goal = Goal(off=frozenset([node]), voters_min=1 if force else meant)
    follow(config, {group: goal}, timeout_s, as_json)


@replica.command()
@click.argument("group", required=False)
@click.argument("node", required=False)
@click.option("--node", "whole_node", metavar="NODE", help="Rebuild all replicas of this node.")
@pursuit_options
def rebuild(
    group: str | None,
    node: str | None,
    whole_node: str | None,
    cluster_file: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Make GROUP's replica on NODE anew, from the others.

    Use it for a replica that is damaged, was put back from a copy, or differs from the others.
    First the group removes the old replica for ever; only after that is committed are its files
    deleted, and a new one, with a new id, gets all data and votes. The node runs on, and the
    group serves on, with one voter fewer meanwhile. It needs a majority of the others; without
    one it refuses.

    With --node it is done for all groups that have or had a replica there, and the node's present
    files are accepted by the others when all old replicas are gone: so it is what a node needs
    that has lost its disk. Start it with an empty data directory first.

    A command that was interrupted is run again. When the old replica is gone already, it goes on
    with the new one; one that votes is rebuilt once more.

    \b
      shardrouter replica rebuild shard-1 n2
      shardrouter replica rebuild --node n2       all replicas of n2
    """
    if whole_node is None and (group is None or node is None):
        raise click.UsageError("say which: GROUP NODE, or --node NODE.")
    if whole_node is not None and group is not None:
        raise click.UsageError("say either GROUP NODE or --node NODE.")
    place = whole_node or node
    assert place is not None
    config = known(cluster_file, [group] if group else [], [place])
    path, _ = located(cluster_file)
    with Steps() as steps:
        found = run_to_the_end(_rebuild(path, config, group, place, timeout_s, steps))
    if not found:
        click.echo(f"node {place} has no replica to rebuild.")
    ends(found, as_json)


async def _rebuild(
    path: Path,
    config: ClusterConfig,
    group: str | None,
    node: str,
    timeout_s: float,
    steps: Steps,
) -> dict[str, End]:
    from shardrouter.rebuilding import rebuild_node

    until = asyncio.get_running_loop().time() + timeout_s
    async with Mover(config, report=steps) as mover:
        if group is None:
            return await rebuild_node(mover, path, config, node, until)
        statuses = await mover.look()
        if (own := statuses[node]) is not None and own.refusals:
            raise ConfigError(
                f"the other nodes do not listen to {node}, so all its replicas are lost: "
                f"shardrouter replica rebuild --node {node}"
            )
        (goal,) = rebuild_goals(config, node, statuses, only=group).values()
        return {group: await mover.reach(group, goal, until)}


@click.group()
def leader() -> None:
    """Move leaderships from node to node.

    \b
      shardrouter leader transfer shard-1 n2     n2 leads shard-1
      shardrouter leader leave n2                n2 leads nothing
    """


@leader.command(short_help="Hand the leadership of a group to a node.")
@click.argument("group")
@click.argument("node")
@pursuit_options
def transfer(
    group: str, node: str, cluster_file: str | None, timeout_s: float, as_json: bool
) -> None:
    """Hand the leadership of GROUP to NODE, which has a replica of it that votes.

    Use it before you stop a node: nobody waits for an election, only for one exchange of
    messages. Writes wait meanwhile, none fails. NODE then keeps GROUP, also where leaders would
    be spread another way, until it is stopped or drained, or another one is elected.

    \b
      shardrouter leader transfer shard-1 n2
    """
    config = known(cluster_file, [group], [node])
    follow(config, {group: Goal(leader=node)}, timeout_s, as_json)


@leader.command(short_help="Hand over every group that a node leads.")
@click.argument("node")
@pursuit_options
def leave(node: str, cluster_file: str | None, timeout_s: float, as_json: bool) -> None:
    """Hand over every group that NODE leads, to the least busy of the other voters.

    Use it right before you stop NODE for a while: then nobody waits for an election. Groups
    without another voter stay.

    \b
      shardrouter leader leave n2
    """
    config = known(cluster_file, [], [node])
    with Steps() as steps:
        found = run_to_the_end(_leave(config, node, timeout_s, steps))
    ends(found, as_json)
    if not found and not as_json:
        click.echo(f"node {node} leads nothing that another node could lead")


async def _leave(
    config: ClusterConfig, node: str, timeout_s: float, steps: Steps
) -> dict[str, End]:
    async with Mover(config, report=steps) as mover:
        statuses = await mover.look()
    goals = leave_goals((view_of(group, statuses) for group in config.groups), node)
    return await _pursue(config, goals, timeout_s, steps)


# ------------------------------------------------------------------------------ carrying it out


def known(cluster_file: str | None, groups: list[str], nodes: list[str]) -> ClusterConfig:
    """The cluster, which has these groups and nodes; anything else is wrong usage."""
    _, config = located(cluster_file)
    for group in groups:
        if group not in config.groups:
            raise click.UsageError(f"there is no group {group}; there are {_all(config.groups)}.")
    for node in nodes:
        if node not in config.nodes:
            raise click.UsageError(
                f"there is no node {node}; there are {_all(config.nodes)}. A new one joins with "
                "`shardrouter node add`."
            )
    return config


def _all(names: Iterable[str]) -> str:
    return ", ".join(names)


def follow(config: ClusterConfig, goals: dict[str, Goal], timeout_s: float, as_json: bool) -> None:
    """Reach the goals, say how it went, and exit with 1 unless all are reached."""
    with Steps() as steps:
        found = run_to_the_end(_pursue(config, goals, timeout_s, steps))
    ends(found, as_json)


async def _pursue(
    config: ClusterConfig, goals: dict[str, Goal], timeout_s: float, steps: Steps
) -> dict[str, End]:
    until = asyncio.get_running_loop().time() + timeout_s
    async with Mover(config, report=steps) as mover:
        found = await asyncio.gather(
            *(mover.reach(group, goal, until) for group, goal in goals.items())
        )
    return dict(zip(goals, found, strict=True))


def run_to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """`run_async`; Ctrl-C ends it between two looks, and nothing has to be cleaned up."""
    try:
        return run_async(work)
    except KeyboardInterrupt:
        click.echo(
            "interrupted; every step that was taken holds. Run the same command again to go on.",
            err=True,
        )
        sys.exit(INTERRUPTED)


def ends(found: dict[str, End], as_json: bool) -> None:
    """How each goal ended: the sentence on stdout, or on stderr as an error."""
    if as_json:
        groups = {
            group: {"done": end.reached, "steps": list(end.steps), "result": end.what}
            for group, end in found.items()
        }
        done = all(end.reached for end in found.values())
        click.echo(json.dumps({"done": done, "groups": groups}, indent=2))
    for end in found.values():
        if not end.reached:
            click.echo(f"Error: {end.what}", err=True)
        elif not as_json:
            click.echo(end.what)
    if not all(end.reached for end in found.values()):
        sys.exit(1)
