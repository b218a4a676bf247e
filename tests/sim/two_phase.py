"""Transactions over several groups, at random: a seed is a run.

The state of each group (`nodes.two_phase`, `nodes.sessions`), what its leader does about what
nobody finishes (`nodes.resolution`) and the router's part (`shardrouter.coordinator`) are the code
that ships. The rest is as small as it can be: a group's log is a list, its data some lists; or
real replicas (`tests.sim.two_phase_machines`).
Messages are lost, come twice and late; proposals die with their leader, or are committed without
an answer; sessions expire; routers die. Clients append to lists and read them, within a group and
over several; some only read, by snapshots (`tests.sim.snapshots`). What they saw is a history for
the checker of transactions
(`jepsen_like.checks.transactions`), which knows nothing of how this works.

Time is the number of the step. What is broken on purpose is a function that a test replaces.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from msgspec import structs

from jepsen_like.history import Operation, Outcome
from nodes.gatekeeping import Gatekeeper
from nodes.protocol import (
    Aborted,
    AnswerNotKept,
    Commit,
    Decided,
    Done,
    End,
    Fence,
    Guard,
    Locked,
    Prepare,
    ResponseBody,
    SessionId,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
    TransactionId,
    TransactionOutcome,
    UnknownSession,
    Write,
)
from nodes.resolution import Resolution, ToLeader
from nodes.sessions import Sessions
from nodes.two_phase import Held, TwoPhase, TwoPhaseView, touched_by
from shardrouter.coordinator import Branch, Committed, Coordinator, Failed, Send
from shardrouter.window import SeqWindow
from tests.sim.snapshots import GATE_STEPS, TRIES, snapshot

__all__ = ["GROUPS", "KEYS", "Damage", "Group", "Run", "group_of", "run"]

GROUPS: Final = ("a", "b", "c")
KEYS: Final = 2  # in each group
CLIENTS: Final = 5
ROUTERS: Final = 2
STEPS_MAX: Final = 100_000

AGAIN_AFTER: Final = 25
"""Steps without an answer after which a request is sent again."""
COPIES_MAX: Final = 4
PATIENCE: Final = 400
"""Steps after which a client's time is over."""

_CONFLICT: Final = SqlFailure("40001", "the list has another value by now")

_Client: TypeAlias = Generator[None, None, None]
_Reads: TypeAlias = Generator[None, None, bool]
_Answered: TypeAlias = Callable[[ResponseBody], None]


class Damage(Exception):
    """What must not happen to a replica."""


