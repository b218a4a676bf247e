"""Every type, through a driver and through the embedded API, in and out of a real node."""

from __future__ import annotations

import asyncio
import math
import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from shardrouter import LocalCluster

VALUES: dict[str, tuple[Any, ...]] = {
    "smallint": (0, -32768, 32767),
    "integer": (0, -(1 << 31), (1 << 31) - 1),
    "bigint": (0, -(1 << 63), (1 << 63) - 1),
    "numeric": tuple(map(Decimal, ("0", "1.50", "-0.0001", "1E+20", "12345.6789"))),
    "numeric(8,2)": (Decimal("123456.78"), Decimal("-0.10")),
    "real": (0.5, -1.25, 2.0**100),
    "double precision": (0.1, -1e300, float("inf")),
    "boolean": (True, False),
    "text": ("", "é\n'\\", "a b"),
    "varchar(5)": ("", "abcde"),
    "bytea": (b"", b"\x00\xff\\x"),
    "uuid": (uuid.UUID(int=0), uuid.UUID(int=(1 << 128) - 1)),
    "date": (date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31)),
    "time": (time(0), time(23, 59, 59, 999_999)),
    "timestamp": (datetime(2024, 2, 29, 1, 2, 3, 4), datetime(1, 1, 1)),
    "timestamptz": (datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC),),
    "interval": (timedelta(days=-3, seconds=5), timedelta(microseconds=1)),
    "json": ('{"b": 1,  "a": [null]}',),
    "jsonb": ('{"a": [null], "b": 1.50}',),
    "_int4": ([], [1, None, -3]),
    "_text": ([], ["", "a,b", 'q"\\', None, "NULL"]),
    "_uuid": ([uuid.UUID(int=7)],),
    "_numeric": ([Decimal("1.50")],),
    "_timestamptz": ([datetime(2024, 1, 1, tzinfo=UTC)],),
}


KEYS = ("uuid", "bytea", "date", "timestamp", "timestamptz", "varchar(5)")


