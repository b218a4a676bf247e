"""The verb `upgrade`: after all nodes run a new release, let the groups execute with it."""

from __future__ import annotations

import sys

import click

from nodes.config import ClusterConfig
from shardrouter.cli.look import cluster_option, located
from shardrouter.cli.run import run_async
from shardrouter.mover import Mover
from shardrouter.upgrades import Refused, Same, Switch, upgrade_of
from shardrouter.upgrading import switch

__all__ = ["upgrade"]


@click.command(short_help="Let groups execute with a new release.")
@cluster_option
@click.option("--check", is_flag=True, help="Only say what would be done.")
def upgrade(cluster_file: str | None, check: bool) -> None:
    """Let every group execute its writes with the release that its nodes run now.

    Replicas stay equal because they run the same statements with the same SQLite, Python and
    release. After a node was started with another one, its replicas vote and store their log but
    apply no write. When all nodes run the new one, this switches each group by one entry of its
    log. It refuses, and names the node, while one does not support the new one.

    `shardrouter up` does this by itself when it starts.

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
                case Same(what=what) as same:
                    click.echo(f"{what}.{_rebuild(group, same)}")
                case Refused(why=why):
                    click.echo(f"Error: {why}", err=True)
                    is_well = False
                case Switch() as step if check:
                    click.echo(
                        f"{group} would be switched from {step.body.instead_of} to "
                        f"{step.body.fingerprint}.{_rebuild(group, step)}"
                    )
                    is_well = False
                case Switch() as step:
                    outcome = await switch(mover, group, step)
                    if isinstance(outcome, str):
                        click.echo(
                            f"Error: {group}: {outcome}; run the same command again.", err=True
                        )
                        is_well = False
                    else:
                        click.echo(
                            f"{group} executes with {step.body.fingerprint} from index {outcome} "
                            f"on.{_rebuild(group, step)}"
                        )
    return is_well


def _rebuild(group: str, found: Same | Switch) -> str:
    commands = "; ".join(f"shardrouter replica rebuild {group} {node}" for node in found.behind)
    return f" Then rebuild what has fallen behind: {commands}." if commands else ""
