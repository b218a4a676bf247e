"""Writes what a real PostgreSQL 15 says to the statements of constraints.sql, one after the other.

    python -m tests.testdata.postgresql.record_constraints postgresql://postgres@127.0.0.1:5432/x

The database must be empty. constraints.json has for each line null, or the error's fields.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import asyncpg

HERE = Path(__file__).parent
FIELDS = ("schema_name", "table_name", "column_name", "constraint_name")


async def said(connection: asyncpg.Connection, sql: str) -> dict[str, str] | None:
    try:
        await connection.execute(sql)
    except asyncpg.PostgresError as exc:
        fields = {"sqlstate": exc.sqlstate, "message": str(exc.args[0])}
        for name in ("detail", *FIELDS):
            value = getattr(exc, name, None)
            fields[name.removesuffix("_name")] = value or ""
        return {name: str(value) for name, value in fields.items()}
    return None


async def main(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    lines = (HERE / "constraints.sql").read_text(encoding="utf-8").splitlines()
    answers = [await said(connection, sql) for sql in lines]
    text = json.dumps(answers, indent=1, ensure_ascii=False)
    (HERE / "constraints.json").write_text(text + "\n", encoding="utf-8")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