@pytest_asyncio.fixture(name="cluster", loop_scope="module", scope="module")
async def _cluster() -> AsyncIterator[LocalCluster]:
    async with LocalCluster(nodes=1, shards=1, in_memory=True) as cluster:
        columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(VALUES))
        await cluster.router.execute(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
        yield cluster


@pytest.mark.asyncio(loop_scope="module")
async def test_values_come_back_through_a_driver_and_the_embedded_api(
    cluster: LocalCluster,
) -> None:
    names = ", ".join(f"c{i}" for i in range(len(VALUES)))
    marks = ", ".join(f"${i + 2}" for i in range(len(VALUES)))
    insert = f"INSERT INTO t (id, {names}) VALUES ($1, {marks})"
    select = f"SELECT {names} FROM t WHERE id = $1"
    connection = await asyncpg.connect(cluster.dsn)
    router = cluster.router
    try:
        for row in range(max(map(len, VALUES.values()))):
            values = [options[row % len(options)] for options in VALUES.values()]
            await connection.execute(insert, row, *values)
            await router.execute(insert, row + 100, *values)
            for key in (row, row + 100):
                for found in (
                    await connection.fetchrow(select, key),
                    await router.fetchrow(select, key),
                ):
                    assert found is not None
                    for kind, wanted, value in zip(VALUES, values, found.values(), strict=True):
                        assert value == wanted, kind
                        assert isinstance(value, type(wanted)), kind
        await connection.execute(insert, 99, *[None] * len(VALUES))
        empty = await connection.fetchrow(select, 99)
        assert empty is not None
        assert set(empty.values()) == {None}
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_zero_keeps_its_sign_and_equals_the_other(cluster: LocalCluster) -> None:
    router = cluster.router
    await router.execute("CREATE TABLE zeros (id int PRIMARY KEY, d float8, r real)")
    await router.execute("CREATE INDEX ON zeros (d)")
    connection = await asyncpg.connect(cluster.dsn)
    try:
        await connection.execute("INSERT INTO zeros VALUES (1, $1, $1)", -0.0)
        await connection.execute("INSERT INTO zeros VALUES (2, '-0', -'0'::real), (3, 0, 0)")
        async with connection.transaction():
            await connection.execute("UPDATE zeros SET d = -d WHERE id = 3")
        await connection.copy_records_to_table("zeros", records=[(4, -0.0, -0.0)])
        select = "SELECT d, r, d::text FROM zeros WHERE d = $1 AND id = $2"
        for zero in (0.0, -0.0):
            for key, signs in ((1, (-1, -1)), (2, (-1, -1)), (3, (-1, 1)), (4, (-1, -1))):
                for row in (
                    await connection.fetchrow(select, zero, key),
                    await router.fetchrow(select, zero, key),
                ):
                    assert row is not None
                    assert tuple(math.copysign(1, row[i]) for i in range(2)) == signs, key
                    assert row[2] == "-0"
        rows = await connection.fetch("SELECT id FROM zeros ORDER BY d, id")
        assert [row[0] for row in rows] == [1, 2, 3, 4]
        assert await connection.fetchval("SELECT count(DISTINCT d) FROM zeros") == 1
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_name_is_cut_where_an_identifier_ends(cluster: LocalCluster) -> None:
    connection = await asyncpg.connect(cluster.dsn)
    try:
        await connection.execute("CREATE TABLE names (id int PRIMARY KEY, n name, more name[])")
        for key, cast in ((1, ""), (2, "::text"), (3, "::varchar")):
            await connection.execute(
                f"INSERT INTO names VALUES ($1, $2{cast}, ARRAY['x', $2{cast}]::name[])",
                key,
                "ö" * 40 if cast else "ö" * 31,  # as binary a longer one is refused
            )
        rows = await connection.fetch("SELECT n, more FROM names ORDER BY id")
        assert [tuple(row) for row in rows] == [("ö" * 31, ["x", "ö" * 31])] * 3
        with pytest.raises(asyncpg.NameTooLongError):
            await connection.execute("INSERT INTO names (id, n) VALUES (4, $1)", "x" * 64)
    finally:
        await connection.close()
    await cluster.router.execute("INSERT INTO names (id, n) VALUES (4, $1)", "x" * 64)
    assert await cluster.router.fetchval("SELECT n FROM names WHERE id = 4") == "x" * 63


@pytest.mark.asyncio(loop_scope="module")
async def test_a_result_has_its_types_and_modifiers(cluster: LocalCluster) -> None:
    connection = await asyncpg.connect(cluster.dsn)
    try:
        statement = await connection.prepare("SELECT c3, c4, c9, c17 FROM t WHERE c3 = $1")
        kinds = [attribute.type.name for attribute in statement.get_attributes()]
        assert kinds == ["numeric", "numeric", "varchar", "json"]
        assert [kind.name for kind in statement.get_parameters()] == ["numeric"]
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_too_long_and_too_large_values_raise_postgresqls_errors(
    cluster: LocalCluster,
) -> None:
    connection = await asyncpg.connect(cluster.dsn)
    try:
        for column, value, error in (
            ("c9", "abcdef", asyncpg.StringDataRightTruncationError),
            ("c4", Decimal(1000000), asyncpg.NumericValueOutOfRangeError),
        ):
            with pytest.raises(error):
                await connection.execute(f"INSERT INTO t (id, {column}) VALUES (7, $1)", value)
        await connection.execute("INSERT INTO t (id, c3) VALUES (-1, 1.5)")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetch("SELECT c3 / 0 FROM t WHERE id = -1")
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            await connection.execute("INSERT INTO t (id, c18) VALUES (7, '{')")
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_order_over_several_rows_is_by_value(cluster: LocalCluster) -> None:
    router = cluster.router
    await router.execute("CREATE TABLE n (id numeric, k text PRIMARY KEY, UNIQUE (k, id))")
    numbers = [Decimal(text) for text in ("10", "9", "1.50", "-3", "100.0", "0.001")]
    random.Random(1).shuffle(numbers)
    await asyncio.gather(
        *(router.execute("INSERT INTO n VALUES ($1, $2)", n, str(n)) for n in numbers)
    )
    rows = await router.fetch("SELECT id FROM n ORDER BY id DESC")
    assert [row["id"] for row in rows] == sorted(numbers, reverse=True)
    assert await router.fetchval("SELECT k FROM n WHERE id = 1.5") == "1.50"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "kind", ["uuid", "bytea", "date", "timestamp", "timestamptz", "varchar(5)"]
)
async def test_a_type_that_can_be_a_shard_key_finds_its_row(
    cluster: LocalCluster, kind: str
) -> None:
    table = f"k_{kind.partition('(')[0]}"
    await cluster.router.execute(f"CREATE TABLE {table} (k {kind} PRIMARY KEY, v int)")
    connection = await asyncpg.connect(cluster.dsn)
    try:
        for number, value in enumerate(VALUES[kind]):
            await connection.execute(f"INSERT INTO {table} VALUES ($1, $2)", value, number)
        for number, value in enumerate(VALUES[kind]):
            query = f"SELECT v FROM {table} WHERE k = $1"
            assert await connection.fetchval(query, value) == number
            assert await cluster.router.fetchval(query, value) == number
    finally:
        await connection.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("query", "arguments", "answer"),
    [
        ("SELECT k FROM a WHERE k = ANY($1) ORDER BY k", ([3, 1, 9],), [1, 3]),
        ("SELECT k FROM a WHERE k <> ALL($1) ORDER BY k", ([3, 1],), [2]),
        ("SELECT k FROM a WHERE k > ANY($1) ORDER BY k", ([1, 2],), [2, 3]),
        ("SELECT k FROM a WHERE k >= ALL('{2,3}') ORDER BY k", (), [3]),
        ("SELECT k FROM a WHERE k = ANY($1)", (None,), []),
        ("SELECT k FROM a WHERE NOT k = ANY($1)", (None,), []),
        ("SELECT k FROM a WHERE NOT k = ANY(ARRAY[7, NULL])", (), []),
        ("SELECT k FROM a WHERE s = ANY($1)", (["y", "q"],), [2]),
        ("SELECT k FROM a WHERE 'v' = ANY(tags)", (), [1]),
        ("SELECT tags[2] FROM a WHERE k = 1", (), ["w"]),
        ("SELECT tags[5] FROM a WHERE k = 1", (), [None]),
        ("SELECT tags || ARRAY[$1] FROM a WHERE k = 1", ("z",), [["v", "w", "z"]]),
        ("SELECT array_length(tags, 1) FROM a ORDER BY k", (), [2, None, None]),
        ("SELECT u = ANY($1) FROM a WHERE k = 1", ([uuid.UUID(int=1)],), [True]),
        ("SELECT ARRAY[k, k + 1] FROM a WHERE k = 1", (), [[1, 2]]),
        ("SELECT ARRAY[]::int[] FROM a WHERE k = 1", (), [[]]),
        ("SELECT '{1,2}'::int[]::bigint[] FROM a WHERE k = 1", (), [[1, 2]]),
        ("SELECT extract(year FROM timestamp '2024-05-06 07:08') FROM a WHERE k = 1", (), [2024]),
        (
            "SELECT date_trunc('hour', timestamp '2024-05-06 07:08') FROM a WHERE k = 1",
            (),
            [datetime(2024, 5, 6, 7)],
        ),
        ("SELECT now() - now() FROM a WHERE k = 1", (), [timedelta(0)]),
        ("SELECT '{\"a\": [1, 2]}'::jsonb -> 'a' ->> 1 FROM a WHERE k = 1", (), ["2"]),
        ("SELECT sum(k::numeric) / 4 FROM a", (), [Decimal("1.5000000000000000")]),
    ],
)
async def test_arrays_and_functions_of_types(
    cluster: LocalCluster, query: str, arguments: tuple[Any, ...], answer: list[Any]
) -> None:
    router = cluster.router
    await router.execute(
        "CREATE TABLE IF NOT EXISTS a (k int PRIMARY KEY, s text, tags text[], u uuid)"
    )
    insert = "INSERT INTO a VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    await router.execute(insert, 1, "x", ["v", "w"], uuid.UUID(int=1))
    await router.execute(insert, 2, "y", [], None)
    await router.execute(insert, 3, "z", None, None)
    connection = await asyncpg.connect(cluster.dsn)
    try:
        for source in (connection, router):
            assert [row[0] for row in await source.fetch(query, *arguments)] == answer
    finally:
        await connection.close()
