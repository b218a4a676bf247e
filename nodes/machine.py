"""The state machine of one replica: committed entries in, a SQLite file and answers out.

Everything an entry changes, and the fact that it was applied, is one SQLite transaction with
the rest of its batch: user data, sessions and their answers, versions, applied index. After a
crash the file is some earlier state of itself and the log goes on from there, so an entry is
applied once whatever happened (DESIGN sections 5 and 8).

What an entry does depends on the entry and the state alone, never on this machine: time and
seed come with it, and an error is an answer only if every replica has it. Any other error
rolls the batch back and raises ReplicaFault; the replica has to stop, for its next answer
could differ from the others'.

Threads: `apply` may run on a worker thread, one call at a time; everything else belongs to
the event loop. Reads use connections of their own and see the last COMMIT.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from msgspec import structs

from nodes.applied_state import AppliedState, ReplicaFault, stale
from nodes.authorizer import Mode
from nodes.bounds import Stop, Stopped, stale_guard
from nodes.checksums import Checksums
from nodes.config import WriteLimits
from nodes.cursors import TOO_MANY, Cursors
from nodes.data_file import (
    BEGIN_READ,
    COMMIT,
    READ_POSITION,
    ROLLBACK,
    Identity,
    IdentityError,
    check_file,
    create_file,
    file_path,
    remove_generation,
    remove_other_generations,
)
from nodes.dry_run import DryRun
from nodes.durability import WatchedFile, sync_directory
from nodes.engine import HALTED_HINT, Answers, Committed, executes
from nodes.entry_checks import EntryChecks, needs_dry_run
from nodes.fingerprint import own_fingerprint
from nodes.long_reads import LongReads
from nodes.protocol import (
    Abort,
    Busy,
    CloseCursor,
    Commit,
    Done,
    EntryBody,
    ExpireSessions,
    Fetch,
    GetChecksum,
    Guard,
    Locked,
    Prepare,
    Read,
    ResponseBody,
    SetVersion,
    Speculate,
    Speculated,
    SqlFailure,
    Stage,
    SwitchFingerprint,
    TransactionId,
    TransactionOutcome,
    Unstage,
    Write,
)
from nodes.shortage import NoDescriptor, is_shortage
from nodes.snapshot_files import ReceivedFile, SentFile
from nodes.speculation import Speculation
from nodes.sql_connection import Answer, Refused, SqlConnection
from nodes.two_phase import TwoPhaseView, touched_by

__all__ = ["Machine", "ReplicaFault"]

_SWITCHING: Final = Busy("the replica is taking over a snapshot")


def _changes_schema(committed: Committed) -> bool:
    """Whether an entry has statements that need foreign keys to be off, and so a transaction of
    their own."""
    entry = committed[2]
    return entry is not None and any(
        type(body) is Write and bool(body.sets) and bool(body.statements) for body in entry.bodies
    )


def _now_us() -> int:
    return time.time_ns() // 1000


class Machine:
    """One replica's state machine (`nodes.engine.StateMachine`).

    machine = Machine.open(directory, group=..., replica=..., cluster_id=...)
    answers = machine.apply([(index, term, entry), ...])    from machine.applied + 1 on
    answer = machine.read(read)                             on the event loop
    await machine.close()
    """

    def __init__(
        self,
        directory: Path,
        identity: Identity,
        name: str,
        clock_us: Callable[[], int],
        rng: Random,
        *,
        fingerprint: str,
        must_exist: bool,
    ) -> None:
        self._directory = directory
        self._name = name  # of the replica, for messages
        self._clock_us = clock_us
        self._rng = rng
        self._own_fingerprint = fingerprint
        self._fault: str | None = None
        self._is_applying = False
        self._is_switching = False
        self._ending: set[TransactionId] = set()  # held here, with an outcome on its way to the log
        self._open_file(identity, must_exist=must_exist)

    @staticmethod
    def open(
        directory: Path,
        *,
        group: str,
        replica: int,
        cluster_id: str,
        generation: int = 1,
        must_exist: bool = False,
        fingerprint: str | None = None,
        clock_us: Callable[[], int] = _now_us,
        rng: Random | None = None,
    ) -> Machine:
        """Open the replica's data file in `directory`, made if missing, unless it `must_exist`
        because the log begins after what the file holds. `fingerprint` is what the statements
        are executed with, this process's by default.

        clock_us and rng give time and chance to reads only. Raises ReplicaFault if the file
        is another replica's, of another format, damaged, or cannot be read.
        """
        path = file_path(directory, generation)
        name = f"replica {replica} of group {group}"
        identity = Identity(
            cluster_id=cluster_id,
            group=group,
            replica=replica,
            generation=generation,
        )
        try:
            if not directory.exists():
                directory.mkdir(parents=True)
                sync_directory(directory.parent)
            machine = Machine(
                directory,
                identity,
                name,
                clock_us,
                rng or Random(),
                fingerprint=own_fingerprint() if fingerprint is None else fingerprint,
                must_exist=must_exist,
            )
            remove_other_generations(directory, generation)
            return machine
        except IdentityError as exc:
            raise ReplicaFault(str(exc)) from exc
        except (sqlite3.Error, OSError, msgspec.DecodeError) as exc:
            raise ReplicaFault(
                f"{name}: {path} cannot be opened: {exc}; repair the disk, or rebuild this replica."
            ) from exc

    def _open_file(self, identity: Identity, *, must_exist: bool) -> None:
        self._identity = identity
        path = self._path = file_path(self._directory, identity.generation)
        exists = path.exists() and check_file(path, identity)
        if must_exist and not exists:
            raise IdentityError(f"{path} is missing or empty; rebuild this replica.")
        writer = SqlConnection(path, is_writer=True)
        try:
            if not exists:
                create_file(writer, identity)
                sync_directory(self._directory)
            self._checksums = Checksums(path)
            self._state = AppliedState(
                writer,
                group=identity.group,
                name=self._name,
                own_fingerprint=self._own_fingerprint,
                begin_checksum=self._checksums.start,
            )
            self._opened_reader: SqlConnection | None = None
            self._wal = WatchedFile(path.with_name(path.name + "-wal"))
        except BaseException:
            writer.close()
            raise
        self._long_reads = LongReads(path)
        self._cursors = Cursors(path)
        self._dry_run = DryRun(path)
        self._speculation = Speculation(path)
        self._checks = EntryChecks(identity.group, lambda: self._reader)

    @property
    def _reader(self) -> SqlConnection:
        """Opened by the first read: with all its functions it takes half a megabyte, and most
        replicas of most groups are never read."""
        if self._opened_reader is None:
            self._opened_reader = SqlConnection(self._path, is_writer=False)
        return self._opened_reader

    @property
    def applied(self) -> int:
        """Index of the last entry whose effect a read sees."""
        return self._state.applied

    @property
    def applied_term(self) -> int:
        """Term of that entry."""
        return self._state.applied_term

    @property
    def incarnation(self) -> int:
        """Of the group, in that state."""
        return self._state.incarnation

    @property
    def is_sound(self) -> bool:
        """Nothing has happened that this replica must stop for; it is not closed."""
        return self._fault is None

    @property
    def path(self) -> Path:
        """The data file."""
        return self._path

    @property
    def generation(self) -> int:
        """Of the data file."""
        return self._identity.generation

    @property
    def fingerprint(self) -> str:
        """What the group's writes are executed with, as of `applied`; empty before the group's
        first leader has said it."""
        return self._state.fingerprint

    @property
    def switched_at(self) -> int:
        """Index up to which the log is of no use to a new replica: writes before it were executed
        with another release, which nobody may run any more. 0 if there was only one."""
        return self._state.switched_at

    @property
    def halted(self) -> str:
        """Why no write may be applied here, a sentence that says what to do; empty if one may."""
        return self._state.halted

    def opening(self) -> EntryBody | None:
        """What a new leader proposes before any client's command."""
        if self._state.fingerprint:
            return None
        return SwitchFingerprint(self._own_fingerprint, "")

    def make_durable(self) -> int:
        """Make what is applied now survive a power loss; returns the index up to which it does.

        The data file lags behind by design (synchronous=NORMAL), and the log may give up only
        what cannot be lost any more. Every frame is in the -wal, synced here, or was copied
        into the file by a checkpoint, which syncs it before the -wal starts over. For any
        thread, also while `apply` runs: the index is read before. Raises OSError, also if a
        checkpoint could not sync the -wal.
        """
        applied: int = self._state.applied
        self._wal.sync()
        sync_directory(self._directory)
        return applied

    def make_snapshot(self) -> SentFile:
        """Copy the data file as it is after some whole batch; for any thread, as above. Raises
        sqlite3.Error, OSError."""
        return SentFile.make(self._path)

    def receive_snapshot(self, generation: int) -> ReceivedFile:
        """Begin the file of that generation, in place of an earlier attempt."""
        return ReceivedFile(self._directory, self._identity.of_generation(generation))

    @property
    def identity(self) -> Identity:
        """Whose file it is."""
        return self._identity

    async def switch_to(self, generation: int) -> None:
        """Go on from the data file of another generation, which has been taken over, and
        remove the present one. Not while `apply` runs. Raises ReplicaFault, and is closed.
        Reads that come meanwhile are answered Busy."""
        self._is_switching = True
        await self.close()
        old = self._identity.generation
        try:
            self._open_file(self._identity.of_generation(generation), must_exist=True)
            remove_generation(self._directory, old)
        except IdentityError as exc:
            raise ReplicaFault(str(exc)) from exc
        except (sqlite3.Error, OSError, msgspec.DecodeError) as exc:
            raise ReplicaFault(self._failed(exc)) from exc
        self._fault = None
        self._is_switching = False

    def is_quick(self, body: EntryBody) -> bool:
        """Whether applying it is bounded work that may run on the event loop."""
        match body:
            case Write():
                return body.quick and not body.sets
            case Prepare() | Commit():
                return body.write.quick and not body.write.sets
            case Abort() | TransactionOutcome():
                held = self._state.prepared.held.get(body.id)
                return held is None or self.is_quick(held.prepare)
        return not isinstance(body, Stage | Unstage | ExpireSessions)

    def checksum(self, asked: GetChecksum) -> ResponseBody:
        """What `asked` wants to know of a checksum that an entry began."""
        return self._checksums.answer(asked)

    def idle(self, since: int) -> ExpireSessions | None:
        """What to propose so that sessions and stages which no entry after log index `since` has
        used are forgotten: to a leader that noted its applied index a session lifetime ago."""
        return self._state.idle(since)

    @property
    def results_open(self) -> int:
        """How many results are being read in pieces."""
        return self._cursors.open

    async def close(self) -> None:
        """Wait for what reads, and close the file. Not while `apply` runs."""
        await self._long_reads.close()
        await self._cursors.close()
        self.close_files()

    def close_files(self) -> None:
        """Close a machine that nothing was asked of yet."""
        self._fault = self._fault or f"{self._name} is closed."
        self._checksums.close()
        self._dry_run.close()
        self._speculation.close()
        if self._opened_reader is not None:
            self._opened_reader.close()
        self._state.writer.close()
        self._wal.close()

    def _failed(self, exc: BaseException) -> str:
        """Remember that this replica has to stop; returns the sentence."""
        # Only SQLite's messages, the system's and ours are known to hold no value of a statement.
        said = f": {exc}" if isinstance(exc, sqlite3.Error | OSError | ReplicaFault) else ""
        self._fault = f"{self._name} stopped: {type(exc).__name__}{said}."
        return self._fault

    def _trouble(self, exc: Exception) -> Busy:
        """What somebody is answered whose work ended with `exc`. Raises ReplicaFault, and is the
        end of this replica, unless the system was only short of something."""
        if is_shortage(exc):
            return Busy(str(exc))
        raise ReplicaFault(self._failed(exc)) from exc

    # ----------------------------------------------------------------------- applying

    def apply(self, batch: Sequence[Committed]) -> list[Answers]:
        """Apply a batch and answer each body of each entry: in one transaction, but for entries
        that change the schema, each of which has its own.

        Entries at or below `applied` are skipped, without an answer: after a restart the log is
        handed out again from where the driver knows. Raises ReplicaFault if this replica has to
        stop; the transaction in which that happens is undone.
        """
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        if not batch or batch[-1][0] <= self._state.applied:
            return [()] * len(batch)
        execute = self._state.writer.raw.execute
        self._is_applying = True
        answers: list[Answers] = []
        try:
            for is_schema, entries in groupby(batch, _changes_schema):
                if not is_schema:
                    answers += self._state.apply_together(list(entries))
                    continue
                # A table that is rebuilt is dropped first, and must not take what refers to it
                # along; foreign keys cannot be switched off inside a transaction.
                self._state.writer.enforce_foreign_keys(False)
                for entry in entries:
                    answers += self._state.apply_together([entry])
                self._state.writer.enforce_foreign_keys(True)
        except BaseException as exc:
            # Memory is ahead of the file now, and stays so: this replica does not go on.
            sentence = self._failed(exc)
            try:
                if self._state.writer.raw.in_transaction:
                    execute(ROLLBACK)
            except sqlite3.Error as second:
                exc.add_note(f"rolling back failed as well: {second}")  # close() ends it
            if isinstance(exc, Exception):
                raise ReplicaFault(sentence) from exc
            raise
        finally:
            self._is_applying = False
        return answers

    # ----------------------------------------------------------------------- before proposing

    def check(self, body: EntryBody, size: int) -> SqlFailure | Busy | Locked | None:
        """What is wrong with an entry in every state, so that it need not enter the log; `size`
        is the length of its encoding. Busy if this replica must not be the one to tell; Locked if
        it can tell already. Raises ReplicaFault if it has to stop."""
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        if self._state.halted and executes(body):
            return Busy(self._state.halted, HALTED_HINT)
        try:
            refusal = self._checks.refusal(body, size)
        except NoDescriptor as exc:
            return Busy(str(exc))
        return refusal or self._locked(body)

    def _locked(self, body: EntryBody) -> Locked | None:
        """What is held here keeps the command out when it is applied, unless the outcome comes
        before it: the log is spared it. Of one that was applied before, the log has the answer."""
        held = self._state.prepared.held
        if not held:
            return None
        if isinstance(body, Abort | TransactionOutcome):
            self._ending = {id_ for id_ in (*self._ending, body.id) if id_ in held}
        if not isinstance(body, Write | Prepare | Commit):
            return None
        write = body if isinstance(body, Write) else body.write
        if self._is_applying or self._state.sessions.knows(write.session, write.seq):
            return None
        if isinstance(body, Prepare | Commit):
            return self._holder(write.guards, write.sets, body.tied, {body.id, *self._ending})
        return self._holder(write.guards, write.sets, but=self._ending)

    def _holder(
        self,
        guards: Sequence[Guard],
        sets: Sequence[SetVersion] = (),
        tied: Sequence[str] = (),
        but: Collection[TransactionId] = (),
    ) -> Locked | None:
        """What keeps out, in the committed state, who comes with these guards."""
        prepared = self._state.prepared
        if not prepared.held:
            return None
        holder = prepared.holder(touched_by(guards, sets, tied), but)
        return None if holder is None else Locked(holder)

    @property
    def prepared(self) -> TwoPhaseView:
        """What of transactions over several groups is in the committed state."""
        return self._state.prepared

    def needs_dry_run(self, body: EntryBody) -> bool:
        """Whether the work of applying it can be told only by doing it."""
        return needs_dry_run(body)

    def stage_refusal(self, piece: Stage, bytes_max: int) -> SqlFailure | None:
        """Why a leader does not take a chunk of a stage: one stage may have `bytes_max`."""
        return self._state.stages.refusal(piece, bytes_max)

    async def dry_run(
        self, write: Write, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped | None:
        """Try a write that is not proposed yet: see `nodes.dry_run`. Only while nothing is
        applied. Raises ReplicaFault if this replica has to stop."""
        if self._is_switching:
            return _SWITCHING
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        if self._state.sessions.knows(write.session, write.seq):
            return None  # the log has its outcome, and a repeat costs nothing there
        if (locked := self._holder(write.guards, write.sets)) is not None:
            return locked
        try:
            return await self._dry_run.run(
                write, limits, timeout_s, stop, self._clock_us(), self._rng.getrandbits(63)
            )
        except Exception as exc:
            return self._trouble(exc)

    # ----------------------------------------------------------------------- open transactions

    @property
    def is_speculating(self) -> bool:
        """Whether the file's write lock is kept for a transaction that is not committed."""
        return self._speculation.is_open

    def speculate_now(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float
    ) -> ResponseBody | Stopped:
        """Run bounded steps of such a transaction: see `nodes.speculation`. Only while nothing
        is applied. Raises ReplicaFault if this replica has to stop."""
        if (refusal := self._cannot_speculate(asked)) is not None:
            return refusal
        try:
            return self._placed(self._speculation.run_now(asked, limits, timeout_s))
        except Exception as exc:
            return self._trouble(exc)

    async def speculate(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped:
        """The same for work of any size, on a thread."""
        if (refusal := self._cannot_speculate(asked)) is not None:
            return refusal
        try:
            answer = await self._speculation.run(asked, limits, timeout_s, stop)
        except Exception as exc:
            return self._trouble(exc)
        spool = self._speculation.take_spool()
        answer = self._placed(answer)
        if spool is None or not isinstance(answer, Speculated):
            return answer
        cursor = self._cursors.adopt(spool)
        return TOO_MANY if cursor is None else structs.replace(answer, cursor=cursor)

    def _placed(self, answer: ResponseBody | Stopped) -> ResponseBody | Stopped:
        """With the state that it was found in, to which nothing is added while a transaction has
        the file."""
        if not isinstance(answer, Speculated):
            return answer
        return structs.replace(
            answer, index=self._state.applied, incarnation=self._state.incarnation
        )

    async def read_beside(self, asked: Speculate, timeout_s: float) -> ResponseBody:
        """A read of such a transaction, if it has written nothing: see `nodes.cursors`."""
        if (refusal := self._cannot_speculate(asked)) is not None:
            return refusal
        try:
            return await self._cursors.read_beside(asked, timeout_s)
        except Exception as exc:
            return self._trouble(exc)

    def _cannot_speculate(self, asked: Speculate) -> Busy | Locked | None:
        if self._is_switching:
            return _SWITCHING
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        if self._state.halted:
            return Busy(self._state.halted, HALTED_HINT)
        return self._holder(asked.guards)

    def give_up_speculation(self) -> None:
        """Roll back what is open, if anything. Not while it runs."""
        self._speculation.give_up()

    # ----------------------------------------------------------------------- reading

    def read_lock(self, read: Read) -> Locked | None:
        """What a read has to wait for: whether it happened is decided elsewhere, and may have been
        told already. A read of any state waits for nothing."""
        if read.consistency == "any" or not self._state.prepared.held:
            return None
        return self._holder(read.guards)

    def read(self, read: Read) -> ResponseBody:
        """Run a quick read now, on the event loop, against the last COMMIT."""
        if self._is_switching:
            return _SWITCHING
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        if (locked := self.read_lock(read)) is not None:
            return locked
        try:
            reader = self._reader
        except sqlite3.Error as exc:
            return self._trouble(exc)
        answer = Answer()
        now_us, seed = self._clock_us(), self._rng.getrandbits(63)
        # One statement is a transaction of its own. Unless a worker thread is applying, the last
        # COMMIT is what the copies in memory say, and stays so while it runs here.
        is_single = len(read.statements) == 1 and not self._is_applying
        try:
            if is_single:
                failed = stale(read.guards, self._state.versions)
                if failed is not None:
                    return failed
                reader.run(read.statements[0], answer, now_us, seed, Mode.READ)
                return Done(tuple(answer.results), self._state.applied, self._state.incarnation)
            reader.raw.execute(BEGIN_READ)
            failed = stale_guard(reader.raw, read.guards)
            if failed is not None:
                return failed
            position: tuple[int, int] = self._state.applied, self._state.incarnation
            if self._is_applying:
                position = reader.raw.execute(READ_POSITION).fetchone()
            for statement in read.statements:
                reader.run(statement, answer, now_us, seed, Mode.READ)
            return Done(tuple(answer.results), *position)
        except Refused as exc:
            return exc.failure
        except Exception as exc:
            return self._trouble(exc)
        finally:
            if not is_single and reader.raw.in_transaction:
                reader.raw.execute(COMMIT)

    async def read_stream(self, read: Read, timeout_s: float) -> ResponseBody:
        """Begin a read that may be answered in pieces: see `nodes.cursors`."""
        if self._is_switching:
            return _SWITCHING
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        if (locked := self.read_lock(read)) is not None:
            return locked
        try:
            return await self._cursors.read(
                read, timeout_s, self._clock_us(), self._rng.getrandbits(63)
            )
        except Exception as exc:
            return self._trouble(exc)

    async def reserve_pin(self, timeout_s: float) -> int | Busy | SqlFailure:
        """A place for a read transaction that `pin` opens: see `nodes.cursors`."""
        if self._is_switching:
            return _SWITCHING
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        try:
            return await self._cursors.reserve_pin(timeout_s)
        except Exception as exc:
            return self._trouble(exc)

    def pin(self, number: int) -> None:
        """Open it. Raises ReplicaFault if this replica has to stop."""
        try:
            self._cursors.pin(number)
        except Exception as exc:
            raise ReplicaFault(self._failed(exc)) from exc

    async def read_pinned(self, read: Read, timeout_s: float) -> ResponseBody:
        """A read in the state of such a pin, in pieces if there is much."""
        try:
            return await self._cursors.read_pinned(
                read, timeout_s, self._clock_us(), self._rng.getrandbits(63)
            )
        except Exception as exc:
            return self._trouble(exc)

    async def fetch(self, asked: Fetch, timeout_s: float) -> ResponseBody:
        """The next piece of such a read."""
        try:
            return await self._cursors.fetch(asked.cursor, timeout_s, keep=asked.keep)
        except Exception as exc:
            return self._trouble(exc)

    def close_cursor(self, asked: CloseCursor) -> ResponseBody:
        """The end of such a read."""
        return self._cursors.end(asked.cursor)

    async def read_long(self, read: Read, timeout_s: float) -> ResponseBody:
        """Run a read on its own connection and thread; SqlFailure 57014 after `timeout_s`."""
        if self._is_switching:
            return _SWITCHING
        if self._fault is not None:
            raise ReplicaFault(self._fault)
        if (locked := self.read_lock(read)) is not None:
            return locked
        try:
            return await self._long_reads.read(
                read, timeout_s, self._clock_us(), self._rng.getrandbits(63)
            )
        except Exception as exc:
            return self._trouble(exc)
