"""The next step towards where a group's replicas and leader shall be.

A pure function from what the nodes say of a group now and a goal to one step, so that a tool
that moves replicas keeps nothing: it looks, asks for one step, and looks again. One that died is
run again and goes on where the group stands; two that run at once, or a step that is answered
late, do no harm, because an id is asked for once and a step asked for twice is refused.

    match next_step(view, goal):
        case Ask(body): ...         ask the group's leader for it, then look again
        case Wait(why): ...         nothing to ask for; look again soon
        case Blocked(why): ...      as Wait, but it takes somebody to mend it: say so
        case Impossible(why): ...   looking again does not help
        case Reached(what): ...     the goal is reached

The order of steps is the one of docs/membership.md: a new replica is a learner until it has the
log, then a voter (thesis, 4.2.1); only then does the leadership leave the replicas that go, and
only then do they go. So a group never has fewer voters than it had, except where the goal is to
have fewer, and no step is asked for that would leave it without a majority of voters that are up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from nodes.protocol import (
    ChangeReplicas,
    MemberStatus,
    MoveLeadership,
    ReplicaStatus,
    Status,
    leader_of,
)

__all__ = [
    "CATCH_UP_ENTRIES",
    "Ask",
    "Blocked",
    "Goal",
    "GroupView",
    "Impossible",
    "Move",
    "Reached",
    "Seat",
    "Wait",
    "named",
    "next_step",
    "view_of",
]

CATCH_UP_ENTRIES: Final = 1000
"""A learner that lacks more entries than this may not vote, nor a voter lead: the leader would
refuse it."""


@dataclass(frozen=True)
class Seat:
    """A member of a group, and how its node says it is."""

    replica: int
    node: str
    is_voter: bool
    is_up: bool
    """Its node answers, the replica is not stopped, and its leader hears it."""
    last: int = 0
    """Its log is equal to the leader's up to here."""
    stopped: str = ""
    """Why it stopped, by its own word."""


@dataclass(frozen=True)
class GroupView:
    """One group as its nodes describe it at one moment; the members are its leader's word."""

    group: str
    seats: tuple[Seat, ...]
    leader: str | None
    last: int = 0
    """Last index of the leader's log."""
    last_id: int = 0
    """Highest replica id that was ever given."""
    up: frozenset[str] = frozenset()
    """Nodes that answer."""
    led: Mapping[str, int] = field(default_factory=dict)
    """How many groups each node leads."""
    is_kept: bool = False
    """The leader was asked to stay where it is."""
    is_changing: bool = False
    """The members are in the leader's log and not committed yet."""

    @property
    def voters(self) -> tuple[Seat, ...]:
        return tuple(seat for seat in self.seats if seat.is_voter)

    def on(self, node: str) -> Seat | None:
        return next((seat for seat in self.seats if seat.node == node), None)

    def going(self, goal: Goal) -> tuple[Seat, ...]:
        """The members that `goal` wants to be none."""
        return tuple(
            seat for seat in self.seats if seat.node in goal.off or seat.replica in goal.gone
        )


@dataclass(frozen=True)
class Goal:
    """What shall be true of a group."""

    on: frozenset[str] = frozenset()
    """Nodes that shall have a voter."""
    off: frozenset[str] = frozenset()
    """Nodes that shall have no replica."""
    gone: frozenset[int] = frozenset()
    """Ids of replicas that shall be members no more. A node of `on` that has one of these gets
    another after it, with a new id: it is rebuilt."""
    leader: str | None = None
    """The node that shall lead."""
    not_led_by: frozenset[str] = frozenset()
    """Nodes that shall not lead; those of `off` never do."""
    voters_min: int = 1
    """No voter is removed if fewer than this would be left."""

    def __post_init__(self) -> None:
        assert not self.on & self.off, "a node cannot both have a replica and have none"
        assert self.leader not in self.off | self.not_led_by, "it shall lead and shall not"


@dataclass(frozen=True)
class Ask:
    """A request to the leader, and what it is in words."""

    body: ChangeReplicas | MoveLeadership
    what: str


