"""One file of sqllogictest through one driver: `python -m ...client DRIVER DSN SETUP FILE`.

Runs in the environment where the driver is installed, so it needs nothing of this project but
`records`. SETUP is a statement to begin with, or empty. Prints a line of JSON: how
many answers were right, and those that were not.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.suites.sqllogictest.records import judge, parse

CREATED = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)

SHOWN_MAX = 20
"""Wrong answers that are told in full."""


class Driver(Protocol):
    async def run(self, sql: str) -> Sequence[Sequence[object]]:
        """Rows of a statement; raises the driver's own error."""

    async def close(self) -> None: ...


class Psycopg:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    async def connect(dsn: str) -> Psycopg:
        psycopg = importlib.import_module("psycopg")
        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        return Psycopg(connection)

    async def run(self, sql: str) -> Sequence[Sequence[object]]:
        # Only what is prepared goes by the extended protocol.
        cursor = await self._connection.execute(sql, prepare=True)
        return await cursor.fetchall() if cursor.description else ()

    async def close(self) -> None:
        await self._connection.close()


class Asyncpg:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    async def connect(dsn: str) -> Asyncpg:
        asyncpg = importlib.import_module("asyncpg")
        return Asyncpg(await asyncpg.connect(dsn))

    async def run(self, sql: str) -> Sequence[Sequence[object]]:
        rows: Sequence[Sequence[object]] = await self._connection.fetch(sql)
        return rows

    async def close(self) -> None:
        await self._connection.close()


async def run_file(driver: Driver, name: str, text: str) -> dict[str, Any]:
    """Every record of the file, in its order; tables of an earlier run are dropped first."""
    records = list(parse(text))
    for table in CREATED.findall(text):
        await driver.run(f"DROP TABLE IF EXISTS {table}")
    right = queries = 0
    wrong: list[str] = []
    for record in records:
        queries += record.is_query
        try:
            rows = await driver.run(record.sql)
        except Exception as exc:  # whatever a driver raises
            code = getattr(exc, "sqlstate", "")
            said = "" if record.must_fail else f"{type(exc).__name__} {code}: {exc}"
        else:
            said = judge(record, rows) if record.is_query else ""
            if record.must_fail:
                said = "it did not fail"
        if said:
            wrong.append(f"{name}:{record.line}: {record.sql}\n  {said}")
        else:
            right += 1
    return {"right": right, "queries": queries, "wrong": len(wrong), "told": wrong[:SHOWN_MAX]}


async def main(driver_name: str, dsn: str, setup: str, name: str, text: str) -> None:
    driver: Driver = await (Psycopg if driver_name == "psycopg" else Asyncpg).connect(dsn)
    try:
        if setup:
            await driver.run(setup)
        print(json.dumps(await run_file(driver, name, text)))
    finally:
        await driver.close()


if __name__ == "__main__":
    driver, dsn, setup, path = sys.argv[1:]
    asyncio.run(main(driver, dsn, setup, Path(path).name, Path(path).read_text(encoding="utf-8")))
