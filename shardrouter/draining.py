"""Where the replicas of a node go that is being emptied.

As `placement.place_replicas` does, a replica goes where the most capacity is free; nothing moves
between nodes that stay. Looked at again after an interruption, the same goals follow from what
the first run left: a replica that is on its way is finished and not begun elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from nodes.config import ClusterConfig
from shardrouter.moves import Goal, GroupView, Impossible, named

__all__ = ["drain_goals", "leave_goals"]


def leave_goals(views: Iterable[GroupView], node: str) -> dict[str, Goal]:
    """For each group that `node` leads and another voter could lead: it leads no longer."""
    return {
        view.group: Goal(not_led_by=frozenset([node]))
        for view in views
        if view.leader == node and len(view.voters) > 1
    }


def drain_goals(
    config: ClusterConfig, views: Mapping[str, GroupView], node: str
) -> dict[str, Goal | Impossible]:
    """For each group with a replica on `node`: it goes, and where to."""
    load = dict.fromkeys(config.nodes, 0)
    for view in views.values():
        for member in view.seats:
            load[member.node] = load.get(member.node, 0) + 1
    goals: dict[str, Goal | Impossible] = {}
    for group, view in views.items():
        seat = view.on(node)
        if seat is None:
            continue
        off = frozenset([node])
        staying = [s for s in view.voters if s.node != node]
        if not seat.is_voter or len(staying) >= len(config.groups[group].replicas):
            # A learner that was never finished, or a move that was interrupted before its end.
            goals[group] = Goal(off=off)
            continue
        target = _begun(config, view) or _freest(config, view, load)
        if target is None:
            goals[group] = _no_place(config, view, node)
            continue
        if view.on(target) is None:
            load[target] += 1
        goals[group] = Goal(on=frozenset([target]), off=off)
    return goals


def _begun(config: ClusterConfig, view: GroupView) -> str | None:
    """A learner somewhere that may be finished instead of beginning another."""
    return next(
        (s.node for s in view.seats if not s.is_voter and s.is_up and _takes(config, s.node)), None
    )


def _freest(config: ClusterConfig, view: GroupView, load: Mapping[str, int]) -> str | None:
    """The node with the most free capacity of those that are up and have no replica of it."""
    rank = {name: i for i, name in enumerate(config.nodes)}
    able = [
        name
        for name in config.nodes
        if _takes(config, name) and name in view.up and view.on(name) is None
    ]
    return min(
        able,
        key=lambda n: (Fraction(load[n] + 1, config.nodes[n].capacity), rank[n]),
        default=None,
    )


def _takes(config: ClusterConfig, name: str) -> bool:
    return name in config.nodes and not config.nodes[name].drain


def _no_place(config: ClusterConfig, view: GroupView, node: str) -> Impossible:
    away = [n for n in config.nodes if _takes(config, n) and n not in view.up and n != node]
    hosts = named(seat.node for seat in view.seats)
    if any(view.on(n) is None for n in away):
        return Impossible(
            f"{view.group} has no node to go to from {node}: it is on {hosts}, and "
            f"{named(away)} {'does' if len(away) == 1 else 'do'} not answer; start one, or add a "
            "node (shardrouter node add)."
        )
    return Impossible(
        f"{view.group} has no node to go to from {node}: it is on {hosts}, which are all that "
        f"take replicas; add a node (shardrouter node add), or do with one replica fewer "
        f"(shardrouter replica remove {view.group} {node} --force)."
    )
