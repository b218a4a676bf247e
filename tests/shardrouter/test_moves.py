"""Where replicas and leaders go next: single steps, and every goal on a group that misbehaves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.protocol import ChangeReplicas, MemberStatus, MoveLeadership, ReplicaStatus, Status
from shardrouter.moves import (
    CATCH_UP_ENTRIES,
    Ask,
    Blocked,
    Goal,
    GroupView,
    Impossible,
    Reached,
    Seat,
    Wait,
    next_step,
    view_of,
)
from tests.shardrouter.group_model import GroupModel

NODES = ("a", "b", "c", "d", "e")


def seat(replica: int, node: str, *, voter: bool = True, up: bool = True, last: int = 5000) -> Seat:
    return Seat(replica, node, voter, up, last)


def view(*seats: Seat, leader: str | None = "a", last: int = 5000, up: str = "abcde") -> GroupView:
    return GroupView("shard-1", seats, leader, last, max(s.replica for s in seats), frozenset(up))


ABC = (seat(1, "a"), seat(2, "b"), seat(3, "c"))
MOVE_A_D = Goal(on=frozenset("d"), off=frozenset("a"))


# --------------------------------------------------------------------------- single steps


def test_a_move_takes_five_steps_in_this_order() -> None:
    steps = [
        (view(*ABC), ChangeReplicas("learner", 4, "d")),
        (view(*ABC, seat(4, "d", voter=False)), ChangeReplicas("voter", 4, "d")),
        (view(*ABC, seat(4, "d")), MoveLeadership(2)),
        (view(*ABC, seat(4, "d"), leader="b"), ChangeReplicas("remove", 1, "a")),
    ]
    for seen, body in steps:
        move = next_step(seen, MOVE_A_D)
        assert isinstance(move, Ask)
        assert move.body == body
    assert isinstance(next_step(view(*ABC[1:], seat(4, "d"), leader="b"), MOVE_A_D), Reached)


def test_a_learner_that_lags_is_waited_for_with_figures() -> None:
    learner = seat(4, "d", voter=False, last=120)
    move = next_step(view(*ABC, learner, last=3400), MOVE_A_D)
    assert move == Wait("learner 4 of shard-1 on d has 120 of 3 400 entries", 120, 3400)


def test_a_learner_without_the_data_of_a_short_log_is_waited_for() -> None:
    """All of it may be in a snapshot that is on its way: 0 of 600 entries is not nearly there."""
    empty = seat(4, "d", voter=False, last=0)
    assert isinstance(next_step(view(*ABC, empty, last=600), MOVE_A_D), Wait)
    nearly = seat(4, "d", voter=False, last=580)
    assert isinstance(next_step(view(*ABC, nearly, last=600), MOVE_A_D), Ask)


def test_a_node_that_is_down_blocks_what_it_is_needed_for() -> None:
    move = next_step(view(*ABC, up="abc"), MOVE_A_D)
    assert move == Blocked("node d does not answer; start it")


def test_a_new_voter_must_be_up() -> None:
    learner = seat(4, "d", voter=False, up=False)
    goal = Goal(on=frozenset("d"))
    assert isinstance(next_step(view(*ABC, learner, up="abc"), goal), Blocked)
    cut_off = next_step(view(*ABC, learner), goal)
    assert isinstance(cut_off, Wait)
    assert cut_off.why.endswith("; its leader does not hear it")
    stopped = next_step(view(*ABC, replace(learner, stopped="The disk is full.")), goal)
    assert isinstance(stopped, Blocked)
    assert "has stopped: The disk is full; when" in stopped.why


def test_a_removal_that_would_leave_no_majority_is_blocked_and_says_whom_to_start() -> None:
    down = seat(3, "c", up=False)
    move = next_step(view(*ABC[:2], down, leader="b", up="ab"), Goal(off=frozenset("a")))
    assert isinstance(move, Blocked)
    assert move.why == (
        "without replica 1 on a only 1 of 2 voters of shard-1 would answer; first start node c"
    )


@pytest.mark.parametrize(
    ("others", "up", "cure"),
    [
        ((seat(2, "b", up=False), seat(3, "c", up=False)), "a", "start nodes b, c"),
        (
            (replace(seat(2, "b", up=False), stopped="The disk is full."), seat(3, "c", up=False)),
            "ab",
            "start node c; mend replica 2 on b, which has stopped: The disk is full",
        ),
        (
            (seat(2, "b", up=False), seat(3, "c", up=False)),
            "abc",
            "wait for nodes b, c, not heard by the leader",
        ),
    ],
)
def test_who_cannot_lead_is_named_with_what_is_the_matter(
    others: tuple[Seat, Seat], up: str, cure: str
) -> None:
    able = (seat(1, "a"), seat(4, "d"), seat(5, "e"))
    goal = Goal(not_led_by=frozenset("ade"))
    move = next_step(view(*able, *others, up=up + "de"), goal)
    assert move == Blocked(f"nobody else can lead shard-1; {cure}")


def test_without_a_majority_nothing_is_asked_for() -> None:
    seats = (seat(1, "a"), seat(2, "b", up=False), seat(3, "c", up=False))
    move = next_step(view(*seats, leader=None, up="a"), MOVE_A_D)
    assert isinstance(move, Blocked)
    assert "start nodes b, c" in move.why
    new = next_step(view(*seats), MOVE_A_D)
    assert new == Wait("a leads shard-1 and hears 1 of its 3 voters")


def test_a_replica_on_a_dead_node_is_replaced() -> None:
    seats = (seat(1, "a", up=False), *ABC[1:], seat(4, "d"))
    move = next_step(view(*seats, leader="b", up="bcde"), MOVE_A_D)
    assert isinstance(move, Ask)
    assert move.body == ChangeReplicas("remove", 1, "a")


def test_the_last_voter_is_not_removed() -> None:
    move = next_step(view(seat(1, "a")), Goal(off=frozenset("a")))
    assert isinstance(move, Impossible)
    assert "last voter" in move.why


def test_fewer_voters_than_meant_need_insisting() -> None:
    goal = Goal(off=frozenset("c"), voters_min=3)
    move = next_step(view(*ABC), goal)
    assert isinstance(move, Impossible)
    assert "survives no loss, where 3 are meant to be, which survives the loss of 1 node" in (
        move.why
    )
    assert isinstance(next_step(view(*ABC), Goal(off=frozenset("c"))), Ask)
    # Once it is done, the same command has nothing to refuse.
    assert isinstance(next_step(view(*ABC[:2]), goal), Reached)


def test_what_is_nowhere_cannot_be_moved() -> None:
    move = next_step(view(*ABC), Goal(on=frozenset("e"), off=frozenset("d")))
    assert isinstance(move, Impossible)
    assert "it is on a, b, c" in move.why


def test_the_leadership_goes_to_a_voter_only() -> None:
    nowhere = next_step(view(*ABC), Goal(leader="d"))
    assert isinstance(nowhere, Impossible)
    learner = next_step(view(*ABC, seat(4, "d", voter=False)), Goal(leader="d"))
    assert isinstance(learner, Blocked)
    late = next_step(view(*ABC[:2], seat(3, "c", last=10)), Goal(leader="c"))
    assert isinstance(late, Wait)
    down = next_step(view(*ABC[:2], seat(3, "c", up=False)), Goal(leader="c"))
    assert isinstance(down, Blocked)
    move = next_step(view(*ABC), Goal(leader="c"))
    assert isinstance(move, Ask)
    assert move.body == MoveLeadership(3)


def test_who_was_named_leader_is_asked_to_stay() -> None:
    move = next_step(view(*ABC), Goal(leader="a"))
    assert isinstance(move, Ask)
    assert move.body == MoveLeadership(1)
    assert isinstance(next_step(replace(view(*ABC), is_kept=True), Goal(leader="a")), Reached)
    assert isinstance(next_step(view(*ABC), Goal(on=frozenset("a"))), Reached)


def test_a_leadership_given_away_goes_to_the_least_busy() -> None:
    seen = GroupView("shard-1", ABC, "a", 5000, 3, frozenset("abc"), led={"a": 1, "b": 2, "c": 0})
    move = next_step(seen, Goal(not_led_by=frozenset("a")))
    assert isinstance(move, Ask)
    assert move.body == MoveLeadership(3)


# --------------------------------------------------------------------------- from statuses


def status(
    node: str, replica: int, role: str, last: int, members: tuple[MemberStatus, ...]
) -> Status:
    own = ReplicaStatus("g", replica, role, None, 3, last, last, last, members=members, last_id=4)
    return Status(node, 1, (own,))


def test_the_members_are_the_word_of_the_leader() -> None:
    old = (MemberStatus(1, "a", True, 9, True), MemberStatus(2, "b", True, 8, True))
    new = (*old, MemberStatus(4, "c", False, 0, True))
    seen = view_of(
        "g",
        {
            "a": status("a", 1, "leader", 9, new),
            "b": status("b", 2, "follower", 8, old),
            "c": status("c", 3, "follower", 7, old),  # a replica that was removed: not number 4
            "d": None,
        },
    )
    assert seen.leader == "a"
    assert seen.seats == (
        Seat(1, "a", True, True, 9),
        Seat(2, "b", True, True, 8),
        Seat(4, "c", False, True, 0),
    )
    assert seen.up == {"a", "b", "c"}
    assert seen.last_id == 4


def test_whom_the_leader_does_not_hear_is_not_up_though_its_node_answers() -> None:
    members = (MemberStatus(1, "a", True, 9, True), MemberStatus(2, "b", True, 8, False))
    leading, cut_off = (
        status("a", 1, "leader", 9, members),
        status("b", 2, "follower", 8, members),
    )
    seen = view_of("g", {"a": leading, "b": cut_off})
    assert [seat.is_up for seat in seen.seats] == [True, False]


def test_without_a_leader_the_newest_word_says_who_has_to_be_started() -> None:
    members = tuple(MemberStatus(i, node, True) for i, node in enumerate("abc", 1))
    seen = view_of("g", {"a": status("a", 1, "follower", 9, members), "b": None, "c": None})
    move = next_step(seen, Goal(off=frozenset("a")))
    assert isinstance(move, Blocked)
    assert "start nodes b, c" in move.why


def test_a_group_nobody_hosts_is_said_to_be_so() -> None:
    seen = view_of("g", {"a": None, "b": None})
    assert isinstance(next_step(seen, Goal(on=frozenset("a"))), Blocked)


# --------------------------------------------------------------------------- every goal


@st.composite
def goals(draw: st.DrawFn, members: tuple[str, ...]) -> Goal:
    inside = st.sampled_from(members)
    outside = st.sampled_from([n for n in NODES if n not in members])
    match draw(st.sampled_from(["add", "move", "remove", "lead", "away", "move and lead"])):
        case "add":
            return Goal(on=frozenset([draw(outside)]))
        case "move":
            return Goal(on=frozenset([draw(outside)]), off=frozenset([draw(inside)]))
        case "remove":
            return Goal(off=frozenset([draw(inside)]))
        case "lead":
            return Goal(leader=draw(inside))
        case "away":
            return Goal(not_led_by=frozenset([draw(inside)]))
        case _:
            to = draw(outside)
            return Goal(on=frozenset([to]), off=frozenset([draw(inside)]), leader=to)


TURN = st.tuples(
    st.just("tool"), st.sampled_from(["done", "done", "done", "lost", "late", "twice"])
)
EVENTS = st.one_of(
    TURN,
    TURN,
    TURN,
    st.tuples(st.just("late"), st.integers(0, 5)),
    st.tuples(st.just("kill"), st.sampled_from(NODES)),
    st.tuples(st.just("start"), st.sampled_from(NODES)),
    st.tuples(st.just("elect"), st.integers(0, 4)),
    st.tuples(st.just("elect"), st.integers(0, 4)),
    st.tuples(st.just("write"), st.sampled_from([1, 300, 2000])),
    st.tuples(st.just("catch up"), st.sampled_from([100, 2000])),
)


def reached(model: GroupModel, goal: Goal) -> bool:
    nodes = {r.node for r in model.replicas.values()}
    voting = {r.node for r in model.voters.values()}
    leader = model.replicas[model.leader].node if model.leader is not None else None
    return (
        goal.on <= voting
        and not goal.off & nodes
        and leader is not None
        and leader not in goal.off | goal.not_led_by
        and (goal.leader is None or (goal.leader == leader and model.kept == model.leader))
    )


class Tool:
    """Runs `next_step` on a model; what it keeps between turns is only what is under way."""

    def __init__(self, model: GroupModel, goal: Goal, least: int) -> None:
        self.model = model
        self.goal = goal
        self.least = least
        self.late: list[ChangeReplicas | MoveLeadership] = []

    def turn(self, fate: str) -> object:
        move = next_step(self.model.view(), self.goal)
        if isinstance(move, Ask):
            self._was_right_to_ask(move.body)
            if fate in ("done", "twice"):
                self.carry_out(move.body)
            if fate in ("late", "twice"):
                self.late.append(move.body)
        elif isinstance(move, Reached):
            assert reached(self.model, self.goal)
        return move

    def carry_out(self, body: ChangeReplicas | MoveLeadership) -> None:
        if isinstance(body, ChangeReplicas) and body.step == "remove":
            voting = {r.node for r in self.model.voters.values()}
            assert self.goal.on <= voting, "removed before the new voter counts"
        self.model.carry_out(body)
        assert len(self.model.voters) >= self.least, "fewer voters than there were"

    def _was_right_to_ask(self, body: ChangeReplicas | MoveLeadership) -> None:
        """Nothing is asked for that the leader had to refuse, were it carried out at once."""
        model = self.model
        assert model.has_majority()
        assert model.leader is not None
        if isinstance(body, MoveLeadership):
            assert model.replicas[body.replica].node in model.up
        elif body.step == "remove":
            assert body.replica != model.leader
            voter = model.replicas[body.replica].is_voter
            assert not voter or model.has_majority(without=body.replica)
        elif body.step == "voter":
            learner = model.replicas[body.replica]
            assert learner.node in model.up
            assert model.last - learner.last <= CATCH_UP_ENTRIES
        else:
            assert body.replica not in model.given, "an id is given again"
            assert body.node in model.up


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 4), st.lists(EVENTS, max_size=60))
def test_every_goal_is_reached_or_refused_for_a_reason(
    data: st.DataObject, size: int, events: list[tuple[str, object]]
) -> None:
    """Steps are lost, late and carried out twice, nodes die and return, leaders change; then
    it is quiet, and the goal is reached in a bounded number of steps."""
    members = NODES[:size]
    goal = data.draw(goals(members))
    model = GroupModel.of(NODES, members, last=data.draw(st.sampled_from([0, 3000])))
    hopeless = size == 1 and not goal.on and bool(goal.off or goal.not_led_by)
    tool = Tool(model, goal, size if goal.on else size - len(goal.off))
    for what, detail in events:
        match what:
            case "tool":
                tool.turn(str(detail))
            case "late" if tool.late:
                tool.carry_out(tool.late[int(str(detail)) % len(tool.late)])
            case "kill":
                model.kill(str(detail))
            case "start":
                model.start(str(detail))
            case "elect":
                model.elect(int(str(detail)))
            case "write":
                model.write(int(str(detail)))
            case "catch up":
                model.catch_up(int(str(detail)))
    for node in NODES:
        model.start(node)
    for _ in range(12):
        if model.leader is None:
            model.elect(0)
        model.catch_up(1500)
        move = tool.turn("done")
        if isinstance(move, Reached | Impossible):
            break
    assert isinstance(move, Impossible if hopeless else Reached), (move, model.history)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 8))
def test_no_id_is_given_twice_whatever_comes_and_goes(
    data: st.DataObject, size: int, changes: int
) -> None:
    """Goals one after another, each given up after some steps; the model counts the ids."""
    model = GroupModel.of(NODES, NODES[:size], last=2000)
    for _ in range(changes):
        members = tuple(sorted({r.node for r in model.replicas.values()}))
        if len(members) == len(NODES):
            break
        tool = Tool(model, data.draw(goals(members)), 0)
        for _ in range(data.draw(st.integers(1, 6))):
            if model.leader is None:
                model.elect(0)
            model.catch_up(data.draw(st.sampled_from([0, 2000])))
            tool.turn("done")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_tool_that_dies_after_every_step_gets_there(size: int) -> None:
    """Nothing is kept between the steps, so a new tool each time is the same tool."""
    model = GroupModel.of(NODES, NODES[:size], last=10)
    for _ in range(8):
        Tool(model, MOVE_A_D, size).turn("done")
        model.catch_up(10)
    assert reached(model, MOVE_A_D)
    assert len(model.voters) == size
