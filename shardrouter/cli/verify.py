"""The verb `verify`: do the replicas of each group hold the same rows?"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import click

from nodes.client import NodeClient
from nodes.comparison import Comparison, compare, describe
from nodes.config import ClusterConfig
from nodes.protocol import Status
from shardrouter.cli.look import cluster_option, located
from shardrouter.cli.run import run_async
from shardrouter.moves import view_of

__all__ = ["verify"]


@click.command(short_help="Compare the replicas of each group row by row.")
@click.argument("groups", nargs=-1)
@cluster_option
@click.option(
    "--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds for each group."
)
def verify(groups: tuple[str, ...], cluster_file: str | None, timeout_s: float) -> None:
    """Compare the replicas of GROUPS (default: all) row by row, at one point of their logs.

    The group goes on serving. Exit code 1 when replicas differ, or when one could not be compared.
    """
    _, config = located(cluster_file)
    unknown = [name for name in groups if name not in config.groups]
    if unknown:
        raise click.UsageError(
            f"there is no group {unknown[0]}; there are {', '.join(config.groups)}."
        )
    chosen = groups or tuple(config.groups)
    found = run_async(_compare(config, chosen, timeout_s))
    lines = [line for group in chosen for line in report(group, found[group])]
    for line in lines:
        click.echo(line)
    if not all(is_well(result) for result in found.values()):
        sys.exit(1)


async def _compare(
    config: ClusterConfig, groups: tuple[str, ...], timeout_s: float
) -> dict[str, Comparison | str]:
    from shardrouter.router import node_answers

    async with AsyncExitStack() as stack:
        clients: dict[str, NodeClient] = {}
        for name in config.nodes:
            client = NodeClient.to(name, config, name="verify")
            stack.push_async_callback(client.close)
            clients[name] = client

        answers = await node_answers(config)
        statuses = {n: said if isinstance(said, Status) else None for n, said in answers.items()}
        if not any(statuses.values()):
            raise ConnectionError(f"no node answers: {next(iter(answers.values()))}")

        async def one(group: str) -> Comparison | str:
            seats = view_of(group, statuses).seats or config.groups[group].replicas
            members = {seat.node: clients[seat.node] for seat in seats if seat.node in clients}
            return await compare(group, members, timeout_s=timeout_s)

        results = await asyncio.gather(*(one(group) for group in groups))
        return dict(zip(groups, results, strict=True))


def is_well(result: Comparison | str) -> bool:
    return not isinstance(result, str) and not result.differences and not result.silent


def report(group: str, result: Comparison | str) -> list[str]:
    """What to print of one group."""
    if isinstance(result, str):
        return [result]
    lines = [
        f"{group}: the replica on {node} was not compared: {reason}"
        for node, reason in result.silent.items()
    ]
    if not result.differences and len(result.compared) > 1:
        lines.append(
            f"{group}: {len(result.compared)} replicas are equal at index {result.index} "
            f"({result.tables} tables, {result.rows} rows)"
        )
    lines += [describe(group, difference) for difference in result.differences]
    return lines
