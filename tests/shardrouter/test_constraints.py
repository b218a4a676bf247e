"""Constraints on a real cluster: what they say, compared with a real PostgreSQL 15."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from shardrouter import Router
from shardrouter.errors import RouterError
from tests.shardrouter.cluster import one_node

ORACLE = Path(__file__).parent.parent / "testdata" / "postgresql"
STATEMENTS = (ORACLE / "constraints.sql").read_text(encoding="utf-8").splitlines()
ANSWERS = json.loads((ORACLE / "constraints.json").read_text(encoding="utf-8"))


async def test_constraints_say_what_postgresql_says(tmp_path: Path) -> None:
    """SQLSTATE, message, detail, and the names of table, column and constraint."""
    assert len(STATEMENTS) == len(ANSWERS)
    async with (
        one_node(tmp_path) as path,
        Router.open(path, rng=random.Random(1)) as router,
        router.acquire() as db,
    ):
        await db.execute("SET default_placement = home")
        different = []
        for sql, wanted in zip(STATEMENTS, ANSWERS, strict=True):
            said = None
            try:
                await db.execute(sql)
            except RouterError as exc:
                said = {
                    "sqlstate": exc.sqlstate,
                    "message": exc.message,
                    "detail": exc.detail,
                    "schema": exc.schema,
                    "table": exc.table,
                    "column": exc.column,
                    "constraint": exc.constraint,
                }
            if said != wanted:
                different.append((sql, said, wanted))
        assert different == []


async def test_a_unique_index_over_duplicates_is_taken_back_everywhere(tmp_path: Path) -> None:
    async with one_node(tmp_path) as path, Router.open(path, rng=random.Random(1)) as db:
        await db.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        for key in range(20):
            await db.execute("INSERT INTO t VALUES ($1, 7)", key)
        await db.execute("CREATE TABLE h (v int)")
        await db.execute("INSERT INTO h VALUES (1), (1), (2)")
        for sql in ("CREATE UNIQUE INDEX i ON h (v)", "ALTER TABLE h ADD PRIMARY KEY (v)"):
            with pytest.raises(RouterError) as caught:
                await db.execute(sql)
            assert caught.value.sqlstate == "23505"
            assert await db.fetchval("SELECT count(*) FROM h") == 3
        await db.execute("INSERT INTO h VALUES (2)")
        await db.execute("CREATE UNIQUE INDEX i ON t (id, v)")
        await db.execute("DROP INDEX i")
        await db.execute("DELETE FROM h; INSERT INTO h VALUES (5), (6)")
        await db.execute("ALTER TABLE h ADD PRIMARY KEY (v)")
        with pytest.raises(RouterError) as caught:
            await db.execute("INSERT INTO h VALUES (5)")
        assert caught.value.constraint == "h_pkey"
        await db.execute("TRUNCATE h, t")
        assert await db.fetchval("SELECT count(*) FROM t") == 0
