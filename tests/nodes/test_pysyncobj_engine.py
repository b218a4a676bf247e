"""The faults of pysyncobj that are cured from outside, each delivered by hand.

Everything else that the engine promises is in tests/contracts; docs/engines.md has the list.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pysyncobj
import pytest
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from nodes.consensus import EngineRefused
from nodes.pysyncobj_engine import PysyncobjConsensus
from nodes.pysyncobj_journal import APPLY_MAX
from nodes.pysyncobj_link import WINDOW_BYTES
from nodes.pysyncobj_messages import (
    AppendEntries,
    NextIndex,
    PysyncobjMessage,
    RequestVote,
    Vote,
)
from nodes.raft.core import Role
from nodes.raft.log import MESSAGE_BYTES_MAX, RaftLog
from nodes.raft.messages import ForeignMessage, HardState, LogEntry, Membership
from nodes.raft.ready import Ready

ELECTION_TICKS = 8


class Disk:
    """The durable log of one replica."""

    def __init__(self, log: Sequence[LogEntry] = ()) -> None:
        self.log = list(log)

    def entries(self, first: int, last: int) -> list[LogEntry]:
        return self.log[first - 1 : last]

    def term(self, index: int) -> int:
        return self.log[index - 1].term


class Replica:
    """Replica 1 of a group; the others exist only in what the test delivers."""

    def __init__(self, voters: int = 3, log: Sequence[LogEntry] = (), commit: int = 0) -> None:
        self.disk = Disk(log)
        last_term = log[-1].term if log else 0
        self.log = RaftLog(self.disk, last=len(log), last_term=last_term)
        self.consensus = PysyncobjConsensus(
            replica=1,
            membership=Membership.of(range(1, voters + 1)),
            rng=random.Random(1),
            election_ticks=ELECTION_TICKS,
            hard_state=HardState(last_term, 0, commit),
            log=self.log,
            first_timeout_ticks=2,
        )

    def turn(self) -> Ready:
        ready = self.consensus.ready()
        self.disk.log[ready.first_index - 1 :] = ready.entries
        self.consensus.persisted(ready)
        return ready

    def settle(self) -> list[Ready]:
        readies = []
        while self.consensus.has_ready():
            readies.append(self.turn())
        return readies

    def receive(self, sender: int, body: PysyncobjMessage, term: int | None = None) -> None:
        payload = msgspec.msgpack.encode(body)
        term = self.consensus.term if term is None else term
        self.consensus.step(ForeignMessage(sender, 1, term, payload))

    def role(self) -> Role:
        return self.consensus.role

    def stand(self) -> None:
        """Tick until it is a candidate."""
        while self.role() is Role.FOLLOWER:
            self.consensus.tick(0.0)
            self.settle()

    def lead(self) -> None:
        self.stand()
        self.receive(2, Vote())
        self.settle()
        assert self.role() is Role.LEADER


def sent(messages: Sequence[object]) -> list[PysyncobjMessage]:
    decoder = msgspec.msgpack.Decoder(PysyncobjMessage)
    return [decoder.decode(m.payload) for m in messages if isinstance(m, ForeignMessage)]


def appends(messages: Sequence[object]) -> list[AppendEntries]:
    return [message for message in sent(messages) if isinstance(message, AppendEntries)]


def entries(*terms: int) -> list[LogEntry]:
    return [LogEntry(term, b"command %d" % place) for place, term in enumerate(terms, 1)]


def test_it_opens_no_socket_no_file_and_no_thread() -> None:
    fds, threads = len(list(Path("/dev/fd").iterdir())), threading.active_count()
    replica = Replica()
    replica.lead()
    assert len(list(Path("/dev/fd").iterdir())) == fds
    assert threading.active_count() == threads


def test_an_answer_to_a_leader_of_the_past_commits_nothing() -> None:
    replica = Replica(log=entries(1, 1))
    replica.lead()
    replica.consensus.propose(b"unseen by anyone else")
    replica.settle()
    last = replica.log.last
    replica.receive(2, NextIndex(last + 1, reset=False, success=True), replica.consensus.term - 1)
    replica.settle()
    assert replica.consensus.commit == 0
    replica.receive(2, NextIndex(last + 1, reset=False, success=True))
    replica.settle()
    assert replica.consensus.commit == last


def test_one_vote_that_comes_twice_counts_once() -> None:
    replica = Replica(voters=5)
    replica.stand()
    replica.receive(2, Vote())
    replica.receive(2, Vote())
    assert replica.role() is Role.CANDIDATE
    replica.receive(3, Vote(), replica.consensus.term - 1)
    assert replica.role() is Role.CANDIDATE
    replica.receive(3, Vote())
    assert replica.role() is Role.LEADER


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_message_that_comes_late_truncates_nothing(count: int) -> None:
    replica = Replica(log=entries(1, 1, 1, 1))
    late = AppendEntries(1, 1, 0, tuple(entries(1, 1, 1)[1 : 1 + count]))
    replica.receive(2, late, 1)
    (ready,) = replica.settle()
    assert replica.log.last == 4
    assert ready.entries == []
    assert sent(ready.messages_after) == [NextIndex(2 + count, reset=False, success=True)]
    replica.receive(2, AppendEntries(4, 1, 0, (LogEntry(1, b"next"),)), 1)
    (ready,) = replica.settle()
    assert (ready.first_index, ready.entries) == (5, [LogEntry(1, b"next")])


def test_only_what_conflicts_is_replaced() -> None:
    replica = Replica(log=entries(1, 1, 2, 2))
    new = (LogEntry(1, b"command 2"), LogEntry(3, b"new"))
    replica.receive(2, AppendEntries(1, 1, 3, new), 3)
    (ready,) = replica.settle()
    assert (ready.first_index, ready.entries) == (3, [LogEntry(3, b"new")])
    assert replica.disk.log == [*entries(1, 1), LogEntry(3, b"new")]
    assert ready.committed == range(1, 4)


def test_a_heartbeat_commits_only_what_it_proves_equal() -> None:
    """Entries 2 and 3 are of a leader that lost; the new one has committed others there."""
    replica = Replica(log=entries(1, 2, 2))
    replica.receive(2, AppendEntries(1, 1, 3), 3)
    replica.settle()
    assert replica.consensus.commit == 1


def test_votes_and_acknowledgements_wait_for_the_disk() -> None:
    replica = Replica(log=entries(1))
    replica.receive(2, RequestVote(1, 1), 2)
    ready = replica.turn()
    assert ready.messages == []
    assert ready.hard_state == HardState(2, 2, 0)
    assert sent(ready.messages_after) == [Vote()]
    replica.receive(2, AppendEntries(1, 1, 0, (LogEntry(2, b"x"),)), 2)
    ready = replica.turn()
    assert ready.messages == []
    assert ready.entries == [LogEntry(2, b"x")]
    assert sent(ready.messages_after) == [NextIndex(3, reset=False, success=True)]


def test_what_is_on_its_way_is_not_sent_again_until_it_is_missed() -> None:
    replica = Replica()
    replica.lead()
    replica.consensus.propose(b"a")
    replica.settle()
    replica.receive(2, NextIndex(2, reset=False, success=True))  # of the no-op; pysyncobj goes back
    replica.consensus.propose(b"b")
    new = [a for ready in replica.settle() for a in appends(ready.messages)]
    assert [[entry.data for entry in append.entries] for append in new] == [[b"b"], [b"b"]]
    replica.receive(2, NextIndex(2, reset=True, success=False))
    again = [a for ready in replica.settle() for a in appends(ready.messages)]
    assert [entry.data for append in again for entry in append.entries] == [b"a", b"b"]


def test_a_follower_that_does_not_answer_gets_no_more_than_a_window() -> None:
    replica = Replica()
    replica.lead()
    for _ in range(40):
        replica.consensus.propose(bytes(512 * 1024))
    size = 0
    for _ in range(ELECTION_TICKS // 2):  # it hears of the leader at every tick all the same
        replica.consensus.tick(0.0)
        messages = [m for ready in replica.settle() for m in ready.messages if m.receiver == 3]
        assert messages
        size += sum(len(entry.data) for append in appends(messages) for entry in append.entries)
    assert WINDOW_BYTES <= size < WINDOW_BYTES + MESSAGE_BYTES_MAX
    sent_up_to = 1 + size // (512 * 1024)
    replica.receive(3, NextIndex(sent_up_to + 1, reset=False, success=True))
    more = [a for ready in replica.settle() for a in appends(ready.messages)]
    assert more[0].previous_index == sent_up_to


def test_a_long_log_is_walked_through_in_pieces_after_a_restart() -> None:
    log = entries(*[1] * (3 * APPLY_MAX))
    replica = Replica(log=log, commit=len(log))
    readies = replica.settle()
    assert 3 <= len(readies) <= 5
    assert [ready.committed for ready in readies if ready.committed] == [range(1, len(log) + 1)]


def test_a_log_that_was_cut_is_refused() -> None:
    log = RaftLog(Disk(), first=5, last=4, base_term=1, last_term=1)
    with pytest.raises(EngineRefused, match="cut before index 5"):
        PysyncobjConsensus(
            replica=1,
            membership=Membership.of((1, 2, 3)),
            rng=random.Random(1),
            election_ticks=ELECTION_TICKS,
            hard_state=HardState(1, 0, 4),
            log=log,
            applied=4,
        )


def test_garbage_and_negative_indexes_change_nothing() -> None:
    replica = Replica(log=entries(1, 1))
    replica.consensus.step(ForeignMessage(2, 1, 9, b"\x80\x04K\x01."))  # a pickle
    replica.consensus.step(ForeignMessage(7, 1, 9, msgspec.msgpack.encode(RequestVote(9, 9))))
    assert replica.consensus.term == 1
    replica.receive(2, AppendEntries(-5, 0, 0, tuple(entries(1))), 1)
    (ready,) = [r for r in replica.settle() if r.messages_after]
    assert replica.log.last == 2
    assert sent(ready.messages_after) == [NextIndex(3, reset=True, success=False)]


class _Nowhere(Transport):  # type: ignore[misc]  # pysyncobj has no types
    def send(self, node: Node, message: object) -> bool:
        return True


@pytest.mark.parametrize("is_cured", [False, True])
def test_a_piece_of_a_snapshot_commits_whatever_is_there_in_the_stock_library(
    is_cured: bool,
) -> None:
    """Why this engine has no message for it. The day the stock library does not do it any more,
    this fails, and the list in docs/engines.md gets shorter."""
    transport = _Nowhere(None, None, [])
    conf = pysyncobj.SyncObjConf(autoTick=False)
    stock = pysyncobj.SyncObj(Node("a"), [Node("b"), Node("c")], conf, transport=transport)
    append: dict[str, Any] = {"type": "append_entries", "term": 1, "commit_index": 1}
    diverged = [(b"\x01", index, 1) for index in range(2, 5)]  # of a leader that lost its office
    transport._onMessageReceived(
        Node("b"), {**append, "entries": diverged, "prevLogIdx": 1, "prevLogTerm": 0}
    )
    assert stock.raftCommitIndex == 1
    piece = {**append, "term": 2, "commit_index": 4, "serialized": (b"", True, False)}
    transport._onMessageReceived(Node("c"), {**piece, "commit_index": 0} if is_cured else piece)
    assert stock.raftCommitIndex == (1 if is_cured else 4)
