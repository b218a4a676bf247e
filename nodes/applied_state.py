"""What the entries of the log have made of one data file, and the applying of more of them.

Everything an entry changes, and the fact that it was applied, is one SQLite transaction with the
rest of its batch. Beside the file there are copies of what it holds, for speed: sessions and their
answers, versions, stages, what is prepared. They follow the writer's transaction, not the last
COMMIT; what reads meanwhile looks into the file.

Who calls, on which thread, and what becomes of a replica that fails is the business of
`nodes.machine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias, cast

import msgspec

from nodes.data_file import (
    BEGIN_WRITE,
    COMMIT,
    READ_ANSWERS,
    READ_APPLIED,
    READ_FINGERPRINT,
    READ_INCARNATION,
    READ_OUTCOMES,
    READ_PREPARED,
    READ_SESSIONS,
    READ_SWITCHED,
    READ_VERSIONS,
    RELEASE,
    REMOVE_OUTCOME,
    REMOVE_PREPARED,
    ROLLBACK_TO,
    SAVEPOINT,
    WRITE_ANSWERS,
    WRITE_APPLIED,
    WRITE_EXPIRED,
    WRITE_FINGERPRINT,
    WRITE_FORGOTTEN,
    WRITE_INCARNATION,
    WRITE_OUTCOME,
    WRITE_PREPARED,
    WRITE_SESSION,
    WRITE_SWITCHED,
    WRITE_WATERMARK,
)
from nodes.engine import Answers, Committed, executes
from nodes.prepared_work import Broken, PreparedWork
from nodes.protocol import (
    Abort,
    Aborted,
    Checksum,
    Commit,
    Done,
    End,
    Entry,
    ExpireSessions,
    Fence,
    Guard,
    Locked,
    NewIncarnation,
    OpenSession,
    Prepare,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Stage,
    Stale,
    StatementResult,
    SwitchFingerprint,
    TransactionId,
    TransactionOutcome,
    Unstage,
    Write,
)
from nodes.sessions import Sessions
from nodes.sql_connection import Refused, SqlConnection
from nodes.stage_content import stages_of
from nodes.stages import Stages
from nodes.two_phase import Held, Remembered, TwoPhase, TwoPhaseView, touched_by
from nodes.write_unit import is_change, run_write

__all__ = ["AppliedState", "ReplicaFault", "stale"]


_Other: TypeAlias = (
    OpenSession
    | Prepare
    | Commit
    | Abort
    | TransactionOutcome
    | End
    | Fence
    | Stage
    | Unstage
    | ExpireSessions
    | Checksum
    | SwitchFingerprint
    | NewIncarnation
)
"""What an entry may be but a write."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_id: Final = msgspec.msgpack.Decoder(TransactionId).decode
_decode_held: Final = msgspec.msgpack.Decoder(Held).decode
_decode_outcome: Final = msgspec.msgpack.Decoder(Remembered).decode


class ReplicaFault(Exception):
    """This replica must stop; the message is a sentence that says why."""


@lru_cache(maxsize=64)
def _counted(count: int) -> tuple[StatementResult]:
    """The result of a statement that changed so many rows."""
    return (StatementResult(count),)


def stale(guards: Sequence[Guard], versions: Mapping[str, int]) -> Stale | None:
    """The first guard that fails."""
    for guard in guards:
        have = versions.get(guard.object, 0)
        if have != guard.version:
            return Stale(guard.object, have, guard.version)
    return None


