"""Linearizable reads by ReadIndex (section 6.4)."""

from __future__ import annotations

from nodes.raft.core import Role
from nodes.raft.messages import AppendRequest, AppendResponse
from nodes.raft.read_queue import ROUNDS_MAX
from tests.nodes.raft.group import ELECTION_TICKS, Group
from tests.nodes.raft.test_replication import elect_without_replicating


def test_a_read_waits_for_answers_to_a_round_sent_after_it() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.tick()
    group.deliver(group.take(1))
    answers_to_earlier_round = group.take(2)

    leader.read_index("r")
    sent = group.take(1)
    group.deliver(answers_to_earlier_round)
    group.take(1)
    assert group.reads == []
    group.deliver(sent)
    group.deliver(group.take(2))
    group.take(1)

    assert group.reads == ["r"]


def test_a_read_sees_the_commit_index_of_its_round() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    group.settle()

    leader.read_index("r")
    leader.propose(b"y")
    ready = leader.ready()
    leader.persisted(ready)
    requests = [m for m in ready.messages if isinstance(m, AppendRequest)]
    leader.step(AppendResponse(2, 1, 1, True, 2, requests[0].round))

    assert leader.ready().reads == [(2, ["r"])]


def test_a_new_leader_answers_no_read_before_its_own_no_op_is_committed() -> None:
    """It may not know yet what its predecessor committed."""
    group = Group(3, logs={1: [1, 1], 2: [1, 1], 3: [1, 1]})
    leader = group.cores[1]
    withheld = elect_without_replicating(group, leader)

    leader.read_index("r")
    assert not leader.has_ready()
    for number in (2, 3):
        leader.step(AppendResponse(number, 1, leader.term, True, 2, 1))
    group.take(1)
    assert group.reads == []
    group.deliver(withheld)
    group.settle()

    assert group.reads == ["r"]


def test_reads_of_one_turn_share_a_round() -> None:
    group = Group(3)
    leader = group.elect(1)

    for number in range(100):
        leader.read_index(number)
    sent = group.take(1)
    group.deliver(sent)
    group.settle()

    assert len(sent) == 2
    assert group.reads == list(range(100))


def test_rounds_under_way_are_bounded_and_later_reads_share_one() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.settle()

    kept, per_read = [], []
    for number in range(ROUNDS_MAX + 50):
        leader.read_index(number)
        sent = group.take(1)
        kept += sent
        per_read.append(len(sent))
    assert sum(per_read) == 2 * ROUNDS_MAX
    assert not leader.has_ready()
    group.deliver(kept)
    group.settle()

    assert group.reads == list(range(ROUNDS_MAX + 50))


def test_an_isolated_leader_confirms_no_read_and_fails_it_when_it_steps_down() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.cut = {1}

    leader.read_index("a")
    group.settle()
    leader.read_index("b")
    group.tick(2 * ELECTION_TICKS, numbers=[1])

    assert leader.role is not Role.LEADER
    assert group.reads == []
    assert group.reads_failed == ["a", "b"]


def test_a_rejection_of_entries_still_confirms_the_leader() -> None:
    group = Group(3, logs={1: [1, 1]}, terms={2: 1, 3: 1})
    leader = group.elect(1)
    leader.read_index("r")
    ready = leader.ready()
    leader.persisted(ready)
    number = ready.messages[0]
    assert isinstance(number, AppendRequest)

    leader.step(AppendResponse(2, 1, 2, False, 0, number.round, 3, 0, 0))

    assert leader.ready().reads == [(3, ["r"])]


def test_an_answer_to_an_older_terms_heartbeat_confirms_nothing() -> None:
    """Replica 1 leads term 1 for many rounds, is deposed, and leads again. A heartbeat of term
    1 that was long under way is refused with the newer term, and its large round number must
    not pass for a round of that term."""
    group = Group(3)
    old = group.elect(1)
    for _ in range(5):
        old.tick()
        group.deliver(group.take(1))
    old.tick()
    delayed = [m for m in group.take(1) if m.receiver == 2]
    group.elect(2)
    leader = group.elect(1)
    assert leader.term == 3
    group.cut = {1}

    leader.read_index("r")
    group.settle()
    group.cores[2].step(delayed[0])
    for message in group.take(2):
        leader.step(message)
    group.take(1)

    assert leader.role is Role.LEADER
    assert group.reads == []


def test_the_two_rules_that_an_experiment_may_break_are_one_method_each() -> None:
    """What a negative control overrides: without them a cut-off leader goes on answering."""
    group = Group(3)
    leader = group.elect(1)
    leader._check_quorum = lambda leadership: None  # type: ignore[method-assign]  # the experiment
    leader._is_round_confirmed = lambda leadership, number: True  # type: ignore[method-assign]  # the experiment
    group.cut = {1}

    group.tick(5 * ELECTION_TICKS, numbers=[1])
    leader.read_index("stale")
    group.settle()

    assert leader.role is Role.LEADER
    assert group.reads == ["stale"]
