"""pysyncobj's transport: its dicts become typed messages, and its faults stop here.

It opens no socket. What is sent gathers in `outbox`, for the node to send once what it depends
on is durable; what arrives comes through `deliver`. Between the two it cures what can be cured
from outside (docs/engines.md has the list, with the evidence):

- An answer of another term, or a vote that was counted before, is dropped.
- Entries that this log already has are taken off an AppendEntries, and a message that brings
  nothing new truncates nothing: pysyncobj alone would remove everything behind the message's
  previous index, acknowledged entries included, and put it back later, or never.
- The commit index of a message counts only as far as that message proves the logs equal.
- What was sent is not sent again until the follower says that it is missing, and a follower
  that lags gets what its window allows.

pysyncobj lets any piece of a snapshot (`serialized`) move the commit index over entries nobody
has compared. The cure is one line, commit_index = 0 on such a message; here there is none to put
it on: the journal is not compacted, no snapshot is made, and no message could carry one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from nodes.pysyncobj_journal import COMMAND, Journal
from nodes.pysyncobj_messages import (
    AppendEntries,
    NextIndex,
    PysyncobjMessage,
    RequestVote,
    Vote,
)
from nodes.raft.messages import ForeignMessage, LogEntry

__all__ = ["WINDOW_BYTES", "Link"]

WINDOW_BYTES: Final = 4 * 1024 * 1024
"""Entries on their way to one follower; then only heartbeats go until it answers."""


class _Peer:
    """What is on its way to one follower, during one term of this leader."""

    __slots__ = ("bytes", "sent", "sent_up_to")

    def __init__(self) -> None:
        self.sent_up_to: int | None = None  # last index sent since it last said where to go on
        self.sent: deque[tuple[int, int]] = deque()  # (last index, bytes) of each message
        self.bytes = 0

    def add(self, last: int, size: int) -> None:
        self.sent_up_to = last
        self.sent.append((last, size))
        self.bytes += size

    def acknowledged(self, index: int) -> None:
        self.sent_up_to = max(index, self.sent_up_to or 0)
        while self.sent and self.sent[0][0] <= index:
            self.bytes -= self.sent.popleft()[1]

    def go_on_after(self, index: int) -> None:
        self.sent_up_to = index
        self.sent.clear()
        self.bytes = 0


class Link(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """The transport of one replica. `term` and `leads` tell what pysyncobj believes."""

    def __init__(self, replica: int, peers: Iterable[int], journal: Journal) -> None:
        super().__init__(None, Node(replica), [])
        self.outbox: list[ForeignMessage] = []
        self.appends: list[ForeignMessage] = []
        """AppendEntries, apart: they may travel while this replica writes."""
        self.term: Callable[[], int] = int
        self.leads: Callable[[], bool] = bool
        self._replica = replica
        self._nodes = {peer: Node(peer) for peer in peers}
        self._peers: dict[int, _Peer] = {}
        self._told: set[int] = set()  # peers that were sent to in this turn
        self._peers_term = 0
        self._voters: set[int] = set()
        self._voters_term = 0
        self._journal = journal
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(PysyncobjMessage)

    @property
    def nodes(self) -> list[Node]:
        return list(self._nodes.values())

    def connect(self) -> None:
        """Begin a turn, in which pysyncobj may send to everyone: whether a peer can be reached
        is the node's business, and a message that cannot be sent is lost."""
        self._told.clear()
        for node in self._nodes.values():
            self._onNodeConnected(node)

    def has_more_for(self, replica: int) -> bool:
        """Whether a follower lacks entries that are not on their way to it."""
        sent_up_to = self._peer(replica, self.term()).sent_up_to
        return sent_up_to is None or sent_up_to < self._journal.log.last

    # ------------------------------------------------------------------ out

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        match message["type"]:
            case "append_entries":
                self._send_append(node, message)
            case "next_node_idx":
                answer = NextIndex(
                    message["next_node_idx"] - 1, message["reset"], message["success"]
                )
                self._put(self.outbox, node.id, self.term(), answer)
            case "request_vote":
                request = RequestVote(message["last_log_index"] - 1, message["last_log_term"])
                self._put(self.outbox, node.id, message["term"], request)
            case "response_vote":
                self._put(self.outbox, node.id, message["term"], Vote())
            case other:
                raise AssertionError(f"pysyncobj sends {other}, which this engine never asks for")
        return True

    def _put(
        self, box: list[ForeignMessage], receiver: int, term: int, message: PysyncobjMessage
    ) -> None:
        payload = self._encoder.encode(message)
        box.append(ForeignMessage(self._replica, receiver, term, payload))

    def _send_append(self, node: Node, message: dict[str, Any]) -> None:
        """pysyncobj wants to send to a follower: send what is not on its way there yet.

        Where to go on is known here, and only roughly there: pysyncobj goes back with every
        answer that comes late, and on with every one that comes too late to matter.
        """
        term: int = message["term"]
        peer, log = self._peer(node.id, term), self._journal.log
        if peer.sent_up_to is None:
            peer.sent_up_to = message["prevLogIdx"] - 1
        previous = peer.sent_up_to
        entries: tuple[LogEntry, ...] = ()
        if previous < log.last and peer.bytes < WINDOW_BYTES:
            entries, size = log.entries_for_message(previous + 1)
            peer.add(previous + len(entries), size)
        elif previous < log.last:
            self._onNodeDisconnected(node)  # ends pysyncobj's loop over all that is missing
        if entries or node.id not in self._told:
            self._told.add(node.id)
            append = AppendEntries(previous, log.term(previous), log.commit, entries)
            self._put(self.appends, node.id, term, append)

    def _peer(self, replica: int, term: int) -> _Peer:
        if term != self._peers_term:
            self._peers, self._peers_term = {}, term
        return self._peers.setdefault(replica, _Peer())

    # ------------------------------------------------------------------ in

    def deliver(self, message: ForeignMessage) -> PysyncobjMessage | None:
        """Give pysyncobj what a peer sent, as far as it may see it. Returns what was given."""
        node = self._nodes.get(message.sender)
        if node is None or message.receiver != self._replica:
            return None
        try:
            body = self._decoder.decode(message.payload)
        except msgspec.DecodeError:
            return None  # of another engine
        match body:
            case AppendEntries():
                taken = self._take_append(node, message.term, body)
            case NextIndex():
                taken = self._take_next_index(node, message.term, body)
            case RequestVote():
                taken = True
                self._onMessageReceived(
                    node,
                    {
                        "type": "request_vote",
                        "term": message.term,
                        "last_log_index": body.last_index + 1,
                        "last_log_term": body.last_term,
                    },
                )
            case Vote():
                taken = self._take_vote(node, message.term)
        return body if taken else None

    def _take_vote(self, node: Node, term: int) -> bool:
        if term != self.term():
            return False
        if term != self._voters_term:
            self._voters, self._voters_term = set(), term
        if node.id in self._voters:
            return False
        self._voters.add(node.id)
        self._onMessageReceived(node, {"type": "response_vote", "term": term})
        return True

    def _take_next_index(self, node: Node, term: int, answer: NextIndex) -> bool:
        if term != self.term() or not self.leads():
            return False
        log = self._journal.log
        index = answer.index
        if answer.success:
            if index > log.last + 1:
                return False
            self._peer(node.id, term).acknowledged(index - 1)
        else:
            # A follower's log may be longer than ours: the question is then where ours ends.
            index = max(1, min(index, log.last + 1))
            self._peer(node.id, term).go_on_after(index - 1)
        self._onMessageReceived(
            node,
            {
                "type": "next_node_idx",
                "next_node_idx": index + 1,
                "reset": answer.reset,
                "success": answer.success,
            },
        )
        return True

    def _take_append(self, node: Node, term: int, append: AppendEntries) -> bool:
        if term < self.term() or (term == self.term() and self.leads()):
            return False
        journal, log = self._journal, self._journal.log
        previous, previous_term, entries = (
            append.previous_index,
            append.previous_term,
            append.entries,
        )
        if previous < 0 or previous > log.last or not log.matches(previous, previous_term):
            entries = ()  # pysyncobj will refuse it, and say where to go on
        else:
            present = 0
            for entry in entries:
                if not log.matches(previous + 1, entry.term):
                    break
                previous, previous_term, present = previous + 1, entry.term, present + 1
            entries = entries[present:]
            if previous <= log.commit:  # equal by leader completeness; the term is ours to look up
                previous_term = log.term(previous)
        if not entries:
            journal.shown = previous
        try:
            self._onMessageReceived(
                node,
                {
                    "type": "append_entries",
                    "term": term,
                    "commit_index": min(append.commit, previous + len(entries)) + 1,
                    "prevLogIdx": previous + 1,
                    "prevLogTerm": previous_term,
                    "entries": [
                        (COMMAND + entry.data, index, entry.term)
                        for index, entry in enumerate(entries, previous + 2)
                    ],
                },
            )
        finally:
            journal.shown = None
        return True
