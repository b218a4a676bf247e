"""Writes what a real PostgreSQL 15 answers to the statements of statements.txt.

    python -m tests.testdata.postgresql.record_statements postgresql://postgres@127.0.0.1/postgres

The server needs UTF8 and `--locale=C`; its schema public is dropped for each block of statements,
which empty lines separate. An answer is ["ok", [[column, type OID], ...], rows as texts], or
["error", SQLSTATE, message].
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncpg

HERE = Path(__file__).parent

TYPES = (
    *("int2", "int4", "int8", "numeric", "float4", "float8", "bool", "text", "varchar", "uuid"),
    *("date", "time", "timestamp", "timestamptz", "interval", "json", "jsonb"),
)


def blocks() -> list[list[str]]:
    text = (HERE / "statements.txt").read_text("utf-8")
    return [block.splitlines() for block in text.strip("\n").split("\n\n")]


async def answer(connection: asyncpg.Connection, sql: str) -> list[Any]:
    try:
        statement = await connection.prepare(sql)
        columns = [[a.name, a.type.oid] for a in statement.get_attributes()]
        return ["ok", columns, [list(row) for row in await statement.fetch()]]
    except asyncpg.PostgresError as exc:
        return ["error", exc.sqlstate, str(exc.args[0])]


async def main(dsn: str) -> None:
    found: list[list[Any]] = []
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    for kind in TYPES:
        await connection.set_type_codec(
            kind, encoder=str, decoder=str, schema="pg_catalog", format="text"
        )
    for block in blocks():
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        found.append([[sql, await answer(connection, sql)] for sql in block])
    text = json.dumps(found, ensure_ascii=False, indent=0)
    (HERE / "statements.json").write_text(text + "\n", "utf-8")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
