"""What is well with a cluster and what is missing, from what its nodes say of themselves.

One value for people and for machines: `shardrouter status` prints it, `--json` shows it as it is.
Whom a group was made with says how many voters are meant; the members are its leader's word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from nodes.config import ClusterConfig
from nodes.incarnations import are_rivals, incarnation_of
from nodes.protocol import ReplicaStatus, Status
from shardrouter.moves import GroupView, Seat, named, view_of

__all__ = [
    "AvoidedReplica",
    "BlockedTransaction",
    "ClusterHealth",
    "GroupHealth",
    "NodeHealth",
    "ReplicaHealth",
    "health_of",
]


BLOCKED_MS: Final = 2000
"""A transaction over several shards that is prepared for longer is amiss."""


@dataclass(frozen=True)
class ReplicaHealth:
    """One member of a group. What its node would have to say is None while that is silent."""

    id: int
    node: str
    voter: bool
    up: bool
    """Its node answers, it is not stopped, and its leader hears it."""
    role: str | None
    term: int | None
    commit: int | None
    applied: int | None
    last: int | None
    lag: int | None
    """Entries that its leader has and it has not; None without a leader."""
    stopped: str
    halted: str
    """Why it applies no write, though it votes and stores the log."""
    diverged: str
    """What its node's last comparison of the group's replicas found, as their leader."""


@dataclass(frozen=True)
class GroupHealth:
    leader: str | None
    term: int | None
    voters_meant: int
    voters_up: int
    under_replicated: bool
    """Fewer voters are up than the group was made with."""
    changing: bool
    """A change of its members is under way."""
    replicas: tuple[ReplicaHealth, ...]
    prepared: int
    """Transactions over several shards whose outcome the leader does not know yet."""
    blocked: tuple[BlockedTransaction, ...]
    """The oldest of them."""


@dataclass(frozen=True)
class BlockedTransaction:
    """Others wait for what it touches, and are answered 55P03 in the end."""

    id: str
    age_ms: int
    anchor: str
    """The group that decides."""
    touches: tuple[str, ...]
    """Tables; empty: everything."""


@dataclass(frozen=True)
class NodeHealth:
    address: str
    answers: bool
    silent: str
    """Why it does not answer, if it does not."""
    draining: bool
    replicas: int
    """Members of groups that live there, learners included."""
    leads: int
    requests: int | None
    """That it has not answered yet; None if it does not answer."""
    late_ms: float | None
    """How late its turns come, smoothed."""


@dataclass(frozen=True)
class AvoidedReplica:
    """One that a router does not ask, or only to try it: its circuit breaker is not closed."""

    router: str
    group: str
    node: str
    state: str
    reason: str


@dataclass(frozen=True)
class ClusterHealth:
    cluster_id: str
    nodes: Mapping[str, NodeHealth]
    groups: Mapping[str, GroupHealth]
    avoided: tuple[AvoidedReplica, ...]
    """As routers have told the nodes lately."""
    missing: tuple[str, ...]
    """A sentence for each thing that is not as it should be, with what to do."""

    @property
    def is_led(self) -> bool:
        """Whether every group has a leader that answers."""
        return all(group.leader is not None for group in self.groups.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def health_of(config: ClusterConfig, answers: Mapping[str, Status | str]) -> ClusterHealth:
    """From what each node says, or why it says nothing."""
    silent = {node: said for node, said in answers.items() if isinstance(said, str)}
    statuses = {node: said if isinstance(said, Status) else None for node, said in answers.items()}
    views = {name: _members(config, view_of(name, statuses)) for name in config.groups}
    groups = {name: _group(config, view, statuses) for name, view in views.items()}
    nodes = {
        name: NodeHealth(
            str(node.address),
            statuses.get(name) is not None,
            silent.get(name, ""),
            node.drain,
            sum(view.on(name) is not None for view in views.values()),
            sum(view.leader == name for view in views.values()),
            said.requests if (said := statuses.get(name)) is not None else None,
            said.late_ms if said is not None else None,
        )
        for name, node in config.nodes.items()
    }
    missing = (
        *(_missing_of_node(name, node) for name, node in nodes.items() if _is_amiss(node)),
        *(
            f"node {refusal.node} does not listen to {status.node}: {refusal.reason}"
            for status in statuses.values()
            if status is not None
            for refusal in status.refusals
        ),
        *(line for name in groups for line in _recovered_twice(name, statuses)),
        *(line for name, group in groups.items() for line in _missing_of_group(name, group)),
    )
    return ClusterHealth(config.cluster_id, nodes, groups, _avoided(statuses), missing)


def _avoided(statuses: Mapping[str, Status | None]) -> tuple[AvoidedReplica, ...]:
    """What a router told several nodes it says once: as it told the last of them."""
    said = {
        (report.router, avoided.group, avoided.node): avoided
        for status in statuses.values()
        if status is not None
        for report in status.routers
        for avoided in report.avoided
    }
    return tuple(
        AvoidedReplica(router, group, node, avoided.state, avoided.reason)
        for (router, group, node), avoided in sorted(said.items())
    )


def _members(config: ClusterConfig, view: GroupView) -> GroupView:
    """Where nobody tells who belongs to a group, its founders stand for them."""
    if view.seats:
        return view
    founders = config.groups[view.group].replicas
    seats = tuple(Seat(r.id, r.node, is_voter=True, is_up=False) for r in founders)
    return GroupView(view.group, seats, None, up=view.up)


def _group(
    config: ClusterConfig, view: GroupView, statuses: Mapping[str, Status | None]
) -> GroupHealth:
    replicas = tuple(
        _replica(view, seat, _own_word(view.group, seat, statuses)) for seat in view.seats
    )
    meant = len(config.groups[view.group].replicas)
    up = sum(seat.is_up for seat in view.voters)
    return GroupHealth(
        view.leader,
        max((r.term for r in replicas if r.term is not None), default=None),
        meant,
        up,
        up < meant,
        view.is_changing,
        replicas,
        *_blocked(view, statuses),
    )


def _blocked(
    view: GroupView, statuses: Mapping[str, Status | None]
) -> tuple[int, tuple[BlockedTransaction, ...]]:
    status = statuses.get(view.leader) if view.leader is not None else None
    for own in status.replicas if status is not None else ():
        if own.group == view.group:
            return own.prepared_count, tuple(
                BlockedTransaction(
                    f"{each.id.router:x}-{each.id.number}",
                    each.age_ms,
                    each.anchor,
                    tuple(name.removeprefix("table:") for name in each.objects),
                )
                for each in own.prepared
            )
    return 0, ()


def _own_word(
    group: str, seat: Seat, statuses: Mapping[str, Status | None]
) -> ReplicaStatus | None:
    status = statuses.get(seat.node)
    if status is None:
        return None
    return next(
        (r for r in status.replicas if r.group == group and r.replica == seat.replica), None
    )


def _replica(view: GroupView, seat: Seat, own: ReplicaStatus | None) -> ReplicaHealth:
    return ReplicaHealth(
        id=seat.replica,
        node=seat.node,
        voter=seat.is_voter,
        up=seat.is_up,
        role=own.role if own else None,
        term=own.term if own else None,
        commit=own.commit if own else None,
        applied=own.applied if own else None,
        last=own.last if own else None,
        lag=max(0, view.last - seat.last) if view.leader is not None else None,
        stopped=own.stopped if own else "",
        halted=own.halted if own else "",
        diverged=own.diverged if own else "",
    )


def _is_amiss(node: NodeHealth) -> bool:
    return node.draining or not node.answers


def _missing_of_node(name: str, node: NodeHealth) -> str:
    if not node.draining:
        line = f"node {name} does not answer: {node.silent}"
        if node.replicas:
            return line
        return (
            f"{line.rstrip('.')}; it has no replica: start it (shardrouter node {name}), or take "
            f"it out (shardrouter node remove {name})"
        )
    if node.replicas:
        return (
            f"node {name} is draining and still hosts {node.replicas} replicas: "
            f"shardrouter node drain {name} goes on (--undo {name} takes it back)"
        )
    return f"node {name} is drained: shardrouter node remove {name}"


def _recovered_twice(group: str, statuses: Mapping[str, Status | None]) -> list[str]:
    """Whether the group goes on as two incarnations, neither of which succeeds the other."""
    sides: dict[int, tuple[int, list[str]]] = {}  # by incarnation: an id, and its nodes
    for node, status in statuses.items():
        for replica in status.replicas if status is not None else ():
            if replica.group == group and not replica.stopped:
                of = incarnation_of(replica.replica)
                sides.setdefault(of, (replica.replica, []))[1].append(node)
    rivals = [
        (replica, nodes)
        for replica, nodes in sides.values()
        if any(are_rivals(replica, other) for other, _ in sides.values())
    ]
    if not rivals:
        return []
    places = " and on ".join(named(nodes) for _, nodes in rivals)
    return [
        (
            f"{group} was recovered more than once, on {places}, each time without the other. "
            "They do not listen to each other, and what one has acknowledged since, the other "
            "lacks. Decide which to keep; put the data directories of the other's nodes aside, "
            "start these nodes with empty ones and run shardrouter replica rebuild --node NODE "
            "for each"
        )
    ]


def _missing_of_group(name: str, group: GroupHealth) -> list[str]:
    lines = [
        f"{name}, replica {replica.id} on {replica.node}: {replica.stopped or replica.halted}"
        for replica in group.replicas
        if replica.stopped or replica.halted
    ]
    # A leader and the one before it may have found the same.
    lines += dict.fromkeys(replica.diverged for replica in group.replicas if replica.diverged)
    if group.leader is None:
        lines.append(
            f"{name} has no leader: a majority of its replicas has to run and reach each other"
        )
    oldest = group.blocked[0] if group.blocked else None
    if oldest is not None and oldest.age_ms > BLOCKED_MS:
        lines.append(
            f"{name} waits for the outcome of {group.prepared} transactions over several shards; "
            f"the oldest, {oldest.id}, has blocked {named(oldest.touches) or 'everything'} for "
            f"{oldest.age_ms / 1000:.0f} s: {oldest.anchor} decides it, and has to have a leader"
        )
    voters = [replica for replica in group.replicas if replica.voter]
    if group.under_replicated:
        down = [replica.node for replica in voters if not replica.up]
        what = f"start {named(down)}" if down else f"shardrouter replica add {name} NODE"
        lines.append(
            f"{name} is under-replicated: {group.voters_up} of {group.voters_meant} voters are "
            f"up: {what}"
        )
    lines += [
        f"{name} has learner {replica.id} on {replica.node}, {_behind(replica)}: shardrouter "
        f"replica add {name} {replica.node} finishes it, replica remove gives it up"
        for replica in group.replicas
        if not replica.voter
    ]
    return lines


def _behind(replica: ReplicaHealth) -> str:
    return "whose lag is not known" if replica.lag is None else f"{replica.lag} entries behind"