@dataclass
class Run:
    """What a run came to."""

    history: list[Operation] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # of what happened
    left: list[str] = field(default_factory=list)  # what nobody finished

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def group_of(key: int) -> str:
    return GROUPS[key // KEYS]


class _Data:
    """The lists of one group. A statement appends to one, reads it, or insists on what it holds."""

    def __init__(self) -> None:
        self.lists: dict[int, tuple[int, ...]] = {}

    def change(self, write: Write) -> tuple[StatementResult, ...] | SqlFailure:
        lists = dict(self.lists)
        results = []
        for statement in write.statements:
            parameters: Any = statement.parameters
            key, value = parameters
            before = lists.get(key, ())
            if statement.sql == "append":
                lists[key] = (*before, value)
            elif statement.sql == "insist" and list(before) != list(value):
                return _CONFLICT
            results.append(StatementResult(len(before), values=(before,)))
        self.lists = lists
        return tuple(results)

    def stale(self, _guards: Sequence[Guard]) -> Stale | None:
        return None

    def try_out(
        self, write: Write, _now_us: int, _seed: int
    ) -> tuple[tuple[StatementResult, ...], bytes] | SqlFailure:
        before = self.lists
        found = self.change(write)
        self.lists = before
        return found if isinstance(found, SqlFailure) else (found, repr(found).encode())

    def commit(
        self, write: Write, _now_us: int, _seed: int
    ) -> tuple[StatementResult, ...] | SqlFailure:
        return self.change(write)

    def run(self, held: Held) -> None:
        if repr(self.change(held.prepare.write)).encode() != held.digest:
            raise Damage("what was prepared answers otherwise when it is run for good")

    def drop(self, held: Held) -> None:
        """Nothing was sent ahead."""


class Group:
    """What its log has made of it, and what its leader does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = 0
        self.data = _Data()
        self.sessions = Sessions(1)
        self.two_phase = TwoPhase(name)
        self.proposals: list[tuple[Any, _Answered]] = []  # in the log, not committed
        self.resolution = Resolution(name, 0)
        self.term = 1
        self.waiting: list[tuple[Any, _Answered]] = []  # at the gate
        self.entered = self.applied = 0  # of proposals
        self.now: Callable[[], float] = lambda: 0
        self.keeper = self._new_keeper()

    def _new_keeper(self) -> Gatekeeper:
        return Gatekeeper(
            _Led(self),
            now=lambda: self.now(),
            enter=lambda: self.entered,
            let_in=self.let_in,
            lasts_s=GATE_STEPS,
        )

    def propose(self, body: Any, answered: _Answered) -> None:
        if self.keeper.keeps_out(body):
            self.waiting.append((body, answered))
        else:
            self.entered += 1
            self.proposals.append((body, answered))

    def let_in(self) -> None:
        """The gate is open."""
        waiting, self.waiting = self.waiting, []
        for body, answered in waiting:
            self.propose(body, answered)

    def office(self) -> None:
        """Another replica leads."""
        self.term += 1
        self.keeper = self._new_keeper()  # the other one does not know
        self.waiting.clear()
        self.applied = self.entered

    @property
    def lists(self) -> Mapping[int, tuple[int, ...]]:
        """What a read sees."""
        return self.data.lists

    @property
    def known(self) -> TwoPhase | TwoPhaseView:
        """What is prepared and decided, as its leader sees it."""
        return self.two_phase

    def elected(self) -> None:
        """One of several replicas is the leader now."""

    def expire(self, rng: random.Random) -> bool:
        """Forget one of the sessions that are idle; False if none is."""
        idle = self.sessions.idle(self.index)
        if idle:
            self.sessions.expire([rng.choice(idle)])
        return bool(idle)

    def open(self, router: str) -> SessionId:
        self.index += 1
        self.sessions.open(self.index, router)
        return SessionId(1, self.index)

    def apply(self, body: Any) -> ResponseBody:
        self.index += 1
        match body:
            case Write():
                return self._write(body)
            case Fence():
                answer = self.sessions.recall(body.session, body.seq, body.watermark)
                if answer is None:
                    answer = Aborted()
                    self.sessions.record(body.session, body.seq, body.watermark, answer, self.index)
                return answer
        return self.two_phase.apply(self.index, 0, 0, body, self.sessions, self.data)

    def _write(self, write: Write) -> ResponseBody:
        answer = self.sessions.recall(write.session, write.seq, write.watermark)
        if answer is not None:
            return answer
        holder = self.two_phase.holder(touched_by(write.guards))
        if holder is not None:
            return Locked(holder)
        found = self.data.change(write)
        answer = found if isinstance(found, SqlFailure) else Done(found, self.index)
        self.sessions.record(write.session, write.seq, write.watermark, answer, self.index)
        return answer


class _Led:
    """What the gates of a group's leader are told of its state."""

    def __init__(self, group: Group) -> None:
        self._group = group

    @property
    def applied(self) -> int:
        return self._group.applied

    @property
    def prepared(self) -> Any:
        return self._group.known


class _Router:
    """Its sessions; a dead one's clients are told nothing any more."""

    def __init__(self, number: int, groups: dict[str, Group]) -> None:
        self.number = number
        self.groups = groups
        self.sessions: dict[str, tuple[SessionId, SeqWindow]] = {}
        self.made = 0
        self.is_dead = False

    def command(self, group: str) -> tuple[SessionId, int, SeqWindow]:
        """A new command of the session in the group."""
        if group not in self.sessions:
            self.sessions[group] = (self.groups[group].open(f"r{self.number}"), SeqWindow())
        session, window = self.sessions[group]
        seq = window.open()
        assert seq is not None
        return session, seq, window

    def forget(self, group: str) -> None:
        """The group does not know the session any more."""
        self.sessions.pop(group, None)


class _Request:
    """One request, sent until it is answered."""

    def __init__(self, world: _World, group: str, body: Any) -> None:
        self.world = world
        self.group = group
        self.body = body
        self.copies = 0
        self.answer: ResponseBody | None = None
        self.due = world.now

    @property
    def doubt(self) -> bool:
        """Whether an earlier copy may still take effect."""
        return self.copies > 1

    def step(self) -> bool:
        """Send it if it is time to; whether there is an answer, or nobody will ask any more."""
        if self.answer is not None:
            return True
        if self.world.now >= self.due:
            if self.copies == COPIES_MAX:
                return True
            self.copies += 1
            self.due = self.world.now + AGAIN_AFTER
            self.world.send(self.group, self.body, self._answered)
        return False

    def _answered(self, answer: ResponseBody) -> None:
        if self.answer is None:
            self.answer = answer


class _World:
    def __init__(self, rng: random.Random, found: Run, make: Callable[[str], Group]) -> None:
        self.rng = rng
        self.found = found
        self.now = 0
        self.groups = {name: make(name) for name in GROUPS}
        self.net: list[tuple[str, Any, _Answered]] = []
        self.routers = [_Router(number, self.groups) for number in range(ROUTERS)]
        self.started = ROUTERS
        self.is_healed = False
        self.resolve_after = rng.choice([15, 80])
        for group in self.groups.values():
            group.resolution = Resolution(group.name, self.resolve_after)
            group.now = lambda: self.now
        # How often a step is one of these; a run may have none, or many.
        self.crashes, self.expiries, self.elections, self.losses = (
            rng.choice([0, 1, 4]) * each for each in (0.001, 0.001, 0.004, 0.03)
        )

    def send(self, group: str, body: Any, answered: _Answered) -> None:
        self.net.append((group, body, answered))

    # ------------------------------------------------------------------ what happens by itself

    def deliver(self) -> None:
        place = self.rng.randrange(len(self.net))
        group, body, answered = self.net[place]
        chance = 1.0 if self.is_healed else self.rng.random()
        if chance < self.losses:
            del self.net[place]
            self.found.count("lost messages")
            return
        if chance < 2 * self.losses:
            self.found.count("copies by the network")
        else:
            del self.net[place]
        self.groups[group].propose(body, answered)

    def commit(self, group: Group) -> None:
        body, answered = group.proposals.pop(0)
        answer = group.apply(body)
        group.applied += 1
        self.found.count(type(answer).__name__)
        if self.is_healed or self.rng.random() > self.losses:
            answered(answer)

    def elect(self, group: Group) -> None:
        """Some of what the leader has proposed is committed, and nobody hears of it."""
        for body, _ in group.proposals[: self.rng.randrange(len(group.proposals) + 1)]:
            group.apply(body)
        group.proposals.clear()
        group.office()
        group.elected()
        group.resolution = Resolution(group.name, self.resolve_after)
        self.found.count("elections")

    def resolve(self, group: Group) -> None:
        self._carry(group, group.resolution, group.resolution.due(self.now, group.known))

    def _carry(self, group: Group, leader: Resolution, requests: Sequence[ToLeader]) -> None:
        for request in requests:
            self.found.count(f"resolution: {type(request.body).__name__}")

            def answered(answer: ResponseBody, request: ToLeader = request) -> None:
                if group.resolution is leader:  # it still leads
                    follows = leader.answered(request, answer, group.known)
                    self._carry(group, leader, follows)

            self.send(request.group, request.body, answered)

    def expire(self, group: Group) -> None:
        if group.expire(self.rng):
            self.found.count("expired sessions")

    def crash(self) -> None:
        place = self.rng.randrange(len(self.routers))
        self.routers[place].is_dead = True
        self.routers[place] = _Router(self.started, self.groups)
        self.started += 1
        self.found.count("crashed routers")

    def step(self) -> None:
        """One of all these."""
        rng = self.rng
        groups = list(self.groups.values())
        chance = 1.0 if self.is_healed else rng.random()
        waiting = [group for group in groups if group.proposals]
        if chance < self.crashes:
            self.crash()
        elif (chance := chance - self.crashes) < self.expiries:
            self.expire(rng.choice(groups))
        elif chance - self.expiries < self.elections:
            self.elect(rng.choice(groups))
        elif waiting and rng.random() < 0.5:
            self.commit(rng.choice(waiting))
        elif self.net:
            self.deliver()
        else:
            self.resolve(rng.choice(groups))


def run(seed: int, *, transactions: int = 120, make: Callable[[str], Group] = Group) -> Run:
    """Run so many transactions over groups that `make` makes, then let all be finished, and read
    every list."""
    rng = random.Random(seed)
    found = Run()
    world = _World(rng, found, make)
    values = iter(range(1, 10**9))
    clients: list[_Client] = []
    left = transactions
    while left or clients or _unfinished(world):
        world.now += 1
        if world.now > STEPS_MAX:
            found.left = _unfinished(world) or ["clients that wait for ever"]
            break
        world.is_healed = not left and not clients
        while left and len(clients) < CLIENTS:
            left -= 1
            router = rng.choice(world.routers)
            clients.append(_client(world, router, transactions - left, values))
        for group in world.groups.values():
            was_closed = group.keeper.gates.is_closed
            group.keeper.look()
            if was_closed and not group.keeper.gates.is_closed:
                found.count("gates that opened by themselves")
            if rng.random() < 0.02:
                world.resolve(group)
        if clients and rng.random() < 0.5:
            client = rng.choice(clients)
            if next(client, "ended") == "ended":
                clients.remove(client)
        else:
            world.step()
    reads = tuple(
        ("r", key, world.groups[group_of(key)].lists.get(key, ()))
        for key in range(len(GROUPS) * KEYS)
    )
    asked = tuple(("r", key, None) for _, key, _ in reads)
    end = world.now + 1
    found.history.append(Operation(0, "txn", "", asked, "ok", reads, end, end, end + 1, "", ""))
    return found


def _unfinished(world: _World) -> list[str]:
    return [
        f"{group.name}: {id_}"
        for group in world.groups.values()
        for id_ in (*group.known.held, *group.known.decided)
    ] + [str(message) for message in world.net]


# --------------------------------------------------------------------------- clients


@dataclass
class _Transaction:
    """What a client does, and has seen."""

    world: _World
    router: _Router
    process: int
    began: int
    keys: list[tuple[str, int, int]]  # kind, key, value
    seen: dict[int, tuple[int, ...]] = field(default_factory=dict)  # by place

    def told(self, outcome: Outcome, error: str = "") -> None:
        if outcome != "ok" and self.router.is_dead:
            outcome, error = "info", "the router is dead"
        self.world.found.count(error or outcome)
        asked = tuple(
            ("append", key, value) if kind == "append" else ("r", key, None)
            for kind, key, value in self.keys
        )
        output = None
        if outcome == "ok":
            output = tuple(
                each if each[0] == "append" else ("r", each[1], self.seen[place])
                for place, each in enumerate(asked)
            )
        self.world.found.history.append(
            Operation(self.process, "txn", "", asked, outcome, output, self.began, self.began,
                      self.world.now, "", error)
        )  # fmt: skip

    def places(self) -> dict[str, list[int]]:
        """Its operations by group."""
        found: dict[str, list[int]] = {}
        for place, (_, key, _) in enumerate(self.keys):
            found.setdefault(group_of(key), []).append(place)
        return found

    def statements(self, places: Sequence[int]) -> tuple[Statement, ...]:
        made = []
        for place in places:
            kind, key, value = self.keys[place]
            if kind == "r" and place in self.seen:
                made.append(Statement("insist", (key, self.seen[place])))  # type: ignore[arg-type]
            else:
                made.append(Statement(kind, (key, value)))
        return tuple(made)

    def guards(self, places: Sequence[int]) -> tuple[Guard, ...]:
        slots = sorted({self.keys[place][1] for place in places})
        return (Guard("table:lists", 1), *(Guard(f"slot:{slot}", 1) for slot in slots))

    def answered(self, places: Sequence[int], results: Sequence[StatementResult]) -> None:
        for place, result in zip(places, results, strict=True):
            if self.keys[place][0] == "r":
                # What it was told before it has been told.
                self.seen.setdefault(place, tuple(result.values[0]))  # type: ignore[arg-type]


def _client(world: _World, router: _Router, process: int, values: Any) -> _Client:
    """One transaction, a step of it at each `next`."""
    rng = world.rng
    count = rng.randrange(1, 5)
    groups = rng.sample(GROUPS, rng.choice([1, 2, 2, 3]))
    keys = []
    for _ in range(count):
        key = GROUPS.index(rng.choice(groups)) * KEYS + rng.randrange(KEYS)
        keys.append((rng.choice(["append", "append", "r"]), key, next(values)))
    if rng.random() < 0.2:
        keys = [("r", key, value) for _, key, value in keys]
    transaction = _Transaction(world, router, process, world.now, keys)
    if all(kind == "r" for kind, _, _ in keys) and (yield from _by_snapshot(transaction)):
        return
    # Half of them are interactive: what they read they are told at once.
    if rng.random() < 0.5 and not (yield from _reads(transaction)):
        transaction.told("fail", "no answer in time")
    elif len(transaction.places()) > 1:
        yield from _several_groups(transaction)
    elif all(kind == "r" for kind, _, _ in keys):
        yield from _only_reads(transaction)
    else:
        yield from _one_group(transaction)


def _by_snapshot(transaction: _Transaction) -> _Reads:
    """Of several groups, at one instant. False: it has to be asked otherwise."""
    world, places = transaction.world, transaction.places()
    if len(places) == 1:
        return False
    guards = {group: transaction.guards(its) for group, its in places.items()}
    for again in range(TRIES):
        found = yield from snapshot(world, guards, 10 * transaction.process + again)
        if found is not None:
            for group, its in places.items():
                for place in its:
                    transaction.seen[place] = found[group].get(transaction.keys[place][1], ())
            transaction.told("ok", "")
            world.found.count("snapshots")
            return True
        world.found.count("snapshots in vain")
    return False


def _reads(transaction: _Transaction) -> _Reads:
    appended: set[int] = set()
    for place, (kind, key, _) in enumerate(transaction.keys):
        if kind == "append":
            appended.add(key)
        elif key not in appended:  # what it appended itself is seen when it is run
            yield
            if not (yield from _until_free(transaction, [place])):
                return False
            lists = transaction.world.groups[group_of(key)].lists
            transaction.seen[place] = lists.get(key, ())
    return True


def _only_reads(transaction: _Transaction) -> _Client:
    """In one group: a read of its own, in one state of the group."""
    ((group, places),) = transaction.places().items()
    if not (yield from _until_free(transaction, places)):
        return transaction.told("fail", "no answer in time")
    lists = transaction.world.groups[group].lists
    transaction.seen = {place: lists.get(transaction.keys[place][1], ()) for place in places}
    transaction.told("ok")


def _until_free(transaction: _Transaction, places: Sequence[int]) -> _Reads:
    """A read waits until nobody holds what it reads. False: time is over."""
    world = transaction.world
    group = world.groups[group_of(transaction.keys[places[0]][1])]
    touched = touched_by(transaction.guards(places))
    while group.known.holder(touched) is not None:
        world.found.count("reads that waited")
        yield
        if world.now > transaction.began + PATIENCE:
            return False
    return True


def _one_group(transaction: _Transaction) -> _Client:
    """As `shardrouter.shards` sends a write: the same command until it is answered, or fenced."""
    world, router = transaction.world, transaction.router
    ((group, places),) = transaction.places().items()
    end = world.now + PATIENCE
    session, seq, window = router.command(group)
    statements, guards = transaction.statements(places), transaction.guards(places)
    copies = 0
    while world.now < end:
        write = Write(session, seq, window.watermark, statements, guards)
        request = _Request(world, group, write)
        while not request.step():
            yield
        copies += request.copies
        answer = request.answer
        match answer:
            case Done(results=results):
                window.settle(seq)
                transaction.answered(places, results)
                return transaction.told("ok")
            case SqlFailure(sqlstate=sqlstate):
                window.settle(seq)
                return transaction.told("fail", sqlstate)
            case UnknownSession():
                router.forget(group)
                return transaction.told(*_lost(doubt=copies > 1))
            case Locked():
                yield
            case None:
                break
            case _:
                raise Damage(f"a write was answered {answer}")
    if copies == 1 and answer is not None:
        window.settle(seq)
        return transaction.told("fail", "55P03")
    request = _Request(world, group, Fence(session, seq, window.watermark))
    while not request.step():
        yield
    match request.answer:
        case Aborted():
            window.settle(seq)
            transaction.told("fail", "57014")
        case Done(results=results):
            window.settle(seq)
            transaction.answered(places, results)
            transaction.told("ok")
        case SqlFailure(sqlstate=sqlstate):
            window.settle(seq)
            transaction.told("fail", sqlstate)
        case _:
            transaction.told("info", "the outcome is not known")


def _lost(*, doubt: bool) -> tuple[Outcome, str]:
    return ("info", "the session is lost") if doubt else ("fail", "the session is lost")


def _several_groups(transaction: _Transaction) -> _Client:
    world, router = transaction.world, transaction.router
    end = world.now + PATIENCE
    places = transaction.places()
    anchor = world.rng.choice(sorted(places))
    windows: dict[str, tuple[SeqWindow, int]] = {}
    branches = {}
    for group, its in places.items():
        session, seq, window = router.command(group)
        windows[group] = (window, seq)
        write = Write(session, seq, 0, transaction.statements(its), transaction.guards(its))
        branches[group] = Branch(write)
    router.made += 1
    id_ = TransactionId(transaction.began, router.number, router.made)
    coordinator = Coordinator(id_, anchor, branches)
    requests: list[tuple[Send, _Request]] = []
    pauses: list[tuple[int, Send]] = []
    told = False

    def start(sends: Sequence[Send]) -> None:
        for send in sends:
            body = _marked(send.body, windows, send.group)
            if send.after_pause:
                pauses.append((world.now + AGAIN_AFTER, send))
            else:
                requests.append((send, _Request(world, send.group, body)))

    start(coordinator.begin())
    while not coordinator.is_done and not router.is_dead:
        yield
        if world.now > end:
            start(coordinator.expire())
        while pauses and pauses[0][0] <= world.now:
            start(coordinator.again(pauses.pop(0)[1]))
        for each in list(requests):
            send, request = each
            if not request.step():
                continue
            requests.remove(each)
            if request.answer is None:
                start(coordinator.gave_up(send))
                continue
            start(coordinator.answered(send, request.answer, doubt=request.doubt))
            _settle(send, request.answer, windows)
            if isinstance(request.answer, UnknownSession):
                router.forget(send.group)
        if coordinator.verdict is not None and not told:
            told = True
            _tell(transaction, coordinator, places)
    for send, request in requests:
        if isinstance(send.body, End) and not router.is_dead:
            request.step()  # once: nobody waits for its answer
    if not told:
        transaction.told("info", "the outcome is not known")


def _marked(body: Any, windows: dict[str, tuple[SeqWindow, int]], group: str) -> Any:
    """With the watermark of the session that it belongs to."""
    watermark = windows[group][0].watermark
    match body:
        case Prepare() | Commit():
            return structs.replace(body, write=structs.replace(body.write, watermark=watermark))
        case Fence():
            return structs.replace(body, watermark=watermark)
    return body


def _settle(send: Send, answer: ResponseBody, windows: dict[str, tuple[SeqWindow, int]]) -> None:
    """A seq is open until the outcome is known where its command was sent."""
    is_outcome = (isinstance(answer, Decided) and not answer.commit) or (
        isinstance(send.body, Commit | Fence) and isinstance(answer, Done | AnswerNotKept)
    )
    if isinstance(send.body, TransactionOutcome) or is_outcome:
        window, seq = windows[send.group]
        window.settle(seq)


def _tell(
    transaction: _Transaction, coordinator: Coordinator, places: dict[str, list[int]]
) -> None:
    match coordinator.verdict:
        case Committed(results=results):
            for group, its in places.items():
                transaction.answered(its, results[group])
            transaction.told("ok")
        case Failed(answer=answer):
            transaction.told("fail", f"2PC: {type(answer).__name__}")
        case _:
            transaction.told("info", "the outcome is not known")
