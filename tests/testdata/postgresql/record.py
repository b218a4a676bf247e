"""Writes the answers of a real PostgreSQL 15 that the tests of types compare with.

    python -m tests.testdata.postgresql.record postgresql://postgres@127.0.0.1:5432/postgres

The server needs UTF8, `--locale=C` and the time zone UTC.

operators.json  for each operator symbol, the type of its result for each pair of operand types
                ("unknown" is an untyped NULL, "" stands left of a prefix operator), or the
                SQLSTATE if it is not 42883
casts.json      for each pair of types the context in which a cast is allowed: i, a or e
values.json     for each type what it reads of a text: its text and binary format, or the error
order.json      for each type the values it read, in its order; equal ones are together
results.json    what expressions of constants are: type and text, or SQLSTATE and message

The texts and expressions are those of samples.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import asyncpg

from tests.testdata.postgresql.samples import EXPRESSIONS, ORDERED, TEXTS

HERE = Path(__file__).parent

TYPES = (
    *("int2", "int4", "int8", "numeric", "float4", "float8", "bool", "text", "varchar", "bpchar"),
    *(
        "name",
        "bytea",
        "uuid",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "interval",
        "json",
        "jsonb",
    ),
)
ARRAYS = ("_int4", "_int8", "_text", "_varchar", "_numeric", "_uuid")
SYMBOLS = (
    "&&",
    *("+", "-", "*", "/", "%", "^", "||", "=", "<>", "<", "<=", ">", ">=", "->", "->>", "#>"),
    *("#>>", "@>", "<@", "?", "?|", "?&", "#-", "&", "|", "#", "<<", ">>", "~~", "~~*", "!~~"),
    *("!~~*", "~", "~*", "!~", "!~*", "^@", "similar to", "not similar to"),
)
PREFIXES = ("+", "-", "@", "~", "|/", "||/")


def typed(kind: str) -> str:
    return "NULL" if kind == "unknown" else f"NULL::pg_catalog.{kind}"


async def type_of(connection: asyncpg.Connection, expression: str) -> str:
    try:
        statement = await connection.prepare(f"SELECT {expression}")
    except asyncpg.PostgresError as exc:
        return exc.sqlstate or ""
    name = str(statement.get_attributes()[0].type.name)
    return f"_{name[:-2]}" if name.endswith("[]") else name


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


async def one_row(connection: asyncpg.Connection, query: str, *args: object) -> asyncpg.Record:
    row = await connection.fetchrow(query, *args)
    assert row is not None
    return row


def error_of(exc: asyncpg.PostgresError) -> list[str]:
    return [str(exc.sqlstate), str(exc.args[0])]


async def values(connection: asyncpg.Connection) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for kind, texts in TEXTS.items():
        answers = found.setdefault(kind, {})
        out, send = await one_row(
            connection,
            "SELECT typoutput::regproc::text, typsend::regproc::text FROM pg_type "
            "WHERE typname = $1",
            kind,
        )
        for text in texts:
            try:
                row = await one_row(
                    connection,
                    f"SELECT {out}(v)::text, {send}(v) FROM "
                    f"(SELECT $1::text::pg_catalog.{kind} AS v) AS s",
                    text,
                )
            except asyncpg.PostgresError as exc:
                answers[text] = error_of(exc)
            else:
                answers[text] = ["", row[0], row[1].hex()]
    return found


async def order(
    connection: asyncpg.Connection, read: dict[str, dict[str, list[str]]]
) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for kind, answers in read.items():
        texts = [text for text, answer in answers.items() if not answer[0]]
        if kind == "json":
            continue  # it has no order
        rows = await connection.fetch(
            f"SELECT array_agg(t) AS equal FROM (SELECT t, t::pg_catalog.{kind} AS v "
            "FROM unnest($1::text[]) AS u(t)) AS s GROUP BY v ORDER BY v",
            [*texts, *ORDERED.get(kind, ())],
        )
        found[kind] = [sorted(set(row["equal"])) for row in rows]
    return found


async def results(connection: asyncpg.Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for expression in EXPRESSIONS:
        try:
            row = await one_row(
                connection,
                f"SELECT t::regtype::text, v::text FROM (SELECT pg_typeof({expression}) AS t, "
                f"({expression}) AS v) AS s",
            )
        except asyncpg.PostgresError as exc:
            found[expression] = error_of(exc)
        else:
            found[expression] = [row[0], row[1]]
    return found


async def main(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    read = await values(connection)
    for name, answers in (
        ("operators", await operators(connection)),
        ("casts", await casts(connection)),
        ("values", read),
        ("order", await order(connection, read)),
        ("results", await results(connection)),
    ):
        text = json.dumps(answers, indent=0, sort_keys=True, ensure_ascii=False)
        (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
