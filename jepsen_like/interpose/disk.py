"""What a disk may hold after a power cut: a model, and pure.

`Disk` starts from an image in which everything is durable and replays the journal that
`files.c` wrote. A cut keeps

- of each file what was written before its last finished fsync or fdatasync began, and of what
  was written later any part: each piece of each write (512 bytes, aligned) is there or not,
  now and then one is torn within, and the file may be longer than what has arrived in it. A
  truncation is there if anything that was done to the file after it is.
- of each directory the names as of its last finished fsync, and of the changes after it a
  prefix: file systems with a journal keep their order. An fsync of a file does not make its
  name durable (POSIX), though ext4 does.
- of a mapped file any mixture of pages, since nobody sees when they are stored.

A sync that failed takes the writes that it was to make durable with it: none of them survives,
whatever is synced later (Linux marks the pages clean and forgets them).

That is every state that an ordinary disk and file system leave, and some more; it is not a
disk that damages what it was not writing, or that lies about having written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, TypeAlias

from jepsen_like.interpose.image import Image

__all__ = ["Disk", "NotModelled", "Survival", "read_journal"]

_SECTOR: Final = 512
_PAGE: Final = 4096
_TORN_ONE_IN: Final = 16  # pieces that survive
_HEADER: Final = struct.Struct("<IBIQ")
_CREATED, _TRUNCATED = 1, 2


class NotModelled(Exception):
    """The process did something to its files that the recorder cannot follow."""


class Survival(Enum):
    """How much of what is not durable a cut leaves. Each is a state that may occur."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    PREFIX = "a prefix, its last write torn"
    PIECES = "any pieces"
    ANY = "for each file another of these"


# --------------------------------------------------------------------------- the journal


@dataclass(frozen=True)
class Record:
    """One thing that the process did; see files.c."""

    kind: str
    handle: int
    number: int
    payload: memoryview

    @property
    def text(self) -> str:
        return bytes(self.payload).decode()


def read_journal(data: bytes) -> Iterator[Record]:
    """The records; one that SIGKILL cut off at the end did not happen."""
    view = memoryview(data)
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, handle, number = _HEADER.unpack_from(data, at)
        begin, at = at + _HEADER.size, at + _HEADER.size + size
        if at > len(data):
            return
        yield Record(chr(kind), handle, number, view[begin:at])


# --------------------------------------------------------------------------- files


@dataclass(frozen=True)
class _Write:
    offset: int
    data: memoryview


@dataclass(frozen=True)
class _Truncate:
    size: int


_Change: TypeAlias = _Write | _Truncate


class _File:
    """Content that is durable, and changes of which the first `synced` are durable too."""

    def __init__(self, content: bytes = b"") -> None:
        self._content = content
        self._changes: list[_Change] = []
        self._synced = 0
        self._dropped: set[int] = set()  # changes that a failed sync has forgotten
        self.is_mapped = False

    def change(self, change: _Change) -> None:
        self._changes.append(change)

    def begin_sync(self) -> int:
        return len(self._changes)

    def end_sync(self, begun: int) -> None:
        self._synced = max(self._synced, begun)

    def fail_sync(self) -> None:
        later = range(self._synced, len(self._changes))
        self._dropped.update(i for i in later if isinstance(self._changes[i], _Write))

    def _kept(self, begin: int, end: int, survival: Survival) -> list[_Change]:
        lost = set[int]() if survival is Survival.EVERYTHING else self._dropped
        return [self._changes[i] for i in range(begin, end) if i not in lost]

    @property
    def unsynced_bytes(self) -> int:
        pending = self._changes[self._synced :]
        return sum(len(change.data) for change in pending if isinstance(change, _Write))

    def after_power_loss(self, rng: Random, survival: Survival) -> bytes:
        if survival is Survival.ANY:
            survival = rng.choice([s for s in Survival if s is not Survival.ANY])
        content = bytearray(self._content)
        for change in self._kept(0, self._synced, survival):
            _apply(content, change)
        pending = self._kept(self._synced, len(self._changes), survival)
        if survival is Survival.PREFIX:
            pending = pending[: rng.randint(0, len(pending))]
            if pending and isinstance(last := pending[-1], _Write):
                pending[-1] = _Write(last.offset, last.data[: rng.randint(0, len(last.data))])
        elif survival is Survival.PIECES:
            pending = _pieces(pending, rng)
        elif survival is Survival.NOTHING:
            pending = []
        for change in pending:
            _apply(content, change)
        return bytes(content)


