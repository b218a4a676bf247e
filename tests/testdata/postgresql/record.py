"""Writes the answers of a real PostgreSQL 15 that the tests of types compare with.

    python tests/testdata/postgresql/record.py postgresql://postgres@127.0.0.1:5432/postgres

The server needs UTF8, `--locale=C` and the time zone UTC.

operators.json  for each operator symbol, the type of its result for each pair of operand types
                ("unknown" is an untyped NULL, "" stands left of a prefix operator), or the
                SQLSTATE if it is not 42883
casts.json      for each pair of types the context in which a cast is allowed: i, a or e
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import asyncpg

HERE = Path(__file__).parent

TYPES = (
    *("int2", "int4", "int8", "numeric", "float4", "float8", "bool", "text", "varchar", "bpchar"),
    *("bytea", "uuid", "date", "time", "timestamp", "timestamptz", "interval", "json", "jsonb"),
)
ARRAYS = ("_int4", "_text")
SYMBOLS = (
    *("+", "-", "*", "/", "%", "^", "||", "=", "<>", "<", "<=", ">", ">=", "->", "->>", "#>"),
    *("#>>", "@>", "<@", "?", "?|", "?&", "#-", "&", "|", "#", "<<", ">>", "~~", "~~*", "!~~"),
)
PREFIXES = ("+", "-", "@", "~", "|/")


def typed(kind: str) -> str:
    return "NULL" if kind == "unknown" else f"NULL::pg_catalog.{kind}"


async def type_of(connection: asyncpg.Connection, expression: str) -> str:
    try:
        statement = await connection.prepare(f"SELECT {expression}")
    except asyncpg.PostgresError as exc:
        return exc.sqlstate or ""
    return str(statement.get_attributes()[0].type.name)


async def operators(connection: asyncpg.Connection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    kinds = [*TYPES, *ARRAYS, "unknown"]
    for symbol in SYMBOLS:
        answers = found.setdefault(symbol, {})
        for left in kinds:
            for right in kinds:
                answer = await type_of(connection, f"{typed(left)} {symbol} {typed(right)}")
                if answer != "42883":
                    answers[f"{left} {right}"] = answer
    for symbol in PREFIXES:
        for right in kinds:
            answer = await type_of(connection, f"{symbol} {typed(right)}")
            if answer != "42883":
                found.setdefault(symbol, {})[f" {right}"] = answer
    return found


async def casts(connection: asyncpg.Connection) -> dict[str, str]:
    found: dict[str, str] = {}
    kinds = [*TYPES, *ARRAYS]
    for target in kinds:
        name = target.replace("_", "").strip() + ("[]" if target[0] == "_" else "")
        await connection.execute(f"CREATE TEMP TABLE goal_{target} (x {name})")
        await connection.execute(
            f"CREATE FUNCTION pg_temp.take_{target}({name}) RETURNS int LANGUAGE sql AS 'SELECT 1'"
        )
    for source in kinds:
        for target in kinds:
            value = typed(source)
            for context, text in (
                ("i", f"SELECT pg_temp.take_{target}({value})"),
                ("a", f"INSERT INTO goal_{target} VALUES ({value})"),
                ("e", f"SELECT {value}::pg_catalog.{target}"),
            ):
                try:
                    await connection.prepare(text)
                except asyncpg.PostgresError:
                    continue
                found[f"{source} {target}"] = context
                break
    return found


async def main(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    for name, answers in (
        ("operators", await operators(connection)),
        ("casts", await casts(connection)),
    ):
        text = json.dumps(answers, indent=0, sort_keys=True)
        (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
