"""Groups of `tests.sim.two_phase` that are real: replicas with data files apply one log, each at
its own pace.

What the model calls an append, a read or an insistence is SQL here. What has nothing to read is
the steps of a block, each with the digest of what its client was told; the rest is statements, as
they come without BEGIN. Replicas restart, lose what of their file no sync has kept, and go on from
snapshots of one another, whatever is prepared at that moment. At the end all of them, and one that
is given the whole log anew, have the same rows, their own included.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import structs

from nodes.data_file import Identity
from nodes.machine import Machine, ReplicaFault
from nodes.outcome_digest import digest_of
from nodes.protocol import (
    Commit,
    Done,
    Entry,
    EntryBody,
    ExpireSessions,
    Locked,
    Opened,
    OpenSession,
    Prepare,
    Prepared,
    Ran,
    Read,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Statement,
    StatementResult,
    Transaction,
    Write,
)
from nodes.snapshot_files import ReceivedFile
from nodes.two_phase import TwoPhaseView
from tests.nodes.replica import content, crashed_copy
from tests.sim.two_phase import GROUPS, KEYS, Damage, Group, Run
from tests.sim.two_phase import run as run_model

__all__ = ["run"]

REPLICAS: Final = 2
CREATE: Final = "CREATE TABLE l (k INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT, WITHOUT ROWID"
INSERT: Final = "INSERT INTO l VALUES (?1, '')"
READ: Final = "SELECT v FROM l WHERE k = ?1"
APPEND: Final = "UPDATE l SET v = v || ?2 WHERE k = ?1"
INSIST: Final = "UPDATE l SET v = NULL WHERE k = ?1 AND v <> ?2"
ALL: Final = Read((Statement("SELECT k, v FROM l"),), consistency="any")

RESTARTS: Final = 0.02
LAGS: Final = 0.5
"""How likely a replica restarts, or lags, after an entry."""


def run(seed: int, directory: Path, *, transactions: int = 40) -> Run:
    """A run of the model over real replicas, with files in `directory`. Raises Damage."""
    made: list[_Machines] = []

    def make(name: str) -> Group:
        made.append(_Machines(name, directory / name, random.Random(f"{seed} {name}"), count))
        return made[-1]

    happened: dict[str, int] = {}

    def count(what: str) -> None:
        happened[what] = happened.get(what, 0) + 1

    try:
        found = run_model(seed, transactions=transactions, make=make)
        for group in made:
            group.compare()
        found.counts |= happened
        return found
    finally:
        for group in made:
            group.close()


class _Machines(Group):
    def __init__(
        self, name: str, directory: Path, rng: random.Random, count: Callable[[str], None]
    ) -> None:
        super().__init__(name)
        self.directory = directory
        self.rng = rng
        self.count = count
        self.log: list[Entry] = []
        self.written: dict[tuple[SessionId, int], Write] = {}  # as the model said it
        self.copies = 0  # of directories, for their names
        self.replicas = [self._open(n, directory / f"r{n}") for n in range(1, REPLICAS + 1)]
        self.leading = 0
        session = self.open("setup")
        keys = range(GROUPS.index(name) * KEYS, (GROUPS.index(name) + 1) * KEYS)
        objects = ["table:lists", *(f"slot:{key}" for key in keys)]
        sets = tuple(SetVersion(each, 1) for each in objects)
        self.commit(Write(session, 1, 0, (Statement(CREATE),), (), sets))
        self.commit(Write(session, 2, 0, tuple(Statement(INSERT, (key,)) for key in keys)))

    def _open(self, replica: int, directory: Path, generation: int = 1) -> Machine:
        return Machine.open(
            directory, group=self.name, replica=replica, cluster_id="c", generation=generation
        )

    @property
    def leader(self) -> Machine:
        return self.replicas[self.leading]

    # ------------------------------------------------------------------ what the model asks

    @property
    def lists(self) -> Mapping[int, tuple[int, ...]]:
        answer = self.leader.read(ALL)
        assert isinstance(answer, Done), answer
        rows: Any = answer.results[0].values
        return {key: _values(text) for key, text in rows}

    @property
    def known(self) -> TwoPhaseView:
        return self.leader.prepared

    def elected(self) -> None:
        self.leading = self.rng.randrange(REPLICAS)
        self._catch_up(self.leading)

    def expire(self, rng: random.Random) -> bool:
        found = self.leader.idle(self.leader.applied)
        if found is None or not found.sessions:
            return False
        self.commit(ExpireSessions((rng.choice(found.sessions),)))
        return True

    def open(self, router: str) -> SessionId:
        answer = self.commit(OpenSession(router))
        assert isinstance(answer, Opened), answer
        return answer.session

    def apply(self, body: Any) -> ResponseBody:
        write = body.write if isinstance(body, Prepare | Commit) else body
        if isinstance(write, Write):
            self.written[write.session, write.seq] = write
            told = _in_sql(write)
            body = structs.replace(body, write=told) if isinstance(body, Prepare | Commit) else told
        size = len(msgspec.msgpack.encode(body))
        refusal = self.leader.check(body, size)
        if refusal is not None:
            assert isinstance(refusal, Locked), refusal
            return refusal
        answer = self.commit(body)
        if isinstance(answer, SqlFailure) and answer.sqlstate not in ("40001", "23502"):
            raise Damage(f"{body} failed: {answer}")
        if isinstance(answer, Done | Prepared) and answer.results is not None:
            key = (write.session, write.seq) if hasattr(write, "session") else None
            if key in self.written:
                results = _as_told(self.written[key], answer.results)
                return structs.replace(answer, results=results)
        return answer

    # ------------------------------------------------------------------ replicas

    def commit(self, body: EntryBody) -> ResponseBody:
        """The entry is committed; what the leader answers to it."""
        index = len(self.log)
        self.log.append(Entry(1_000_000 + 1000 * index, self.rng.getrandbits(60), (body,)))
        answer: ResponseBody = self._catch_up(self.leading)
        for number in range(REPLICAS):
            if self.rng.random() > LAGS:
                self._catch_up(number)
        if self.rng.random() < RESTARTS:
            self._restart(self.rng.randrange(REPLICAS))
        return answer

    def _catch_up(self, number: int) -> Any:
        return self._feed(self.replicas[number], self.rng.choice([1, 3, len(self.log)]))

    def _feed(self, machine: Machine, size: int) -> Any:
        """Give it the entries that it has not applied, so many at a time; its last answer."""
        answer: Any = None
        try:
            while machine.applied < len(self.log):
                first = machine.applied
                some = self.log[first : first + size]
                batch = [(first + n, 1, entry) for n, entry in enumerate(some, 1)]
                answer = machine.apply(batch)[-1][-1]
        except ReplicaFault as exc:
            raise Damage(str(exc)) from exc
        return answer

    def _restart(self, number: int) -> None:
        """In order; after a crash, with a part of the file's write-ahead log; or from a snapshot
        of another replica."""
        machine = self.replicas[number]
        kind = self.rng.choice(["restart", "crash", "snapshot"])
        if machine.prepared.held:
            self.count(f"{kind} of what is prepared")
        directory = machine.path.parent
        self.copies += 1
        target = self.directory / f"c{self.copies}"
        if kind == "snapshot":
            self._catch_up(number)
            self._from_snapshot(machine, number, target)
        elif kind == "crash" and machine.generation == 1:
            wal = machine.path.with_name(machine.path.name + "-wal").stat().st_size
            crashed_copy(directory, target, self.rng.randrange(wal + 1))
            self.replicas[number] = self._open(number + 1, target)
        else:
            machine.close_files()
            self.replicas[number] = self._open(number + 1, directory, machine.generation)
            self._catch_up(number)
            return
        machine.close_files()
        shutil.rmtree(directory)
        self._catch_up(number)

    def _from_snapshot(self, machine: Machine, number: int, target: Path) -> None:
        sent = machine.make_snapshot()
        target.mkdir()
        generation = machine.generation + 1
        identity = Identity(
            cluster_id="c", group=self.name, replica=number + 1, generation=generation
        )
        received = ReceivedFile(target, identity)
        received.write(0, sent.read(0, sent.size))
        received.finish(index=sent.index, term=sent.term, size=sent.size, digest=sent.hash)
        self.replicas[number] = self._open(number + 1, target, generation)

    # ------------------------------------------------------------------ the end

    def compare(self) -> None:
        """All replicas are the same, and as the log says. Raises Damage."""
        fresh = self._open(9, self.directory / "fresh")
        self.replicas.append(fresh)
        found = []
        for machine in self.replicas:
            self._feed(machine, self.rng.choice([1, 7, len(self.log)]))
            found.append(content(machine.path.parent, machine.generation))
        for other in found[1:]:
            for table, rows in found[0].items():
                if other[table] != rows:
                    raise Damage(f"replicas differ in {table}: {rows} and {other[table]}")

    def close(self) -> None:
        for machine in self.replicas:
            machine.close_files()


def _values(text: str) -> tuple[int, ...]:
    return tuple(int(value) for value in text.split(",")[1:])


def _text(values: Any) -> str:
    return "".join(f",{value}" for value in values)


def _in_sql(write: Write) -> Write:
    said = write.statements
    if any(each.sql == "r" for each in said):
        return structs.replace(write, statements=tuple(_statement(each) for each in said))
    steps = tuple(_step(each) for each in said)
    return structs.replace(write, statements=(), transaction=Transaction(5, 7, steps))


def _statement(said: Statement) -> Statement:
    key, value = said.parameters
    match said.sql:
        case "r":
            return Statement(READ, (key,))
        case "append":
            return Statement(APPEND, (key, _text([value])))
    return Statement(INSIST, (key, _text(value)))


def _step(said: Statement) -> Ran:
    key, value = said.parameters
    if said.sql == "append":
        return Ran(_statement(said), digest_of(StatementResult(1)))
    told = StatementResult(1, values=((_text(value),),))
    return Ran(Statement(READ, (key,)), digest_of(told))


def _as_told(write: Write, results: Sequence[StatementResult]) -> tuple[StatementResult, ...]:
    """As the model answers: a result for each statement, lists as numbers."""
    found = results or [StatementResult(0)] * len(write.statements)
    return tuple(
        structs.replace(result, values=(_told(said, result),))
        for said, result in zip(write.statements, found, strict=True)
    )


def _told(said: Statement, result: StatementResult) -> Any:
    parameters: Any = said.parameters
    if said.sql == "insist":
        return parameters[1]
    return _values(_first(result)) if said.sql == "r" else ()


def _first(result: StatementResult) -> str:
    text = result.values[0][0]
    assert isinstance(text, str)
    return text