def _apply(content: bytearray, change: _Change) -> None:
    if isinstance(change, _Write):
        _lengthen(content, change.offset)
        content[change.offset : change.offset + len(change.data)] = change.data
    else:
        del content[change.size :]
        _lengthen(content, change.size)


def _lengthen(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))


def _pieces(pending: list[_Change], rng: Random) -> list[_Change]:
    """Parts of the changes that reached the disk, in the order in which they were made."""
    kept: list[_Change] = []
    chance = rng.choice((0.1, 0.5, 0.9))
    end = 0
    for change in reversed(pending):
        if isinstance(change, _Truncate):
            if kept or rng.random() < chance:
                kept.append(change)
            continue
        end = max(end, change.offset + len(change.data))
        kept.extend(_torn(piece, rng) for piece in _sectors(change) if rng.random() < chance)
    kept.reverse()
    if end and rng.random() < 0.25:  # the new length arrived, the data did not
        kept.append(_Write(rng.randint(0, end), memoryview(b"")))
    return kept


def _sectors(write: _Write) -> Iterator[_Write]:
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, (at // _SECTOR + 1) * _SECTOR)
        yield _Write(at, write.data[at - write.offset : until - write.offset])
        at = until


def _torn(piece: _Write, rng: Random) -> _Write:
    if rng.randrange(_TORN_ONE_IN):
        return piece
    return _Write(piece.offset, piece.data[: rng.randint(0, len(piece.data))])


def _mixture(old: bytes, new: bytes, rng: Random) -> bytes:
    """Pages of a mapped file as it was on the disk, and as the process left it."""
    pages = range(0, len(new), _PAGE)
    sources = (new, old.ljust(len(new), b"\0"))
    return b"".join(rng.choice(sources)[at : at + _PAGE] for at in pages)


# --------------------------------------------------------------------------- names


class _Directory:
    """Names that are durable, and changes of which the first `synced` are durable too. A change
    sets some names to what they stand for, or to None."""

    def __init__(self) -> None:
        self._names: dict[str, _Node] = {}
        self._changes: list[dict[str, _Node | None]] = []
        self._synced = 0
        self.now: dict[str, _Node] = {}

    def found(self, name: str, node: _Node) -> None:
        """`name` is there, durably, from the beginning."""
        self._names[name] = self.now[name] = node

    def change(self, names: dict[str, _Node | None]) -> None:
        self._changes.append(names)
        _rename(self.now, names)

    def begin_sync(self) -> int:
        return len(self._changes)

    def end_sync(self, begun: int) -> None:
        self._synced = max(self._synced, begun)

    def after_power_loss(self, rng: Random, survival: Survival) -> dict[str, _Node]:
        kept = self._synced
        if survival is Survival.EVERYTHING:
            kept = len(self._changes)
        elif survival is not Survival.NOTHING:
            kept = rng.randint(self._synced, len(self._changes))
        names = dict(self._names)
        for change in self._changes[:kept]:
            _rename(names, change)
        return names


_Node: TypeAlias = _File | _Directory


def _rename(names: dict[str, _Node], change: dict[str, _Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


# --------------------------------------------------------------------------- the disk


class Disk:
    """A disk that held `image`, durably, and what one process then did to it.

    disk = Disk(image)
    disk.replay(read_journal(journal))
    disk.after_power_loss(rng, survival, left)
    """

    def __init__(self, image: Image) -> None:
        self._root = _Directory()
        self._open: dict[int, _Node] = {}
        self._syncing: dict[int, int] = {}
        for name in sorted(image.directories):
            parent, last = self._parent(name)
            parent.found(last, _Directory())
        for name, data in image.files.items():
            parent, last = self._parent(name)
            parent.found(last, _File(data))

    def _parent(self, path: str) -> tuple[_Directory, str]:
        above, _, last = path.rpartition("/")
        node: _Node = self._root
        for name in above.split("/") if above else ():
            assert isinstance(node, _Directory)
            node = node.now[name]
        assert isinstance(node, _Directory)
        return node, last

    def replay(self, records: Iterator[Record]) -> None:
        """Raises NotModelled."""
        for record in records:
            try:
                self._replay(record)
            except KeyError as exc:
                raise NotModelled(f"something was done to what is not known: {exc}") from exc

    def _replay(self, record: Record) -> None:
        kind, handle, number = record.kind, record.handle, record.number
        if kind == "O":
            self._open[handle] = self._opened(record.text, number)
        elif kind == "W":
            self._file(handle).change(_Write(number, record.payload))
        elif kind == "T":
            self._file(handle).change(_Truncate(number))
        elif kind == "S":
            self._syncing[number] = self._open[handle].begin_sync()
        elif kind == "D":
            self._open[handle].end_sync(self._syncing.pop(number))
        elif kind == "E":
            node = self._open[handle]
            if isinstance(node, _File):  # of a directory nothing has become durable, or is lost
                node.fail_sync()
        elif kind == "P":
            self._file(handle).is_mapped = True
        elif kind == "M":
            parent, last = self._parent(record.text)
            parent.change({last: _Directory()})
        elif kind == "U":
            parent, last = self._parent(record.text)
            parent.change({last: None})
        elif kind == "R":
            old, _, new = record.text.partition("\0")
            (parent, old), (other, new) = self._parent(old), self._parent(new)
            if parent is not other:
                raise NotModelled("rename into another directory")
            parent.change({old: None, new: parent.now[old]})
        else:
            raise NotModelled(record.text)

    def _opened(self, path: str, flags: int) -> _Node:
        if not path:
            return self._root
        parent, last = self._parent(path)
        if flags == _CREATED:
            parent.change({last: _File()})
        node = parent.now[last]
        if flags == _TRUNCATED:
            assert isinstance(node, _File)
            node.change(_Truncate(0))
        return node

    def _file(self, handle: int) -> _File:
        node = self._open[handle]
        assert isinstance(node, _File)
        return node

    def after_power_loss(self, rng: Random, survival: Survival, left: Image) -> Image:
        """What the disk may hold after a cut now. `left` is the tree as the process left it,
        which is looked at for mapped files only."""
        files: dict[str, bytes] = {}
        directories: set[str] = set()
        for name, node in _walk(self._root, "", rng, survival):
            if isinstance(node, _Directory):
                directories.add(name)
            elif node.is_mapped:
                data = node.after_power_loss(rng, survival)
                files[name] = _mixture(data, left.files.get(name, b""), rng)
            else:
                files[name] = node.after_power_loss(rng, survival)
        return Image(files, frozenset(directories))

    @property
    def mapped(self) -> frozenset[str]:
        """Files of which nobody sees what is stored in them."""
        everything = _walk(self._root, "", Random(0), Survival.EVERYTHING)
        return frozenset(n for n, node in everything if isinstance(node, _File) and node.is_mapped)

    @property
    def unsynced_bytes(self) -> int:
        """Written to files that have a name, and in no fsync that has returned."""
        everything = _walk(self._root, "", Random(0), Survival.EVERYTHING)
        return sum(node.unsynced_bytes for _, node in everything if isinstance(node, _File))

    def difference(self, left: Image) -> str:
        """Where the tree that an orderly end left is not what the journal says, empty if
        nowhere: then the recorder missed nothing. Mapped files are not compared."""
        rng, everything = Random(0), Survival.EVERYTHING
        nodes = dict(_walk(self._root, "", rng, everything))
        for name in sorted(nodes.keys() ^ (left.files.keys() | left.directories)):
            return f"{name} is in one of them only"
        for name, node in nodes.items():
            if isinstance(node, _File) and not node.is_mapped:
                data = node.after_power_loss(rng, everything)
                if data != left.files[name]:
                    return f"{name} has another content"
        return ""


def _walk(
    directory: _Directory, prefix: str, rng: Random, survival: Survival
) -> Iterator[tuple[str, _Node]]:
    for name, node in sorted(directory.after_power_loss(rng, survival).items()):
        yield prefix + name, node
        if isinstance(node, _Directory):
            yield from _walk(node, f"{prefix}{name}/", rng, survival)
