"""Exactly once: which commands of which session were applied, and what they answered.

Pure: a state machine over entries, all replicas of a group compute the same. The data file
keeps a copy (`take_changes`, `restore`), written in the transaction of the data itself.

Per session, the applied seqs above the watermark form a set, not a counter: a router has many
commands under way and they may enter the log in any order. At or below the watermark nothing
is known any more, because the router promised to have those answers and never to repeat them;
a copy that still arrives is a delayed duplicate whose first copy may have been applied or
fenced, so its answer is "unknown", and it is not applied (DESIGN section 8).

In the file the answers of one entry are one row, for an entry brings many commands and half of
what a small row costs is not the row. A row goes when no session needs anything of it: in each
session the rows are given up in the order of the log, each once the watermark has passed the
highest seq that it has of the session.

What a raised watermark lets go of is let go of in `take_changes`, for all commands of a batch at
once: nothing asks for it before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from nodes.protocol import (
    OPEN_SEQS_MAX,
    STORED_ANSWER_BYTES_MAX,
    Aborted,
    AnswerNotKept,
    Busy,
    Done,
    Opened,
    ResponseBody,
    SessionId,
    UnknownOutcome,
    UnknownSession,
)

__all__ = ["SESSIONS_MAX", "SessionChanges", "Sessions"]

SESSIONS_MAX: Final = 4096
"""Most sessions of a group: one per router that used it lately, with room for restarts."""

_Kept: TypeAlias = tuple[int, ResponseBody | None, list[int]]
"""(session, answer, seqs): neighbours in one entry that were answered the same count of rows, as
most are. None: the answer was too large to keep."""

_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(list[_Kept]).decode

_UNKNOWN_SESSION: Final = UnknownSession()
_BELOW_WATERMARK: Final = UnknownOutcome(
    "this copy came after its router had the answer of an earlier one"
)
_NO_ROOM: Final = Busy(f"more than {OPEN_SEQS_MAX} commands of the session are open")
_NO_SESSIONS: Final = Busy(f"the group has {SESSIONS_MAX} sessions")


class _Session:
    __slots__ = ("answers", "forgotten", "last_used", "rows", "watermark")

    def __init__(self, watermark: int, last_used: int) -> None:
        self.watermark = watermark
        self.forgotten = watermark  # answers are forgotten up to here; at most the watermark
        self.answers: dict[int, ResponseBody | None] = {}  # every seq > forgotten
        self.rows: deque[list[int]] = deque()  # [entry, highest seq of ours in its row]
        self.last_used = last_used  # log index; of this process only, see Sessions.idle

    def forget(self) -> None:
        """Forget what the watermark has passed: a step or two for every command, usually, while
        hundreds of answers are kept."""
        answers, watermark = self.answers, self.watermark
        if watermark - self.forgotten < len(answers):
            for seq in range(self.forgotten + 1, watermark + 1):
                answers.pop(seq, None)
        else:
            for seq in [seq for seq in answers if seq <= watermark]:
                del answers[seq]
        self.forgotten = watermark

    def take_dead_rows(self) -> list[int]:
        """The rows that this session needs no more."""
        rows, watermark = self.rows, self.watermark
        dead = []
        while rows and rows[0][1] <= watermark:
            dead.append(rows.popleft()[0])
        return dead


@dataclass
class SessionChanges:
    """What changed since the last take: rows for the data file, in order."""

    opened: list[tuple[int, str]] = field(default_factory=list)  # session, router
    expired: list[tuple[int]] = field(default_factory=list)
    watermarks: list[tuple[int, int]] = field(default_factory=list)  # watermark, session
    answers: list[tuple[int, bytes]] = field(default_factory=list)  # entry, what it answered
    forgotten: list[tuple[int]] = field(default_factory=list)  # entries


class Sessions:
    """The sessions of one group.

    For each command of a session:
        answer = sessions.recall(session, seq, watermark)
        if answer is None: run it; sessions.record(session, seq, watermark, its answer, index)
    """

    def __init__(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._sessions: dict[int, _Session] = {}
        self._needed: dict[int, int] = {}  # row -> how many sessions need it
        self._opened: dict[int, str] = {}
        self._expired: set[int] = set()
        self._moved: set[int] = set()  # sessions whose watermark changed
        self._recorded: dict[int, list[_Kept]] = {}  # of an entry
        self._recording = -1  # the last of these entries
        self._forgotten: set[int] = set()  # rows

    def __len__(self) -> int:
        return len(self._sessions)

    def restore(
        self,
        sessions: Iterable[tuple[int, int]],
        answers: Iterable[tuple[int, bytes]],
        applied: int,
    ) -> None:
        """Take over what the data file holds: (session, watermark), and (entry, answers) in the
        order of the log."""
        self._sessions = {index: _Session(watermark, applied) for index, watermark in sessions}
        for entry, row in answers:
            for number, answer, seqs in _decode_row(row):
                if (state := self._sessions.get(number)) is not None:
                    self._note(state, entry, max(seqs))
                    for seq in seqs:
                        if seq > state.watermark:
                            state.answers[seq] = answer
        for state in self._sessions.values():
            self._give_up(state.take_dead_rows())

    def open(self, index: int, router: str) -> ResponseBody:
        """The entry at log index `index` opens a session."""
        if len(self._sessions) >= SESSIONS_MAX:
            return _NO_SESSIONS
        self._sessions[index] = _Session(0, index)
        self._opened[index] = router
        return Opened(SessionId(self._incarnation, index))

    def knows(self, session: SessionId, seq: int) -> bool:
        """Whether the command was applied, or fenced, as far as can be told."""
        state = self._sessions.get(session.index)
        return state is not None and (seq <= state.watermark or seq in state.answers)

    def recall(self, session: SessionId, seq: int, watermark: int) -> ResponseBody | None:
        """What to answer without applying; None if the command has to be applied."""
        state = self._sessions.get(session.index)
        if state is None or session.incarnation != self._incarnation:
            return _UNKNOWN_SESSION
        if seq <= state.watermark:
            return _BELOW_WATERMARK
        answers = state.answers
        if seq in answers:
            answer = answers[seq]
            return AnswerNotKept() if answer is None else answer
        if len(answers) >= OPEN_SEQS_MAX:
            state.forget()
            if len(answers) >= OPEN_SEQS_MAX and all(seq > watermark for seq in answers):
                return _NO_ROOM
        return None

    def record(
        self, session: SessionId, seq: int, watermark: int, answer: ResponseBody, index: int
    ) -> None:
        """The command was applied, or fenced, by the entry at `index`, with this answer."""
        number = session.index
        state = self._sessions[number]
        state.last_used = index
        # Nearly all are one count of rows: that is small, unmeasured, and equal to its neighbours.
        is_count = (
            type(answer) is Done
            and len(answer.results) == 1
            and not answer.results[0].rows
            and not answer.results[0].values
        )
        kept = answer if is_count or _is_small(answer) else None
        state.answers[seq] = kept
        if index != self._recording:
            self._recording = index
            self._recorded[index] = []
        row = self._recorded[index]
        if is_count and row and row[-1][0] == number and row[-1][1] == kept:
            row[-1][2].append(seq)
        else:
            row.append((number, kept, [seq]))
        rows = state.rows
        if not rows or rows[-1][0] != index:
            self._note(state, index, seq)
        elif seq > rows[-1][1]:
            rows[-1][1] = seq
        if watermark > state.watermark:
            # One over the command contradicts itself: keep the answer of this very command.
            state.watermark = watermark if watermark < seq else seq - 1
            self._moved.add(number)

    def abort(self, session: SessionId, seq: int, index: int) -> None:
        """The entry at `index` says that the command will never be applied: a copy that comes
        later is refused, unless it has its answer already."""
        state = self._sessions.get(session.index)
        if state is None or session.incarnation != self._incarnation:
            return
        if seq > state.watermark and seq not in state.answers:
            self.record(session, seq, 0, Aborted(), index)

    def _note(self, state: _Session, entry: int, seq: int) -> None:
        """The row of `entry` has `seq` of the session."""
        rows = state.rows
        if not rows or rows[-1][0] != entry:
            rows.append([entry, seq])
            self._needed[entry] = self._needed.get(entry, 0) + 1
        elif seq > rows[-1][1]:
            rows[-1][1] = seq

    def _give_up(self, rows: Iterable[int]) -> None:
        """One session needs these no more."""
        for entry in rows:
            self._needed[entry] -= 1
            if not self._needed[entry]:
                del self._needed[entry]
                self._forgotten.add(entry)

    def expire(self, sessions: Iterable[SessionId]) -> None:
        """Forget these sessions; later commands of theirs are answered UnknownSession."""
        for session in sessions:
            if session.incarnation == self._incarnation and session.index in self._sessions:
                state = self._sessions.pop(session.index)
                self._expired.add(session.index)
                self._give_up(entry for entry, _ in state.rows)

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
        sessions, recorded, forgotten = self._sessions, self._recorded, self._forgotten
        for number in self._moved:
            if (state := sessions.get(number)) is not None:
                state.forget()
                self._give_up(state.take_dead_rows())
        changes.opened = [item for item in self._opened.items() if item[0] in sessions]
        changes.expired = [(index,) for index in sorted(self._expired) if index not in self._opened]
        changes.watermarks = [
            (sessions[index].watermark, index) for index in sorted(self._moved) if index in sessions
        ]
        changes.answers = [
            (entry, _encode(row)) for entry, row in recorded.items() if entry not in forgotten
        ]
        changes.forgotten = [(entry,) for entry in sorted(forgotten) if entry not in recorded]
        self._opened = {}
        self._expired = set()
        self._moved = set()
        recorded.clear()
        self._recording = -1
        forgotten.clear()
        return changes


def _is_small(answer: ResponseBody) -> bool:
    return len(_encode(answer)) <= STORED_ANSWER_BYTES_MAX
