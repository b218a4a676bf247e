"""The driver of two-phase commits against scripted nodes: what is sent again and under which name,
what the client is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from nodes.protocol import (
    EVERY_SLOT,
    Abort,
    Aborted,
    AnswerNotKept,
    Commit,
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
from shardrouter.coordinator import Branch, Committed, Coordinator, Failed, Send
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
COMMITTED = Done((ONE,), 6)


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
            case Commit():
                return COMMITTED
            case Abort():
                return Decided(False, 6)
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


def test_the_anchor_is_asked_when_all_others_are_prepared() -> None:
    """`meta` too: they may take longer than a leader waits before it calls it abandoned."""
    write = PARTS["meta"].write(SessionId(1, 1), 1, 0)
    groups = {group: Branch(write) for group in ("meta", "shard-1", "shard-2")}
    coordinator = Coordinator(TransactionId(1, 1, 1), "meta", groups)
    one, two = coordinator.begin()
    assert (one.group, two.group) == ("shard-1", "shard-2")
    assert coordinator.answered(two, PREPARED, doubt=False) == []
    [last] = coordinator.answered(one, PREPARED, doubt=False)
    assert last.group == "meta"
    assert isinstance(last.body, Commit)


def test_all_but_one_promise_it_decides_and_the_others_are_told() -> None:
    node = scenario(lambda _group, _body: None, "committed")
    [prepare], [commit] = node.of(Prepare), node.of(Commit)
    assert prepare.anchor == "meta"
    assert prepare.participants == commit.participants
    assert prepare.id == commit.id
    assert {each.group for each in prepare.participants} == {"shard-1", "meta"}


def test_seqs_are_settled_when_the_outcome_is_known_and_not_before() -> None:
    async def one() -> None:
        async with scripted(1) as (shards, [node]):
            plays(node, lambda _group, _body: None)
            for _ in range(2):
                assert await committed(shards) == "committed"
                while len(node.of(End)) < len(node.of(Prepare)):
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
            kinds = Prepare | Commit | TransactionOutcome | End
            behind = [body for body in node.got if isinstance(body, kinds)]
            assert not node.of(End)
            assert [type(body) for body in behind][:6] == [
                *(Prepare, Commit, TransactionOutcome),
                *(Prepare, Commit, TransactionOutcome),
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


@pytest.mark.parametrize("lost", [Prepare, Commit, TransactionOutcome])
def test_what_is_lost_is_sent_again_as_the_same_command(lost: type[RequestBody]) -> None:
    node = scenario(once(lost, Cut), "committed")
    for kind in (Prepare, Commit):
        assert len({(each.write.session, each.write.seq) for each in node.of(kind)}) == 1


def test_who_dies_of_an_older_transaction_is_as_old_in_its_next_life() -> None:
    node = scenario(once(Prepare, Locked(TransactionId(1, 1, 1))), "committed")
    ids = {each.id for each in node.of(Prepare)}
    assert len(ids) == 2
    assert {each.begun_us for each in ids} == {BEGUN_US}
    assert len({each.router for each in ids}) == 1
    [aborted] = node.of(Abort)
    assert aborted.id == min(ids)


def test_who_is_older_waits_with_what_it_holds() -> None:
    node = scenario(once(Prepare, Locked(TransactionId(BEGUN_US + 1, 1, 1))), "committed")
    assert len({each.id for each in node.of(Prepare)}) == 1
    assert len(node.of(Prepare)) == 2


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
    assert len(node.of(Abort)) == 1
    assert not node.of(Commit)


@pytest.mark.parametrize("answer", [UnknownSession(), Prepared(5, None), Aborted()])
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
                if isinstance(body, Commit) and left:
                    return left.pop()
                return fenced if isinstance(body, Fence) else None

            plays(node, of)
            running = asyncio.ensure_future(committed(shards))
            while not node.of(Commit):
                node.arrived.clear()
                await node.arrived.wait()
            advance(9.6)  # the last half second is the fence's
            while not node.of(Fence):
                node.arrived.clear()
                await node.arrived.wait()
            write = node.of(Commit)[0].write
            fence = node.of(Fence)[0]
            assert (fence.session, fence.seq) == (write.session, write.seq)
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

            def of(_group: str, body: RequestBody) -> Reply | None:
                return Locked(holder) if isinstance(body, Commit) else None

            plays(node, of)
            shards.bound_locks(100.0)
            running = asyncio.ensure_future(committed(shards, 1000.0))
            for seconds in (0.0, 50.0):
                advance(seconds)
                wanted = len(node.of(Commit)) + 4
                while len(node.of(Commit)) < wanted:
                    node.arrived.clear()
                    await node.arrived.wait()
                assert not running.done()
            advance(60.0)
            assert await running == "55P03"
            assert node.of(Abort)

    run(one())


@pytest.mark.parametrize("kind", [Prepare, Commit])
def test_it_does_not_wait_for_a_shard_without_a_leader_if_all_have_to_take_part(
    kind: type[RequestBody],
) -> None:
    async def one() -> None:
        async with scripted(1) as (shards, [node]):

            def of(_group: str, body: RequestBody) -> Reply | None:
                return NotLeader(None) if isinstance(body, kind) else None

            plays(node, of)
            running = asyncio.ensure_future(committed(shards, 1000.0, patience_s=100.0))
            while len(node.of(kind)) < 3:
                node.arrived.clear()
                await node.arrived.wait()
            assert not running.done()
            advance(110.0)
            assert await running == "57P03"
            assert not node.of(TransactionOutcome)

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


LOCKED = Locked(TransactionId(0, 1, 1))  # by an older one


def asked() -> tuple[Coordinator, Send]:
    """All are prepared, and the anchor is asked to commit."""
    parts = {group: Branch(part.write(SessionId(1, 1), 1, 0)) for group, part in PARTS.items()}
    coordinator = Coordinator(TransactionId(1, 1, 1), "meta", parts)
    [prepare] = coordinator.begin()
    [commit] = coordinator.answered(prepare, PREPARED, doubt=False)
    assert isinstance(commit.body, Commit)
    return coordinator, commit


@pytest.mark.parametrize("answer", [LOCKED, Stale("table:t", 2, 1)])
def test_a_commit_that_was_refused_has_failed_when_no_copy_of_it_can_follow(
    answer: Locked | Stale,
) -> None:
    coordinator, commit = asked()
    [abort] = coordinator.answered(commit, answer, doubt=False)
    assert isinstance(abort.body, Abort)
    told = coordinator.verdict
    assert told is None
    [outcome] = coordinator.answered(abort, Decided(False, 7), doubt=False)
    assert coordinator.verdict == Failed("meta", answer)
    assert isinstance(outcome.body, TransactionOutcome)
    assert not outcome.body.commit


def test_a_commit_that_the_network_has_doubled_is_told_as_what_it_did() -> None:
    """The second copy was applied, though the first was refused."""
    coordinator, commit = asked()
    [abort] = coordinator.answered(commit, LOCKED, doubt=False)
    [fence] = coordinator.answered(abort, Decided(True, 7), doubt=False)
    assert isinstance(fence.body, Fence)
    [outcome] = coordinator.answered(fence, COMMITTED, doubt=False)
    assert isinstance(coordinator.verdict, Committed)
    assert isinstance(outcome.body, TransactionOutcome)
    assert outcome.body.commit


def test_what_an_earlier_copy_may_have_done_is_not_forgotten() -> None:
    """It waits for a younger one, its time is over, and a copy of before that may be in a log."""
    coordinator, commit = asked()
    younger = Locked(TransactionId(2, 1, 1))
    [again] = coordinator.answered(commit, younger, doubt=True)
    assert again.after_pause
    [commit] = coordinator.again(again)
    assert coordinator.expire() == [], "it is under way"
    [again] = coordinator.answered(commit, younger, doubt=False)
    [fence] = coordinator.expire()
    assert isinstance(fence.body, Fence)
    assert coordinator.again(again) == []
    told = coordinator.verdict
    assert told is None
    [abort] = coordinator.answered(fence, Aborted(), doubt=False)
    assert isinstance(abort.body, Abort)
    assert coordinator.verdict == Failed("", None)


@pytest.mark.parametrize("answer", [AnswerNotKept(), Decided(True, 7)])
def test_a_commit_whose_rows_are_lost_is_told_to_all_and_said_to_have_happened(
    answer: AnswerNotKept | Decided,
) -> None:
    node = scenario(once(Commit, answer), "08007")
    assert not node.of(Abort)


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
        coordinator = Coordinator(TransactionId(1, 1, 1), "shard-2", parts)
        bodies = [send.body for send in coordinator.begin()]
        assert len(bodies) == max(1, len(some) - 1)
        for body in bodies:
            assert not isinstance(body, Prepare) or body.patience_ms == patience_ms
    reads = {**branches, "shard-1": branches["shard-1"]._replace(patience_ms=300)}
    coordinator = Coordinator(TransactionId(1, 1, 1), "shard-2", reads)
    told = [send.body.patience_ms for send in coordinator.begin() if isinstance(send.body, Prepare)]
    assert told == [5300]
