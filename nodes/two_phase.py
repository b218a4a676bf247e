"""Two-phase commit as one group's replicas see it: what is prepared, whom that keeps out, and which
outcomes are remembered (docs/distributed.md, DESIGN section 8).

Pure: a state machine over entries, all replicas of a group compute the same. What a write does to
data is done by `Work`, which its caller brings; the data file keeps a copy of the state
(`take_changes`, `restore`), written in the transaction of the data itself.

The rules, each of which a counterexample asks for:

- A prepared transaction keeps out every other entry that touches a table and a slot which it
  touched, read or written: so that it can be run again for good, whenever the outcome comes.
- The anchor promises nothing: it is asked last, when all others are prepared, and its COMMIT runs
  the write for good if nobody keeps it out, and is the outcome. An ABORT is accepted always. The
  first of them that takes effect is the outcome.
- An abort also fences the command of this group: its (session, seq) is recorded as aborted, so
  that a copy that comes late does nothing. So it stays when the outcome is forgotten.
- A COMMIT whose outcome is known is answered with it.
- What keeps a command out is not its answer: `Locked` is not remembered.

What is not named is not known to be apart: a command that names no table touches all. One that
changes the schema touches every slot of the tables whose versions it sets: those that it changes,
and those that have to do with each other by it. Who sets versions of anything else touches all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgspec

from nodes.protocol import (
    EVERY_SLOT,
    Abort,
    Busy,
    Commit,
    Decided,
    Done,
    End,
    Guard,
    Locked,
    Participant,
    Prepare,
    Prepared,
    PreparedStatus,
    ResponseBody,
    SetVersion,
    SqlFailure,
    Stale,
    StatementResult,
    TransactionId,
    TransactionOutcome,
    UnknownSession,
    Write,
)
from nodes.sessions import Sessions

__all__ = [
    "KNOWN_MAX",
    "PREPARED_BYTES_MAX",
    "Held",
    "Remembered",
    "Touched",
    "TwoPhase",
    "TwoPhaseChanges",
    "TwoPhaseView",
    "Work",
    "touched_by",
]

KNOWN_MAX: Final = 4096
"""Transactions of a group that are prepared, or whose outcome it remembers; one more is Busy."""

PREPARED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of what is prepared: it is kept in memory."""

SHOWN_MAX: Final = 8
"""Of what is prepared, in the status of a replica."""

_SLOT: Final = "slot:"
_HOME: Final = "home"
_OF_SCHEMA: Final = ("table:", "undone")

_TOO_MANY: Final = Busy("the group has too many transactions over several groups under way")

_size_of: Final = msgspec.msgpack.Encoder().encode


class Touched(NamedTuple):
    """What a command reads or writes."""

    objects: frozenset[str]  # as in guards, but what says where they are; empty: all
    slots: frozenset[str]  # empty: all

    def meets(self, other: Touched) -> bool:
        """Whether both touch a row, as far as can be told."""
        if self.objects and other.objects and self.objects.isdisjoint(other.objects):
            return False
        return not self.slots or not other.slots or not self.slots.isdisjoint(other.slots)


def touched_by(
    guards: Sequence[Guard], sets: Sequence[SetVersion] = (), tied: Iterable[str] = ()
) -> Touched:
    """What a command with these guards touches: of its tables the rows of the slots that it names,
    or all, if it sets versions; everything, if it names no table, or sets others than tables'."""
    names = [guard.object for guard in guards]
    objects = {name for name in names if name != _HOME and not name.startswith(_SLOT)}
    objects.update(change.object for change in sets)
    if not objects or not all(change.object.startswith(_OF_SCHEMA) for change in sets):
        return Touched(frozenset(), frozenset())
    slots = frozenset(name for name in names if name.startswith(_SLOT))
    is_whole = bool(sets) or EVERY_SLOT.object in slots
    return Touched(frozenset(objects.union(tied)), frozenset() if is_whole else slots)


def _touched_by(body: Prepare | Commit) -> Touched:
    return touched_by(body.write.guards, body.write.sets, body.tied)


def _oldest(
    touched: Mapping[TransactionId, Touched], by: Touched, but: Collection[TransactionId]
) -> TransactionId | None:
    return min(
        (id_ for id_, other in touched.items() if id_ not in but and other.meets(by)), default=None
    )


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A prepared transaction."""

    index: int  # of the entry that prepared it
    now_us: int  # that entry's
    seed: int  # the same, with which the write ran and will run again
    prepare: Prepare
    digest: bytes  # of what the write answered


class Remembered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An outcome, at the anchor."""

    commit: bool
    index: int
    participants: tuple[Participant, ...]