@dataclass(frozen=True)
class Wait:
    """The group gets there by itself."""

    why: str
    done: int = 0
    """Progress where there is a measure of it: `done` of `total`; a total of 0 is none."""
    total: int = 0


@dataclass(frozen=True)
class Blocked:
    """The next step is not safe, or cannot be asked for, until something outside the group
    changes: the sentence says what."""

    why: str


@dataclass(frozen=True)
class Impossible:
    """The goal contradicts the group or itself; the sentence says what to do instead."""

    why: str


@dataclass(frozen=True)
class Reached:
    """Nothing is left to do."""

    what: str


Move: TypeAlias = Ask | Wait | Blocked | Impossible | Reached


# --------------------------------------------------------------------------- what is


def view_of(group: str, statuses: Mapping[str, Status | None]) -> GroupView:
    """What the nodes of a cluster say of `group`; None stands for a node that does not answer.

    Without a leader the members are the word of the replica with the newest term and the longest
    log: good enough to say who has to be started.
    """
    replicas = {
        node: replica
        for node, status in statuses.items()
        if status is not None
        for replica in status.replicas
        if replica.group == group
    }
    leader = leader_of(group, statuses.values())
    knowing = [r for r in replicas.values() if r.members]
    source = (
        replicas[leader]
        if leader is not None
        else max(knowing, key=lambda r: (r.term, r.last), default=None)
    )
    up = frozenset(node for node, status in statuses.items() if status is not None)
    if source is None:
        return GroupView(group, (), None, up=up)
    return GroupView(
        group,
        tuple(_seat(member, replicas.get(member.node), up) for member in source.members),
        leader,
        last=source.last,
        last_id=source.last_id,
        up=up,
        led=_led(statuses.values()),
        is_kept=leader is not None and source.is_kept,
        is_changing=source.is_changing,
    )


def _seat(member: MemberStatus, hosted: ReplicaStatus | None, up: Collection[str]) -> Seat:
    """`hosted` is what the member's node has of the group: this replica, an older one, none."""
    own = hosted if hosted is not None and hosted.replica == member.replica else None
    stopped = own.stopped if own is not None else ""
    is_up = member.node in up and member.is_active is not False and not stopped
    last = member.match if member.match is not None else own.last if own is not None else 0
    return Seat(member.replica, member.node, member.is_voter, is_up, last, stopped)


def _led(statuses: Iterable[Status | None]) -> dict[str, int]:
    return {
        status.node: sum(replica.role == "leader" for replica in status.replicas)
        for status in statuses
        if status is not None
    }


# --------------------------------------------------------------------------- what to do


def next_step(view: GroupView, goal: Goal) -> Move:
    """The one thing to do next."""
    return (
        _not_ready(view)
        or _contradiction(view, goal)
        or _add(view, goal)
        or _hand_over(view, goal)
        or _remove(view, goal)
        or Reached(_describe(view))
    )


def _not_ready(view: GroupView) -> Move | None:
    """Nothing can be asked of a group that cannot commit."""
    if not view.seats:
        return Blocked(f"no node that answers hosts {view.group}: start its nodes")
    voters = view.voters
    down = [seat for seat in voters if seat.node not in view.up or seat.stopped]
    if not _is_majority(len(voters) - len(down), len(voters)):
        return Blocked(
            f"{view.group} has no majority: of its {len(voters)} voters "
            f"({named(s.node for s in voters)}) {len(voters) - len(down)} answer; "
            f"{_cure(view, down)}. If their files are lost for ever, "
            f"`shardrouter recover --unsafe {view.group}` goes on without them, and says what may "
            "be lost"
        )
    if view.leader is None:
        return Wait(f"{view.group} has no leader yet")
    heard = sum(seat.is_up for seat in voters)
    if not _is_majority(heard, len(voters)):
        return Wait(
            f"{view.leader} leads {view.group} and hears {heard} of its {len(voters)} voters"
        )
    if view.is_changing:
        return Wait(f"{view.group} has not committed its last change yet")
    return None


