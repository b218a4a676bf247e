"""What one replica's engine does about snapshots and compaction, beside its turns.

The Raft core decides which snapshot is wanted, which bytes are sent, and whether what was
received takes the place of the log; the machine makes and takes files. This module is what
lies between: it runs the long work on a thread, so that ticks and heartbeats never wait for a
copy, a hash or an fsync, it limits the rate at which a finished file is streamed, and it decides
when the log is long enough to be cut.

The rule that keeps a crash harmless: the log gives up only entries whose effect cannot be lost
any more (`make_durable`), and only in the transaction that says what stands for them.

One job at a time works on a replica's files: copying, cutting the log and switching to a
received file exclude each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

import msgspec

from nodes.applier import Applier
from nodes.consensus import Consensus
from nodes.log_store import SnapshotPointer
from nodes.raft.messages import InstallSnapshot, LogBase, LogEntry, RaftMessage, Snapshot
from nodes.raft.ready import ChunkRequest, Ready
from nodes.shortage import is_shortage
from nodes.snapshot_files import SnapshotRefused

__all__ = ["Received", "Sent", "SnapshotMachine", "SnapshotTransfer"]

KEEP_BYTES: Final = 32 * 1024 * 1024
"""What stays in the log behind the applied index, if that is less than the entries it keeps: a
peer that was away for a moment catches up from the log, a snapshot costs it the whole file."""

CUT_ENTRIES_MIN: Final = 10
CUT_BYTES: Final = 4 * 1024 * 1024
"""The log is cut when it is longer by so much, or by half of the entries it keeps. Each cut syncs
the data file's -wal, and deletes within one turn of the node: about a thousand rows a
millisecond, or 500 KiB if they are large."""

SNAPSHOT_BYTES_PER_S: Final = 64 * 1024 * 1024
"""How fast a group streams snapshots: it shares disk and network with the writes."""

COPY_TICKS: Final = 40
"""A copy is kept for so many ticks at least, about two seconds: the core counts on one only
from its next turn on, and a second peer may need it soon."""

CHUNK_REQUESTS_MAX: Final = 64
"""Chunks that wait to be read and sent; more are dropped, the core asks again."""

SHORTAGE_S: Final = 1.0
"""Until work on files that found no file descriptor is tried again."""

_MARK_BYTES: Final = 1024 * 1024
"""How fine the log's bytes are counted."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Sent(Protocol):
    """A finished copy of the data, as a file."""

    @property
    def index(self) -> int:
        """The applied index of the copy."""

    @property
    def size(self) -> int: ...

    @property
    def hash(self) -> bytes: ...

    def read(self, offset: int, size: int) -> bytes: ...

    def remove(self) -> None: ...


class Received(Protocol):
    """A snapshot that comes in; see snapshot_files.ReceivedFile."""

    @property
    def generation(self) -> int: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def finish(self, *, index: int, term: int, size: int, digest: bytes) -> None: ...

    def discard(self) -> None: ...


class SnapshotMachine(Protocol):
    """What is asked of the state machine. The first two block, and run on a thread while the
    machine applies."""

    def make_durable(self) -> int:
        """Make what is applied survive a power loss; the index up to which it does."""

    def make_snapshot(self) -> Sent:
        """A copy of the state after a whole batch."""

    def receive_snapshot(self, generation: int) -> Received:
        """Begin the file of that generation, which is no other file's."""

    async def switch_to(self, generation: int) -> None:
        """Go on from a received file."""

    @property
    def applied(self) -> int: ...

    @property
    def generation(self) -> int:
        """Of the file in use."""

    @property
    def switched_at(self) -> int:
        """Entries up to this one have to leave the log: who has not applied them needs the state
        instead. 0 is none."""


