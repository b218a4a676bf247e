"""A schema change takes as long as its shards are at work on it, and no longer."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nodes.applied_state import AppliedState
from nodes.engine import Committed
from nodes.protocol import ReplicaStatus, Status, Write
from shardrouter import patience, settings
from shardrouter.errors import DeadlineExceeded, OutcomeUnknown, RouterError
from shardrouter.patience import all_of, while_served
from shardrouter.router import Router
from shardrouter.session import Execution
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_schema_in_transactions import Client, client_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Slow:
    """Entries that change the schema of a shard are applied when the test lets them."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.is_slow = False

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 20)

    def before(self, name: str, entries: Sequence[Committed]) -> None:
        changes = any(
            type(body) is Write and body.sets and body.statements
            for _, _, entry in entries
            if entry is not None
            for body in entry.bodies
        )
        if self.is_slow and changes and "meta" not in name:
            self.begun.set()
            assert self.may_go_on.wait(20)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    found = Slow()
    apply = AppliedState.apply_together

    def applied(self: AppliedState, entries: Sequence[Committed]) -> Any:
        found.before(self._name, entries)
        return apply(self, entries)

    monkeypatch.setattr(AppliedState, "apply_together", applied)
    yield found
    found.may_go_on.set()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("patience")) as path:
        yield path


@pytest_asyncio.fixture(loop_scope="module")
async def routers(
    cluster: Path,
) -> AsyncIterator[tuple[Router, Router]]:
    """Two. Table `t` is on the home shard, `elsewhere` on all."""
    async with (
        Router.open(cluster, rng=random.Random(1)) as a,
        Router.open(cluster, rng=random.Random(2)) as b,
    ):
        client = await client_of(a, "t", "elsewhere")
        await client.run("CREATE TABLE t (id int, n int)")
        await client.run("INSERT INTO t VALUES (1, 1), (2, 2)")
        await client.run("SET default_placement = sharded")
        await client.run("CREATE TABLE elsewhere (id int PRIMARY KEY)")
        yield a, b


KEY = "ALTER TABLE t ADD PRIMARY KEY (id)"