def _contradiction(view: GroupView, goal: Goal) -> Impossible | None:
    members = {seat.node for seat in view.seats}
    hosts = named(sorted(members))
    if goal.off and goal.on and not members & (goal.off | goal.on):
        return Impossible(
            f"{_nodes(goal.off)} has no replica of {view.group} to move; it is on {hosts}."
        )
    if goal.leader is not None and goal.leader not in members | goal.on:
        return Impossible(
            f"node {goal.leader} has no replica of {view.group} and cannot lead it; "
            f"it is on {hosts}."
        )
    voting = {seat.node for seat in view.voters}
    if not (voting | goal.on) - goal.not_led_by:
        return Impossible(
            f"nobody else can lead {view.group}: its voters are on {named(sorted(voting))}; "
            f"add one elsewhere first (shardrouter replica add {view.group} NODE)."
        )
    going = [seat for seat in view.going(goal) if seat.is_voter]
    left = voting - goal.off | goal.on
    kept = voting - {seat.node for seat in going}
    if going and not kept | (goal.on - {seat.node for seat in going}):
        return Impossible(
            f"{_nodes(seat.node for seat in going)} has the last voter of {view.group}: the data "
            f"would be gone; add another first (shardrouter replica add {view.group} NODE)."
        )
    if going and len(left) < goal.voters_min:
        return Impossible(
            f"{view.group} would be left with {_count(len(left), 'voter')} "
            f"({named(sorted(left))}), which {_survives(len(left))}, where "
            f"{goal.voters_min} are meant to be, which {_survives(goal.voters_min)}: "
            "move the replica instead (shardrouter replica move), or insist with --force."
        )
    return None


def _add(view: GroupView, goal: Goal) -> Move | None:
    """Bring the next wanted replica one step further. One at a time: two learners would share
    their leader's bandwidth and both be late."""
    leaving = {seat.node for seat in view.going(goal)}  # a group has one replica on a node
    wanted = [(node, view.on(node)) for node in sorted(goal.on - leaving)]
    unfinished = [(n, seat) for n, seat in wanted if seat is None or not seat.is_voter]
    if not unfinished:
        return None
    node, seat = min(unfinished, key=lambda item: item[1] is None)  # one that has begun is first
    if node not in view.up:
        return Blocked(f"node {node} does not answer; start it")
    if seat is None:
        replica = view.last_id + 1
        return Ask(
            ChangeReplicas("learner", replica, node),
            f"{view.group}: add learner {replica} on {node}",
        )
    if seat.stopped:
        return Blocked(
            f"learner {seat.replica} of {view.group} on {node} has stopped: "
            f"{seat.stopped.rstrip('.')}; when that is mended, remove the learner and add another "
            f"(shardrouter replica remove {view.group} {node})"
        )
    if not seat.is_up or not _has_the_log(view, seat):
        silent = "" if seat.is_up else "; its leader does not hear it"
        return Wait(
            f"learner {seat.replica} of {view.group} on {node} has {_entries(seat.last)} of "
            f"{_entries(view.last)} entries{silent}",
            seat.last,
            view.last,
        )
    return Ask(
        ChangeReplicas("voter", seat.replica, node),
        f"{view.group}: replica {seat.replica} on {node} has the log; make it a voter",
    )


