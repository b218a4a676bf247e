"""The router's part of a two-phase commit: what is sent to whom, and what the client may be told
(docs/distributed.md, DESIGN section 8).

Pure: answers in, requests out. Whoever drives it delivers each `Send` until it is answered, or
gives it up; the rest of the protocol is the groups' business (`nodes.two_phase`,
`nodes.resolution`), so a coordinator may be forgotten at any moment.

    coordinator = Coordinator(...)
    sends = coordinator.begin()
    sends = coordinator.answered(send, answer, doubt=...)     or  coordinator.gave_up(send)
    sends = coordinator.again(send)                           its pause is over
    coordinator.verdict                                       the client's, as soon as there is one
    coordinator.is_done                                       nothing is left to send but END, whose
                                                              answer tells nobody anything

The anchor is asked last: when all others are prepared it commits, in one entry that is its own work
and the outcome (the last agent of Samaras et al. 1993), and need not promise before.

What may be told. Before COMMIT is sent every failure is definite: nobody else proposes commit.
While a copy of it may take effect, the first of it and ABORT in the anchor's log is the outcome; an
answer that is lost is asked for by FENCE under the same (session, seq), never by proposing abort:
when the transaction has ended everywhere, an abort would be recorded of what has committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from nodes.protocol import (
    Abort,
    Aborted,
    AnswerNotKept,
    AtLeast,
    Commit,
    Decided,
    Done,
    End,
    Fence,
    Locked,
    Participant,
    Prepare,
    Prepared,
    ResponseBody,
    SqlFailure,
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
    body: Prepare | Commit | Abort | TransactionOutcome | End | Fence
    after_pause: bool = False  # it has just been refused: let the other one get on


@dataclass(frozen=True)
class Committed:
    """What each group answered, and what a session has seen of it: its PREPARE, of the anchor its
    COMMIT. A replica that has applied a PREPARE shows what it did, or waits for the outcome."""

    results: Mapping[str, tuple[StatementResult, ...]]
    seen: Mapping[str, AtLeast]


@dataclass(frozen=True)
class Failed:
    """It has not happened and never will; `answer` says why, None that time was over."""

    group: str
    answer: ResponseBody | None


@dataclass(frozen=True)
class Unknown:
    """It may have happened; `is_committed`: it has, but what the anchor answered is lost."""

    is_committed: bool = False


Verdict: TypeAlias = Committed | Failed | Unknown


class Coordinator:
    """One transaction over several groups."""

    def __init__(self, id_: TransactionId, anchor: str, branches: Mapping[str, Branch]) -> None:
        self._id = id_
        self._anchor = anchor
        self._branches = branches
        self._participants = tuple(
            Participant(group, branch.write.session, branch.write.seq)
            for group, branch in branches.items()
        )
        takes_ms = {
            group: prepare_ms(branch.write) + branch.patience_ms
            for group, branch in branches.items()
        }
        of_anchor_ms = takes_ms.pop(anchor)
        self._patience_ms = max(takes_ms.values(), default=0) + of_anchor_ms
        self._prepared: dict[str, Prepared] = {}
        self._is_committing = False  # a COMMIT is under way ...
        self._has_asked = False  # ... or was
        self._doubt = False  # an earlier one may still take effect
        self._refusal: tuple[str, ResponseBody | None] | None = None  # of it, while a FENCE asks
        self._untold: set[str] = set()
        self.verdict: Verdict | None = None
        self.is_done = False

    def begin(self) -> list[Send]:
        """All but the anchor are prepared side by side. If `meta` takes part, whom no transaction
        may hold up, it is the anchor: a change of the schema may take the others longer than a
        leader of what is prepared waits, and meanwhile nobody could read the catalog."""
        others = [group for group in self._branches if group != self._anchor]
        return [self._prepare(group) for group in others] or self._commit()

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

    def _commit(self) -> list[Send]:
        """All others are prepared."""
        self._is_committing = self._has_asked = True
        branch = self._branches[self._anchor]
        body = Commit(self._id, branch.write, branch.tied, self._participants)
        return [Send(self._anchor, body)]

    def again(self, send: Send) -> list[Send]:
        """What was refused is sent once more, unless it is of no use any more."""
        if self.verdict is not None or self._refusal is not None:
            return []
        self._is_committing = isinstance(send.body, Commit)
        return [send._replace(after_pause=False)]

    def expire(self) -> list[Send]:
        """The client's time is over. What has been decided, or may be, goes on."""
        if self.verdict is not None or self._is_committing:
            return []
        if self._refusal is None:
            return self._refused("", None) if self._has_asked else self._fail("", None)
        if not self._doubt:
            self.verdict = Failed(*self._refusal)
        return []

    def answered(self, send: Send, answer: ResponseBody, *, doubt: bool) -> list[Send]:
        """`doubt`: an earlier copy of the request may still take effect."""
        match send.body:
            case Prepare():
                return self._prepare_answered(send, answer)
            case Commit():
                self._is_committing = False
                self._doubt = self._doubt or doubt
                return self._commit_answered(send, answer)
            case Fence():
                return self._fenced(send.group, answer)
            case Abort():
                return self._aborted(answer)
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
            case Commit():
                self._is_committing = False
                self._doubt = self._doubt or doubt
                return (
                    self._refused(send.group, None) if self._doubt else self._fail(send.group, None)
                )
            case Abort() if self.verdict is None and self._refusal is not None:
                self.verdict = Failed(*self._refusal)
            case Fence():
                self.verdict = Unknown()
        return self._end()  # the leaders finish it

    def _prepare_answered(self, send: Send, answer: ResponseBody) -> list[Send]:
        if self.verdict is not None:
            return []
        match answer:
            case Prepared(results=results) if results is not None:
                self._prepared[send.group] = answer
                is_last = len(self._prepared) == len(self._branches) - 1
                return self._commit() if is_last else []
            case Locked(holder=holder) if self._id < holder:
                return [send._replace(after_pause=True)]  # the older one waits, with what it holds
        return self._fail(send.group, answer)

    def _commit_answered(self, send: Send, answer: ResponseBody) -> list[Send]:
        match answer:
            case Locked(holder=holder) if self._id < holder:
                return [send._replace(after_pause=True)]
            case UnknownSession() if self._doubt:  # it expired behind a copy, or before all of them
                self.verdict = Unknown()
                return self._end()
            case Done() | AnswerNotKept() | Decided() | Aborted() | SqlFailure():
                return self._decided(send.group, answer)
        return self._refused(send.group, answer)

    def _refused(self, group: str, answer: ResponseBody | None) -> list[Send]:
        """No COMMIT is under way. If an earlier copy may still take effect, FENCE tells. If not the
        client is told when ABORT is in the log, behind which none can, not even one that the
        network has doubled."""
        self._refusal = group, answer
        return self._fence() if self._doubt else [Send(self._anchor, self._abort())]

    def _aborted(self, answer: ResponseBody) -> list[Send]:
        if self.verdict is None and self._refusal is not None:
            if isinstance(answer, Decided) and answer.commit:
                return self._fence()
            self.verdict = Failed(*self._refusal)
        if not isinstance(answer, Decided):
            return self._end()
        return self._tell(commit=answer.commit)

    def _abort(self) -> Abort:
        return Abort(self._id, self._participants)

    def _fence(self) -> list[Send]:
        write = self._branches[self._anchor].write
        return [Send(self._anchor, Fence(write.session, write.seq, 0))]

    def _fenced(self, group: str, answer: ResponseBody) -> list[Send]:
        if isinstance(answer, Aborted) and self._refusal is not None:
            return self._fail(*self._refusal)
        return self._decided(group, answer)

    def _decided(self, group: str, answer: ResponseBody) -> list[Send]:
        """What the anchor's log says of its COMMIT."""
        match answer:
            case Done():
                indexes = {each: prepared.index for each, prepared in self._prepared.items()}
                indexes[self._anchor] = answer.index
                seen = {
                    each.group: AtLeast(each.session.incarnation, indexes[each.group])
                    for each in self._participants
                }
                results = {each: found.results or () for each, found in self._prepared.items()}
                results[self._anchor] = answer.results
                self.verdict = Committed(results, seen)
                return self._tell(commit=True)
            case AnswerNotKept() | Decided(commit=True):
                self.verdict = Unknown(is_committed=True)
                return self._tell(commit=True)
            case Decided():
                self.verdict = Failed(group, answer)
                return self._tell(commit=False)
            case Aborted() | SqlFailure():
                return self._fail(group, answer)
        self.verdict = Unknown()
        return self._end()

    def _fail(self, group: str, answer: ResponseBody | None) -> list[Send]:
        self.verdict = Failed(group, answer)
        return [Send(self._anchor, self._abort())]

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
