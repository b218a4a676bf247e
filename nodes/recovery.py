"""Goes on with one replica of a group whose majority is lost for ever: `recover --unsafe`.

No rule of consensus allows this. A majority that is gone may have acknowledged entries that no
survivor has, and whoever decides without it decides for data that may be lost. So an operator
says it, by name, and everything that could be confused with what was before is told apart:

- The group gets a new *incarnation*. Sessions of the former are unknown from there on: whether a
  command of theirs was applied can no longer be told, so it is indefinite (DESIGN section 8).
- The survivor goes on under a new replica id, beyond all that the former incarnation can have
  given (`nodes.incarnations`). A message of the former one, to a former id, reaches nobody; its
  sender is told that it is removed (`nodes.hosting`), and keeps its files under another name.
- The id carries a mark that the operator's command has drawn: should somebody recover the group
  on the other side of a cut as well, the two incarnations refuse each other.
- All entries in the survivor's log are kept and become committed: some of them may have been
  acknowledged, none is known not to be.

Order: the data file is copied to the next generation under the new id; then one transaction of
the log store switches id, generation, hard state, and appends two entries, the membership of the
new replica alone and the new incarnation. A crash before it leaves the old replica as it was,
after it the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from nodes.data_file import Identity
from nodes.incarnations import incarnation_of
from nodes.log_store import GroupWrite, LogStore, SnapshotPointer
from nodes.protocol import Entry, NewIncarnation
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, LogEntry, Member, Membership, membership_entry
from nodes.snapshot_files import ReceivedFile, SentFile

__all__ = ["renew_data", "renew_log"]

_PIECE: Final = 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode


def renew_data(path: Path, identity: Identity) -> None:
    """Copy the data file `path`, durably, to the one of `identity`. Raises SnapshotRefused,
    sqlite3.Error, OSError."""
    sent = SentFile.make(path)
    try:
        received = ReceivedFile(path.parent, identity)
        for offset in range(0, sent.size, _PIECE):
            received.write(offset, sent.read(offset, _PIECE))
        received.finish(index=sent.index, term=sent.term, size=sent.size, digest=sent.hash)
    finally:
        sent.remove()


def renew_log(
    store: LogStore,
    log: RaftLog,
    group: str,
    replica: int,
    node: str,
    *,
    term: int,
    commit: int,
    now_us: int,
) -> int:
    """Make the log that of `replica`, alone in its group on `node`, with the data file of the
    next generation; the index at which it is. `term` and `commit` are what the former
    replica has met. Durable when it returns. Raises StoreError."""
    pointer = store.pointer(group)
    next_term = max(term, log.last_term) + 1
    incarnation = Entry(now_us, 0, (NewIncarnation(incarnation_of(replica)),))
    alone = Membership((Member(replica, node),), replica)
    entries = [membership_entry(next_term, alone), LogEntry(next_term, _encode(incarnation))]
    moved = SnapshotPointer(pointer.generation + 1, pointer.index, pointer.term, pointer.membership)
    state = HardState(next_term, 0, commit)
    store.renew(group, replica, GroupWrite(group, state, log.last + 1, entries, moved))
    return log.last + len(entries)