class Work(Protocol):
    """What is done to data."""

    def stale(self, guards: Sequence[Guard]) -> Stale | None:
        """The first guard that fails."""

    def try_out(
        self, write: Write, now_us: int, seed: int
    ) -> tuple[tuple[StatementResult, ...], bytes] | SqlFailure:
        """Run it and undo it: what it answers, and the digest of that. `now_us` is the time of the
        transaction's BEGIN, so that its statements have one time on all shards."""

    def commit(
        self, write: Write, now_us: int, seed: int
    ) -> tuple[StatementResult, ...] | SqlFailure:
        """Run for good what was not tried out: what it answers. One that fails has no effect."""

    def run(self, held: Held) -> None:
        """Run it for good. It answers what it answered; anything else is damage, and is raised."""

    def drop(self, held: Held) -> None:
        """It will not run: forget what was sent ahead for it."""


@dataclass
class TwoPhaseChanges:
    """What changed since the last take, for the data file."""

    held: list[tuple[TransactionId, Held]] = field(default_factory=list)
    released: list[TransactionId] = field(default_factory=list)
    decided: list[tuple[TransactionId, Remembered]] = field(default_factory=list)
    ended: list[TransactionId] = field(default_factory=list)


class TwoPhaseView(NamedTuple):
    """What was prepared and remembered at some moment, for whoever looks from elsewhere."""

    held: Mapping[TransactionId, Held]
    touched: Mapping[TransactionId, Touched]
    decided: Mapping[TransactionId, Remembered]

    @property
    def is_open(self) -> bool:
        """Whether there is anything."""
        return bool(self.held or self.decided)

    def holder(self, touched: Touched, but: Collection[TransactionId] = ()) -> TransactionId | None:
        """See `TwoPhase.holder`."""
        return _oldest(self.touched, touched, but)

    def oldest(self, now_us: int) -> tuple[PreparedStatus, ...]:
        """What has been prepared for longest; `now_us` is the clock's, as an entry's is."""
        first = sorted(self.held.items(), key=lambda item: item[1].index)[:SHOWN_MAX]
        return tuple(
            PreparedStatus(
                id_,
                max(0, now_us - held.now_us) // 1000,
                held.prepare.anchor,
                tuple(sorted(self.touched[id_].objects)),
            )
            for id_, held in first
        )


