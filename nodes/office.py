"""A leader's term of office, as those who propose to it see it: who waits, and for what.

A command is held while the leader may not propose yet, then queued for the next turn, then in the
log until its entry is applied; and whatever becomes of the office, it is answered once. Commands
that may share an entry do, for what an entry costs is then paid once for all of them.

Pure: it calls `done` of proposals and knows no consensus and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, cast

import msgspec

from nodes.engine import Answers, Committed, Proposed, Refuse
from nodes.metrics import Latencies
from nodes.protocol import Entry, EntryBody, ResponseBody, UnknownOutcome, Write

__all__ = ["Office", "Proposal"]

SHARED_COMMANDS_MAX: Final = 256
SHARED_BYTES_MAX: Final = 256 * 1024
"""Commands of one entry, and their bytes if they are more than one: some milliseconds of work, and
a quarter of what one message holds."""


class Proposal(msgspec.Struct):
    """A command on its way into the log."""

    body: bytes | msgspec.Raw
    size: int
    done: Proposed
    command: EntryBody | None = None
    """What `body` decodes to, if that is known."""


class _Waiting:
    """An entry in the log, and who waits for it to be applied."""

    __slots__ = ("now_us", "proposals", "seed", "since")

    def __init__(self, now_us: int, seed: int, proposals: list[Proposal], since: float) -> None:
        self.now_us = now_us
        self.seed = seed
        self.proposals = proposals
        self.since = since


class Office:
    """A leader's term of office, and the proposals that live and die with it.

    Term 0: this replica is not the leader.
    """

    def __init__(self, term: int = 0) -> None:
        self.term = term
        self.is_open = False
        """Its no-op is applied: the leader knows everything that is committed."""
        self.is_kept = False
        """It was asked to stay, and is not handed over only to spread leaders."""
        self.proposals = 0
        """Held, queued or in the log."""
        self.bytes = 0
        self._held: list[tuple[Proposal, Refuse | None]] = []
        self._queue: deque[Proposal] = deque()
        self._waiting: dict[int, _Waiting] = {}  # by index

    def hold(self, proposal: Proposal, refuse: Refuse | None) -> None:
        self.proposals += 1
        self.bytes += proposal.size
        self._held.append((proposal, refuse))

    def take_held(self) -> list[tuple[Proposal, Refuse | None]]:
        """The proposals that were held, to be queued or refused now."""
        held, self._held = self._held, []
        self._forget([proposal for proposal, _ in held])
        return held

    def queue(self, proposal: Proposal) -> bool:
        """It is to be in the log with the next turn; returns whether it is the first of those."""
        self.proposals += 1
        self.bytes += proposal.size
        self._queue.append(proposal)
        return len(self._queue) == 1

    def take_shared(self) -> list[Proposal]:
        """The proposals of the next entry; empty if none are queued."""
        shared: list[Proposal] = []
        size = 0
        queue = self._queue
        while queue:
            proposal = queue[0]
            command = proposal.command
            size += proposal.size
            may_share = type(command) is Write and command.quick and not command.sets
            if shared and (not may_share or size > SHARED_BYTES_MAX):
                break
            shared.append(queue.popleft())
            if not may_share or len(shared) >= SHARED_COMMANDS_MAX:
                break
        return shared

    def await_entry(
        self, index: int, now_us: int, seed: int, shared: list[Proposal], since: float
    ) -> None:
        """What `take_shared` gave is in the log, `since` then."""
        for proposal in shared:
            proposal.body = b""  # the frame that it came in
        self._waiting[index] = _Waiting(now_us, seed, shared, since)

    def refuse(self, shared: list[Proposal], answer: ResponseBody) -> None:
        """What `take_shared` gave was not taken."""
        self._forget(shared)
        for proposal in shared:
            proposal.done(answer)

    def entry(self, index: int) -> Entry | None:
        """What the entry at `index`, which was proposed in this office, decodes to, if that is
        known."""
        waiting = self._waiting.get(index)
        if waiting is None:
            return None
        if waiting.proposals[0].command is None:  # then it is alone in its entry
            return None
        commands = tuple([proposal.command for proposal in waiting.proposals])
        return Entry(waiting.now_us, waiting.seed, cast("tuple[EntryBody, ...]", commands))

    def _forget(self, proposals: Sequence[Proposal]) -> None:
        self.proposals -= len(proposals)
        self.bytes -= sum([proposal.size for proposal in proposals])

    def applied(
        self,
        batch: Sequence[Committed],
        answers: Sequence[Answers],
        now: float,
        took: Latencies,
    ) -> None:
        """Answer those that wait for an entry of the batch, and note how long each entry `took`."""
        for (index, term, _), of_entry in zip(batch, answers, strict=True):
            waiting = self._waiting.pop(index, None)  # `done` may have ended the office
            if waiting is not None:
                # While it is in office a leader overwrites none of its entries (section 3.5).
                assert term == self.term, f"entry {index} was replaced during the office"
                self._forget(waiting.proposals)
                took.note(now - waiting.since)
                for proposal, answer in zip(waiting.proposals, of_entry, strict=True):
                    proposal.done(answer)

    def lose(self, never_proposed: ResponseBody, reason: str) -> None:
        """Answer everything; the office is over."""
        early = [proposal for proposal, _ in self._held] + list(self._queue)
        waiting = self._waiting
        self._held, self._queue, self._waiting = [], deque(), {}
        self.term, self.is_open, self.is_kept = 0, False, False
        self.proposals = self.bytes = 0
        for proposal in early:
            proposal.done(never_proposed)
        for entry in waiting.values():
            for proposal in entry.proposals:
                proposal.done(UnknownOutcome(reason))
