"""Who belongs to a group, and the one step in which that may change (thesis, chapter 4).

A membership holds from the moment its entry is in the log, committed or not (section 4.1), and
is given up with that entry. Two memberships that follow each other differ by one replica, so
that their majorities share a voter; the rules for when a leader may begin the next step are in
the core.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.raft.messages import MEMBERSHIP_MARK, LogEntry, Member, Membership, membership_in

__all__ = [
    "ChangeRefused",
    "Memberships",
    "check_step",
    "is_removed",
    "with_learner",
    "with_voter",
    "without",
]


class ChangeRefused(Exception):
    """The membership stays as it is; the message is a sentence that says why."""


def with_learner(membership: Membership, replica: int, place: str) -> Membership:
    """A new replica gets the log and counts in no majority until it has it (section 4.2.1)."""
    return Membership((*membership.members, Member(replica, place, is_voter=False)), replica)


def with_voter(membership: Membership, replica: int) -> Membership:
    """A learner becomes a voter."""
    members = tuple(
        Member(member.id, member.place) if member.id == replica else member
        for member in membership.members
    )
    return Membership(members, membership.last_id)


def without(membership: Membership, replica: int) -> Membership:
    """A replica leaves, for ever: its id is not given again."""
    members = tuple(member for member in membership.members if member.id != replica)
    return Membership(members, membership.last_id)


def check_step(old: Membership, new: Membership) -> None:
    """Raise ChangeRefused unless `new` is one step from `old`, as the three above make it."""
    before = {member.id: member for member in old.members}
    after = {member.id: member for member in new.members}
    changed = [id for id in before.keys() | after.keys() if before.get(id) != after.get(id)]
    if len(changed) != 1:
        raise ChangeRefused(f"One replica changes at a time, not {len(changed)}.")
    (replica,) = changed
    if replica not in before:
        if replica <= old.last_id:
            raise ChangeRefused(
                f"The id {replica} was given before; the next one is {old.last_id + 1}."
            )
        if after[replica].is_voter:
            raise ChangeRefused(f"Replica {replica} must begin as a learner.")
    elif replica in after and not after[replica].is_voter:
        raise ChangeRefused(f"Voter {replica} cannot become a learner; remove it.")
    if new.last_id != max(old.last_id, replica):
        raise ChangeRefused("The highest id that was ever given is remembered.")
    if not new.voters:
        raise ChangeRefused(f"Replica {replica} is the last voter.")


def is_removed(committed: Membership, replica: int, place: str) -> bool:
    """Whether a committed membership proves that no replica of that id belongs to the group at
    that place, now or ever. One that is older than the id proves nothing."""
    if replica > committed.last_id:
        return False
    return all((member.id, member.place) != (replica, place) for member in committed.members)


class Memberships:
    """The memberships at a log's base and in it."""

    __slots__ = ("_known",)

    def __init__(self, known: Sequence[tuple[int, Membership]]) -> None:
        self._known = list(known)  # (index, membership), rising; the first is the base's

    @property
    def current(self) -> Membership:
        return self._known[-1][1]

    @property
    def changed_at(self) -> int:
        """Index of the entry that made the current one so."""
        return self._known[-1][0]

    def at(self, index: int) -> Membership:
        """The one that holds behind the entry at `index`, which is not before the base."""
        return next(found for at, found in reversed(self._known) if at <= index)

    def note(self, first: int, entries: Sequence[LogEntry]) -> bool:
        """The log was cut before `first`, where it has `entries` now. Returns whether another
        membership is the current one."""
        before = self._known[-1]
        while self._known[-1][0] >= first:
            self._known.pop()
        for index, entry in enumerate(entries, first):
            if entry.data[:1] != MEMBERSHIP_MARK:
                continue  # nearly all of them
            if (membership := membership_in(entry)) is not None:
                self._known.append((index, membership))
        return self._known[-1] is not before

    def compact(self, index: int) -> None:
        """The log's base is at `index` now."""
        base = (index, self.at(index))
        self._known = [base, *(known for known in self._known if known[0] > index)]

    def reset(self, index: int, membership: Membership) -> None:
        """A snapshot took the place of the log."""
        self._known = [(index, membership)]