def _has_the_log(view: GroupView, seat: Seat) -> bool:
    """Whether a learner may vote. In a short log a few entries may be most of the data, and one
    that waits for a snapshot has none of it, however few entries it lacks."""
    return view.last - seat.last <= min(CATCH_UP_ENTRIES, view.last // 20)


def _hand_over(view: GroupView, goal: Goal) -> Move | None:
    """The leadership goes where it is wanted, or away from where it is not."""
    assert view.leader is not None
    excluded = goal.off | goal.not_led_by | {seat.node for seat in view.going(goal)}
    if goal.leader is None and view.leader not in excluded:
        return None
    if goal.leader == view.leader:
        return None if view.is_kept else _keep(view)
    able = [
        seat
        for seat in view.voters
        if seat.is_up
        and seat.node not in excluded | {view.leader}
        and view.last - seat.last <= CATCH_UP_ENTRIES
        and goal.leader in (None, seat.node)
    ]
    if not able:
        return _nobody_to_lead(view, goal, excluded)
    # The least busy, then the most complete: it has the least to get before it can stand.
    chosen = min(able, key=lambda s: (view.led.get(s.node, 0), -s.last, s.replica))
    return Ask(
        MoveLeadership(chosen.replica),
        f"{view.group}: hand the leadership from {view.leader} to {chosen.node}",
    )


def _keep(view: GroupView) -> Ask:
    """Who names a leader wants it to stay, also when leaders are spread."""
    assert view.leader is not None
    seat = view.on(view.leader)
    assert seat is not None, "a leader is a member, or hands over at once"
    return Ask(MoveLeadership(seat.replica), f"{view.group}: {view.leader} keeps the leadership")


def _nobody_to_lead(view: GroupView, goal: Goal, excluded: Collection[str]) -> Move:
    if goal.leader is not None:
        seat = view.on(goal.leader)
        assert seat is not None, "contradictions are found before"
        if not seat.is_voter:
            return Blocked(
                f"replica {seat.replica} of {view.group} on {goal.leader} is a learner and cannot "
                f"lead; make it a voter (shardrouter replica add {view.group} {goal.leader})"
            )
        candidates = [seat]
    else:
        candidates = [seat for seat in view.voters if seat.node not in excluded]
    down = [seat for seat in candidates if not seat.is_up]
    late = [seat for seat in candidates if seat.is_up]
    if late:
        seat = max(late, key=lambda s: s.last)
        return Wait(
            f"replica {seat.replica} of {view.group} on {seat.node} has {_entries(seat.last)} of "
            f"{_entries(view.last)} entries and cannot lead before it has the rest",
            seat.last,
            view.last,
        )
    return Blocked(f"nobody else can lead {view.group}; {_cure(view, down)}")


def _remove(view: GroupView, goal: Goal) -> Move | None:
    """One replica that shall go: first those whose going costs nothing."""
    going = view.going(goal)
    if not going:
        return None
    seat = min(going, key=lambda s: (s.is_voter, s.is_up, s.replica))
    if seat.is_voter:
        left = [other for other in view.voters if other != seat]
        up = sum(other.is_up for other in left)
        if not _is_majority(up, len(left)):
            down = [other for other in left if not other.is_up]
            return Blocked(
                f"without replica {seat.replica} on {seat.node} only {up} of {len(left)} voters "
                f"of {view.group} would answer; first {_cure(view, down)}"
            )
    kind = "voter" if seat.is_voter else "learner"
    return Ask(
        ChangeReplicas("remove", seat.replica, seat.node),
        f"{view.group}: remove {kind} {seat.replica} on {seat.node}",
    )


def _is_majority(some: int, of: int) -> bool:
    return some > of // 2


# --------------------------------------------------------------------------- words


def _describe(view: GroupView) -> str:
    voters = view.voters
    learners = [seat.node for seat in view.seats if not seat.is_voter]
    beside = f", learners on {named(learners)}" if learners else ""
    return (
        f"{view.group}: voters on {named(seat.node for seat in voters)}{beside}, "
        f"led by {view.leader}; {_survives(len(voters))}"
    )


def _cure(view: GroupView, down: Iterable[Seat]) -> str:
    """What to do about seats that are not up, by what is the matter with each."""
    down = sorted(down, key=lambda seat: seat.node)
    silent = [seat.node for seat in down if seat.node not in view.up]
    stopped = [seat for seat in down if seat.stopped]
    unheard = [seat.node for seat in down if seat.node in view.up and not seat.stopped]
    words = [f"start {_nodes(silent)}"] if silent else []
    words += [
        f"mend replica {seat.replica} on {seat.node}, which has stopped: {seat.stopped.rstrip('.')}"
        for seat in stopped
    ]
    words += [f"wait for {_nodes(unheard)}, not heard by the leader"] if unheard else []
    return "; ".join(words)


def _survives(voters: int) -> str:
    """What a group with so many voters bears."""
    lost = (voters - 1) // 2
    return f"survives the loss of {_count(lost, 'node')}" if lost else "survives no loss"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _entries(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _nodes(names: Iterable[str]) -> str:
    listed = sorted(names)
    return f"{'node' if len(listed) == 1 else 'nodes'} {named(listed)}"


def named(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
