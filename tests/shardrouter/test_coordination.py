"""The driver of two-phase commits against scripted nodes: what is sent again and under which name,
what the client is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from nodes.protocol import (
    EVERY_SLOT,
    Aborted,
    Decide,
    Decided,
    Done,
    End,
    Fence,
    Guard,
    Locked,
    NotLeader,
    OpenSession,
    Prepare,
    Prepared,
    RequestBody,
    SessionId,
    SqlFailure,
    Staged,
    Stale,
    Statement,
    StatementResult,
    TransactionId,
    TransactionOutcome,
    UnknownSession,
    Write,
)
from shardrouter.coordination import Part
from shardrouter.coordinator import Branch, Committed, Coordinator
from shardrouter.errors import RouterError
from shardrouter.shards import Shards
from shardrouter.tied import joined_guards
from tests.shardrouter.scripted import Cut, Hold, Reply, ScriptedNode, advance, run, scripted

BEGUN_US = 1000
ONE = StatementResult(1)
PARTS = {
    group: Part((Statement("UPDATE t SET n = 1"),), (Guard("table:t", 1),), ordinals=(at,))
    for at, group in enumerate(("shard-1", "meta"))
}
PREPARED = Prepared(5, (ONE,))
COMMITTED = Decided(True, 6)


def plays(node: ScriptedNode, of: Callable[[str, RequestBody], Reply | None]) -> None:
    """`of` says what it answers; otherwise it does what it is asked."""

    def script(group: str, body: RequestBody) -> Reply:
        said = of(group, body)
        if said is not None:
            return said
        match body:
            case OpenSession():
                return node.open_session()
            case Prepare():
                return PREPARED
            case Decide(commit=commit):
                return Decided(commit, 6)
            case _:
                return Done((), 7)

    node.script = script


async def committed(shards: Shards, timeout_s: float = 10.0, *, patience_s: float = 0.0) -> str:
    """What the client is told."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        found = await shards.commit(BEGUN_US, PARTS, "meta", deadline, patience_s=patience_s)
    except RouterError as exc:
        return exc.sqlstate if exc.definite == (exc.sqlstate != "08007") else "not honest"
    if isinstance(found, Committed):
        assert found.results == {"shard-1": (ONE,), "meta": (ONE,)}
        return "committed"
    return "stale"


def scenario(of: Callable[[str, RequestBody], Reply | None], said: str) -> ScriptedNode:
    """The node, after a transaction that it met like this."""
    met: list[ScriptedNode] = []

    async def one() -> None:
        async with scripted(1) as (shards, [node]):
            plays(node, of)
            assert await committed(shards) == said
            met.append(node)

    run(one())
    return met[0]


def once(kind: type[RequestBody], reply: Reply) -> Callable[[str, RequestBody], Reply | None]:
    """The first of its kind is answered so."""
    left = [reply]

    def of(_group: str, body: RequestBody) -> Reply | None:
        return left.pop() if isinstance(body, kind) and left else None

    return of


def test_meta_is_prepared_when_all_others_are() -> None:
    """They may take longer than a leader waits before it calls a transaction abandoned."""
    write = PARTS["meta"].write(SessionId(1, 1), 1, 0)
    groups = {group: Branch(write) for group in ("meta", "shard-1", "shard-2")}
    coordinator = Coordinator(TransactionId(1, 1, 1), "meta", groups, (SessionId(1, 1), 2))
    one, two = coordinator.begin()
    assert (one.group, two.group) == ("shard-1", "shard-2")
    assert coordinator.answered(two, PREPARED, doubt=False) == []
    [last] = coordinator.answered(one, PREPARED, doubt=False)
    assert last.group == "meta"
    [decide] = coordinator.answered(last, PREPARED, doubt=False)
    assert isinstance(decide.body, Decide)


def test_all_are_prepared_one_decides_and_the_others_are_told() -> None:
    node = scenario(lambda _group, _body: None, "committed")
    first, second = node.of(Prepare)
    assert first.anchor == second.anchor == "meta"
    assert first.participants == second.participants
    assert {each.group for each in first.participants} == {"shard-1", "meta"}
    [decide] = node.of(Decide)
    assert (decide.commit, decide.index, decide.id) == (True, 5, first.id)
    assert decide.session is not None


