"""Writes what a real PostgreSQL 15 answers to the statements of functions.txt.

    python -m tests.testdata.postgresql.record_functions PORT

The server is on loopback, needs UTF8 and `--locale=C`; its schema public is dropped. An answer is
["ok", [[column, type OID], ...], rows as texts], or ["error", SQLSTATE].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.suites.pgclient import Client

HERE = Path(__file__).parent


def answer(client: Client, sql: str) -> list[Any]:
    (found,) = client.query(sql)
    if found.error is not None:
        return ["error", found.sqlstate]
    columns = [[column.name, column.type] for column in found.columns or ()]
    rows = [[None if v is None else v.decode() for v in row] for row in found.rows]
    return ["ok", columns, rows]


def main(port: int) -> None:
    statements = (HERE / "functions.txt").read_text("utf-8").splitlines()
    with Client(port) as client:
        client.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        recorded = [[sql, answer(client, sql)] for sql in statements]
    text = json.dumps(recorded, ensure_ascii=False, indent=0)
    (HERE / "functions.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]))
