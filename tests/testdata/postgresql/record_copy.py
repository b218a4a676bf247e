"""Records what PostgreSQL makes of data that is sent to COPY: `python record_copy.py DSN SEED`.

Writes copy_from.json beside this file: statement, data, and the rows or the error of each.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg

CASES = 400
TABLE = "CREATE TEMP TABLE t (a integer, b text, c bigint)"
OPTIONS = (
    "",
    "(format csv)",
    "(format csv, header)",
    "(null 'x')",
    "(delimiter '|')",
    "(format csv, delimiter ';', quote '''')",
    "(format csv, escape '\\')",
    "(format csv, force_not_null (b))",
    "(format csv, force_null (b))",
    "(format csv, null 'x')",
    "(header)",
    "(header match)",
    "(format csv, header match)",
)
PLAIN = ("a", "xy", "", "é", "z z")
SPECIAL = (
    *("", "x", "\\N", "\\t", "\\n", "\\x41", "\\101", "\\\\", '""', '"a"', '"a,b"', '"a\nb"'),
    *('a"b"c', "'q'", "1_0", " 7 ", "+3", "99999999999", "\\\n", "\r", "\\q", '"x"', '"x\\"y"'),
    *("\\", "'a;b'", '"', "\\.", "-"),
)


def case(rng: random.Random) -> tuple[str, str]:
    options = rng.choice(OPTIONS)
    delimiter = "," if "csv" in options else "\t"
    for other in "|;":
        if f"'{other}'" in options:
            delimiter = other
    eol = rng.choice(["\n"] * 6 + ["\r\n", "\r"])
    lines = [delimiter.join("abc" if rng.random() < 0.8 else "a")] if "header" in options else []
    for _ in range(rng.randint(0, 4)):
        cells = [
            str(rng.randint(-9, 9)) if rng.random() < 0.8 else rng.choice(SPECIAL),
            rng.choice(PLAIN if rng.random() < 0.5 else (*SPECIAL, "\\" + delimiter)),
            str(rng.randint(0, 9)),
        ]
        lines.append(delimiter.join(cells[: rng.choice([3] * 12 + [2])]))
    if len(lines) > 1 and rng.random() < 0.15:
        lines.insert(rng.randint(1, len(lines) - 1), "\\.")
    return f"COPY t FROM STDIN {options}", "".join(line + eol for line in lines)


async def outcome(connection: Any, statement: str, data: str) -> Any:
    async def source() -> AsyncIterator[bytes]:
        yield data.encode()

    await connection.execute("TRUNCATE t")
    try:
        await connection._copy_in(statement, source(), 30)
    except asyncpg.PostgresError as error:
        return [error.sqlstate, str(error.args[0]), error.as_dict().get("context", "")]
    return [list(row) for row in await connection.fetch("SELECT * FROM t")]


async def main(dsn: str, seed: int) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE)
    rng = random.Random(seed)
    found = []
    for _ in range(CASES):
        statement, data = case(rng)
        found.append([statement, data, await outcome(connection, statement, data)])
    await connection.close()
    text = ",\n".join(json.dumps(each, ensure_ascii=True) for each in found)
    Path(__file__).with_name("copy_from.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