def test_seqs_are_settled_when_the_outcome_is_known_and_not_before() -> None:
    async def one() -> None:
        async with scripted(1) as (shards, [node]):
            plays(node, lambda _group, _body: None)
            for _ in range(2):
                assert await committed(shards) == "committed"
                while len(node.of(End)) * 2 < len(node.of(Prepare)):
                    node.arrived.clear()
                    await node.arrived.wait()
                deadline = asyncio.get_running_loop().time() + 10.0
                await shards.read("meta", (), deadline=deadline)  # answered behind END
            assert len(node.of(OpenSession)) == 2  # a lane for each group
            last = max(node.of(Prepare), key=lambda each: each.write.seq)
            assert last.write.watermark == last.write.seq - 1

    run(one())


def test_what_comes_behind_the_answer_waits_for_company() -> None:
    """An outcome leaves with the next request to its node, before it; ENDs leave together."""

    async def one() -> None:
        async with scripted(1) as (shards, [node]):
            plays(node, lambda _group, _body: None)
            for _ in range(3):
                assert await committed(shards) == "committed"
            behind = [b for b in node.got if isinstance(b, Prepare | TransactionOutcome | End)]
            assert not node.of(End)
            assert [type(body) for body in behind][:6] == [
                *(Prepare, Prepare, TransactionOutcome),
                *(Prepare, Prepare, TransactionOutcome),
            ]
            while len(node.of(TransactionOutcome)) < 3:
                node.arrived.clear()
                await node.arrived.wait()
            await shards.read("meta", (), deadline=asyncio.get_running_loop().time() + 10.0)
            advance(1.0)
            while len(node.of(End)) < 3:
                node.arrived.clear()
                await node.arrived.wait()
            assert [each.id for each in node.of(End)] == sorted({p.id for p in node.of(Prepare)})

    run(one())


def test_a_router_that_closes_sends_what_has_waited() -> None:
    async def one() -> None:
        async with scripted(1) as (shards, [node]):
            plays(node, lambda _group, _body: None)
            assert await committed(shards) == "committed"
            await shards.read("meta", (), deadline=asyncio.get_running_loop().time() + 10.0)
            await shards.close()
            while not (node.of(TransactionOutcome) and node.of(End)):
                node.arrived.clear()
                await node.arrived.wait()

    run(one())


@pytest.mark.parametrize("lost", [Prepare, Decide, TransactionOutcome])
def test_what_is_lost_is_sent_again_as_the_same_command(lost: type[RequestBody]) -> None:
    node = scenario(once(lost, Cut), "committed")
    assert len({(each.write.session, each.write.seq) for each in node.of(Prepare)}) == 2
    assert len({(each.session, each.seq) for each in node.of(Decide)}) == 1


def test_who_dies_of_an_older_transaction_is_as_old_in_its_next_life() -> None:
    node = scenario(once(Prepare, Locked(TransactionId(1, 1, 1))), "committed")
    ids = {each.id for each in node.of(Prepare)}
    assert len(ids) == 2
    assert {each.begun_us for each in ids} == {BEGUN_US}
    assert len({each.router for each in ids}) == 1
    [aborted] = [each for each in node.of(Decide) if not each.commit]
    assert aborted.id == min(ids)


def test_who_is_older_waits_with_what_it_holds() -> None:
    node = scenario(once(Prepare, Locked(TransactionId(BEGUN_US + 1, 1, 1))), "committed")
    assert len({each.id for each in node.of(Prepare)}) == 1
    assert len(node.of(Prepare)) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SqlFailure("23505", "duplicate key"), "23505"),
        (SqlFailure("40001", "a step differs"), "40001"),
        (Stale("table:t", 2, 1), "stale"),
    ],
)
def test_one_that_does_not_prepare_it_ends_it_for_all(
    answer: SqlFailure | Stale, said: str
) -> None:
    node = scenario(once(Prepare, answer), said)
    assert all(not each.commit for each in node.of(Decide))


@pytest.mark.parametrize("answer", [UnknownSession(), Prepared(5, None), Decided(False)])
def test_what_had_no_effect_is_begun_again(answer: Reply) -> None:
    node = scenario(once(Prepare, answer), "committed")
    assert len({each.id for each in node.of(Prepare)}) == 2


@pytest.mark.parametrize(
    ("fenced", "said"),
    [(COMMITTED, "committed"), (Aborted(), "committed"), (Hold, "08007")],
)
def test_a_decision_without_an_answer_is_fenced_and_never_called_a_failure(
    fenced: Reply, said: str
) -> None:
    """Aborted by the fence: it had no effect, and is begun again, if there is time."""

    async def one() -> None:
        async with scripted(1) as (shards, [node]):
            left = [Hold]

            def of(_group: str, body: RequestBody) -> Reply | None:
                if isinstance(body, Decide) and body.commit and left:
                    return left.pop()
                return fenced if isinstance(body, Fence) else None

            plays(node, of)
            running = asyncio.ensure_future(committed(shards))
            while not node.of(Decide):
                node.arrived.clear()
                await node.arrived.wait()
            advance(9.6)  # the last half second is the fence's
            while not node.of(Fence):
                node.arrived.clear()
                await node.arrived.wait()
            decide = node.of(Decide)[0]
            assert (node.of(Fence)[0].session, node.of(Fence)[0].seq) == (
                decide.session,
                decide.seq,
            )
            if fenced is Hold:
                advance(1.0)
            told = await running
            assert told == said if fenced != Aborted() else told in ("40001", "57014")

    run(one())


