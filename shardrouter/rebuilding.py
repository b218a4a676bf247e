"""Makes all replicas of a node anew, also of one that has lost its disk.

Three phases, each begun when the one before is done for every group:

1. All groups remove the node's replicas, by committed changes. From then on nobody can lead
   without a member that knows of it, so what those replicas have forgotten decides nothing.
2. cluster.toml names the node's present files (`data_id`): only now the others listen to a node
   whose files are not the ones they have met (`nodes.whose_files`).
3. All groups get a replica there again, with new ids.

Killed anywhere it is run again: what is removed is not removed twice, the second phase changes
nothing when it was done, and learners of the third are gone on with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from nodes.config import ClusterConfig
from shardrouter.cluster_change import change_cluster
from shardrouter.departures import accepting
from shardrouter.mover import End, Mover
from shardrouter.moves import Goal
from shardrouter.repair import rebuild_goals

__all__ = ["rebuild_node"]


async def rebuild_node(
    mover: Mover, path: Path, config: ClusterConfig, node: str, until: float
) -> dict[str, End]:
    """How it ended for each group; `path` is the tool's cluster.toml. Raises ConfigError, and
    RouterError if `meta` does not answer."""
    goals = rebuild_goals(config, node, await mover.look())
    removed = await _reach(mover, {g: Goal(gone=goal.gone) for g, goal in goals.items()}, until)
    if not all(end.reached for end in removed.values()):
        return removed
    statuses = await mover.look()
    status = statuses[node]
    if status is None:
        why = (
            f"node {node} does not answer: start it, with an empty data directory if its disk was "
            "lost, and run the same command again."
        )
        return {group: End(False, end.steps, why) for group, end in removed.items()}
    await change_cluster(path, config, accepting(node, status.data_id, statuses))
    added = await _reach(mover, {group: Goal(on=frozenset({node})) for group in goals}, until)
    return {
        group: End(end.reached, removed[group].steps + end.steps, end.what)
        for group, end in added.items()
    }


async def _reach(mover: Mover, goals: Mapping[str, Goal], until: float) -> dict[str, End]:
    ends = await asyncio.gather(*(mover.reach(name, goal, until) for name, goal in goals.items()))
    return dict(zip(goals, ends, strict=True))
