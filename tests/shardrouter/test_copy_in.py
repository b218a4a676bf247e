"""COPY FROM on a real cluster of one node: what is written, what is not, and what is left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from shardrouter.copy_in import CopyIn
from shardrouter.errors import RouterError, StatementError
from shardrouter.execution import Outcome
from shardrouter.router import Router
from shardrouter.session import Execution, Session
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("copy")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def session(router: Router) -> AsyncIterator[Session]:
    """A session, and an empty home table h."""
    await router.execute("DROP TABLE IF EXISTS h")
    await router.execute(
        "CREATE TABLE h (id integer PRIMARY KEY, name text DEFAULT 'nobody', n bigint NOT NULL "
        "DEFAULT 7) WITH (home = true)"
    )
    opened = router.new_session()
    yield opened
    await opened.close()


async def begin(session: Session, statement: str) -> CopyIn:
    return session.copy_in(await session.prepare(statement))


async def copy(session: Session, statement: str, data: bytes) -> Outcome:
    under_way = await begin(session, statement)
    for at in range(0, len(data), 50_000):
        await under_way.room()
        under_way.feed(data[at : at + 50_000])
    return await under_way.finish()


async def failure(session: Session, statement: str, data: bytes) -> RouterError:
    with pytest.raises(RouterError) as caught:
        await copy(session, statement, data)
    return caught.value


async def said(session: Session, text: str) -> Outcome:
    return (await session.run([Execution(await session.prepare(text))]))[0]


async def test_many_rows_are_written_at_once(router: Router, session: Session) -> None:
    data = b"".join(
        b"%d\tname of %d, which is long enough\t%d\n" % (n, n, n) for n in range(40_000)
    )
    assert await copy(session, "COPY h FROM STDIN", data) == Outcome("COPY 40000", 40_000)
    found = await router.fetchrow("SELECT count(*) FROM h")
    assert found is not None
    assert found[0] == 40_000
    last = await router.fetchrow("SELECT name, n FROM h WHERE id = 39999")
    assert last is not None
    assert tuple(last) == ("name of 39999, which is long enough", 39_999)


async def test_columns_that_are_not_named_have_their_defaults(
    router: Router, session: Session
) -> None:
    outcome = await copy(session, "COPY h (id) FROM STDIN (FORMAT csv, HEADER)", b"id\n1\n2\n")
    assert outcome.tag == "COPY 2"
    assert [tuple(row) for row in await router.fetch("SELECT * FROM h ORDER BY id")] == [
        (1, "nobody", 7),
        (2, "nobody", 7),
    ]


async def test_a_column_that_is_not_named_has_the_numbers_of_its_sequence(
    router: Router, session: Session
) -> None:
    await router.execute("CREATE TABLE n (id serial PRIMARY KEY, name text) WITH (home = true)")
    data = b"".join(b"name %d\n" % n for n in range(1, 3001))
    for _ in range(2):
        assert (await copy(session, "COPY n (name) FROM STDIN", data)).tag == "COPY 3000"
    rows = await router.fetch("SELECT id, name FROM n ORDER BY id")
    assert len({row[0] for row in rows}) == 6000
    assert [row[1] for row in rows[:3000]] == data.decode().split("\n")[:-1]
    await router.execute("DROP TABLE n")


async def test_no_rows_are_no_write(session: Session) -> None:
    assert (await copy(session, "COPY h FROM STDIN", b"")).tag == "COPY 0"


async def test_what_insert_would_refuse_is_refused_with_its_line(
    router: Router, session: Session
) -> None:
    await router.execute("INSERT INTO h (id) VALUES (3)")
    for data, sqlstate, where in (
        (b"1\ta\t1\n2\tb\t2\n3\tc\t3\n", "23505", "COPY h, line 3"),
        (b"1\ta\t1\n2\tb\t\\N\n", "23502", "COPY h, line 2"),
        (b"1\ta\t1\n3000000000\tb\t1\n", "22003", 'COPY h, line 2, column id: "3000000000"'),
        (b"1\ta\n", "22P04", 'COPY h, line 1: "1\ta"'),
    ):
        error = await failure(session, "COPY h FROM STDIN", data)
        assert (error.sqlstate, error.where) == (sqlstate, where)
        assert error.definite
    assert [row[0] for row in await router.fetch("SELECT id FROM h")] == [3]


async def test_a_session_that_only_reads_copies_nothing(router: Router, session: Session) -> None:
    prepared = await session.prepare("COPY h FROM STDIN")
    for before in ("SET default_transaction_read_only = on", "BEGIN READ ONLY"):
        await session.run([Execution(await session.prepare(before))])
        with pytest.raises(StatementError) as caught:
            session.copy_in(prepared)
        assert caught.value.sqlstate == "25006"
        assert "cannot execute COPY FROM in a read-only" in caught.value.message
        await session.run([Execution(await session.prepare("RESET ALL"))])
    await session.run([Execution(await session.prepare("ROLLBACK"))])
    await copy(session, "COPY h FROM STDIN", b"1\tx\t1\n")
    assert await router.fetchval("SELECT count(*) FROM h") == 1


async def test_what_is_abandoned_leaves_nothing(router: Router, session: Session) -> None:
    under_way = await begin(session, "COPY h FROM STDIN")
    under_way.feed(b"".join(b"%d\tx\t1\n" % n for n in range(60_000)))
    await session.close()
    with pytest.raises(StatementError) as caught:
        await under_way.finish()
    assert caught.value.sqlstate == "57P05"
    assert await router.fetchval("SELECT count(*) FROM h") == 0


async def test_a_table_that_was_changed_meanwhile_is_not_written(
    router: Router, session: Session
) -> None:
    under_way = await begin(session, "COPY h FROM STDIN")
    under_way.feed(b"1\ta\t1\n")
    await router.execute("DROP TABLE h")
    await router.execute("CREATE TABLE h (id integer PRIMARY KEY) WITH (home = true)")
    with pytest.raises(RouterError) as caught:
        await under_way.finish()
    assert caught.value.definite
    assert await router.fetchval("SELECT count(*) FROM h") == 0


async def test_a_transaction_block_commits_or_forgets_it(router: Router, session: Session) -> None:
    say = partial(said, session)
    for end, count in (("ROLLBACK", 0), ("COMMIT", 12_001)):
        await say("BEGIN")
        await say("INSERT INTO h (id) VALUES (-1)")
        data = b"".join(b"%d\tx\t1\n" % n for n in range(12_000))
        assert (await copy(session, "COPY h FROM STDIN", data)).tag == "COPY 12000"
        seen = await say("SELECT count(*) FROM h")
        assert seen.values == ((12_001,),)
        assert await router.fetchval("SELECT count(*) FROM h") == 0
        assert (await say(end)).tag == end
        assert await router.fetchval("SELECT count(*) FROM h") == count
    await say("BEGIN")
    error = await failure(session, "COPY h FROM STDIN", b"1\tx\t1\n")
    assert error.sqlstate == "23505"
    assert session.status == "E"
    await say("ROLLBACK")


async def test_a_refused_copy_that_a_savepoint_undoes_lets_the_block_commit(
    router: Router, session: Session
) -> None:
    """COMMIT runs the refused step again, and needs the rows that were sent ahead for it."""
    await router.execute("INSERT INTO h (id) VALUES (1)")
    for text in ("BEGIN", "INSERT INTO h (id) VALUES (2)", "SAVEPOINT s"):
        await said(session, text)
    assert (await failure(session, "COPY h FROM STDIN", b"1\tx\t1\n")).sqlstate == "23505"
    await said(session, "ROLLBACK TO s")
    assert (await said(session, "COMMIT")).tag == "COMMIT"
    assert await router.fetchval("SELECT count(*) FROM h") == 2


async def test_copies_at_the_same_time(router: Router) -> None:
    sessions = [router.new_session() for _ in range(6)]
    await router.execute("DROP TABLE IF EXISTS h")
    await router.execute("CREATE TABLE h (id integer PRIMARY KEY, name text) WITH (home = true)")

    async def one(number: int) -> Outcome:
        rows = range(number * 6_000, (number + 1) * 6_000)
        data = b"".join(b"%d\tsome text of some length\n" % n for n in rows)
        return await copy(sessions[number], "COPY h FROM STDIN", data)

    outcomes = await asyncio.gather(*map(one, range(6)))
    assert [outcome.tag for outcome in outcomes] == ["COPY 6000"] * 6
    assert await router.fetchval("SELECT count(*) FROM h") == 36_000
    for session in sessions:
        await session.close()
