"""Record what PostgreSQL 15 has built in, into shardrouter/catalogs/recorded.py.

    python -m tests.testdata.postgresql.record_catalogs DSN

Run against a fresh database of PostgreSQL 15 with the encoding UTF8.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
from pathlib import Path

import asyncpg

TARGET = Path(__file__).parents[3] / "shardrouter" / "catalogs" / "recorded.py"

RELATIONS = """
    SELECT n.nspname, c.relkind::text, c.oid::int8, c.relname, array_agg(
        a.attname::text || ':' || coalesce(b.typname, t.typname) ||
        CASE WHEN t.typtype = 'd' AND t.typtypmod <> -1 THEN ':' || t.typtypmod ELSE '' END
        ORDER BY a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
    WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')
        AND c.relname <> 'pg_statistic_ext_data'  -- arrays of rows are in it
    GROUP BY 1, 2, 3, 4 ORDER BY n.nspname DESC, c.relname
"""
TYPES = """
    SELECT oid::int8, typname, typlen, typbyval, typtype::text, typcategory::text, typispreferred,
        typdelim::text, typelem::int8, typarray::int8, typalign::text, typstorage::text,
        typcollation::int8, typinput::oid::int8, typoutput::oid::int8, typreceive::oid::int8,
        typsend::oid::int8, typsubscript::oid::int8, typmodin::oid::int8, typmodout::oid::int8
    FROM pg_type WHERE typnamespace = 11 AND typtype <> 'c'
        AND (typtype <> 'b' OR typelem = 0 OR EXISTS (
            SELECT FROM pg_type e WHERE e.oid = pg_type.typelem AND e.typtype <> 'c'))
    ORDER BY oid
"""


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


async def record(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    blocks = []
    for schema, kind, oid, name, columns in await connection.fetch(RELATIONS):
        text = f"{schema} {kind} {oid} {name} {' '.join(columns)}"
        blocks.append("\n".join(textwrap.wrap(text, 98, break_on_hyphens=False)))
    types = [" ".join(map(_cell, row)) for row in await connection.fetch(TYPES)]
    await connection.close()
    TARGET.write_text(
        '"""What PostgreSQL 15 has built in.\n\n'
        'Made by tests/testdata/postgresql/record_catalogs.py."""\n\n'
        "from typing import Final\n\n"
        '__all__ = ["RELATIONS", "TYPES"]\n\n'
        'RELATIONS: Final = """\n' + "\n\n".join(blocks) + '\n"""\n'
        '"""Schema, relkind, oid, name, each column with its type, a domain\'s base type."""\n\n'
        'TYPES: Final = """\n' + "\n".join(types) + '\n"""\n'
        '"""Rows of pg_type, as `shardrouter.catalogs.builtin` names their columns."""\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