async def in_a_hurry(router: Router) -> Client:
    """A session whose statements have 0.2 s, which nobody has set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings._DEFAULTS, "statement_timeout", "200ms")
        client = Client(router)
        await client.run("SET default_placement = home")
        assert client.session.settings.statement_timeout_s == 0.2
    return client


async def test_a_change_outlasts_the_timeout_that_nobody_has_set(
    routers: tuple[Router, Router], slow: Slow
) -> None:
    a, b = routers
    home = b._backend.schema.catalog.home
    place = 1
    while (await b.where("elsewhere", place)).shard == home:
        place += 1
    slow.is_slow = True
    change = asyncio.ensure_future((await in_a_hurry(a)).run(KEY))
    await slow.has_begun()
    # Another shard does its work; this one does not, and nobody waits for ever.
    other, hurried = Client(b), await in_a_hurry(b)
    await other.run("INSERT INTO elsewhere VALUES ($1)", place)
    assert await hurried.code("SELECT n FROM t") == "57014"
    assert await hurried.code("SELECT n FROM t") == "57014"
    assert not change.done()
    slow.may_go_on.set()
    await change
    assert await other.values("SELECT n FROM t WHERE id = 2") == [(2,)]
    assert await other.code("INSERT INTO t VALUES (1, 3)") == "23505"


@pytest.mark.parametrize("sql", ["SET statement_timeout = '300ms'", ""])
async def test_one_that_somebody_has_set_ends_it_and_it_is_finished_by_the_next(
    routers: tuple[Router, Router], slow: Slow, sql: str
) -> None:
    a, b = routers
    client = await client_of(a)
    if sql:
        await client.run(sql)
    slow.is_slow = True
    execution = Execution(await client.session.prepare(KEY))
    executed = client.session.run([execution], None if sql else 0.3)
    with pytest.raises(OutcomeUnknown, match="marked but not finished"):
        await executed
    assert (await b._backend.schema.refresh(_soon())).pending is not None
    slow.may_go_on.set()
    # Whoever is next finds the mark, and whom it waits for.
    other = await client_of(b)
    await other.run("CREATE INDEX ON t (n)")
    assert b._backend.schema.catalog.tables["t"].primary_key == ("id",)
    assert await other.code("INSERT INTO t VALUES (1, 3)") == "23505"


async def test_a_router_that_dies_meanwhile_is_succeeded_by_one_that_waits_as_long(
    cluster: Path, routers: tuple[Router, Router], slow: Slow
) -> None:
    _, b = routers
    slow.is_slow = True
    async with Router.open(cluster, rng=random.Random(3)) as dying:
        change = asyncio.ensure_future((await client_of(dying)).run(KEY))
        await slow.has_begun()
    with pytest.raises(OutcomeUnknown):
        await change
    again = asyncio.ensure_future((await in_a_hurry(b)).run("ALTER TABLE t ADD UNIQUE (n)"))
    hurried = await in_a_hurry(b)
    assert await hurried.code("SELECT n FROM t") == "57014"  # as long as that may take
    assert not again.done()
    slow.may_go_on.set()
    await again
    table = b._backend.schema.catalog.tables["t"]
    assert table.primary_key == ("id",)
    assert await Client(b).code("INSERT INTO t VALUES (3, 2)") == "23505"


async def test_a_cancelled_change_says_within_a_second_that_it_is_not_known(
    routers: tuple[Router, Router], slow: Slow
) -> None:
    a, b = routers
    client = await client_of(a)
    slow.is_slow = True
    change = asyncio.ensure_future(client.run(KEY))
    await slow.has_begun()
    client.session.cancel()
    with pytest.raises(OutcomeUnknown):
        await change
    slow.may_go_on.set()
    await Client(b).run("INSERT INTO t VALUES (3, 3)")
    await (await client_of(b)).run("CREATE INDEX ON t (n)")
    assert await Client(b).code("INSERT INTO t VALUES (3, 3)") == "23505"


async def test_a_change_that_waits_for_its_turn_is_cancelled_at_once(
    routers: tuple[Router, Router], slow: Slow
) -> None:
    a, _ = routers
    slow.is_slow = True
    change = asyncio.ensure_future((await client_of(a)).run(KEY))
    await slow.has_begun()
    other = await client_of(a)
    execution = Execution(await other.session.prepare("CREATE TABLE never (id int)"))
    waiting = asyncio.ensure_future(other.session.run([execution]))
    await asyncio.sleep(0)
    other.session.cancel()
    with pytest.raises(DeadlineExceeded, match="user request"):
        await waiting
    slow.may_go_on.set()
    await change
    assert "never" not in (await a._backend.schema.refresh(_soon())).tables


def _soon() -> float:
    return asyncio.get_running_loop().time() + 10


class Cluster:
    """Nodes that say who leads `shard-1`, or nobody."""

    def __init__(self, *leaders: str) -> None:
        self.leaders = list(leaders)
        self._asked = 0
        self.asked_often = asyncio.Event()

    async def statuses(self, timeout_s: float) -> dict[str, Status | None]:
        self._asked += 1
        if self._asked >= 10:
            self.asked_often.set()
        leader = self.leaders.pop(0) if len(self.leaders) > 1 else self.leaders[0]
        role = "leader" if leader else "follower"
        led = ReplicaStatus("shard-1", 1, role, leader or None, 1, 1, 1, 1, "")
        return {"n1": Status("n1", 1, (led,)), "n2": None}


async def test_work_is_waited_for_while_its_group_is_led(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_S", 0.01)
    monkeypatch.setattr(patience, "SILENCE_S", 0.03)
    cluster = Cluster("n1")
    done = asyncio.Event()

    async def work() -> str:
        await done.wait()
        return "done"

    waiting = asyncio.ensure_future(while_served(work(), cluster, lambda: ["shard-1"]))
    await cluster.asked_often.wait()
    done.set()
    assert await waiting == "done"


async def test_work_for_a_group_without_a_leader_ends_with_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "LOOK_S", 0.01)
    monkeypatch.setattr(patience, "SILENCE_S", 0.03)

    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded) as caught:
        await while_served(never(), Cluster("n1", "n1", ""), lambda: ["shard-1"])
    assert caught.value.detail == "shard-1 did not answer in time: no node has led it for 0.03 s."

    async def unsure() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            raise OutcomeUnknown("it may have happened") from None

    with pytest.raises(OutcomeUnknown):
        await while_served(unsure(), Cluster(""), lambda: ["shard-1"])

    async def happened() -> str:
        with suppress(asyncio.CancelledError):
            await never()
        return "happened"

    assert await while_served(happened(), Cluster(""), lambda: ["shard-1"]) == "happened"


async def test_of_several_failures_the_one_that_leaves_it_open_is_told() -> None:
    async def fails(error: RouterError) -> None:
        raise error

    with pytest.raises(OutcomeUnknown):
        await all_of(fails(DeadlineExceeded("no")), fails(OutcomeUnknown("perhaps")))
    with pytest.raises(DeadlineExceeded):
        await all_of(fails(DeadlineExceeded("no")), asyncio.sleep(0))


async def test_all_end_before_a_cancelled_call_does() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(number)

    task = asyncio.ensure_future(all_of(work(1), work(2)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert sorted(ended) == [1, 2]
