"""The verb `upgrade`: after all nodes run a new release, let the groups execute with it."""

from __future__ import annotations

import sys

import click

from nodes.config import ClusterConfig
from nodes.protocol import Done, SqlFailure
from shardrouter.cli.look import cluster_option, located
from shardrouter.cli.run import run_async
from shardrouter.mover import Mover
from shardrouter.upgrades import Refused, Same, Switch, upgrade_of

__all__ = ["upgrade"]

SWITCH_TIMEOUT_S = 10.0
"""How long a leader may take to commit the switch of one group."""


@click.command()
@cluster_option
@click.option("--check", is_flag=True, help="Only say what would be done.")
def upgrade(cluster_file: str | None, check: bool) -> None:
    """Let every group execute its writes with the release that its nodes run now.

    Replicas stay equal because they run the same statements with the same SQLite, Python and
    release. After a node was started with another one, its replicas vote and store their log but
    apply no write. When all nodes run the new one, this switches each group by one entry of its
    log. It refuses, and names the node, while one does not support the new one.

    To upgrade without a replica to rebuild: stop writing, wait until `shardrouter status` shows
    the same applied index everywhere, restart all nodes with the new release, run this.

    Exit code 1 when a group could not be switched, or, with --check, would have to be.
    """
    _, config = located(cluster_file)
    if not run_async(_upgrade(config, check=check)):
        sys.exit(1)


async def _upgrade(config: ClusterConfig, *, check: bool) -> bool:
    is_well = True
    async with Mover(config, report=lambda group, move: None) as mover:
        statuses = await mover.look()
        for group in config.groups:
            match upgrade_of(group, statuses):
                case Same(what=what):
                    click.echo(f"{what}.")
                case Refused(why=why):
                    click.echo(f"Error: {why}", err=True)
                    is_well = False
                case Switch() as switch if check:
                    click.echo(
                        f"{group} would be switched from {switch.body.instead_of} to "
                        f"{switch.body.fingerprint}.{_rebuild(group, switch)}"
                    )
                    is_well = False
                case Switch() as switch:
                    is_well = await _switch(mover, group, switch) and is_well
    return is_well


async def _switch(mover: Mover, group: str, switch: Switch) -> bool:
    try:
        answer = await mover.call(switch.leader, group, switch.body, SWITCH_TIMEOUT_S)
    except ConnectionError as exc:
        click.echo(f"Error: {group}: {exc}; run the same command again.", err=True)
        return False
    if isinstance(answer, Done):
        click.echo(
            f"{group} executes with {switch.body.fingerprint} from index {answer.index} on."
            f"{_rebuild(group, switch)}"
        )
        return True
    reason = answer.message if isinstance(answer, SqlFailure) else type(answer).__name__
    click.echo(f"Error: {group}: {reason}; run the same command again.", err=True)
    return False


def _rebuild(group: str, switch: Switch) -> str:
    commands = "; ".join(f"shardrouter replica rebuild {group} {node}" for node in switch.after)
    return f" Then rebuild what has fallen behind: {commands}." if commands else ""
