"""The verb `recover --unsafe`: a group goes on after its majority is lost for ever."""

from __future__ import annotations

import asyncio
import secrets

import click

from nodes.config import ClusterConfig
from nodes.incarnations import MARKS
from nodes.protocol import Changed, Denied, RecoverGroup
from shardrouter.cli.progress import Steps
from shardrouter.cli.replicas import ends, known, pursuit_options, run_to_the_end
from shardrouter.mover import End, Mover
from shardrouter.moves import Goal
from shardrouter.repair import Survivor, survivor_of

__all__ = ["recover"]

RECOVER_TIMEOUT_S = 600.0
"""How long a node may take: it copies the data file of the group."""


@click.command(short_help="Go on after a majority is lost for ever.")
@click.argument("group")
@click.option("--unsafe", is_flag=True, help="Needed: acknowledged writes may be lost.")
@click.option(
    "--yes-lose-writes", "agreed", is_flag=True, help="Do not ask for the group's name to be typed."
)
@pursuit_options
def recover(
    group: str,
    unsafe: bool,
    agreed: bool,
    cluster_file: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Go on with GROUP after its majority is lost for ever.

    Without a majority nothing can be known to be kept, so acknowledged writes may be lost: it
    says which, and asks. The group goes on, as a new incarnation, with the replica that answers
    and has the newest log; other replicas that answer are made anew from it. Those that come back
    later are refused for ever, and their data is kept beside. It refuses while there is a
    majority.

    \b
      shardrouter recover --unsafe shard-1
    """
    config = known(cluster_file, [group], [])
    if not unsafe:
        raise click.UsageError(
            "acknowledged writes may be lost; if no majority can ever be started again, say "
            f"`shardrouter recover --unsafe {group}`."
        )
    found = run_to_the_end(_survivor(config, group))
    if isinstance(found, str):
        raise click.ClickException(found)
    click.echo(found.warning(), err=True)
    if not agreed and click.prompt("Type the group's name to go on", err=True) != group:
        raise click.ClickException(f"that is not {group}; nothing was changed.")
    with Steps() as steps:
        end = run_to_the_end(_recover(config, found, timeout_s, steps))
    ends({group: end}, as_json)
    if not as_json:
        for node in found.lost:
            click.echo(f"when {node} can be used again: shardrouter replica add {group} {node}")


async def _survivor(config: ClusterConfig, group: str) -> Survivor | str:
    async with Mover(config, report=lambda group, move: None) as mover:
        return survivor_of(group, await mover.look())


async def _recover(
    config: ClusterConfig, survivor: Survivor, timeout_s: float, steps: Steps
) -> End:
    group, node = survivor.group, survivor.node
    until = asyncio.get_running_loop().time() + timeout_s
    async with Mover(config, report=steps) as mover:
        try:
            request = RecoverGroup(survivor.replica, secrets.randbelow(MARKS))
            answer = await mover.call(node, group, request, RECOVER_TIMEOUT_S)
        except ConnectionError as exc:
            return End(False, (), f"{exc}; run the same command again.")
        if not isinstance(answer, Changed):
            reason = answer.reason if isinstance(answer, Denied) else type(answer).__name__
            return End(False, (), f"{group} is not recovered: {reason}")
        steps.say(f"{group} goes on with the replica on {node}, from index {answer.index} on")
        return await mover.reach(group, Goal(on=frozenset({node, *survivor.others})), until)
