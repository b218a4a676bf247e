"""What a group's leader does about transactions over several groups that nobody finishes: their
router may be gone (docs/distributed.md, DESIGN section 8).

Pure: time and answers in, requests out. Only a leader resolves; everything here may be forgotten,
and is when it loses office.

- What has been prepared here for long: the anchor is told to abort it. Whatever the anchor's log
  has decided then, this or commit, is the outcome, and is entered into this group's log.
- An outcome that is remembered here for long, because this group is the anchor: it is told to the
  other participants, and when all have applied it, it ends.

How long is measured by this leader's own monotonic clock, from when it first saw it. What is not
answered is asked again, ever more seldom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from nodes.protocol import (
    Abort,
    Decided,
    Done,
    End,
    Participant,
    Prepare,
    ResponseBody,
    TransactionId,
    TransactionOutcome,
)
from nodes.two_phase import Held, Remembered

__all__ = ["Known", "Resolution", "ToLeader"]


PATIENCE_MAX: Final = 16
"""Times `after_s`: the longest that passes between two attempts."""


class ToLeader(NamedTuple):
    """A request to the leader of a group, this one or another."""

    group: str
    body: Abort | TransactionOutcome | End


class Known(Protocol):
    """What the replica has: `nodes.two_phase`, or a view of it."""

    @property
    def held(self) -> Mapping[TransactionId, Held]:
        """What is prepared."""

    @property
    def decided(self) -> Mapping[TransactionId, Remembered]:
        """What is remembered."""


class Resolution:
    """Of one group, while its replica leads.

    resolution.due(now, two_phase)                     now and then: what to send
    resolution.answered(request, answer, two_phase)    None: it was given up; what to send then
    """

    def __init__(self, group: str, after_s: float) -> None:
        self._group = group
        self._after_s = after_s
        self._next: dict[TransactionId, tuple[float, int]] = {}  # when, and the patience then
        self._untold: dict[TransactionId, set[str]] = {}

    def due(self, now: float, two_phase: Known) -> list[ToLeader]:
        """What has waited long enough."""
        known = two_phase.held.keys() | two_phase.decided.keys()
        self._next = {
            id_: self._next.get(id_) or (now + self._first_s(two_phase.held.get(id_)), 1)
            for id_ in sorted(known)
        }
        self._untold = {id_: groups for id_, groups in self._untold.items() if id_ in known}
        requests: list[ToLeader] = []
        for id_, (due, patience) in self._next.items():
            if now < due:
                continue
            patience = min(2 * patience, PATIENCE_MAX)
            self._next[id_] = (now + patience * self._after_s, patience)
            remembered = two_phase.decided.get(id_)
            if remembered is not None:
                requests += self._tell(id_, remembered.participants, commit=remembered.commit)
            else:
                prepare = two_phase.held[id_].prepare
                requests.append(ToLeader(prepare.anchor, Abort(id_, prepare.participants)))
        return requests

    def _first_s(self, held: Held | None) -> float:
        """How long it is waited for somebody to finish it: not before the others may have prepared
        what is prepared here."""
        return self._after_s + (0 if held is None else held.prepare.patience_ms / 1000)

    def answered(
        self, request: ToLeader, answer: ResponseBody | None, two_phase: Known
    ) -> list[ToLeader]:
        """What follows from an answer."""
        body = request.body
        match body, answer:
            case Abort(), Decided(commit=commit):
                held = two_phase.held.get(body.id)
                if held is None:
                    return []
                own = self._own(held.prepare)
                return [ToLeader(self._group, TransactionOutcome(body.id, commit, own))]
            case TransactionOutcome(), Done() if request.group != self._group:
                untold = self._untold.get(body.id)
                if untold is None:
                    return []
                untold.discard(request.group)
                if not untold:
                    del self._untold[body.id]
                    return [ToLeader(self._group, End(body.id))]
        return []

    def _tell(
        self, id_: TransactionId, participants: tuple[Participant, ...], *, commit: bool
    ) -> list[ToLeader]:
        others = [each for each in participants if each.group != self._group]
        self._untold[id_] = {each.group for each in others}
        if not others:
            return [ToLeader(self._group, End(id_))]
        return [ToLeader(each.group, TransactionOutcome(id_, commit, each)) for each in others]

    def _own(self, prepare: Prepare) -> Participant:
        return next(each for each in prepare.participants if each.group == self._group)
