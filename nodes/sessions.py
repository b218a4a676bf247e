"""Exactly once: which commands of which session were applied, and what they answered.

Pure: a state machine over entries, all replicas of a group compute the same. The data file
keeps a copy (`take_changes`, `restore`), written in the transaction of the data itself.

Per session, the applied seqs above the watermark form a set, not a counter: a router has many
commands under way and they may enter the log in any order. At or below the watermark nothing
is known any more, because the router promised to have those answers and never to repeat them;
a copy that still arrives is a delayed duplicate whose first copy may have been applied or
fenced, so its answer is "unknown", and it is not applied (DESIGN section 8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from nodes.protocol import (
    OPEN_SEQS_MAX,
    STORED_ANSWER_BYTES_MAX,
    AnswerNotKept,
    Busy,
    Opened,
    ResponseBody,
    SessionId,
    UnknownOutcome,
    UnknownSession,
)

__all__ = ["SESSIONS_MAX", "SessionChanges", "Sessions"]

SESSIONS_MAX: Final = 4096
"""Most sessions of a group: one per router that used it lately, with room for restarts."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ResponseBody).decode

_UNKNOWN_SESSION: Final = UnknownSession()
_BELOW_WATERMARK: Final = UnknownOutcome(
    "this copy came after its router had the answer of an earlier one"
)
_NO_ROOM: Final = Busy(f"more than {OPEN_SEQS_MAX} commands of the session are open")
_NO_SESSIONS: Final = Busy(f"the group has {SESSIONS_MAX} sessions")


class _Session:
    __slots__ = ("answers", "last_used", "watermark")

    def __init__(self, watermark: int, last_used: int) -> None:
        self.watermark = watermark
        self.answers: dict[int, bytes | None] = {}  # every seq > watermark; None: not kept
        self.last_used = last_used  # log index; of this process only, see Sessions.idle

    def forget_up_to(self, watermark: int) -> None:
        """Raise the watermark. Usually by a step or two, while hundreds of answers are kept."""
        answers = self.answers
        if watermark - self.watermark < len(answers):
            for seq in range(self.watermark + 1, watermark + 1):
                answers.pop(seq, None)
        else:
            for seq in [seq for seq in answers if seq <= watermark]:
                del answers[seq]
        self.watermark = watermark


@dataclass
class SessionChanges:
    """What changed since the last take: rows for the data file, in order."""

    opened: list[tuple[int, str]] = field(default_factory=list)  # session, router
    expired: list[tuple[int]] = field(default_factory=list)
    watermarks: list[tuple[int, int]] = field(default_factory=list)  # watermark, session
    answers: list[tuple[int, int, bytes | None]] = field(default_factory=list)


class Sessions:
    """The sessions of one group.

    For each command of a session:
        answer = sessions.recall(session, seq, watermark)
        if answer is None: run it; sessions.record(session, seq, watermark, its answer, index)
    """

    def __init__(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._sessions: dict[int, _Session] = {}
        self._opened: dict[int, str] = {}
        self._expired: set[int] = set()
        self._moved: set[int] = set()  # sessions whose watermark changed
        self._recorded: defaultdict[int, list[int]] = defaultdict(list)  # seqs of a session

    def __len__(self) -> int:
        return len(self._sessions)

    def restore(
        self,
        sessions: Iterable[tuple[int, int]],
        answers: Iterable[tuple[int, int, bytes | None]],
        applied: int,
    ) -> None:
        """Take over what the data file holds: (session, watermark), (session, seq, answer)."""
        self._sessions = {index: _Session(watermark, applied) for index, watermark in sessions}
        for index, seq, answer in answers:
            self._sessions[index].answers[seq] = answer

    def open(self, index: int, router: str) -> ResponseBody:
        """The entry at log index `index` opens a session."""
        if len(self._sessions) >= SESSIONS_MAX:
            return _NO_SESSIONS
        self._sessions[index] = _Session(0, index)
        self._opened[index] = router
        return Opened(SessionId(self._incarnation, index))

    def recall(self, session: SessionId, seq: int, watermark: int) -> ResponseBody | None:
        """What to answer without applying; None if the command has to be applied."""
        state = self._sessions.get(session.index)
        if state is None or session.incarnation != self._incarnation:
            return _UNKNOWN_SESSION
        if seq <= state.watermark:
            return _BELOW_WATERMARK
        if seq in state.answers:
            answer = state.answers[seq]
            return AnswerNotKept() if answer is None else _decode(answer)
        if len(state.answers) >= OPEN_SEQS_MAX and not any(
            open_seq <= watermark for open_seq in state.answers
        ):
            return _NO_ROOM
        return None

    def record(
        self, session: SessionId, seq: int, watermark: int, answer: ResponseBody, index: int
    ) -> None:
        """The command was applied, or fenced, by the entry at `index`, with this answer."""
        number = session.index
        state = self._sessions[number]
        state.last_used = index
        encoded = _encode(answer)
        state.answers[seq] = encoded if len(encoded) <= STORED_ANSWER_BYTES_MAX else None
        self._recorded[number].append(seq)
        if watermark >= seq:  # it contradicts itself: keep the answer of this very command
            watermark = seq - 1
        if watermark > state.watermark:
            state.forget_up_to(watermark)
            self._moved.add(number)

    def expire(self, sessions: Iterable[SessionId]) -> None:
        """Forget these sessions; later commands of theirs are answered UnknownSession."""
        for session in sessions:
            if session.incarnation == self._incarnation and session.index in self._sessions:
                del self._sessions[session.index]
                self._expired.add(session.index)

    def idle(self, since: int) -> tuple[SessionId, ...]:
        """Sessions no entry after log index `since` has used. A restart counts as a use: what
        a leader proposes from this has to be late, never early."""
        return tuple(
            SessionId(self._incarnation, index)
            for index, state in self._sessions.items()
            if state.last_used <= since
        )

    def take_changes(self) -> SessionChanges:
        """What has to be written to the data file, and forget that it has."""
        changes = SessionChanges()
        sessions = self._sessions
        changes.opened = [item for item in self._opened.items() if item[0] in sessions]
        changes.expired = [(index,) for index in sorted(self._expired) if index not in self._opened]
        changes.watermarks = [
            (sessions[index].watermark, index) for index in sorted(self._moved) if index in sessions
        ]
        for index, seqs in self._recorded.items():
            if (state := sessions.get(index)) is not None:
                kept = state.answers
                changes.answers += [(index, seq, kept[seq]) for seq in seqs if seq in kept]
        self._opened = {}
        self._expired = set()
        self._moved = set()
        self._recorded.clear()
        return changes