class AppliedState:
    """The state of `group` in the file that `writer` writes. `name` is the replica's, for messages;
    `own_fingerprint` what this process executes with; `begin_checksum` is called with the index
    of an entry that asks for one, right after it is applied."""

    applied: int
    """Index of the last entry whose effect a read sees."""
    applied_term: int
    """Term of that entry."""
    prepared: TwoPhaseView
    """What of transactions over several groups is in the committed state. It is replaced before
    `applied` is raised, so that who sees an entry applied sees what it prepared."""

    def __init__(
        self,
        writer: SqlConnection,
        *,
        group: str,
        name: str,
        own_fingerprint: str,
        begin_checksum: Callable[[int], None],
    ) -> None:
        self.writer = writer
        self._name = name
        self._own_fingerprint = own_fingerprint
        self._begin_checksum = begin_checksum
        self._checksum_due = 0  # index of the last such entry
        execute = writer.raw.execute
        self.applied, self.applied_term = execute(READ_APPLIED).fetchone()
        found = execute(READ_FINGERPRINT).fetchone()
        self.fingerprint: str = "" if found is None else found[0]
        """What the group's writes are executed with; empty before its first leader has said it."""
        self.halted = ""
        """Why no write may be applied here, a sentence; empty if one may."""
        self._note_halted()
        found = execute(READ_SWITCHED).fetchone()
        self.switched_at = 0 if found is None else int(found[0])
        """Index of the entry that brought another fingerprint in place of one."""
        self.versions: dict[str, int] = dict(execute(READ_VERSIONS).fetchall())
        found = execute(READ_INCARNATION).fetchone()
        self.incarnation = 1 if found is None else int(found[0])
        self.sessions = Sessions(self.incarnation)
        self.sessions.restore(
            execute(READ_SESSIONS).fetchall(), execute(READ_ANSWERS).fetchall(), self.applied
        )
        self.stages = Stages(writer.raw, self.applied)
        self._two_phase = TwoPhase(group)
        self._two_phase.restore(
            ((_decode_id(i), _decode_held(held)) for i, held in execute(READ_PREPARED)),
            ((_decode_id(i), _decode_outcome(found)) for i, found in execute(READ_OUTCOMES)),
        )
        self._kept = _kept_by(self._two_phase)
        self._work = PreparedWork(
            writer,
            stale=lambda guards: stale(guards, self.versions),
            changed=self._note_versions,
            forget=self.stages.remove,
        )
        self.prepared = self._two_phase.view()

    def _note_halted(self) -> None:
        """The fingerprint of the state is known, or has changed."""
        self.halted = ""
        if self.fingerprint in ("", self._own_fingerprint):
            return
        self.halted = (
            f"{self._name} applies no writes: the group executes them with {self.fingerprint}, "
            f"this node with {self._own_fingerprint}. It votes and stores the log. Start the node "
            "with the release that the others run; or, once all nodes run the new one, run "
            "`shardrouter upgrade`; if that was done, rebuild this replica."
        )

    def idle(self, since: int) -> ExpireSessions | None:
        """What to propose so that what no entry after log index `since` has used is forgotten."""
        sessions = self.sessions.idle(since)
        ending = {session.index for session in sessions}
        stages = tuple(
            (SessionId(self.incarnation, session), stage)
            for session, stage in self.stages.idle(since)
            if session not in ending
        )
        return ExpireSessions(sessions, stages) if sessions or stages else None

    # ----------------------------------------------------------------------- applying

    def apply_together(self, entries: Sequence[Committed]) -> list[Answers]:
        """Apply entries in one transaction."""
        answers: list[Answers] = [()] * len(entries)
        if entries[-1][0] <= self.applied:
            return answers
        execute = self.writer.raw.execute
        execute(BEGIN_WRITE)
        index = self.applied
        for position, (entry_index, _, entry) in enumerate(entries):
            if entry_index <= index:
                continue
            index += 1
            if entry_index != index:
                raise ReplicaFault(f"entry {index} is missing before {entry_index}")
            if entry is not None:
                answers[position] = self._apply_entry(index, entry)
        self._save_sessions()
        has_changed = self._two_phase.has_changed
        if has_changed:
            self._save_two_phase()
        execute(WRITE_APPLIED, (index, entries[-1][1]))
        execute(COMMIT)
        if has_changed:
            self.prepared = self._two_phase.view()
        self.applied, self.applied_term = index, entries[-1][1]
        if self._checksum_due == index:
            self._begin_checksum(index)
        return answers

    def _apply_entry(self, index: int, entry: Entry) -> Answers:
        now_us, seed = entry.now_us, entry.seed
        self.writer.begin_entry(index)
        answers: list[ResponseBody] = []
        for body in entry.bodies:
            if type(body) is Write:
                answers.append(self._apply_write(index, body, now_us, seed))
            else:
                answers.append(self._apply_other(index, cast("_Other", body), now_us, seed))
            now_us += 1
            seed += 1
        return answers

    def _apply_other(self, index: int, body: _Other, now_us: int, seed: int) -> ResponseBody:
        match body:
            case Fence():
                answer = self.sessions.recall(body.session, body.seq, body.watermark)
                if answer is None:
                    answer = Aborted()
                    self.sessions.record(body.session, body.seq, body.watermark, answer, index)
                return answer
            case OpenSession():
                return self.sessions.open(index, body.router)
            case Prepare() | Commit() | Abort() | TransactionOutcome() | End():
                return self._apply_two_phase(index, body, now_us, seed)
            case Stage():
                return self._keep_stage(index, body)
            case Unstage():
                if not self._is_kept(body.session, body.stage):
                    self.stages.remove([(body.session, body.stage)])
                return Done((), index)
            case ExpireSessions():
                self._expire(body)
                return Done((), index)
            case Checksum():
                self._checksum_due = index
                return Done((), index)
            case SwitchFingerprint():
                return self._switch_fingerprint(index, body)
            case NewIncarnation():
                self._begin_incarnation(body.incarnation)
                return Done((), index)

    def _keep_stage(self, index: int, piece: Stage) -> ResponseBody:
        answer = self.sessions.recall(piece.session, piece.seq, piece.watermark)
        if answer is None:
            self.stages.add(piece, index)
            answer = Done((), index)
            self.sessions.record(piece.session, piece.seq, piece.watermark, answer, index)
        return answer

    def _begin_incarnation(self, incarnation: int) -> None:
        """Sessions of before are unknown, and what they had: commands of theirs that only others
        had applied could not be told from commands that nobody had."""
        self.incarnation = incarnation
        self.sessions = Sessions(incarnation)
        write, *forget = WRITE_INCARNATION
        self.writer.raw.execute(write, (str(incarnation),))
        for sql in forget:
            self.writer.raw.execute(sql)
        self.stages.remove_all_but({key for keys in self._kept.values() for key in keys})

    def _switch_fingerprint(self, index: int, switch: SwitchFingerprint) -> ResponseBody:
        if self.fingerprint not in (switch.instead_of, switch.fingerprint):
            return SqlFailure("55000", f"the group executes with {self.fingerprint} already")
        if self.fingerprint != switch.fingerprint and self._two_phase.held:
            return SqlFailure(
                "55000",
                "a transaction over several shards is prepared",
                detail=f"What prepared it has to finish it. Repeat the upgrade; if that does not "
                f"help, start a node with {self.fingerprint} once more.",
            )
        if self.fingerprint not in ("", switch.fingerprint):
            self.writer.raw.execute(WRITE_SWITCHED, (str(index),))
            self.switched_at = index
        self.writer.raw.execute(WRITE_FINGERPRINT, (switch.fingerprint,))
        self.fingerprint = switch.fingerprint
        self._note_halted()
        return Done((), index)

    def _apply_write(self, index: int, write: Write, now_us: int, seed: int) -> ResponseBody:
        if self.halted:
            raise ReplicaFault(self.halted)
        session, seq, watermark = write.session, write.seq, write.watermark
        answer = self.sessions.recall(session, seq, watermark)
        if answer is not None:
            return answer
        if self._two_phase.held:
            holder = self._two_phase.holder(touched_by(write.guards, write.sets))
            if holder is not None:
                return Locked(holder)
        failed = stale(write.guards, self.versions)
        if failed is not None:
            return failed
        statements = write.statements
        try:
            if len(statements) == 1 and not write.sets and is_change(statements[0]):
                count = self.writer.change(statements[0], now_us, seed)
                answer = Done(_counted(count), index)
            else:
                answer = self._run(index, write, now_us, seed)
        except Refused as exc:
            answer = exc.failure
        if not write.quick:
            self.stages.remove((each.session, each.stage) for each in stages_of(write))
        self.sessions.record(session, seq, watermark, answer, index)
        return answer

    def _run(self, index: int, write: Write, now_us: int, seed: int) -> Done:
        """All statements of the write, or none. Raises Refused."""
        execute = self.writer.raw.execute
        execute(SAVEPOINT)
        try:
            answer = run_write(self.writer, write, now_us, seed)
        except Refused:
            execute(ROLLBACK_TO)
            execute(RELEASE)
            raise
        execute(RELEASE)
        self._note_versions(write.sets)
        return Done(tuple(answer.results), index)

    def _note_versions(self, sets: Sequence[SetVersion]) -> None:
        for change in sets:
            self.versions[change.object] = change.version

    # ----------------------------------------------------------------------- over several groups

    def _apply_two_phase(
        self,
        index: int,
        body: Prepare | Commit | Abort | TransactionOutcome | End,
        now_us: int,
        seed: int,
    ) -> ResponseBody:
        if self.halted and executes(body):
            raise ReplicaFault(self.halted)
        try:
            answer = self._two_phase.apply(index, now_us, seed, body, self.sessions, self._work)
        except Broken as exc:
            raise ReplicaFault(str(exc)) from exc
        if self._two_phase.has_changed:
            self._kept = _kept_by(self._two_phase)
        return answer

    def _is_kept(self, session: SessionId, stage: int) -> bool:
        """Whether something prepared will need the stage."""
        key = session.index, stage
        return any(key in keys for keys in self._kept.values())

    def _expire(self, body: ExpireSessions) -> None:
        """Sessions with something prepared are in use until its outcome, and so is what it
        names."""
        sessions = [each for each in body.sessions if each.index not in self._kept]
        self.sessions.expire(sessions)
        self.stages.remove_of(sessions)
        self.stages.remove(each for each in body.stages if not self._is_kept(*each))

    def _save_two_phase(self) -> None:
        changes = self._two_phase.take_changes()
        many = self.writer.raw.executemany
        for sql, rows in (
            (WRITE_PREPARED, [(_encode(i), _encode(held)) for i, held in changes.held]),
            (REMOVE_PREPARED, [(_encode(i),) for i in changes.released]),
            (WRITE_OUTCOME, [(_encode(i), _encode(found)) for i, found in changes.decided]),
            (REMOVE_OUTCOME, [(_encode(i),) for i in changes.ended]),
        ):
            if rows:
                many(sql, rows)

    def _save_sessions(self) -> None:
        changes = self.sessions.take_changes()
        many = self.writer.raw.executemany
        for sql, rows in (
            (WRITE_SESSION, changes.opened),
            (WRITE_EXPIRED, changes.expired),
            (WRITE_WATERMARK, changes.watermarks),
            (WRITE_ANSWERS, changes.answers),
            (WRITE_FORGOTTEN, changes.forgotten),
        ):
            if rows:
                many(sql, rows)


def _kept_by(two_phase: TwoPhase) -> dict[int, frozenset[tuple[int, int]]]:
    """By the sessions that something prepared is of: the stages, each (session index, stage), that
    it names."""
    kept: dict[int, frozenset[tuple[int, int]]] = {}
    for held in two_phase.held.values():
        write = held.prepare.write
        names = frozenset((each.session.index, each.stage) for each in stages_of(write))
        for session in {write.session.index, *(index for index, _ in names)}:
            kept[session] = kept.get(session, frozenset()) | names
    return kept
