"""May a group's writes be executed by another release from here on? (DESIGN section 6)

Pure: from what the nodes say of a group to one of three answers. Which release executes is a
value in the group's log; it may be switched only when every replica could go on after it.

    Same(what)         the group executes with what all its nodes run; `behind` names replicas
                       that a former switch has left behind
    Switch(...)        ask the leader for that entry; `behind` names replicas to rebuild then
    Refused(why)       somebody does not support the new one, or cannot be asked
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nodes.protocol import ReplicaStatus, Status, SwitchFingerprint
from shardrouter.moves import named, view_of

__all__ = ["Refused", "Same", "Switch", "Upgrade", "upgrade_of"]


@dataclass(frozen=True)
class Same:
    """Nothing is to be switched; the sentence says why."""

    what: str
    behind: tuple[str, ...] = ()
    """Nodes whose replica has not applied the switch. One that stays so has to be rebuilt: it is
    behind a write that nobody on it may apply any more."""


@dataclass(frozen=True)
class Switch:
    """All replicas support the new one."""

    leader: str
    body: SwitchFingerprint
    behind: tuple[str, ...]
    """Nodes whose replica has applied less than the leader's. One that stays so after the switch
    has to be rebuilt."""


@dataclass(frozen=True)
class Refused:
    """Nothing may be switched; the sentence says who is in the way, and what to do."""

    why: str


Upgrade: TypeAlias = Same | Switch | Refused


def upgrade_of(group: str, statuses: Mapping[str, Status | None]) -> Upgrade:
    """What `shardrouter upgrade` has to do about `group`."""
    view = view_of(group, statuses)
    if view.leader is None:
        return Refused(f"{group} has no leader that answers; start its nodes.")
    hosted: dict[str, ReplicaStatus] = {}
    running: dict[str, str] = {}
    silent = []
    for seat in view.seats:
        status = statuses.get(seat.node)
        found = None if status is None else _replica(status, group, seat.replica)
        if status is None or found is None or found.stopped:
            silent.append(seat.node)
        else:
            hosted[seat.node] = found
            running[seat.node] = status.fingerprint
    if view.leader not in hosted:
        return Refused(f"{group} is changing its leader; look again.")
    leading = hosted[view.leader]
    present, target = leading.fingerprint, running[view.leader]
    if not present:
        return Refused(f"{group} has executed nothing yet; look again.")
    if silent and present != target:
        return Refused(
            f"{group}: the replica on {named(silent)} does not answer or is stopped, and nobody "
            "knows what it supports; start it, or rebuild or remove it, first."
        )
    others = [node for node, own in running.items() if own != target]
    if others:
        return Refused(
            f"{group}: node {view.leader} runs {target}, but {_runs(running, others)}; "
            "start all nodes with the same release."
        )
    if present == target:
        late = tuple(node for node, own in hosted.items() if own.fingerprint != present)
        but = f" but {named(silent)}, which cannot be asked" if silent else ""
        return Same(f"{group} executes with {present}, as all its nodes do{but}", late)
    if leading.applied < leading.commit:
        ahead = max(hosted, key=lambda node: hosted[node].applied)
        return Refused(
            f"{group}: its leader {view.leader} is behind a write that only {present} may apply. "
            + (
                f"Hand the leadership to {ahead} (shardrouter leader transfer {group} {ahead})."
                if hosted[ahead].applied > leading.applied
                else f"Start a node with {present} once more, until it has applied index "
                f"{leading.commit}."
            )
        )
    behind = tuple(node for node, own in hosted.items() if own.applied < leading.applied)
    return Switch(view.leader, SwitchFingerprint(target, present), behind)


def _replica(status: Status, group: str, replica: int) -> ReplicaStatus | None:
    return next((r for r in status.replicas if (r.group, r.replica) == (group, replica)), None)


def _runs(running: Mapping[str, str], nodes: list[str]) -> str:
    return ", ".join(f"{node} runs {running[node]}" for node in nodes)
