"""Opens and closes what a replica has on disk, its log and its data file, and compares the two.

Each is checked by its own module. Together they tell more: a log that ends before what its
data holds has lost acknowledged entries; a data file that ends before the log begins was put
back from an older copy; a data file whose last entry has another term than the log's was made
from another log. A replica that started on any of these could acknowledge, vote or answer
wrongly without anybody noticing, so it must not start at all.

SQLite keeps no checksums of its pages. So a replica that ends in order is sealed: the log store
keeps the hash of the data file as it was left, and a file that is another one at the next start,
by one bit or by a -wal put beside it, is damage. After a crash there is no seal, and what shows
is what breaks the file's structure; a wrong value is found by comparing replicas.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import msgspec

from nodes.data_file import file_path, remove_other_generations
from nodes.durability import sync_directory
from nodes.log_store import Loaded, LogStore, ReplicaDamaged
from nodes.machine import Machine
from nodes.raft.messages import MEMBERSHIP_MARK, Membership, membership_in
from nodes.snapshot_files import hash_file

__all__ = [
    "close_replica",
    "open_replica",
    "put_aside",
    "remove_files",
    "stored_memberships",
    "wal_of",
]

SEALED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Data files up to this size are sealed: reading one takes a tenth of a second at start and
end. Larger ones are not, for a node has many replicas and must start soon."""


_NO_GENERATION: Final = 0

_log = logging.getLogger(__name__)


def open_replica(
    store: LogStore,
    directory: Path,
    *,
    group: str,
    replica: int,
    cluster_id: str,
    fingerprint: str | None = None,
) -> tuple[Loaded, Machine]:
    """Open one replica, made if it is new. Raises ReplicaDamaged or ReplicaFault, whose message
    says what is wrong and what to do, and StoreError if the log is another replica's."""
    loaded = store.load(group, replica)
    if seal := store.seal(group):
        _check_seal(file_path(directory, loaded.pointer.generation), seal)
        store.set_seal(group, b"")
    machine = Machine.open(
        directory,
        group=group,
        replica=replica,
        cluster_id=cluster_id,
        generation=loaded.pointer.generation,
        fingerprint=fingerprint,
        must_exist=loaded.pointer.index > 0,  # else the log still holds everything
    )
    try:
        _compare(store, group, loaded, machine)
    except BaseException:
        machine.close_files()
        raise
    return loaded, machine


async def close_replica(store: LogStore, group: str, machine: Machine) -> None:
    """Close the machine, and seal its file if all is well. Raises StoreError.

    Who closes a database as the last one has its -wal copied into it. One that is still there has
    an owner, who may change the file later: it is left as a crash would leave it.
    """
    is_sound = machine.is_sound
    await machine.close()
    if not is_sound or machine.path.stat().st_size > SEALED_BYTES_MAX:
        return
    if wal_of(machine.path).exists():
        _log.error(
            "the data of group %s is not sealed: its -wal is in use", group, extra={"group": group}
        )
        return
    store.set_seal(group, hash_file(machine.path))


def remove_files(directory: Path) -> None:
    """Remove the files of a replica that the log store says is removed, or what a crash has
    left of them. What is not ours stays. Raises OSError."""
    if not directory.exists():
        return
    remove_other_generations(directory, _NO_GENERATION)
    if not any(directory.iterdir()):
        directory.rmdir()
        sync_directory(directory.parent)


def put_aside(directory: Path, replica: int) -> Path:
    """Keep the files of a replica that is removed against its will, durably, under a name that
    no replica has. Raises OSError."""
    kept = directory.with_name(f"{directory.name}.replica-{replica}")
    if directory.exists() and not kept.exists():
        directory.rename(kept)
        sync_directory(directory.parent)
    return kept


def wal_of(path: Path) -> Path:
    """The write-ahead log of that data file."""
    return path.with_name(path.name + "-wal")


def _check_seal(path: Path, seal: bytes) -> None:
    wal = wal_of(path)
    if not path.exists():
        raise ReplicaDamaged(f"{path} is missing; rebuild this replica.")
    if wal.exists() and wal.stat().st_size:
        raise ReplicaDamaged(f"{wal} was not there when the node stopped; rebuild this replica.")
    if hash_file(path) != seal:
        raise ReplicaDamaged(
            f"{path} was damaged or replaced since the node stopped; rebuild this replica."
        )


def _compare(store: LogStore, group: str, loaded: Loaded, machine: Machine) -> None:
    applied, pointer = machine.applied, loaded.pointer
    if applied > loaded.last_index:
        raise ReplicaDamaged(
            f"{store.path}: the log of group {group} ends at index {loaded.last_index}, but "
            f"{machine.path} already holds index {applied}; rebuild this replica."
        )
    if applied < pointer.index:
        raise ReplicaDamaged(
            f"{machine.path} ends at index {applied}, but the log of group {group} begins after "
            f"index {pointer.index}: it is an older copy; rebuild this replica."
        )
    term = store.reader(group).term(applied)
    if term != machine.applied_term:
        raise ReplicaDamaged(
            f"{machine.path} holds entry {applied} of group {group} with term "
            f"{machine.applied_term}, the log in {store.path} has it with term {term}: one of "
            "them is a copy of another time; rebuild this replica."
        )


def stored_memberships(
    store: LogStore, group: str, loaded: Loaded, beginning: Membership
) -> list[tuple[int, Membership]]:
    """(index, membership): who belonged to the group where its log begins, and every change
    that the log holds. `beginning` is who belongs to it before the first entry."""
    pointer = loaded.pointer
    first = beginning
    if pointer.membership:
        first = msgspec.msgpack.decode(pointer.membership, type=Membership)
    memberships = [(pointer.index, first)]
    for index, entry in store.reader(group).beginning_with(MEMBERSHIP_MARK):
        membership = membership_in(entry)
        assert membership is not None, "a mark without a membership"
        memberships.append((index, membership))
    return memberships
