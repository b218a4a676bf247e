"""The bulk methods of the embedded API, under asyncpg's names."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from shardrouter.errors import StatementError
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS: list[tuple[Any, ...]] = [
    (n, Decimal(n) / 4, date(2024, 1, 1 + n % 28)) for n in range(60_000)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("bulk")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        await opened.execute(
            "CREATE TABLE b (id integer PRIMARY KEY, price numeric, day date) WITH (home = true)"
        )
        yield opened


async def test_records_go_in_and_come_out_one_by_one(router: Router) -> None:
    told: list[int] = []
    tag = await router.copy_records_to_table("b", records=ROWS, progress=told.append)
    assert tag == f"COPY {len(ROWS)}"
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == len(ROWS)
    found: list[tuple[Any, ...]] = [
        tuple(row) async for row in router.cursor("SELECT * FROM b ORDER BY id")
    ]
    assert found == ROWS
    async for row in router.cursor("SELECT id FROM b WHERE id >= $1 ORDER BY id", 100):
        assert row["id"] == 100
        break  # the rest is not read


async def test_a_file_out_and_in_again(router: Router) -> None:
    file = io.BytesIO()
    query = "SELECT day, id FROM b WHERE id < 50000 ORDER BY id"
    tag = await router.copy_from_query(query, output=file, format="csv", header=True)
    assert tag == "COPY 50000"
    assert file.getvalue().startswith(b"day,id\n2024-01-01,0\n2024-01-02,1\n")
    await router.execute("CREATE TABLE c (id integer PRIMARY KEY, day date) WITH (home = true)")
    file.seek(0)
    for again in (False, True):
        file.seek(0)
        copying = router.copy_to_table(
            "c", source=file, columns=["day", "id"], format="csv", header=True
        )
        if not again:
            assert await copying == "COPY 50000"
            continue
        with pytest.raises(StatementError) as caught:
            await copying
        assert caught.value.sqlstate == "23505"
        assert caught.value.where == "COPY c, line 2"
    assert await router.fetchval("SELECT count(*) FROM c") == 50_000


async def test_a_source_that_fails_leaves_nothing(router: Router) -> None:
    async def records() -> AsyncIterator[tuple[int]]:
        for n in range(100_000, 200_000):
            yield (n,)
        raise LookupError("no more")

    before = await router.fetchval("SELECT count(*) FROM b")
    with pytest.raises(LookupError):
        await router.copy_records_to_table("b", records=records(), columns=["id"])
    assert await router.fetchval("SELECT count(*) FROM b") == before
