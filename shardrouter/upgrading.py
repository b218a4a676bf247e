"""Carries out what `upgrades` decides: for the verb `upgrade`, and by itself for `up`.

`up` runs all nodes of its cluster, so nobody else could still be using the former release: once
all replicas of a group run the same one, the group is switched, and a replica that the switch
left behind is made anew from the others. Nothing is kept from one look to the next: killed
anywhere, the next start goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from nodes.config import ClusterConfig
from nodes.protocol import Done, SqlFailure
from shardrouter.mover import Mover
from shardrouter.moves import named
from shardrouter.repair import rebuild_goals
from shardrouter.upgrades import Refused, Same, Switch, Upgrade, upgrade_of

__all__ = ["follow_release", "switch"]

SWITCH_TIMEOUT_S: Final = 10.0
"""How long a leader may take to commit the switch of one group."""

POLL_S: Final = 0.1
"""How often the groups are looked at; a start waits for no more than their elections."""

PATIENCE_S: Final = 5.0
"""What stands in the way of a switch for so long stays: leaders that may not execute hand their
office on every second or two, and replicas that can catch up do."""

LIMIT_S: Final = 30.0
"""What is not settled after so long, because it changes again and again, is said as it is."""

REBUILD_TIMEOUT_S: Final = 600.0
"""How long a replica may take to get all data from the others."""


async def switch(mover: Mover, group: str, step: Switch) -> int | str:
    """Ask the leader for the switch: the index of its entry, or why it is not known to be done."""
    try:
        answer = await mover.call(step.leader, group, step.body, SWITCH_TIMEOUT_S)
    except ConnectionError as exc:
        return str(exc)
    if isinstance(answer, Done):
        return answer.index
    return answer.message if isinstance(answer, SqlFailure) else type(answer).__name__


async def follow_release(
    mover: Mover,
    config: ClusterConfig,
    say: Callable[[str], None],
    *,
    patience_s: float = PATIENCE_S,
) -> None:
    """Let every group execute with the release that all its nodes run, and rebuild what fell
    behind. Returns when that is so, or has said what stands in the way."""
    loop = asyncio.get_running_loop()
    until = loop.time() + LIMIT_S
    pending: dict[str, tuple[Upgrade | None, float]] = {
        group: (None, loop.time()) for group in config.groups
    }
    switched: dict[str, Switch] = {}
    while pending:
        statuses = await mover.look()
        for group, (before, since) in list(pending.items()):
            found = upgrade_of(group, statuses)
            if isinstance(found, Same) and not found.behind:
                del pending[group]
            elif isinstance(found, Switch):
                if isinstance(await switch(mover, group, found), int):
                    switched[group] = found
            elif found != before and loop.time() < until:
                pending[group] = (found, loop.time())
            elif loop.time() >= min(since + patience_s, until):
                del pending[group]
                if isinstance(found, Refused):
                    say(found.why)
                else:
                    for node in found.behind:
                        await _rebuild(mover, config, group, node, say)
        await asyncio.sleep(POLL_S if pending else 0)
    if switched:
        fingerprints = sorted({step.body.fingerprint for step in switched.values()})
        groups = [group for group in config.groups if group in switched]
        say(f"new release: {named(groups)} execute with {named(fingerprints)} from now on")


async def _rebuild(
    mover: Mover, config: ClusterConfig, group: str, node: str, say: Callable[[str], None]
) -> None:
    say(f"{group}: the replica on {node} fell behind the switch to a new release; rebuilding it")
    goals = rebuild_goals(config, node, await mover.look(), only=group)
    until = asyncio.get_running_loop().time() + REBUILD_TIMEOUT_S
    end = await mover.reach(group, goals[group], until)
    if not end.reached:
        say(f"{end.what} Then: shardrouter replica rebuild {group} {node}")
