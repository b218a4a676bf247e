"""How groups get whole again: replicas made anew, and majorities that are lost for ever. Pure.

A rebuilt replica is another one, with an id of its own: under its old id it would be believed to
remember the votes and acknowledgements that its files have lost (docs/membership.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nodes.config import ClusterConfig
from nodes.protocol import Status
from shardrouter.moves import Goal, Seat, named, view_of

__all__ = ["Survivor", "rebuild_goals", "survivor_of"]


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


# --------------------------------------------------------------------------- without a majority


@dataclass(frozen=True)
class Survivor:
    """The replica with which a group goes on that has lost its majority."""

    group: str
    node: str
    replica: int
    last_term: int
    last: int
    """Its log ends with this entry; the newest of those that answer, as a vote would have it."""
    others: tuple[str, ...]
    """Nodes whose replicas work as well and become new ones."""
    lost: tuple[str, ...]
    """Nodes whose replicas do not answer or are stopped."""
    voters: int

    def warning(self) -> str:
        """What is done and what may be lost, for who has to agree to it."""
        lost = named(self.lost)
        return (
            f"{self.group} has lost its majority: of its {self.voters} voters those on {lost} do "
            "not answer or are stopped.\n"
            f"It would go on with the replica on {self.node}, whose log ends at index {self.last} "
            f"(term {self.last_term}).\n"
            f"LOST FOR EVER is every acknowledged write that only {lost} had. Writes whose answer "
            "is still awaited are of unknown outcome (08007).\n"
            f"If {lost} can still be started, start them instead and do not do this. If they come "
            "back later, their replicas are refused, and their data is put aside on those nodes.\n"
            "If they are running where you cannot see them, the group exists twice afterwards."
        )


def survivor_of(group: str, statuses: Mapping[str, Status | None]) -> Survivor | str:
    """With which replica to go on; or a sentence why nothing is to be recovered, or can be."""
    view = view_of(group, statuses)
    works = {
        node: replica
        for node, status in statuses.items()
        if status is not None
        for replica in status.replicas
        if replica.group == group and not replica.stopped
    }
    if not works:
        return (
            f"no node that answers has a replica of {group} that works; start the nodes that had "
            "one, or restore a backup."
        )
    up = [seat for seat in view.voters if seat.node in works]
    if len(up) > len(view.voters) // 2:
        return (
            f"{group} has a majority: {len(up)} of its {len(view.voters)} voters answer. Wait for "
            f"its leader, and rebuild what is damaged (shardrouter replica rebuild {group} NODE)."
        )
    node, best = max(works.items(), key=lambda item: (item[1].last_term, item[1].last, item[0]))
    return Survivor(
        group,
        node,
        best.replica,
        best.last_term,
        best.last,
        tuple(sorted(works.keys() - {node})),
        tuple(seat.node for seat in view.seats if seat.node not in works),
        len(view.voters),
    )