class TwoPhase:
    """The transactions over several groups of one group.

    two_phase.holder(touched) for every other entry, and every read, while `two_phase.held`
    two_phase.apply(index, now_us, seed, body, sessions, work) for one of these
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._held: dict[TransactionId, Held] = {}
        self._touched: dict[TransactionId, Touched] = {}
        self._bytes: dict[TransactionId, int] = {}
        self._decided: dict[TransactionId, Remembered] = {}
        self._changed: set[TransactionId] = set()
        self._changed_outcomes: set[TransactionId] = set()

    def restore(
        self,
        held: Iterable[tuple[TransactionId, Held]],
        decided: Iterable[tuple[TransactionId, Remembered]],
    ) -> None:
        """Take over what the data file holds."""
        for id_, each in held:
            self._keep(id_, each)
        self._decided.update(decided)
        self._changed.clear()

    @property
    def held(self) -> Mapping[TransactionId, Held]:
        """What is prepared here."""
        return self._held

    @property
    def decided(self) -> Mapping[TransactionId, Remembered]:
        """Outcomes that not all participants are known to have applied."""
        return self._decided

    def holder(self, touched: Touched, but: Collection[TransactionId] = ()) -> TransactionId | None:
        """The oldest transaction that keeps out whoever touches this; None if he may go on."""
        return _oldest(self._touched, touched, but)

    @property
    def has_changed(self) -> bool:
        """Since the last `take_changes`."""
        return bool(self._changed or self._changed_outcomes)

    def view(self) -> TwoPhaseView:
        """As it is now."""
        return TwoPhaseView(dict(self._held), dict(self._touched), dict(self._decided))

    # ------------------------------------------------------------------ entries

    def apply(
        self,
        index: int,
        now_us: int,
        seed: int,
        body: Prepare | Commit | Abort | TransactionOutcome | End,
        sessions: Sessions,
        work: Work,
    ) -> ResponseBody:
        """Apply the entry at `index`."""
        match body:
            case Prepare():
                return self._prepare(index, now_us, seed, body, sessions, work)
            case Commit():
                return self._commit(index, seed, body, sessions, work)
            case Abort():
                return self._abort(index, body, sessions, work)
            case TransactionOutcome():
                self._conclude(body.id, body.own, sessions, work, index, commit=body.commit)
                return Done((), index)
            case End():
                if self._decided.pop(body.id, None) is not None:
                    self._changed_outcomes.add(body.id)
                return Done((), index)

    def _prepare(
        self, index: int, now_us: int, seed: int, body: Prepare, sessions: Sessions, work: Work
    ) -> ResponseBody:
        write = body.write
        answer = sessions.recall(write.session, write.seq, write.watermark)
        held = self._held.get(body.id)
        if held is not None:
            return answer if isinstance(answer, Prepared) else Prepared(held.index, None)
        answer = answer or self._refusal(body, len(_size_of(body)), work)
        if answer is not None:
            return answer
        found = work.try_out(write, body.id.begun_us, seed)
        if isinstance(found, SqlFailure):
            answer = found
        else:
            results, digest = found
            self._keep(body.id, Held(index, now_us, seed, body, digest))
            answer = Prepared(index, results)
        sessions.record(write.session, write.seq, write.watermark, answer, index)
        return answer

    def _commit(
        self, index: int, seed: int, body: Commit, sessions: Sessions, work: Work
    ) -> ResponseBody:
        write = body.write
        answer = sessions.recall(write.session, write.seq, write.watermark)
        known = self._decided.get(body.id)
        if known is not None and isinstance(answer, UnknownSession):
            return Decided(known.commit, known.index)
        answer = answer or self._refusal(body, 0, work)
        if answer is not None:
            return answer
        found = work.commit(write, body.id.begun_us, seed)
        if isinstance(found, SqlFailure):
            answer = found
        else:
            self._remember(body, index, commit=True)
            answer = Done(found, index)
        sessions.record(write.session, write.seq, write.watermark, answer, index)
        return answer

    def _refusal(self, body: Prepare | Commit, size: int, work: Work) -> ResponseBody | None:
        """Why it cannot be done now; `size` is what would be kept of it."""
        holder = self.holder(_touched_by(body))
        if holder is not None:
            return Locked(holder)
        if not self._has_room(size):
            return _TOO_MANY
        return work.stale(body.write.guards)

    def _abort(self, index: int, body: Abort, sessions: Sessions, work: Work) -> ResponseBody:
        known = self._decided.get(body.id)
        if known is not None:
            return Decided(known.commit, known.index)
        if not self._has_room(0):
            return _TOO_MANY
        self._remember(body, index, commit=False)
        own = next(each for each in body.participants if each.group == self._group)
        self._conclude(body.id, own, sessions, work, index, commit=False)
        return Decided(False, index)

    def _remember(self, body: Commit | Abort, index: int, *, commit: bool) -> None:
        self._decided[body.id] = Remembered(commit, index, body.participants)
        self._changed_outcomes.add(body.id)

    def _conclude(
        self,
        id_: TransactionId,
        own: Participant,
        sessions: Sessions,
        work: Work,
        index: int,
        *,
        commit: bool,
    ) -> None:
        held = self._held.pop(id_, None)
        if held is not None:
            del self._touched[id_], self._bytes[id_]
            self._changed.add(id_)
            if commit:
                work.run(held)
            else:
                work.drop(held)
        if not commit:
            sessions.abort(own.session, own.seq, index)

    def _keep(self, id_: TransactionId, held: Held) -> None:
        self._held[id_] = held
        self._touched[id_] = _touched_by(held.prepare)
        self._bytes[id_] = len(_size_of(held.prepare))
        self._changed.add(id_)

    def _has_room(self, size: int) -> bool:
        """For one more that has so many bytes."""
        known = len(self._held) + len(self._decided)
        return known < KNOWN_MAX and sum(self._bytes.values()) + size <= PREPARED_BYTES_MAX

    def take_changes(self) -> TwoPhaseChanges:
        """What has to be written to the data file, and forget that it has."""
        changes = TwoPhaseChanges()
        for id_ in sorted(self._changed):
            held = self._held.get(id_)
            if held is None:
                changes.released.append(id_)
            else:
                changes.held.append((id_, held))
        for id_ in sorted(self._changed_outcomes):
            remembered = self._decided.get(id_)
            if remembered is None:
                changes.ended.append(id_)
            else:
                changes.decided.append((id_, remembered))
        self._changed.clear()
        self._changed_outcomes.clear()
        return changes
