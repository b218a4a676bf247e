"""Units of commit, settings, scatter and staleness, on a real cluster of one node."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nodes.protocol import OutputColumn, Request, Value
from nodes.service import GroupService
from nodes.values import BOOL, INT8, TEXT, encode_data_rows
from nodes.work import Work
from shardrouter.errors import DeadlineExceeded, NotSupported, RouterError, StatementError
from shardrouter.exceptions import SerializationError
from shardrouter.router import Router
from shardrouter.session import Execution, Outcome, Session
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("session")) as path:
        yield path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(cluster: Path) -> AsyncIterator[Router]:
    async with Router.open(cluster, rng=random.Random(1)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other_router(cluster: Path, router: Router) -> AsyncIterator[Router]:
    async with Router.open(cluster, name="other", rng=random.Random(2)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def session(router: Router) -> AsyncIterator[Session]:
    """A session, and an empty table t."""
    opened = router.new_session()
    await router.execute("DROP TABLE IF EXISTS t")
    await router.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, ok boolean)")
    yield opened
    await opened.close()


async def prepare(session: Session, sql: str, *arguments: Value) -> Execution:
    return Execution(await session.prepare(sql), arguments)


async def run(session: Session, *statements: str) -> list[Outcome]:
    return await session.run([await prepare(session, sql) for sql in statements])


async def failure(session: Session, *statements: str) -> RouterError:
    with pytest.raises(RouterError) as caught:
        await run(session, *statements)
    return caught.value


async def same_shard(router: Router, count: int) -> list[int]:
    """Keys of t that live on one shard."""
    by_shard: dict[str, list[int]] = {}
    for key in range(100):
        keys = by_shard.setdefault((await router.where("t", key)).shard, [])
        keys.append(key)
        if len(keys) == count:
            return keys
    raise AssertionError("a hundred keys, three shards")


async def spread(router: Router) -> tuple[int, int]:
    """Keys of t that live on two shards."""
    first = (await router.where("t", 0)).shard
    for key in range(1, 100):
        if (await router.where("t", key)).shard != first:
            return 0, key
    raise AssertionError("a hundred keys, three shards")


# --------------------------------------------------------------------------- units of commit


async def test_a_unit_on_one_shard_is_one_commit_with_its_reads_in_order(
    router: Router, session: Session
) -> None:
    a, b = await same_shard(router, 2)
    outcomes = await run(
        session,
        f"INSERT INTO t (id, name) VALUES ({a}, 'a')",
        f"SELECT name FROM t WHERE id = {a}",
        "SELECT 1 AS one",
        f"UPDATE t SET name = 'b' WHERE id = {a}",
        f"INSERT INTO t (id) VALUES ({b})",
        "SET application_name = 'x'",
    )
    assert [o.tag for o in outcomes] == [
        "INSERT 0 1",
        "SELECT 1",
        "SELECT 1",
        "UPDATE 1",
        "INSERT 0 1",
        "SET",
    ]
    assert session.setting("application_name") == "x"
    assert outcomes[1].values == (("a",),)
    assert await router.fetchval("SELECT name FROM t WHERE id = $1", a) == "b"


async def test_a_unit_that_fails_leaves_nothing_and_names_its_statement(
    router: Router, session: Session
) -> None:
    a, b = await same_shard(router, 2)
    error = await failure(
        session,
        "SET application_name = 'x'",
        f"INSERT INTO t (id) VALUES ({a})",
        f"INSERT INTO t (id) VALUES ({b})",
        f"INSERT INTO t (id) VALUES ({a})",
    )
    assert (error.sqlstate, error.statement, error.definite) == ("23505", 3, True)
    assert await router.fetchval("SELECT count(*) FROM t") == 0
    assert session.setting("application_name") == ""


async def test_a_schema_change_is_undone_with_its_unit(session: Session) -> None:
    make = "CREATE TABLE u (id bigint PRIMARY KEY)"
    assert (await failure(session, make, "SELECT 1 / 0")).sqlstate == "22012"
    assert (await failure(session, "SELECT * FROM u")).sqlstate == "42P01"


async def test_a_unit_of_reads_runs_statement_by_statement(
    router: Router, session: Session
) -> None:
    await router.execute("INSERT INTO t (id, name, ok) VALUES (1, 'a', true)")
    outcomes = await run(
        session,
        "SET application_name = 'x'",
        "SHOW application_name",
        "SELECT id, ok FROM t WHERE id = 1",
        "SELECT count(*) FROM t",
        "SHOW TABLES",
        "SHOW COLUMNS FROM t",
        "RESET ALL",
    )
    assert [o.tag for o in outcomes] == [
        "SET", "SHOW", "SELECT 1", "SELECT 1", "SHOW", "SHOW", "RESET",
    ]  # fmt: skip
    assert outcomes[0].parameter_status == (("application_name", "x"),)
    assert outcomes[1].values == (("x",),)
    assert outcomes[2].values == ((1, True),)
    assert outcomes[2].values[0][1] is True
    assert ("t", "id", 3) in outcomes[4].values
    assert outcomes[5].values == (
        ("id", "bigint", False, "shard key, primary key"),
        ("name", "text", True, ""),
        ("ok", "boolean", True, ""),
    )
    assert outcomes[6].parameter_status == (("application_name", ""),)


# --------------------------------------------------------------------------- rows


async def test_rows_are_answered_in_the_formats_asked_for(router: Router, session: Session) -> None:
    keys = await spread(router)
    for key in keys:
        await router.execute("INSERT INTO t VALUES ($1, 'x', true)", key)
    columns = (OutputColumn(INT8, True), OutputColumn(TEXT, False), OutputColumn(BOOL, True))
    formats = tuple(column.binary for column in columns)
    one = Execution(await session.prepare("SELECT * FROM t WHERE id = 0"), (), formats)
    all_rows = Execution(await session.prepare("SELECT * FROM t ORDER BY id"), (), formats)
    outcomes = await session.run([one, all_rows])
    expected = [(key, "x", True) for key in keys]
    assert outcomes[0].rows == encode_data_rows(expected[:1], columns)
    assert outcomes[1].rows == encode_data_rows(expected, columns)
    assert outcomes[1].values == ()


async def test_a_scatter_merges_all_shards_and_says_once_what_it_is_not(
    router: Router, session: Session
) -> None:
    for key in range(30):
        await router.execute("INSERT INTO t (id, name) VALUES ($1, $2)", key, str(key % 3))
    await run(session, "SET shardrouter.snapshot = off")
    ordered = "SELECT id FROM t WHERE name = $1 ORDER BY id DESC LIMIT $2 OFFSET 1"
    execution = await prepare(session, ordered, "1", 3)
    [first] = await session.run([execution])
    [second] = await session.run([execution])
    assert first.values == ((25,), (22,), (19,))
    assert first.tag == "SELECT 3"
    assert [len(first.notices), len(second.notices)] == [1, 0]
    [counted] = await run(session, "SELECT count(*) FROM t")
    assert counted.values == ((30,),)


async def test_the_consistency_of_reads_is_the_sessions_own_and_holds_from_its_set_on(
    router: Router, session: Session
) -> None:
    for key in range(30):
        await router.execute("INSERT INTO t (id, name) VALUES ($1, 'x')", key)
    count = "SELECT count(*) FROM t"
    outcomes = await run(session, "SET shardrouter.consistency = any", count, "SELECT name FROM t")
    # One node: what was acknowledged is applied there.
    assert outcomes[1].values == ((30,),)
    assert "as some replica has it" in outcomes[1].notices[0].message
    assert outcomes[2].notices == ()
    [shown] = await run(session, "SHOW shardrouter.consistency")
    assert shown.values == (("any",),)
    [point] = await run(session, "SELECT name FROM t WHERE id = 3")
    assert point.values == (("x",),)
    assert await router.fetchval("SHOW shardrouter.consistency") == "linearizable"


async def test_a_comment_asks_for_a_level_for_one_statement(
    router: Router, session: Session
) -> None:
    await router.execute("INSERT INTO t (id, name) VALUES (3, 'x')")
    for text in (
        "/*+ consistency=any */ SELECT name FROM t",
        "SELECT /*+ consistency=bounded max_staleness=50ms */ name FROM t WHERE true",
    ):
        [outcome] = await run(session, text)
        assert outcome.values == (("x",),)
        assert ("some replica" in outcome.notices[0].message) == ("any" in text)
    [plain] = await run(session, "SELECT name FROM t WHERE id > 0")
    assert plain.notices == ()
    await run(session, "SET shardrouter.snapshot = off")
    [plain] = await run(session, "SELECT name FROM t WHERE id > 0")
    assert "linearizably" in plain.notices[0].message
    assert [o.values for o in await run(session, "/*+ SeqScan(t) */ SELECT 1")] == [((1,),)]
    for wrong in ("consistency=eventual", "consistency='any'", "consistency=", "max_staleness=-1"):
        for text in ("SELECT name FROM t WHERE id = 3", "SELECT 1", "INSERT INTO t VALUES (9)"):
            refused = await failure(session, f"/*+ {wrong} */ {text}")
            assert refused.sqlstate == "22023", (wrong, text)
            names = "Available values: linearizable, lease, session, bounded, any."
            assert (refused.hint == names) == ("consistency" in wrong)
    with pytest.raises(RouterError) as caught:  # as a message of several statements has it
        await router.execute("SELECT 1; /*+ consistency=bogus */ SELECT 2;")
    assert caught.value.sqlstate == "22023"


async def test_a_session_knows_what_it_has_seen_and_can_be_told(
    router: Router, session: Session
) -> None:
    """Of each shard: the entry of a write, the state of a read, that of a statement of a block."""
    show = "SHOW shardrouter.session_token"

    async def token() -> dict[str, int]:
        [shown] = await run(session, show)
        ((text,),) = shown.values
        items = [item.split("=1:") for item in str(text).split(",") if item]
        return {group: int(index) for group, index in items}

    await router.execute("INSERT INTO t (id, name) VALUES (3, 'y')")
    assert await token() == {}
    await run(session, "UPDATE t SET name = 'z' WHERE id = 3")
    [(group, written)] = (await token()).items()
    await router.execute("UPDATE t SET name = 'w' WHERE id = 3")
    await run(session, "SET shardrouter.consistency = session")
    [row] = await run(session, "SELECT name FROM t WHERE id = 3")
    assert row.values == (("w",),)
    seen = await token()
    assert seen[group] == written + 1
    await router.execute("UPDATE t SET name = 'v' WHERE id = 3")
    await run(session, "BEGIN", "SELECT name FROM t WHERE id = 3", "ROLLBACK")
    assert await token() == {group: written + 2}
    await run(session, "SELECT count(*) FROM t")
    everywhere = await token()
    assert len(everywhere) > 1
    await run(session, f"SET shardrouter.session_token = '{group}=1:{written + 3}'")
    await run(session, "RESET ALL")
    assert await token() == everywhere | {group: written + 3}


async def test_a_transaction_over_shards_is_seen_by_its_session_on_all_of_them(
    router: Router, session: Session
) -> None:
    rows = ", ".join(f"({key}, 'x')" for key in range(30))
    await run(session, f"INSERT INTO t (id, name) VALUES {rows}")
    [shown] = await run(session, "SHOW shardrouter.session_token")
    ((token,),) = shown.values
    assert isinstance(token, str)
    shards = {(await router.where("t", key)).shard for key in range(30)}
    assert {item.partition("=")[0] for item in token.split(",")} == shards
    assert len(shards) > 1
    await run(session, "SET shardrouter.consistency = session")
    [counted] = await run(session, "SELECT count(*) FROM t")
    assert counted.values == ((30,),)


async def test_null_is_stored_found_and_no_key(router: Router, session: Session) -> None:
    await router.execute("INSERT INTO t (id, name) VALUES ($1, $2)", 1, None)
    assert await router.fetchval("SELECT name FROM t WHERE id = 1") is None
    assert await router.fetchval("SELECT id FROM t WHERE name IS NULL") == 1
    assert await router.fetch("SELECT * FROM t WHERE id = $1", None) == []
    assert await router.execute("DELETE FROM t WHERE id = $1", None) == "DELETE 0"
    with pytest.raises(StatementError) as caught:
        await router.execute("INSERT INTO t (id) VALUES ($1)", None)
    assert caught.value.sqlstate == "23502"


async def test_arguments_are_checked_before_anything_is_sent(
    router: Router, session: Session
) -> None:
    refused: list[tuple[tuple[Value, ...], str]] = [
        ((1 << 63,), "22003"),
        (("1",), "42804"),
        ((), "08P01"),
    ]
    for arguments, sqlstate in refused:
        execution = await prepare(session, "INSERT INTO t (id) VALUES ($1)", *arguments)
        with pytest.raises(StatementError) as caught:
            await session.run([execution])
        assert caught.value.sqlstate == sqlstate
    assert await router.fetchval("SELECT count(*) FROM t") == 0


# --------------------------------------------------------------------------- staleness


async def test_statements_of_one_text_share_a_plan_until_the_catalog_changes(
    router: Router, session: Session
) -> None:
    text = "SELECT * FROM t WHERE id = $1"
    assert session.prepared(text) is None
    prepared = await session.prepare(text)
    assert session.prepared(text) is prepared
    assert await session.prepare(text) is prepared
    await router.execute("CREATE TABLE another (id bigint PRIMARY KEY)")
    assert session.prepared(text) is None
    await router.execute("DROP TABLE another")


async def test_what_another_router_created_is_found(other_router: Router, session: Session) -> None:
    await other_router.execute("CREATE TABLE fresh (id bigint PRIMARY KEY)")
    assert (await run(session, "INSERT INTO fresh VALUES (1)"))[0].tag == "INSERT 0 1"
    await other_router.execute("DROP TABLE fresh")
    assert (await failure(session, "INSERT INTO fresh VALUES (2)")).sqlstate == "42P01"


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM t WHERE id = 1", "SELECT * FROM t", "DELETE FROM t WHERE id = 1"]
)
async def test_a_plan_for_a_table_created_anew_elsewhere_is_made_again(
    other_router: Router, session: Session, sql: str
) -> None:
    execution = await prepare(session, sql)
    await other_router.execute("DROP TABLE t")
    await other_router.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, ok boolean)")
    assert (await session.run([execution]))[0].row_count == 0
    assert (await session.run([execution]))[0].row_count == 0


async def test_a_plan_whose_result_would_change_its_type_is_refused(
    other_router: Router, session: Session
) -> None:
    execution = await prepare(session, "SELECT * FROM t WHERE id = 1")
    await other_router.execute("DROP TABLE t")
    await other_router.execute("CREATE TABLE t (id bigint PRIMARY KEY, n integer)")
    with pytest.raises(NotSupported, match="must not change result type"):
        await session.run([execution])


async def test_a_column_of_a_table_created_anew_elsewhere_is_found(
    other_router: Router, session: Session
) -> None:
    await other_router.execute("DROP TABLE t")
    await other_router.execute("CREATE TABLE t (id bigint PRIMARY KEY, n integer)")
    assert (await run(session, "SELECT n FROM t WHERE id = 1"))[0].tag == "SELECT 0"
    assert (await failure(session, "SELECT nothing FROM t WHERE id = 1")).sqlstate == "42703"


# --------------------------------------------------------------------------- time and ends


async def test_the_timeout_of_the_call_or_the_setting_is_the_deadline(session: Session) -> None:
    execution = await prepare(session, "SELECT count(*) FROM t")
    with pytest.raises(DeadlineExceeded):
        await session.run([execution], timeout_s=0.0)
    write = await prepare(session, "INSERT INTO t (id) VALUES (1)")
    with pytest.raises(DeadlineExceeded):
        await session.run([write], timeout_s=0.0)
    await run(session, "SET statement_timeout = '1min'")
    assert session.setting("statement_timeout") == "1min"
    await run(session, "SET statement_timeout = '50ms'")
    with pytest.raises(DeadlineExceeded, match="canceling statement due to statement timeout"):
        await run(session, "SELECT pg_sleep(3)")


async def test_done_is_called_once_and_never_from_within(session: Session) -> None:
    results: list[list[Outcome] | RouterError] = []
    finished = asyncio.Event()

    def done(result: list[Outcome] | RouterError) -> None:
        results.append(result)
        finished.set()

    bad = Execution(await session.prepare("INSERT INTO t (id) VALUES ($1)"), ("x",))
    good = await prepare(session, "SELECT * FROM t WHERE id = 1")
    for execution in (bad, good):
        finished.clear()
        session.execute_unit([execution], done)
        assert not finished.is_set()
        await finished.wait()
    assert isinstance(results[0], StatementError)
    assert isinstance(results[1], list)
    assert len(results) == 2


async def test_a_closed_session_takes_nothing(router: Router) -> None:
    closed = router.new_session()
    execution = await prepare(closed, "SELECT 1")
    await closed.close()
    with pytest.raises(RouterError) as caught:
        await closed.run([execution])
    assert caught.value.definite


# ------------------------------------------------------------------------------ cancelling


async def cancelled(session: Session, *statements: str) -> list[Outcome] | RouterError:
    """What becomes of a unit that is cancelled as soon as it runs."""
    unit = [await prepare(session, sql) for sql in statements]
    ended: asyncio.Future[list[Outcome] | RouterError] = asyncio.get_running_loop().create_future()
    session.execute_unit(unit, ended.set_result)
    session.cancel()
    session.cancel()
    return await ended


@pytest.mark.parametrize(
    "statements",
    [
        ["SELECT * FROM t WHERE id = 1"],
        ["SELECT * FROM t"],
        ["SELECT * FROM t WHERE id = 1", "SELECT * FROM t"],
    ],
)
async def test_a_read_is_cancelled_at_once(session: Session, statements: list[str]) -> None:
    error = await cancelled(session, *statements)
    assert isinstance(error, DeadlineExceeded)
    assert error.message == "canceling statement due to user request"
    session.cancel()  # nothing is running
    assert (await run(session, "SELECT count(*) FROM t"))[0].values == ((0,),)


@pytest.mark.parametrize("rows", [1, 2])
async def test_a_cancelled_write_has_happened_exactly_if_it_says_so(
    session: Session, rows: int
) -> None:
    said = await cancelled(session, *(f"INSERT INTO t (id) VALUES ({i % 1})" for i in range(rows)))
    [outcome] = await run(session, "SELECT count(*) FROM t")
    if isinstance(said, RouterError):
        assert said.sqlstate in ("57014", "23505")
        assert outcome.values == ((0,),)
    else:
        assert outcome.values == ((1,),)


async def test_a_cancelled_schema_change_has_happened_exactly_if_it_says_so(
    session: Session,
) -> None:
    said = await cancelled(session, "DROP TABLE t")
    [tables] = await run(session, "SHOW TABLES")
    if isinstance(said, RouterError):
        assert said.message == "canceling statement due to user request"
    assert ("t" in [row[0] for row in tables.values]) is isinstance(said, RouterError)


async def test_a_pause_lasts_as_long_as_it_is_asked_to_and_ends_with_the_time(
    session: Session,
) -> None:
    [outcome] = await run(session, "SELECT pg_sleep(0)")
    assert (outcome.tag, list(outcome.values)) == ("SELECT 1", [("",)])
    [outcome] = await session.run([await prepare(session, "select pg_sleep($1);", None)])
    assert list(outcome.values) == [(None,)]
    execution = await prepare(session, "SELECT pg_sleep($1)", 60.0)
    with pytest.raises(DeadlineExceeded) as caught:
        await session.run([execution], 0.05)
    assert caught.value.sqlstate == "57014"
    assert (await failure(session, "SELECT pg_sleep(1) FROM t")).sqlstate == "0A000"


async def test_what_has_nothing_to_do_still_looks_for_its_tables(session: Session) -> None:
    said = ["VACUUM", "VACUUM t", "vacuum analyze t", "VACUUM FULL t", "ANALYZE", "ANALYZE t, t"]
    tags = [outcome.tag for sql in said for outcome in await run(session, sql)]
    assert tags == ["VACUUM"] * 4 + ["ANALYZE"] * 2
    assert (await failure(session, "ANALYZE nowhere")).sqlstate == "42P01"
    assert (await failure(session, "VACUUM t t")).sqlstate == "42601"
    for alone in ("VACUUM", "DISCARD ALL"):
        await run(session, "BEGIN")
        refused = await failure(session, alone)
        assert refused.sqlstate == "25001"
        assert refused.message == f"{alone} cannot run inside a transaction block"
        await run(session, "ROLLBACK")
    assert [outcome.tag for outcome in await run(session, "DISCARD ALL")] == ["DISCARD ALL"]


async def test_a_truncate_in_a_transaction_block_is_undone_with_it(session: Session) -> None:
    await run(session, "CREATE TABLE h (id int PRIMARY KEY) WITH (home = true)")
    await run(session, "CREATE TABLE g (id int PRIMARY KEY, h int REFERENCES h) WITH (home = true)")
    await run(session, "INSERT INTO h VALUES (1), (2)", "INSERT INTO g VALUES (1, 1)")

    async def counts() -> list[Value]:
        found = await run(session, "SELECT count(*) FROM h", "SELECT count(*) FROM g")
        return [outcome.values[0][0] for outcome in found]

    for end, left in (("ROLLBACK", [2, 1]), ("COMMIT", [0, 0])):
        await run(session, "BEGIN")
        [outcome] = await run(session, "TRUNCATE h, g")
        assert outcome.tag == "TRUNCATE TABLE"
        await run(session, end)
        assert await counts() == left
    await run(session, "BEGIN")
    assert (await failure(session, "TRUNCATE h")).sqlstate == "0A000"
    await run(session, "ROLLBACK")
    await run(session, "DROP TABLE g, h")


async def test_a_read_of_several_shards_is_of_one_instant_unless_it_need_not_be(
    router: Router, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Money goes to and fro between two shards, one of which is far away. Its reads come late, so
    that plain sums are wrong now and then; none of a snapshot is, and that is the default."""
    home = {(await router.where("t", key)).shard: key for key in range(30)}
    (near, one), (far, other), *_ = home.items()
    assert near != far
    await router.execute(f"INSERT INTO t (id, name) VALUES ({one}, '100'), ({other}, '100')")
    total = f"SELECT sum(name::bigint) FROM t WHERE id IN ({one}, {other})"
    at_once = GroupService.on_read

    def late(self: GroupService, request: Request, *arguments: Any) -> Work | None:
        if request.group != far:
            return at_once(self, request, *arguments)
        asyncio.get_running_loop().call_later(0.03, at_once, self, request, *arguments)
        return None

    monkeypatch.setattr(GroupService, "on_read", late)
    change = "UPDATE t SET name = (name::bigint + $2)::text WHERE id = $1"

    async def sum_beside_a_transfer() -> Outcome:
        async with router.acquire() as connection:

            async def transfer() -> None:
                with contextlib.suppress(SerializationError):
                    async with connection.transaction():
                        await connection.execute(change, one, -1)
                        await connection.execute(change, other, 1)

            [found], _ = await asyncio.gather(run(session, total), transfer())
            return found

    async with asyncio.timeout(20):
        await run(session, "SET shardrouter.snapshot = off")
        while (await sum_beside_a_transfer()).values == ((200,),):
            continue
        await run(session, "RESET shardrouter.snapshot")
        for _ in range(8):
            found = await sum_beside_a_transfer()
            assert found.values == ((200,),)
            assert found.notices == ()
    assert int(await router.fetchval("SELECT name FROM t WHERE id = $1", one)) < 100
