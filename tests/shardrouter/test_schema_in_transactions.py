"""Changes of the schema in a transaction: what its session sees, what others see, what stays."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nodes.protocol import Value
from shardrouter.errors import RouterError
from shardrouter.router import Router
from shardrouter.session import Execution, Outcome, Session
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("ddl")) as path:
        yield path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(cluster: Path) -> AsyncIterator[Router]:
    async with Router.open(cluster, rng=random.Random(1)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(cluster: Path, router: Router) -> AsyncIterator[Router]:
    """Another router of the same cluster."""
    async with Router.open(cluster, rng=random.Random(2)) as opened:
        yield opened


class Client:
    """A session whose tables are home tables."""

    def __init__(self, router: Router) -> None:
        self.session: Session = router.new_session()

    async def run(self, sql: str, *arguments: Value) -> Outcome:
        prepared = await self.session.prepare(sql)
        [outcome] = await self.session.run([Execution(prepared, arguments)])
        return outcome

    async def does(self, *statements: str) -> None:
        for sql in statements:
            await self.run(sql)

    async def values(self, sql: str, *arguments: Value) -> list[tuple[Any, ...]]:
        return list((await self.run(sql, *arguments)).values)

    async def code(self, sql: str, *arguments: Value) -> str:
        """The SQLSTATE of a statement that has to fail, as a wire would report it."""
        with pytest.raises(RouterError) as caught:
            await self.run(sql, *arguments)
        self.session.note_failure()
        return caught.value.sqlstate


async def client_of(router: Router, *tables: str) -> Client:
    """None of these tables exists."""
    client = Client(router)
    await client.run("SET default_placement = home")
    for table in tables:
        await client.run(f"DROP TABLE IF EXISTS {table} CASCADE")
    return client


async def test_a_migration_is_seen_by_itself_and_then_by_all(router: Router, other: Router) -> None:
    client = await client_of(router, "books", "authors")
    await client.does(
        "BEGIN",
        "CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL UNIQUE)",
        "CREATE TABLE books (id serial PRIMARY KEY, author int REFERENCES authors, title text)",
        "CREATE INDEX books_title ON books (title)",
        "INSERT INTO authors (name) VALUES ('A'), ('B')",
        "INSERT INTO books (author, title) VALUES (1, 'x'), (2, 'y')",
    )
    joined = "SELECT a.name, b.title FROM authors a JOIN books b ON b.author = a.id ORDER BY 1"
    assert await client.values(joined) == [("A", "x"), ("B", "y")]
    assert [row[0] for row in await client.values("SHOW TABLES")][-2:] == ["authors", "books"]
    assert await Client(other).code("SELECT 1 FROM authors") == "42P01"
    assert await Client(router).code("SELECT 1 FROM authors") == "42P01"
    await client.run("COMMIT")
    for at in (client, Client(router), Client(other)):
        assert await at.values(joined) == [("A", "x"), ("B", "y")]
    # Constraints, indexes and sequences are what they would be otherwise.
    assert await client.code("INSERT INTO books (author) VALUES (9)") == "23503"
    assert await client.code("CREATE INDEX books_title ON books (id)") == "42P07"
    assert await client.values("INSERT INTO authors (name) VALUES ('C') RETURNING id") == [(3,)]
    assert await client.values("SELECT nextval('books_id_seq')") > [(2,)]


async def test_the_catalogs_show_a_transaction_what_it_has_changed(
    router: Router, other: Router
) -> None:
    client = await client_of(router, "shown", "renamed")
    listed = (
        "SELECT relname FROM pg_class WHERE relname IN ('shown', 'shown_n', 'renamed') ORDER BY 1"
    )
    await client.run("CREATE TABLE shown (id int PRIMARY KEY, n int)")
    await client.does("BEGIN", "CREATE INDEX shown_n ON shown (n)", "SAVEPOINT one")
    assert await client.values(listed) == [("shown",), ("shown_n",)]
    await client.run("ALTER TABLE shown RENAME TO renamed")
    assert await client.values(listed) == [("renamed",), ("shown_n",)]
    for apart in (Client(router), Client(other)):
        assert await apart.values(listed) == [("shown",)]
    await client.run("ROLLBACK TO one")
    assert await client.values(listed) == [("shown",), ("shown_n",)]
    await client.run("ROLLBACK")
    assert await client.values(listed) == [("shown",)]


async def test_rolled_back_nothing_is_left(router: Router) -> None:
    client = await client_of(router, "kept", "gone")
    await client.does(
        "CREATE TABLE kept (id int PRIMARY KEY, n int)", "INSERT INTO kept VALUES (1, 2)"
    )
    prepared = await client.session.prepare("SELECT n FROM kept")
    await client.does(
        "BEGIN",
        "CREATE TABLE gone (id int)",
        "CREATE SEQUENCE gone_too",
        "ALTER TABLE kept ADD CONSTRAINT positive CHECK (n > 0)",
        "INSERT INTO kept VALUES (2, 3)",
        "DROP TABLE kept",
    )
    assert await client.code("SELECT * FROM kept") == "42P01"
    await client.run("ROLLBACK")
    [outcome] = await client.session.run([Execution(prepared)])
    assert outcome.values == ((2,),)
    assert await client.code("SELECT * FROM gone") == "42P01"
    assert await client.code("SELECT nextval('gone_too')") == "42P01"
    await client.run("INSERT INTO kept VALUES (3, -1)")
    await client.does("CREATE TABLE gone (name text)", "DROP TABLE gone")


async def test_savepoints_take_the_schema_back(router: Router) -> None:
    client = await client_of(router, "t", "u")
    await client.does(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "BEGIN",
        "CREATE TABLE u (id int PRIMARY KEY, n int)",
        "INSERT INTO u VALUES (1, 1)",
        "SAVEPOINT s",
        "DROP TABLE u",
        "CREATE TABLE u (name text PRIMARY KEY)",
        "INSERT INTO u VALUES ('a')",
    )
    assert await client.values("SELECT * FROM u") == [("a",)]
    await client.run("ROLLBACK TO s")
    assert await client.values("SELECT * FROM u") == [(1, 1)]
    assert await client.code("CREATE TABLE t (id int)") == "42P07"
    assert await client.code("SELECT * FROM u") == "25P02"
    await client.run("ROLLBACK TO s")
    await client.does("INSERT INTO u VALUES (2, 1)", "SAVEPOINT s2")
    assert await client.code("CREATE UNIQUE INDEX once ON u (n)") == "23505"
    await client.does(
        "ROLLBACK TO s2",
        "CREATE UNIQUE INDEX once ON u (id, n)",
        "RELEASE s",
        "COMMIT",
    )
    assert await client.values("SELECT * FROM u ORDER BY id") == [(1, 1), (2, 1)]
    assert await client.code("CREATE INDEX once ON t (id)") == "42P07"


async def test_a_migration_that_fails_half_way_leaves_all_as_it_was(router: Router) -> None:
    client = await client_of(router, "m", "n")
    await client.does(
        "CREATE TABLE m (id int PRIMARY KEY, v int)", "INSERT INTO m VALUES (1, 5), (2, 5)"
    )
    await client.does("BEGIN", "CREATE TABLE n (id int)", "UPDATE m SET v = 6")
    assert await client.code("ALTER TABLE m ADD CONSTRAINT only_once UNIQUE (v)") == "23505"
    assert (await client.run("COMMIT")).tag == "ROLLBACK"
    assert await client.values("SELECT * FROM m ORDER BY id") == [(1, 5), (2, 5)]
    await client.run("CREATE TABLE n (name text)")


async def test_a_parent_is_rebuilt_while_foreign_keys_act(router: Router) -> None:
    client = await client_of(router, "child", "parent")
    await client.does(
        "CREATE TABLE parent (id int PRIMARY KEY, n int)",
        "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE)",
        "INSERT INTO parent VALUES (1, 1), (2, 2), (3, 3)",
        "INSERT INTO child VALUES (10, 1), (20, 2), (30, 3)",
        "BEGIN",
        "DELETE FROM parent WHERE id = 1",
        "ALTER TABLE parent ADD CONSTRAINT positive CHECK (n > 0)",
        "DELETE FROM parent WHERE id = 2",
    )
    assert await client.values("SELECT id FROM child") == [(30,)]
    await client.run("SAVEPOINT s")
    assert await client.code("INSERT INTO child VALUES (40, 4)") == "23503"
    await client.run("ROLLBACK TO s")
    assert await client.code("INSERT INTO parent VALUES (4, 0)") == "23514"
    await client.does("ROLLBACK TO s", "COMMIT")
    assert await client.values("SELECT id FROM child") == [(30,)]
    assert await client.code("INSERT INTO parent VALUES (4, 0)") == "23514"


async def test_numbers_of_a_sequence_that_nobody_knows_yet(router: Router, other: Router) -> None:
    client = await client_of(router, "numbered")
    await client.run("DROP SEQUENCE IF EXISTS counter")
    await client.does(
        "BEGIN",
        "CREATE SEQUENCE counter START 5 INCREMENT 5",
        "CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, v text)",
        "INSERT INTO numbered (v) VALUES ('a'), ('b')",
        "SAVEPOINT s",
    )
    assert await client.values("SELECT nextval('counter')") == [(5,)]
    await client.run("INSERT INTO numbered (v) VALUES ('lost')")
    await client.run("ROLLBACK TO s")
    assert await client.values("SELECT nextval('counter')") == [(10,)]
    assert await client.values("SELECT currval('counter')") == [(10,)]
    await client.run("COMMIT")
    assert await client.values("SELECT id FROM numbered ORDER BY id") == [(1,), (2,)]
    again = "INSERT INTO numbered (v) VALUES ('c') RETURNING id"
    assert await Client(other).values(again) == [(4,)]
    assert await Client(other).values("SELECT nextval('counter')") == [(15,)]


async def test_others_that_change_the_schema_at_the_same_time(
    router: Router, other: Router
) -> None:
    client, second = await client_of(router, "a", "b", "c"), await client_of(other)
    # What has nothing to do with each other commits.
    for at, table in ((client, "a"), (second, "b")):
        await at.does("BEGIN", f"CREATE TABLE {table} (id int PRIMARY KEY)")
    await client.run("INSERT INTO a VALUES (1)")
    await client.run("COMMIT")
    await second.run("COMMIT")
    assert await client.values("SELECT count(*) FROM b") == [(0,)]
    # Of two of one name, or of one table, the first wins.
    for at in (client, second):
        await at.does("BEGIN", "CREATE TABLE c (id int PRIMARY KEY)")
    await second.run("COMMIT")
    assert await client.code("COMMIT") == "40001"
    for at in (client, second):
        await at.does("BEGIN", "CREATE INDEX ON a (id)")
    await client.run("COMMIT")
    assert await second.code("COMMIT") == "40001"
    assert second.session.status == "I"
    # So does one outside of a transaction, and one that wrote what relies on the table.
    await client.does("BEGIN", "ALTER TABLE a ADD CHECK (id > 0)")
    await second.run("CREATE INDEX ON a (id)")
    assert await client.code("INSERT INTO a VALUES (2)") == "40001"
    await client.does("ROLLBACK", "BEGIN", "INSERT INTO a VALUES (2)")
    await second.does("BEGIN", "ALTER TABLE a ADD CHECK (id < 9)", "COMMIT")
    assert await client.code("COMMIT") == "40001"
    assert await client.values("SELECT id FROM a") == [(1,)]


async def test_rows_written_meanwhile_decide_whether_it_commits(router: Router) -> None:
    client, writer = await client_of(router, "w"), Client(router)
    await client.does("CREATE TABLE w (id int PRIMARY KEY, v int)", "INSERT INTO w VALUES (1, 1)")
    await client.does("BEGIN", "CREATE UNIQUE INDEX ON w (v)")
    await writer.run("INSERT INTO w VALUES (2, 2)")
    await client.run("COMMIT")
    assert await writer.code("INSERT INTO w VALUES (3, 2)") == "23505"
    await client.does("BEGIN", "ALTER TABLE w ADD CHECK (v < 9)")
    await writer.run("INSERT INTO w VALUES (9, 9)")
    assert await client.code("COMMIT") == "40001"
    await writer.run("INSERT INTO w VALUES (10, 10)")


async def test_what_cannot_be_in_a_transaction(router: Router) -> None:
    client = await client_of(router)
    for sql, code in (
        ("CREATE ROLE somebody", "0A000"),
        ("DROP ROLE somebody", "0A000"),
    ):
        await client.run("BEGIN")
        assert await client.code(sql) == code
        assert await client.code("SELECT 1") == "25P02"
        await client.run("ROLLBACK")
    await client.run("BEGIN READ ONLY")
    with pytest.raises(RouterError, match="cannot execute CREATE TABLE in a read-only") as caught:
        await client.run("CREATE TABLE x (id int)")
    assert caught.value.sqlstate == "25006"
    await client.run("ROLLBACK")


async def test_what_is_there_already_is_skipped(router: Router) -> None:
    client = await client_of(router, "here")
    await client.does("BEGIN", "CREATE TABLE here (id int PRIMARY KEY)")
    [notice] = (await client.run("CREATE TABLE IF NOT EXISTS here (id text)")).notices
    assert notice.sqlstate == "42P07"
    await client.run("DROP TABLE IF EXISTS nowhere")
    await client.does("TRUNCATE here", "DROP TABLE here", "COMMIT")
    assert await client.code("SELECT * FROM here") == "42P01"


async def test_with_one_shard_every_table_can_be_changed(tmp_path: Path) -> None:
    async with (
        one_node(tmp_path, ("meta", "shard-1")) as path,
        Router.open(path, rng=random.Random(3)) as alone,
    ):
        client = Client(alone)
        await client.does(
            "BEGIN",
            "CREATE TABLE sharded (id int PRIMARY KEY, n int)",
            "CREATE TABLE everywhere (id int PRIMARY KEY) WITH (reference = true)",
            "INSERT INTO sharded VALUES (1, 1), (2, 2)",
            "INSERT INTO everywhere VALUES (1)",
            "CREATE UNIQUE INDEX ON sharded (id, n)",
            "COMMIT",
        )
        joined = "SELECT n FROM sharded JOIN everywhere USING (id)"
        assert await client.values(joined) == [(1,)]
        await client.does("BEGIN", "DROP TABLE everywhere", "CREATE TABLE everywhere (n int)")
        await client.does("INSERT INTO everywhere VALUES (5)", "COMMIT", "DROP TABLE sharded")
        assert await client.values("SELECT n FROM everywhere") == [(5,)]
