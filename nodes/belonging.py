"""Which replicas belong to their groups no more: how it is asked, and how it is said.

Nobody has to be up, or told, at the moment of a removal (docs/membership.md). A replica that
hears no leader asks all nodes whether it still belongs to its group (`Inquiry`). Whoever knows by
a committed membership that it does not, says so (`Removed`), and that is believed for this id
only. So do replicas that are stopped or damaged. To a replica of a former incarnation of the group
it is said unasked: those of its time might have a majority among themselves.

Two incarnations that began side by side (`nodes.incarnations`) say nothing to each other: each
may have what the other lacks, and neither is the one to go.

Decides and sends; who is removed, and how, is for `nodes.hosting`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from nodes.incarnations import are_rivals, succeeds
from nodes.protocol import Envelope
from nodes.raft.messages import Inquiry, RaftMessage, Removed

__all__ = ["Belonging", "Member"]

INQUIRY_ELECTIONS: Final = 4
"""A replica that has heard no leader for so many election timeouts asks whether it is a member."""

QUIET_INQUIRIES: Final = 64
"""A quiet one asks this many times less often, about every two minutes: it is told of a removal,
and only if that was lost does it have to ask."""

RIVALS_MAX: Final = 64
"""Replicas of other recoveries of a group, each logged once."""

_log = logging.getLogger(__name__)


class Member(Protocol):
    """What is asked of a replica that runs here."""

    replica: int
    has_heard: bool

    @property
    def stopped(self) -> str:
        """Why it does nothing more; empty: it goes on."""

    @property
    def is_quiet(self) -> bool: ...

    def has_lost(self, replica: int, node: str) -> bool:
        """Whether it is certain that no such replica belongs to its group at that node."""


class Belonging:
    """The questions and answers of the node `node`; `tell` sends some to another one."""

    def __init__(self, node: str, *, tell: Callable[[str, Sequence[Envelope]], None]) -> None:
        self._node = node
        self._tell = tell
        self._rivals: set[int] = set()
        self._ticks = 0
        self._rounds = 0

    def is_rival(self, node: str, group: str, own: int, sender: int) -> bool:
        """Whether the replica `sender` of another recovery of the group writes: it is not heard,
        and not told to go either. `own`: the highest id hosted here, 0 if there is none."""
        if not own or not are_rivals(own, sender):
            return False
        if sender not in self._rivals and len(self._rivals) < RIVALS_MAX:
            self._rivals.add(sender)
            _log.error(
                "group %s was recovered more than once: replica %d here and %d on node %s refuse "
                "each other; `shardrouter status` says what to do",
                group,
                own,
                sender,
                node,
                extra={"group": group},
            )
        return True

    @property
    def rivals(self) -> frozenset[int]:
        """Replicas that were refused so."""
        return frozenset(self._rivals)

    def answer(self, node: str, group: str, member: Member, message: RaftMessage) -> None:
        """Tell the sender of `message`, which was for another replica than `member`, that it is
        removed, if it asks or is of a former incarnation, and that is certain."""
        sender = message.sender
        asks = isinstance(message, Inquiry) or succeeds(member.replica, sender)
        if asks and member.has_lost(sender, node):
            self._tell(node, [Envelope(group, Removed(member.replica, sender, 0))])

    def is_time(self, election_ticks: int, ticks: int = 1) -> bool:
        """So many ticks have passed; whether to `ask` now."""
        self._ticks += ticks
        return self._ticks % (INQUIRY_ELECTIONS * election_ticks) < ticks

    def ask(
        self, running: Mapping[str, Member], broken: Mapping[str, int], nodes: Iterable[str]
    ) -> None:
        """Ask `nodes` for all replicas here that have a reason to. `broken`: ids by group."""
        self._rounds += 1
        asks_quiet = self._rounds % QUIET_INQUIRIES == 0
        asking = list(broken.items())
        for group, member in running.items():
            if member.stopped or not member.is_quiet:
                if member.stopped or not member.has_heard:
                    asking.append((group, member.replica))
                member.has_heard = False
            elif asks_quiet:
                asking.append((group, member.replica))
        inquiries = [Envelope(group, Inquiry(replica, 0, 0)) for group, replica in asking]
        for node in nodes:
            if inquiries and node != self._node:
                self._tell(node, inquiries)