class SnapshotTransfer:
    """Snapshots and compaction of one replica.

    Each turn of the engine: `take` what the core wants, write `pointer` along with the rest,
    `persisted`; each tick: `tick`. `send` hands one message to the network, `wake` asks for a
    turn, `failed` gets what stops the replica. `log_entries` stay in the log behind what is
    applied.
    """

    def __init__(
        self,
        group: str,
        core: Consensus,
        machine: SnapshotMachine,
        applier: Applier,
        *,
        log_entries: int,
        send: Callable[[RaftMessage], None],
        wake: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._group = group
        self._core = core
        self._machine = machine
        self._applier = applier
        self._send = send
        self._wake = wake
        self._failed = failed
        self._files = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: ThreadPoolExecutor | None = None
        self._made: dict[Snapshot, Sent] = {}
        self._ticks = 0
        self._made_at: dict[Snapshot, int] = {}  # tick
        self._requests: deque[ChunkRequest] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._generation = machine.generation  # that the durable pointer names
        self._received: Received | None = None
        self._decided: asyncio.Future[bool] | None = None
        self._cut: SnapshotPointer | None = None  # given up by the core, not yet by the disk
        self._log_entries = log_entries
        self._length = _LogLength(log_entries)

    # ------------------------------------------------------------------ the engine's side

    def take(self, ready: Ready) -> None:
        """What the core decided, before any of it is durable."""
        self._length.added(ready.first_index, ready.entries)
        if self._decided is not None and ready.install is None:
            self._decide(installed=False)  # the log has brought the entries meanwhile
        for chunk in ready.chunks:
            self._receive(chunk)
        if ready.chunks_to_send:
            self._requests.extend(ready.chunks_to_send)
            while len(self._requests) > CHUNK_REQUESTS_MAX:
                self._requests.pop()
            if self._sender is None:
                self._sender = self._start(self._send_chunks())
        if ready.wants_snapshot:
            self._start(self._make())

    def pointer(self, ready: Ready) -> SnapshotPointer | None:
        """What is to be written with `ready` about the part of the log that is gone."""
        if ready.install is None:
            cut, self._cut = self._cut, None
            return cut
        self._cut = None
        assert self._received is not None, "an installation without a file"
        return _pointer(self._received.generation, ready.install.base)

    def persisted(self, ready: Ready) -> None:
        """The pointer is durable."""
        if ready.install is not None:
            self._decide(installed=True)

    def tick(self) -> None:
        """Delete copies that nobody needs, and cut the log if it is due."""
        self._ticks += 1
        for snapshot, made_at in list(self._made_at.items()):
            is_old = self._ticks - made_at >= COPY_TICKS
            if is_old and not self._requests and self._core.forget_snapshot(snapshot):
                del self._made_at[snapshot]
                self._start(self._run(self._made.pop(snapshot).remove))
        if self._files.locked() or self._received is not None or self._cut is not None:
            return
        applied = self._machine.applied
        first = self._core.log.first
        is_due = self._is_outdated or self._length.is_cut_due(first, applied)
        if is_due and self._cut_limit(applied) >= first:
            self._start(self._compact())

    @property
    def _is_outdated(self) -> bool:
        """The log begins with entries that must not be given to a new replica, and may go."""
        limit = min(self._machine.switched_at, self._core.compaction_limit)
        return self._core.log.first <= limit

    @property
    def is_at_rest(self) -> bool:
        """Nothing is under way that `tick` has to go on with."""
        return not (
            self._made_at
            or self._tasks
            or self._received is not None
            or self._cut is not None
            or self._is_outdated
            or self._length.is_cut_due(self._core.log.first, self._machine.applied)
        )

    async def close(self) -> None:
        """Return when nothing works on the replica's files any more."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks))
        if self._thread is not None:
            # What runs on the thread cannot be cancelled; it may be copying a large file.
            await asyncio.to_thread(self._thread.shutdown)
        if self._received is not None:
            self._received.discard()
            self._received = None

    # ------------------------------------------------------------------ compaction

    async def _compact(self) -> None:
        async with self._files:
            durable = await self._run(self._machine.make_durable)
            index = self._cut_limit(durable)
            if index < self._core.log.first:
                return
            base = self._core.compact(index)
            self._length.cut(index)
            self._cut = _pointer(self._generation, base)

    def _cut_limit(self, durable: int) -> int:
        """The last entry to give up, if everything up to `durable` is so in the data file."""
        return min(
            durable,
            max(self._length.keep_after(self._machine.applied), self._machine.switched_at),
            self._core.compaction_limit,
            # a long log is cut in several turns
            self._core.log.first - 1 + 2 * self._length.cut_entries,
        )

    # ------------------------------------------------------------------ sending

    async def _make(self) -> None:
        async with self._files:
            sent = await self._run(self._machine.make_snapshot)
            snapshot = Snapshot(self._core.base(sent.index), sent.size, sent.hash)
            _log.info(
                "made a snapshot of group %s at index %d",
                self._group,
                sent.index,
                extra={"group": self._group},
            )
            self._made[snapshot], self._made_at[snapshot] = sent, self._ticks
            self._core.offer_snapshot(snapshot)
            self._wake()

    async def _send_chunks(self) -> None:
        loop = asyncio.get_running_loop()
        free_at = loop.time()
        while self._requests:
            request = self._requests[0]
            sent = self._made.get(request.snapshot)
            if sent is not None:
                free_at = max(free_at, loop.time()) + request.size / SNAPSHOT_BYTES_PER_S
                data = await self._run(sent.read, request.offset, request.size)
                self._send(request.message(data))
                await asyncio.sleep(free_at - loop.time())
            self._requests.popleft()
        self._sender = None

    # ------------------------------------------------------------------ receiving

    def _receive(self, chunk: InstallSnapshot) -> None:
        if chunk.offset == 0:
            if self._received is not None:
                self._received.discard()
            try:
                self._received = self._machine.receive_snapshot(self._generation + 1)
            except OSError as exc:
                if not is_shortage(exc):
                    raise
                self._received = None
                self._core.forget_chunks()  # it will be asked for from its beginning
        if self._received is None:
            return
        self._received.write(chunk.offset, chunk.data)
        if chunk.offset + len(chunk.data) == chunk.snapshot.size:
            self._start(self._finish(self._received, chunk.snapshot))

    async def _finish(self, received: Received, snapshot: Snapshot) -> None:
        async with self._files:
            intact = await self._run(self._is_intact, received, snapshot)
            if not intact:
                self._received = None
                self._core.snapshot_received(intact=False)
                self._wake()
                return
            await self._applier.rest()
            self._decided = asyncio.get_running_loop().create_future()
            self._core.snapshot_received(intact=True)
            self._wake()
            if await self._decided:
                self._length = _LogLength(self._log_entries)
                await self._machine.switch_to(received.generation)
                _log.info(
                    "group %s goes on from a snapshot of index %d",
                    self._group,
                    snapshot.index,
                    extra={"group": self._group},
                )
            self._applier.resume()
            self._wake()

    def _is_intact(self, received: Received, snapshot: Snapshot) -> bool:
        try:
            received.finish(
                index=snapshot.index,
                term=snapshot.base.term,
                size=snapshot.size,
                digest=snapshot.hash,
            )
        except SnapshotRefused as exc:
            _log.error("group %s: %s", self._group, exc, extra={"group": self._group})
            return False
        except OSError as exc:
            if not is_shortage(exc):
                raise
            _log.error("group %s: %s", self._group, exc, extra={"group": self._group})
            received.discard()
            return False
        return True

    def _decide(self, *, installed: bool) -> None:
        """At once, not when `_finish` goes on: the next Ready may begin another file, and a
        file that the durable pointer names is not to be discarded any more."""
        assert self._decided is not None, "nothing waits for a decision"
        assert self._received is not None, "a decision about nothing"
        if installed:
            self._generation = self._received.generation
        else:
            self._received.discard()
        self._received = None
        self._decided.set_result(installed)
        self._decided = None

    # ------------------------------------------------------------------ tasks

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._failed(error)
        elif error is not None:
            raise error

    async def _run(self, work: Callable[..., _T], *arguments: object) -> _T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"snapshot-{self._group}")
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._thread, work, *arguments)
            except Exception as exc:
                if not is_shortage(exc):
                    raise
                _log.warning("group %s: %s; tried again", self._group, exc)
            await asyncio.sleep(SHORTAGE_S)


def _pointer(generation: int, base: LogBase) -> SnapshotPointer:
    return SnapshotPointer(
        generation, base.index, base.term, msgspec.msgpack.encode(base.membership)
    )


class _LogLength:
    """How many bytes the log holds, roughly: marks of (index, bytes up to there)."""

    def __init__(self, keep_entries: int) -> None:
        self._keep_entries = keep_entries
        self.cut_entries = max(keep_entries // 2, CUT_ENTRIES_MIN)
        self._marks: deque[tuple[int, int]] = deque()
        self._bytes = 0  # ever added
        self._base = 0  # of these, before the log's first entry

    def added(self, first: int, entries: Sequence[LogEntry]) -> None:
        if not entries:
            return
        for entry in entries:
            self._bytes += len(entry.data)
        if not self._marks or self._bytes - self._marks[-1][1] >= _MARK_BYTES:
            self._marks.append((first + len(entries) - 1, self._bytes))

    def is_cut_due(self, first: int, applied: int) -> bool:
        return (
            applied - first + 1 >= self._keep_entries + self.cut_entries
            or self._bytes - self._base >= KEEP_BYTES + CUT_BYTES
        )

    def keep_after(self, applied: int) -> int:
        """The log keeps the entries after this one."""
        index = applied - self._keep_entries
        for mark, size in self._marks:
            if self._bytes - size < KEEP_BYTES:
                break
            index = max(index, mark)
        return min(index, applied)

    def cut(self, index: int) -> None:
        while self._marks and self._marks[0][0] <= index:
            self._base = self._marks.popleft()[1]
