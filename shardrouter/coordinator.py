"""The router's part of a two-phase commit: what is sent to whom, and what the client may be told
(docs/distributed.md, DESIGN section 8).

Pure: answers in, requests out. Whoever drives it delivers each `Send` until it is answered, or
gives it up; the rest of the protocol is the groups' business (`nodes.two_phase`,
`nodes.resolution`), so a coordinator may be forgotten at any moment.

    coordinator = Coordinator(...)
    sends = coordinator.begin()
    sends = coordinator.answered(send, answer, doubt=...)     or  coordinator.gave_up(send)
    coordinator.verdict                                       the client's, as soon as there is one
    coordinator.is_done                                       nothing is left to send but END, whose
                                                              answer tells nobody anything

What may be told. Before DECIDE(commit) is sent every failure is definite: nobody else proposes
commit. After it the first DECIDE in the anchor's log is the outcome; an answer that is lost is
asked for by FENCE under the same (session, seq), never by proposing abort: when the transaction has
ended everywhere, an abort would be recorded of what has committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from nodes.config import META_GROUP
from nodes.protocol import (
    Aborted,
    AtLeast,
    Decide,
    Decided,
    Done,
    End,
    Fence,
    Locked,
    NotPrepared,
    Participant,
    Prepare,
    Prepared,
    ResponseBody,
    SessionId,
    StatementResult,
    TransactionId,
    TransactionOutcome,
    UnknownSession,
    Write,
)
from nodes.stage_content import prepare_ms

__all__ = ["Branch", "Committed", "Coordinator", "Failed", "Send", "Unknown", "Verdict"]


class Branch(NamedTuple):
    """What the transaction does in one group."""

    write: Write
    tied: tuple[str, ...] = ()  # see `Prepare`
    patience_ms: int = 0  # what it may take to prepare it besides what its write names


class Send(NamedTuple):
    """A request to the leader of a group."""

    group: str
    body: Prepare | Decide | TransactionOutcome | End | Fence
    after_pause: bool = False  # it has just been refused: let the other one get on


@dataclass(frozen=True)
class Committed:
    """What each group answered, and what a session has seen of it: its PREPARE, of the anchor the
    decision. A replica that has applied a PREPARE shows what it did, or waits for the outcome."""

    results: Mapping[str, tuple[StatementResult, ...]]
    seen: Mapping[str, AtLeast]


@dataclass(frozen=True)
class Failed:
    """It has not happened and never will; `answer` says why, None that time was over."""

    group: str
    answer: ResponseBody | None


@dataclass(frozen=True)
class Unknown:
    """It may have happened."""


Verdict: TypeAlias = Committed | Failed | Unknown


class Coordinator:
    """One transaction over several groups.

    `commit` is a command of the router in the anchor's group, (session, seq): for the decision.
    """

    def __init__(
        self,
        id_: TransactionId,
        anchor: str,
        branches: Mapping[str, Branch],
        commit: tuple[SessionId, int],
    ) -> None:
        self._id = id_
        self._anchor = anchor
        self._branches = branches
        self._commit = commit
        self._participants = tuple(
            Participant(group, branch.write.session, branch.write.seq)
            for group, branch in branches.items()
        )
        self._patience_ms = max(
            prepare_ms(branch.write) + branch.patience_ms for branch in branches.values()
        )
        self._prepared: dict[str, Prepared] = {}
        self._untold: set[str] = set()
        self.verdict: Verdict | None = None
        self.is_done = False

    def begin(self) -> list[Send]:
        """All groups are prepared side by side; `meta`, which is never alone, when the others are:
        a change of the schema may take them longer than a leader of what is prepared waits, and
        meanwhile nobody could read the catalog."""
        return [self._prepare(group) for group in self._branches if group != META_GROUP]

    def _prepare(self, group: str) -> Send:
        branch = self._branches[group]
        body = Prepare(
            self._id,
            branch.write,
            branch.tied,
            self._anchor,
            self._participants,
            self._patience_ms,
        )
        return Send(group, body)

    def expire(self) -> list[Send]:
        """The client's time is over. What has been decided, or may be, goes on."""
        if self.verdict is not None or len(self._prepared) == len(self._branches):
            return []
        return self._fail("", None)

    def answered(self, send: Send, answer: ResponseBody, *, doubt: bool) -> list[Send]:
        """`doubt`: an earlier copy of the request may still take effect."""
        match send.body:
            case Prepare():
                return self._prepare_answered(send, answer)
            case Decide(commit=True):
                if isinstance(answer, UnknownSession) and not doubt:
                    return self._fail(send.group, answer)  # the only copy was refused
                return self._decided(send.group, answer)
            case Fence():
                return self._decided(send.group, answer)
            case Decide():
                return self._tell(commit=False) if isinstance(answer, Decided) else self._end()
            case TransactionOutcome():
                self._untold.discard(send.group)
                if self._untold or not isinstance(answer, Done):
                    return []
                return self._forget()
            case End():
                return []

    def gave_up(self, send: Send, *, doubt: bool = True) -> list[Send]:
        """Nobody has answered, and the request is not sent any more; in `doubt` it may still take
        effect."""
        match send.body:
            case Prepare():
                return self._fail(send.group, None) if self.verdict is None else []
            case Decide(commit=True) if not doubt:
                return self._fail(send.group, None)
            case Decide(commit=True):
                session, seq = self._commit
                return [Send(self._anchor, Fence(session, seq, 0))]
            case Fence():
                self.verdict = Unknown()
        return self._end()  # the leaders finish it

    def _prepare_answered(self, send: Send, answer: ResponseBody) -> list[Send]:
        if self.verdict is not None:
            return []
        match answer:
            case Prepared(results=results) if results is not None:
                self._prepared[send.group] = answer
                left = self._branches.keys() - self._prepared.keys()
                if left:
                    return [self._prepare(META_GROUP)] if left == {META_GROUP} else []
                session, seq = self._commit
                index = self._prepared[self._anchor].index
                decide = Decide(self._id, True, self._participants, index, session, seq)
                return [Send(self._anchor, decide)]
            case Locked(holder=holder) if self._id < holder:
                return [send._replace(after_pause=True)]  # the older one waits, with what it holds
        return self._fail(send.group, answer)

    def _decided(self, group: str, answer: ResponseBody) -> list[Send]:
        match answer:
            case Decided(commit=True, index=index):
                indexes = {each: prepared.index for each, prepared in self._prepared.items()}
                indexes[self._anchor] = index
                seen = {
                    each.group: AtLeast(each.session.incarnation, indexes[each.group])
                    for each in self._participants
                }
                results = {each: found.results or () for each, found in self._prepared.items()}
                self.verdict = Committed(results, seen)
                return self._tell(commit=True)
            case Decided():
                self.verdict = Failed(group, answer)
                return self._tell(commit=False)
            case NotPrepared() | Aborted():
                return self._fail(group, answer)
        self.verdict = Unknown()
        return self._end()

    def _fail(self, group: str, answer: ResponseBody | None) -> list[Send]:
        self.verdict = Failed(group, answer)
        return [Send(self._anchor, Decide(self._id, False, self._participants))]

    def _tell(self, *, commit: bool) -> list[Send]:
        """The outcome goes to those who do not have it in their log."""
        sends = [
            Send(each.group, TransactionOutcome(self._id, commit, each))
            for each in self._participants
            if each.group != self._anchor
        ]
        self._untold = {send.group for send in sends}
        return sends or self._forget()

    def _forget(self) -> list[Send]:
        """All have the outcome: nobody will ask the anchor for it."""
        self.is_done = True
        return [Send(self._anchor, End(self._id))]

    def _end(self) -> list[Send]:
        self.is_done = True
        return []
