"""Many transactions at once over real state machines, with leaders that change: a seed is a run.

Three replicas with real data files apply one log, each at its own pace. Clients run transactions
of list-append statement by statement, as a router does, at whoever they take for the leader. A
leader may have been deposed without knowing it: it still runs statements, from a state that grows
old. Entries that a deposed leader has proposed are lost or come later; answers get lost. What the
clients saw is a history for the checker of transactions (`jepsen_like.checks.transactions`), which
knows nothing of how this works.

Time is the number of the step. What is broken on purpose is a `Faults` here, or a function of the
database that a test replaces.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from jepsen_like.history import Operation, Outcome
from nodes.machine import Machine
from nodes.protocol import (
    Done,
    Entry,
    Mark,
    Opened,
    OpenSession,
    Read,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Statement,
    Write,
)
from tests.nodes.block import Block

__all__ = ["Faults", "Run", "run"]

KEYS: Final = 4
REPLICAS: Final = 3
CLIENTS: Final = 5
CREATE: Final = "CREATE TABLE l (k INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT, WITHOUT ROWID"
READ: Final = "SELECT v FROM l WHERE k = ?1"
APPEND: Final = "UPDATE l SET v = v || ?2 WHERE k = ?1"
ALL: Final = "SELECT k, v FROM l ORDER BY k"

_Client: TypeAlias = Generator[None, None, None]


@dataclass(frozen=True)
class Faults:
    """What a run breaks."""

    commits_twice: bool = False
    """A COMMIT whose answer was lost is sent under another seq."""
    skips_barrier: bool = False
    """A leader runs the first statement of a transaction without asking whether it still leads."""


@dataclass
class Run:
    """What a run came to."""

    history: list[Operation] = field(default_factory=list)
    contents: list[Any] = field(default_factory=list)  # of each replica
    counts: dict[str, int] = field(default_factory=dict)  # of what happened


class _Replica:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.term = 0  # of the office that it believes to have
        self.met: set[bytes] = set()
        self.answers: dict[int, ResponseBody] = {}  # by index


class _Cluster:
    def __init__(self, directory: Path, rng: random.Random, faults: Faults, counts: Any) -> None:
        self.rng = rng
        self.faults = faults
        self.counts = counts
        self.now = 0
        self.log: list[Entry] = []  # committed
        self.term = 1
        self.replicas = [
            _Replica(Machine.open(directory / f"r{n}", group="s", replica=n, cluster_id="c"))
            for n in range(1, REPLICAS + 1)
        ]
        self.leader = self.replicas[0]
        self.leader.term = 1
        self.seq = 0
        self.session = SessionId(0, 0)
        opened = self.commit(OpenSession("r"))
        assert isinstance(opened, Opened)
        self.session = opened.session
        self.commit(
            Write(self.session, self.new_seq(), 0, (Statement(CREATE),), (), (SetVersion("l", 1),))
        )
        for key in range(KEYS):
            insert = Statement("INSERT INTO l VALUES (?1, '')", (key,))
            self.commit(Write(self.session, self.new_seq(), 0, (insert,), quick=True))

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def new_seq(self) -> int:
        self.seq += 1
        return self.seq

    def append(self, body: Any) -> int:
        """The entry is committed; returns its index."""
        stamp = 1_000_000 + len(self.log)
        self.log.append(Entry(stamp, len(self.log), (body,)))
        return len(self.log)

    def catch_up(self, replica: _Replica, count: int | None = None) -> None:
        """Apply the next entries, all or some: an open transaction is given up for it."""
        applied = replica.machine.applied
        due = self.log[applied : None if count is None else applied + count]
        if due:
            replica.machine.give_up_speculation()
            batch = [(applied + n, 1, entry) for n, entry in enumerate(due, 1)]
            for (index, _, _), answers in zip(batch, replica.machine.apply(batch), strict=True):
                replica.answers[index] = answers[0]

    def commit(self, body: Any) -> ResponseBody:
        index = self.append(body)
        self.catch_up(self.leader)
        return self.leader.answers[index]

    def depose(self) -> None:
        """Another replica leads, from a state that holds all that is committed; the one before
        may not know it."""
        others = [replica for replica in self.replicas if replica is not self.leader]
        if self.rng.random() < 0.5:
            self.leader.term = 0
        self.leader = self.rng.choice(others)
        self.term += 1
        self.leader.term = self.term
        self.catch_up(self.leader)
        self.count("elections")

    def found(self) -> _Replica:
        """Whom a client takes for the leader: somebody who does so himself."""
        return self.rng.choice([replica for replica in self.replicas if replica.term])

    def speculate(self, block: Block, sql: str, *parameters: Any) -> ResponseBody | None:
        """None: the client was sent elsewhere."""
        replica = self.found()
        if block.id not in replica.met and not self.faults.skips_barrier:
            if replica is not self.leader:
                replica.term = 0  # its quorum says so
                return None
            self.catch_up(replica)
        replica.met.add(block.id)
        if replica is not self.leader:
            self.count("statements at a deposed leader")
        before = len(block.steps)
        answer = block.answered(replica.machine, sql, *parameters)
        if self.rng.random() < 0.05:  # the answer is lost, the statement is sent again
            del block.steps[before:]
            return None
        return answer


def run(seed: int, directory: Path, *, transactions: int = 120, faults: Faults = Faults()) -> Run:
    """Run so many transactions."""
    rng = random.Random(seed)
    found = Run()
    cluster = _Cluster(directory, rng, faults, found.counts)
    values = iter(range(1, 10**9))
    clients: list[_Client] = []
    left = transactions
    while left or clients:
        cluster.now += 1
        while left and len(clients) < CLIENTS:
            left -= 1
            clients.append(_transaction(cluster, found, transactions - left, rng, values))
        chance = rng.random()
        if chance < 0.02:
            cluster.depose()
        elif chance < 0.15:
            cluster.catch_up(rng.choice(cluster.replicas), rng.randrange(1, 4))
        else:
            client = rng.choice(clients)
            if next(client, "ended") == "ended":
                clients.remove(client)
    for replica in cluster.replicas:
        cluster.catch_up(replica)
        answer = replica.machine.read(Read((Statement(ALL),)))
        assert isinstance(answer, Done)
        found.contents.append(answer.results[0].values)
        replica.machine.close_files()
    return found


def _transaction(
    cluster: _Cluster, found: Run, process: int, rng: random.Random, values: Any
) -> _Client:
    """One client's transaction, from BEGIN to what it is told; a step of it at each `next`."""
    began = cluster.now
    block = Block(f"t{process}", seed=rng.getrandbits(32))
    asked: list[Any] = []
    seen: list[Any] = []
    failed = ""
    writes = False

    def told(outcome: Outcome, error: str = "") -> None:
        cluster.count(error or outcome)
        output = tuple(seen) if outcome == "ok" else None
        found.history.append(
            Operation(process, "txn", "", tuple(asked), outcome, output, began, began,
                      cluster.now, "", error)
        )  # fmt: skip

    only_reads = rng.random() < 0.3
    for _ in range(rng.randrange(1, 5)):
        key = rng.randrange(KEYS)
        kind = "read" if only_reads else rng.choice(["read", "append", "append", "taken back"])
        value = next(values)
        if kind == "taken back":
            block.mark(Mark("savepoint", 1))
        sql, parameters = (READ, (key,)) if kind == "read" else (APPEND, (key, f"{value},"))
        while True:
            yield
            answer = cluster.speculate(block, sql, *parameters)
            if answer is not None:
                break
        if isinstance(answer, SqlFailure):
            failed = answer.sqlstate
            break
        if kind == "taken back":
            block.mark(Mark("rollback", 1))
            block.mark(Mark("release", 1))
            writes = True
        elif kind == "append":
            asked.append(("append", key, value))
            seen.append(asked[-1])
            writes = True
        else:
            rows: Any = answer.result.values  # type: ignore[union-attr]
            asked.append(("r", key, None))
            seen.append(("r", key, tuple(int(v) for v in rows[0][0].split(",")[:-1])))
    yield
    if failed:
        told("fail", failed)
        return
    if rng.random() < 0.05:
        told("fail", "rolled back")
        return
    if not writes:
        told("ok")
        return
    yield from _commit(cluster, block, told)


def _commit(cluster: _Cluster, block: Block, told: Any) -> _Client:
    seq = cluster.new_seq()
    for _ in range(4):
        write = block.commit(cluster.session, seq)
        chance = cluster.rng.random()
        if chance < 0.7:
            answer = cluster.commit(write)
            if isinstance(answer, SqlFailure):
                told("fail", answer.sqlstate)
            else:
                assert isinstance(answer, Done), answer
                told("ok")
            return
        # The leader is lost with the entry in its log: it is gone, or the next one has it.
        if chance < 0.9:
            cluster.append(write)
        cluster.depose()
        if cluster.faults.commits_twice:
            seq = cluster.new_seq()
        yield
    told("info", "the outcome is not known")