@pytest.mark.parametrize(
    "holder", [TransactionId(BEGUN_US + 1, 1, 1), TransactionId(1, 1, 1)], ids=["younger", "older"]
)
def test_lock_timeout_ends_its_waiting_for_others(holder: TransactionId) -> None:
    """The older one waits with what it holds, the younger one begins again and again."""

    async def one() -> None:
        async with scripted(1) as (shards, [node]):

            def of(group: str, body: RequestBody) -> Reply | None:
                return Locked(holder) if isinstance(body, Prepare) and group == "meta" else None

            plays(node, of)
            shards.bound_locks(100.0)
            running = asyncio.ensure_future(committed(shards, 1000.0))
            for seconds in (0.0, 50.0):
                advance(seconds)
                wanted = len(node.of(Prepare)) + 4
                while len(node.of(Prepare)) < wanted:
                    node.arrived.clear()
                    await node.arrived.wait()
                assert not running.done()
            advance(60.0)
            assert await running == "55P03"
            assert all(not each.commit for each in node.of(Decide))

    run(one())


def test_it_does_not_wait_for_a_shard_without_a_leader_if_all_have_to_take_part() -> None:
    async def one() -> None:
        async with scripted(1) as (shards, [node]):

            def of(group: str, body: RequestBody) -> Reply | None:
                is_unled = isinstance(body, Prepare) and group == "meta"
                return NotLeader(None) if is_unled else None

            plays(node, of)
            running = asyncio.ensure_future(committed(shards, 1000.0, patience_s=100.0))
            while len(node.of(Prepare)) < 3:
                node.arrived.clear()
                await node.arrived.wait()
            assert not running.done()
            advance(110.0)
            assert await running == "57P03"
            assert all(not each.commit for each in node.of(Decide))

    run(one())


def test_cancelled_before_it_is_decided_it_has_not_happened() -> None:
    async def one() -> None:
        async with scripted(1) as (shards, [node]):
            plays(node, lambda group, body: Hold if isinstance(body, Prepare) else None)
            running = asyncio.ensure_future(committed(shards))
            while not node.of(Prepare):
                node.arrived.clear()
                await node.arrived.wait()
            running.cancel()
            assert await running == "57014"

    run(one())


def test_who_names_no_slot_touches_its_tables_whole_also_beside_others() -> None:
    pinned = (Guard("table:t", 1), Guard("slot:7", 1))
    whole = (Guard("table:u", 1),)
    assert joined_guards([pinned]) == pinned
    assert joined_guards([whole, whole]) == whole
    assert set(joined_guards([pinned, whole])) == {*pinned, *whole, EVERY_SLOT}


def test_each_is_told_how_long_the_slowest_may_take_to_prepare() -> None:
    """To try, and to apply, what was sent ahead to it, and what it has to read again."""
    session = SessionId(1, 1)
    staged = Staged(session, 1, 3, 1024 * 1024, b"", rows=20_000)  # 0.5 s, and 2 s
    writes = {
        "shard-1": Write(session, 1, 0, (Statement("INSERT", staged=staged),)),
        "shard-2": Write(session, 1, 0, (Statement("UPDATE t SET n = 1"),)),
    }
    branches = {group: Branch(write) for group, write in writes.items()}
    for some, patience_ms in (("12", 5000), ("2", 0)):
        parts = {group: branches[group] for group in branches if group[-1] in some}
        coordinator = Coordinator(TransactionId(1, 1, 1), "shard-2", parts, (session, 2))
        bodies = [send.body for send in coordinator.begin()]
        assert len(bodies) == len(some)
        for body in bodies:
            assert isinstance(body, Prepare)
            assert body.patience_ms == patience_ms
    reads = {**branches, "shard-1": branches["shard-1"]._replace(patience_ms=300)}
    coordinator = Coordinator(TransactionId(1, 1, 1), "shard-2", reads, (session, 2))
    told = [send.body.patience_ms for send in coordinator.begin() if isinstance(send.body, Prepare)]
    assert told == [5300, 5300]
