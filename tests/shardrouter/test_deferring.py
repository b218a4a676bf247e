"""Foreign keys that are DEFERRABLE: checked at the end of each statement, and never answered
otherwise than PostgreSQL, which checks some of them at the end of the transaction."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.plan import make_plan
from shardrouter.router import Router
from shardrouter.session import Execution, Outcome
from tests.shardrouter.catalogs import catalog_of, changed
from tests.shardrouter.cluster import one_node

SCHEMA = """
    CREATE TABLE p (id int PRIMARY KEY) WITH (home = true);
    CREATE TABLE now (id int PRIMARY KEY, p int REFERENCES p) WITH (home = true);
    CREATE TABLE soon (id int PRIMARY KEY, p int CONSTRAINT soon_p REFERENCES p DEFERRABLE)
        WITH (home = true);
    CREATE TABLE late (id int PRIMARY KEY, p int CONSTRAINT late_p REFERENCES p
        DEFERRABLE INITIALLY DEFERRED) WITH (home = true)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("deferring")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        for statement in SCHEMA.split(";"):
            await opened.execute(statement)
        yield opened


class Client:
    def __init__(self, router: Router) -> None:
        self._session = router.new_session()

    async def run(self, *statements: str) -> list[Outcome]:
        """As one unit of commit."""
        unit = [Execution(await self._session.prepare(sql), ()) for sql in statements]
        return await self._session.run(unit)

    async def failure(self, *statements: str) -> tuple[str, str]:
        with pytest.raises(RouterError) as caught:
            await self.run(*statements)
        return caught.value.sqlstate, caught.value.constraint or caught.value.message


@pytest.mark.asyncio(loop_scope="module")
async def test_alone_it_is_the_error_of_postgresql(router: Router) -> None:
    client = Client(router)
    for table in ("now", "soon", "late"):
        failed = await client.failure(f"INSERT INTO {table} VALUES (1, 7)")
        assert failed[0] == "23503", table


@pytest.mark.asyncio(loop_scope="module")
async def test_before_the_end_of_a_transaction_it_is_refused(router: Router) -> None:
    client = Client(router)
    for table, code in (("now", "23503"), ("soon", "23503"), ("late", "0A000")):
        await client.run("BEGIN")
        assert (await client.failure(f"INSERT INTO {table} VALUES (1, 7)"))[0] == code, table
        await client.run("ROLLBACK")
        unit = (f"INSERT INTO {table} VALUES (1, 7)", "INSERT INTO p VALUES (7)")
        assert (await client.failure(*unit))[0] == code, table
    await client.run("BEGIN")
    await client.run("INSERT INTO p VALUES (8)")
    await client.run("INSERT INTO late VALUES (8, 8)")
    code, said = await client.failure("DELETE FROM p WHERE id = 8")
    assert code == "0A000"
    assert '"late_p"' in said
    await client.run("ROLLBACK")


@pytest.mark.asyncio(loop_scope="module")
async def test_set_constraints_knows_the_constraints(router: Router) -> None:
    client = Client(router)
    [said] = await client.run("SET CONSTRAINTS ALL IMMEDIATE")
    [notice] = said.notices
    assert (said.tag, notice.severity, notice.sqlstate) == ("SET CONSTRAINTS", "WARNING", "25P01")
    await client.run("BEGIN")
    [said] = await client.run("SET CONSTRAINTS late_p, public.soon_p IMMEDIATE")
    assert said.notices == ()
    await client.run("SET CONSTRAINTS late_p DEFERRED")
    await client.run("ROLLBACK")
    for sql, expected in (
        ("SET CONSTRAINTS nope DEFERRED", ("42704", 'constraint "nope" does not exist')),
        (
            "SET CONSTRAINTS now_p_fkey DEFERRED",
            ("42809", 'constraint "now_p_fkey" is not deferrable'),
        ),
        ("SET CONSTRAINTS p_pkey DEFERRED", ("42809", 'constraint "p_pkey" is not deferrable')),
        ("SET CONSTRAINTS nope.late_p IMMEDIATE", ("3F000", 'schema "nope" does not exist')),
    ):
        assert await client.failure(sql) == expected
    assert (await client.failure("SET CONSTRAINTS ALL DEFERRED"))[0] == "0A000"


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("CREATE TABLE t (id int PRIMARY KEY DEFERRABLE)", NotSupported),
        ("CREATE TABLE t (id int, UNIQUE (id) INITIALLY DEFERRED)", NotSupported),
        (
            "CREATE TABLE t (id int REFERENCES p NOT DEFERRABLE INITIALLY DEFERRED)",
            StatementError,
        ),
        ("SET CONSTRAINTS ALL", StatementError),
        ("SET CONSTRAINTS a.b.c DEFERRED", StatementError),
        ("CREATE INDEX ON p (id int4_ops)", NotSupported),
    ],
)
def test_what_is_not_a_deferred_foreign_key_is_refused(sql: str, error: Any) -> None:
    catalog = catalog_of("CREATE TABLE p (id int PRIMARY KEY)")
    with pytest.raises(error):
        make_plan(sql, catalog) if sql.startswith("SET") else changed(catalog, sql)
