"""Writes what a real PostgreSQL 15 answers to the statements of definitions.txt.

    python -m tests.testdata.postgresql.record_definitions postgresql://postgres@127.0.0.1/postgres

As `record_statements`, for changes of the schema: each answer has what it was told besides,
[severity, message, detail], behind it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncpg

from tests.testdata.postgresql.record_statements import answer

HERE = Path(__file__).parent

RESET = """
DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS s, s2 CASCADE;
RESET search_path; SET client_min_messages = notice
"""


def blocks() -> list[list[str]]:
    text = (HERE / "definitions.txt").read_text("utf-8")
    return [block.splitlines() for block in text.strip("\n").split("\n\n")]


async def main(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    await connection.set_type_codec(
        "numeric", encoder=str, decoder=str, schema="pg_catalog", format="text"
    )
    told: list[list[str]] = []
    connection.add_log_listener(
        lambda _, said: told.append([said.severity, said.message, said.detail or ""])
    )
    found: list[list[Any]] = []
    for block in blocks():
        await connection.execute(RESET)
        answers = []
        for sql in block:
            told.clear()
            answers.append([sql, await answer(connection, sql), list(told)])
        found.append(answers)
    text = json.dumps(found, ensure_ascii=False, indent=0)
    (HERE / "definitions.json").write_text(text + "\n", "utf-8")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
