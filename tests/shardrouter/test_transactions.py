"""Transaction blocks on a real cluster of one node: what sessions answer, and what is kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from nodes.protocol import Value
from shardrouter.connection import Connection
from shardrouter.errors import NotSupported, OutcomeUnknown, RouterError
from shardrouter.exceptions import SerializationError, UniqueViolationError
from shardrouter.planned import OneShard
from shardrouter.router import Router
from shardrouter.session import Execution, Outcome, Session
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("transactions")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        await opened.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint, name text)")
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def here(router: Router) -> list[int]:
    """Keys of one shard, whose rows are there with n = 0; no others are."""
    await empty(router)
    shard = (await router.where("t", 0)).shard
    keys = [key for key in range(60) if (await router.where("t", key)).shard == shard][:6]
    for key in keys:
        await router.execute("INSERT INTO t (id, n) VALUES ($1, 0)", key)
    return keys


async def empty(router: Router) -> None:
    for row in await router.fetch("SELECT id FROM t"):
        await router.execute("DELETE FROM t WHERE id = $1", row["id"])


async def elsewhere(router: Router) -> int:
    """A key of another shard."""
    shard = (await router.where("t", 0)).shard
    keys = [key for key in range(100, 130) if (await router.where("t", key)).shard != shard]
    return keys[0]


class Client:
    """A session, statement by statement."""

    def __init__(self, router: Router) -> None:
        self.session: Session = router.new_session()

    async def run(self, sql: str, *arguments: Value) -> Outcome:
        prepared = await self.session.prepare(sql)
        [outcome] = await self.session.run([Execution(prepared, arguments)])
        return outcome

    async def tag(self, sql: str, *arguments: Value) -> str:
        return (await self.run(sql, *arguments)).tag

    async def values(self, sql: str, *arguments: Value) -> list[tuple[Any, ...]]:
        return list((await self.run(sql, *arguments)).values)

    async def code(self, sql: str, *arguments: Value) -> str:
        """The SQLSTATE of a statement that has to fail, as a wire would report it."""
        with pytest.raises(RouterError) as caught:
            await self.run(sql, *arguments)
        self.session.note_failure()
        return caught.value.sqlstate

    async def unit(self, *statements: str) -> list[str]:
        """Several statements at once; their tags."""
        unit = [Execution(await self.session.prepare(sql)) for sql in statements]
        return [outcome.tag for outcome in await self.session.run(unit)]

    @property
    def status(self) -> str:
        return self.session.status


READ = "SELECT n FROM t WHERE id = $1"
ADD = "UPDATE t SET n = n + $2 WHERE id = $1"


async def total(router: Router, keys: list[int]) -> int:
    return sum([await router.fetchval(READ, key) for key in keys])


async def test_commit_and_rollback(router: Router, here: list[int]) -> None:
    a, b, *_ = here
    client = Client(router)
    assert await client.tag("BEGIN") == "BEGIN"
    assert client.status == "T"
    assert await client.tag(ADD, a, -5) == "UPDATE 1"
    assert await client.tag(ADD, b, 5) == "UPDATE 1"
    assert await client.values(READ, a) == [(-5,)]
    assert await router.fetchval(READ, a) == 0
    assert await client.tag("COMMIT") == "COMMIT"
    assert client.status == "I"
    assert [await router.fetchval(READ, key) for key in (a, b)] == [-5, 5]
    await client.run("START TRANSACTION")
    await client.run(ADD, a, 100)
    assert await client.tag("ABORT") == "ROLLBACK"
    assert await router.fetchval(READ, a) == -5


async def test_two_that_read_what_the_other_writes_do_not_both_commit(
    router: Router, here: list[int]
) -> None:
    a, b, *_ = here
    one, two = Client(router), Client(router)
    for client in (one, two):
        await client.run("BEGIN ISOLATION LEVEL READ COMMITTED")  # a level above it is given
    [(seen_a,)] = await one.values(READ, a)
    [(seen_b,)] = await two.values(READ, b)
    await one.run("UPDATE t SET n = $2 WHERE id = $1", b, seen_a + 1)
    await two.run("UPDATE t SET n = $2 WHERE id = $1", a, seen_b + 1)
    assert await one.tag("COMMIT") == "COMMIT"
    with pytest.raises(RouterError) as caught:
        await two.run("COMMIT")
    assert caught.value.sqlstate == "40001"
    assert "repeated" in caught.value.hint
    assert caught.value.definite
    assert two.status == "I"
    assert await total(router, [a, b]) == 1


async def test_a_statement_finds_that_an_earlier_one_has_changed(
    router: Router, here: list[int]
) -> None:
    a, b, *_ = here
    client = Client(router)
    await client.run("BEGIN")
    await client.values(READ, a)
    await router.execute(ADD, a, 1)
    assert await client.code(READ, b) == "40001"
    assert client.status == "E"
    assert await client.tag("COMMIT") == "ROLLBACK"


async def test_only_reads_need_no_entry(router: Router, here: list[int]) -> None:
    a, b, *_ = here
    group = (await router.where("t", a)).shard
    client = Client(router)

    async def applied() -> int:
        [status] = (await router.status()).values()
        assert status is not None
        return next(r.applied for r in status.replicas if r.group == group)

    before = await applied()
    await client.run("BEGIN READ ONLY")
    for key in (a, b, a):
        assert await client.values(READ, key) == [(0,)]
    assert await client.code(ADD, a, 1) == "25006"
    await client.run("ROLLBACK")
    await client.run("BEGIN")
    await client.values(READ, a)
    await client.run("COMMIT")
    assert await applied() == before


async def test_after_a_failure_only_its_end_helps(router: Router, here: list[int]) -> None:
    a, *_ = here
    client = Client(router)
    await client.run("BEGIN")
    await client.run(ADD, a, 1)
    assert await client.code("INSERT INTO t (id) VALUES ($1)", a) == "23505"
    assert client.status == "E"
    for sql in ("SELECT 1", "BEGIN", "SAVEPOINT s", "SHOW timezone", "SELECT * FROM nosuch"):
        assert await client.code(sql) == "25P02"
    assert await client.code("SELEC 1") == "42601"
    assert await client.code("ROLLBACK TO nosuch") == "3B001"
    assert await client.tag("COMMIT") == "ROLLBACK"
    assert await router.fetchval(READ, a) == 0
    await client.run("BEGIN")
    client.session.note_failure()  # a message that the wire refused
    assert client.status == "E"
    assert await client.tag("ROLLBACK") == "ROLLBACK"
    assert await client.values("SELECT 1") == [(1,)]


async def test_savepoints(router: Router, here: list[int]) -> None:
    a, b, c, *_ = here
    client = Client(router)
    await client.run("BEGIN")
    await client.run(ADD, a, 1)
    assert await client.tag("SAVEPOINT s") == "SAVEPOINT"
    await client.run(ADD, b, 1)
    assert await client.code("INSERT INTO t (id) VALUES ($1)", a) == "23505"
    assert await client.tag("ROLLBACK TO s") == "ROLLBACK"
    assert client.status == "T"
    assert await client.values(READ, b) == [(0,)]
    await client.run("SAVEPOINT s")  # shadows the first
    await client.run(ADD, b, 7)
    await client.run("SAVEPOINT inner_one")
    await client.run(ADD, c, 100)
    await client.run("ROLLBACK TO SAVEPOINT s")
    assert await client.code("RELEASE inner_one") == "3B001"
    await client.run("ROLLBACK TO s")
    await client.run(ADD, c, 3)
    assert await client.tag("RELEASE s") == "RELEASE"
    await client.run("ROLLBACK TO s")  # the first
    await client.run(ADD, c, 5)
    await client.run("COMMIT")
    assert [await router.fetchval(READ, key) for key in (a, b, c)] == [1, 0, 5]


async def test_outside_of_a_block(router: Router) -> None:
    client = Client(router)
    for sql, tag in (("COMMIT", "COMMIT"), ("END", "COMMIT"), ("ROLLBACK", "ROLLBACK")):
        outcome = await client.run(sql)
        assert outcome.tag == tag
        [notice] = outcome.notices
        assert (notice.severity, notice.sqlstate) == ("WARNING", "25P01")
    for sql in ("SAVEPOINT s", "RELEASE s", "ROLLBACK TO s", "COMMIT AND CHAIN"):
        assert await client.code(sql) == "25P01"
    for sql in ("SET LOCAL statement_timeout = '3s'", "SET TRANSACTION READ ONLY"):
        assert [n.sqlstate for n in (await client.run(sql)).notices] == ["25P01"]
    assert await client.values("SHOW statement_timeout") == [("10s",)]
    await client.run("BEGIN")
    assert [n.sqlstate for n in (await client.run("BEGIN")).notices] == ["25001"]
    assert client.status == "T"
    await client.session.close()


async def test_modes_and_settings(router: Router, here: list[int]) -> None:
    a, *_ = here
    client = Client(router)

    async def show(name: str) -> Any:
        return (await client.values(f"SHOW {name}"))[0][0]

    assert await show("transaction_isolation") == "serializable"
    await client.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    assert await show("TRANSACTION ISOLATION LEVEL") == "repeatable read"
    assert await show("transaction_read_only") == "on"
    await client.run("SET TRANSACTION READ WRITE")
    await client.run("SET LOCAL statement_timeout = '2s'")
    await client.run("SET application_name = 'one'")
    await client.run("SAVEPOINT s")
    await client.run("SET application_name = 'two'")
    outcome = await client.run("ROLLBACK TO s")
    assert outcome.parameter_status == (("application_name", "one"),)
    await client.run(READ, a)
    assert await client.code("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE") == "25001"
    await client.run("ROLLBACK TO s")
    await client.run("COMMIT AND CHAIN")
    assert client.status == "T"
    assert await show("transaction_isolation") == "repeatable read"
    assert (await show("statement_timeout"), await show("application_name")) == ("10s", "one")
    await client.run("SET application_name = 'three'")
    assert (await client.run("ROLLBACK")).parameter_status == (("application_name", "one"),)
    await client.run("BEGIN READ WRITE")
    await client.run("SET TRANSACTION READ ONLY")
    assert await client.code("SELEC") == "42601"
    await client.run("COMMIT AND CHAIN")
    assert await show("transaction_read_only") == "off"  # as it began, for it has failed
    await client.run("ROLLBACK")
    await client.run("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    assert await client.code(ADD, a, 1) == "25006"
    await client.run("BEGIN READ WRITE")
    await client.run(ADD, a, 1)
    await client.run("COMMIT")
    await client.run("BEGIN")
    assert await client.code(ADD, a, 1) == "25006"


async def test_a_table_of_several_shards_is_made_or_is_not_with_its_transaction(
    router: Router,
) -> None:
    client = Client(router)
    for end, code in (("ROLLBACK", "42P01"), ("COMMIT", "")):
        await client.run("BEGIN")
        await client.run("CREATE TABLE u (id bigint PRIMARY KEY)")
        await client.run(end)
        if code:
            assert await client.code("SELECT id FROM u") == code
        else:
            assert await client.values("SELECT id FROM u") == []


async def test_several_statements_at_once(router: Router, here: list[int]) -> None:
    a, b, *_ = here
    client = Client(router)
    add_a, add_b = (f"UPDATE t SET n = n + 1 WHERE id = {key}" for key in (a, b))
    tags = await client.unit(add_a, "BEGIN", add_b, "COMMIT", add_a)
    assert tags == ["UPDATE 1", "BEGIN", "UPDATE 1", "COMMIT", "UPDATE 1"]
    assert await total(router, [a, b]) == 3
    # What comes before BEGIN is part of the block, what comes before ROLLBACK is undone.
    await client.unit(add_a, "BEGIN", add_b)
    assert client.status == "T"
    assert await client.values(READ, a) == [(3,)]
    await client.run("ROLLBACK")
    assert await client.unit(add_a, "ROLLBACK", add_b) == ["UPDATE 1", "ROLLBACK", "UPDATE 1"]
    assert await total(router, [a, b]) == 4
    assert await client.unit(add_a, "COMMIT") == ["UPDATE 1", "COMMIT"]
    assert await total(router, [a, b]) == 5
    for statements in (
        (add_a, f"INSERT INTO t (id) VALUES ({a})", "BEGIN"),
        (add_a, "SAVEPOINT s"),
        (add_a, f"INSERT INTO t (id) VALUES ({a})", "ROLLBACK"),
    ):
        with pytest.raises(RouterError) as caught:
            await client.unit(*statements)
        assert caught.value.statement == 1
        assert client.status == "I"
    assert await total(router, [a, b]) == 5


async def test_a_schema_change_ends_those_that_relied_on_it(
    router: Router, here: list[int]
) -> None:
    a, *_ = here
    await router.execute("CREATE TABLE IF NOT EXISTS v (id bigint PRIMARY KEY)")
    shard = (await router.where("t", a)).shard
    key, *_ = [key for key in range(60) if (await router.where("v", key)).shard == shard]
    client, other = Client(router), Client(router)
    for each in (client, other):
        await each.run("BEGIN")
        await each.run("INSERT INTO v (id) VALUES ($1)", key)
    await router.execute("DROP TABLE v")
    await router.execute("CREATE TABLE v (id bigint PRIMARY KEY)")
    assert await client.code(READ, a) == "40001"
    await client.run("ROLLBACK")
    assert await other.code("COMMIT") == "40001"
    assert other.status == "I"
    # One that relies on nothing old goes on, whatever its router had planned.
    await client.run("BEGIN")
    await client.run(ADD, a, 1)
    await client.run("INSERT INTO v (id) VALUES ($1)", key)
    await client.run("COMMIT")
    assert await router.fetchval("SELECT count(*) FROM v") == 1


async def test_limits(router: Router, here: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    a, *_ = here
    monkeypatch.setattr("shardrouter.branch.TRANSACTION_STEPS_MAX", 20)
    client = Client(router)
    await client.run("BEGIN")
    await client.run(ADD, a, 1)
    for _ in range(19):
        await client.run("SAVEPOINT s")
    assert await client.code("SAVEPOINT s") == "54000"
    await client.run("ROLLBACK")
    assert await router.fetchval(READ, a) == 0


async def test_long_transactions_side_by_side(router: Router, here: list[int]) -> None:
    """Each takes the file from the others at every statement, and its steps are sent again only
    when the leader asks for them."""
    name = "n" * 400
    clients = [Client(router) for _ in range(3)]
    for client in clients:
        await client.run("BEGIN")
    for _ in range(50):
        for client, key in zip(clients, here, strict=False):
            await client.run("UPDATE t SET n = n + 1, name = $2 WHERE id = $1", key, name)
    for client, key in zip(clients, here, strict=False):
        assert await client.values(READ, key) == [(50,)]
        await client.run("COMMIT")
    assert await total(router, here) == 150


async def test_what_is_bounded_work_is_so_wherever_the_table_is(router: Router) -> None:
    """Or a COMMIT would be tried before it is proposed, and statements run on a thread."""
    session = router.new_session()
    for name, placement in (("h", "home"), ("r", "reference")):
        options = f"WITH ({placement} = true)"
        await router.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, n int) {options}")
    for name in ("t", "h", "r"):
        for sql, is_quick in (
            (f"SELECT n FROM {name} WHERE id = $1", True),
            (f"SELECT n FROM {name} WHERE id = 7 FOR UPDATE", True),
            (f"SELECT a.n FROM {name} a, {name} b WHERE a.id = 7 AND b.id = 7", False),
        ):
            plan = (await session.prepare(sql)).plan
            assert isinstance(plan, OneShard)
            assert plan.quick is is_quick, sql


async def test_nothing_is_left_of_a_session_that_ends(router: Router, here: list[int]) -> None:
    a, *_ = here
    client = Client(router)
    await client.run("BEGIN")
    await client.run(ADD, a, 1)
    await client.session.close()
    assert client.status == "I"
    await asyncio.wait_for(router.execute(ADD, a, 10), 1)
    assert await router.fetchval(READ, a) == 10


async def test_the_routers_own_session_takes_no_block(router: Router) -> None:
    for sql in ("BEGIN", "COMMIT", "SELECT 1; BEGIN"):
        with pytest.raises(NotSupported, match="a connection of their own"):
            await router.execute(sql)


async def test_money_is_kept_by_many_at_once(router: Router, here: list[int]) -> None:
    rng = random.Random(3)
    refused = 0

    async def move(client: Client, source: int, to: int, amount: int) -> bool:
        await client.run("BEGIN")
        try:
            [(have,)] = await client.values(READ, source)
            await client.run("UPDATE t SET n = $2 WHERE id = $1", source, have - amount)
            [(other,)] = await client.values(READ, to)
            await client.run("UPDATE t SET n = $2 WHERE id = $1", to, other + amount)
            await client.run("COMMIT")
            return True
        except SerializationError:
            if client.status == "E":
                await client.run("ROLLBACK")
            return False

    async def work(client: Client, moves: list[tuple[int, int, int]]) -> None:
        nonlocal refused
        for source, to, amount in moves:
            while not await move(client, source, to, amount):
                refused += 1

    def draw() -> tuple[int, int, int]:
        source, to = rng.sample(here, 2)
        return source, to, rng.randrange(1, 9)

    plans = [[draw() for _ in range(6)] for _ in range(4)]
    await asyncio.gather(*(work(Client(router), moves) for moves in plans))
    assert await total(router, here) == 0
    assert refused  # or this test would show nothing


# --------------------------------------------------------------------------- the embedded API


async def test_a_transaction_of_a_router(router: Router, here: list[int]) -> None:
    a, b, *_ = here

    async def fails_within(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(ADD, a, 100)
            await connection.execute("INSERT INTO t (id) VALUES ($1)", a)

    async def hides_its_failure(connection: Connection) -> None:
        async with connection.transaction():
            with pytest.raises(UniqueViolationError):
                await connection.execute("INSERT INTO t (id) VALUES ($1)", a)

    async with router.transaction(isolation="repeatable_read") as t:
        await t.execute(ADD, a, -5)
        assert t.is_in_transaction()
        with pytest.raises(UniqueViolationError):
            await fails_within(t)  # a savepoint
        async with t.transaction():
            await t.execute(ADD, b, 5)
    assert [await router.fetchval(READ, key) for key in (a, b)] == [-5, 5]

    async def leaves() -> None:
        async with router.transaction() as t:
            await t.execute(ADD, a, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await leaves()
    async with router.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(ADD, a, 1)
        await transaction.rollback()
        with pytest.raises(UniqueViolationError):
            await fails_within(connection)
        assert not connection.is_in_transaction()
        with pytest.raises(RouterError, match="aborted"):  # it cannot end as if it had committed
            await hides_its_failure(connection)
    assert await router.fetchval(READ, a) == -5


async def test_statements_of_one_transaction_take_turns(router: Router, here: list[int]) -> None:
    a, *_ = here
    async with router.transaction() as t:
        await asyncio.gather(*(t.execute(ADD, a, 1) for _ in range(20)))
    assert await router.fetchval(READ, a) == 20


async def test_a_transaction_is_repeated_on_40001_and_on_nothing_else(
    router: Router, here: list[int]
) -> None:
    a, *_ = here
    runs: list[int] = []

    async def disturbed(t: Connection) -> int:
        seen: int = await t.fetchval(READ, a)
        runs.append(seen)
        if len(runs) < 3:
            await router.execute(ADD, a, 1)
        await t.execute("UPDATE t SET n = $2 WHERE id = $1", a, seen + 100)
        return seen

    assert await router.transaction_with_retry(disturbed) == 2
    assert runs == [0, 1, 2]
    assert await router.fetchval(READ, a) == 102

    async def unknown(_t: Connection) -> None:
        runs.append(0)
        raise OutcomeUnknown("it may have happened")

    runs.clear()
    with pytest.raises(OutcomeUnknown):
        await router.transaction_with_retry(unknown)
    assert runs == [0]

    async def always(t: Connection) -> None:
        runs.append(0)
        await t.fetchval(READ, a)
        await router.execute(ADD, a, 1)
        await t.execute(ADD, a, 1)

    runs.clear()
    with pytest.raises(SerializationError):
        await router.transaction_with_retry(always, attempts=2)
    assert runs == [0, 0]


# --------------------------------------------------------------------------- FOR UPDATE

LOCK = "SELECT n FROM t WHERE id = $1 FOR UPDATE"
SHARE = "SELECT n FROM t WHERE id = $1 FOR SHARE"


async def test_for_update_waits_for_the_one_before(router: Router, here: list[int]) -> None:
    """Many add to one row by what they read, and none has to be repeated."""
    a, *_ = here

    async def add() -> None:
        async with router.transaction() as t:
            seen = await t.fetchval(LOCK, a)
            await t.execute("UPDATE t SET n = $2 WHERE id = $1", a, seen + 1)

    await asyncio.gather(*(add() for _ in range(12)))
    assert await router.fetchval(READ, a) == 12


async def test_waits_for_locks_end(router: Router, here: list[int]) -> None:
    a, b, *_ = here
    one, two = Client(router), Client(router)
    await one.run("BEGIN")
    await one.values(LOCK, a)
    await two.run("BEGIN")
    await two.run("SET LOCAL lock_timeout = '20ms'")
    assert await two.code(SHARE, a) == "55P03"
    await two.run("ROLLBACK")
    # A circle is found where it closes, and the other goes on.
    await two.run("BEGIN")
    await two.values(LOCK, b)

    async def asks_for_the_other(client: Client, key: int) -> str:
        try:
            await client.run(LOCK, key)
        except SerializationError:
            await client.run("ROLLBACK")
            return "deadlock"
        await client.run("COMMIT")
        return "got it"

    ends = await asyncio.gather(asks_for_the_other(one, b), asks_for_the_other(two, a))
    assert sorted(ends) == ["deadlock", "got it"]
    # A client that says nothing stands in nobody's way for long.
    await two.run("BEGIN")
    await two.values(LOCK, a)
    async with router.transaction() as t:
        assert await t.fetchval(LOCK, a) == 0
    await two.run("ROLLBACK")
    await two.run("BEGIN READ ONLY")
    assert await two.code(LOCK, a) == "25006"
    assert await router.fetch(LOCK, a)  # outside of a transaction it is a read
