"""What shall be true of groups whose replica on a node is to be made anew. Pure.

A rebuilt replica is another one, with an id of its own: under its old id it would be believed to
remember the votes and acknowledgements that its files have lost (docs/membership.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from nodes.config import ClusterConfig
from nodes.protocol import Status
from shardrouter.moves import Goal, Seat, view_of

__all__ = ["rebuild_goals"]


def rebuild_goals(
    config: ClusterConfig,
    node: str,
    statuses: Mapping[str, Status | None],
    *,
    only: str | None = None,
) -> dict[str, Goal]:
    """A goal for each group that has, or had, a replica on `node`; with `only`, of that group.

    The replica that is a member now shall go, and one with a new id be there. A learner is one
    that an earlier run has made and not finished, unless it has stopped. Where an earlier run
    has removed the old one and not added another, who founded the group says that one was there.
    """
    goals = {}
    for group, founded in config.groups.items():
        if only not in (None, group):
            continue
        seat = view_of(group, statuses).on(node)
        if seat is not None or only is not None or founded.replica_on(node) is not None:
            gone = frozenset({seat.replica}) if seat is not None and _is_old(seat) else frozenset()
            goals[group] = Goal(on=frozenset({node}), gone=gone)
    return goals


def _is_old(seat: Seat) -> bool:
    return seat.is_voter or bool(seat.stopped)
