"""`\\d NAME`: a table with its columns, indexes and constraints; a view, sequence or index."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from shardrouter.cli.shell.arguments import Pattern
from shardrouter.cli.shell.describing.conditions import condition, literal
from shardrouter.cli.shell.layout import Cell, Column, Row
from shardrouter.cli.shell.result import print_rows

if TYPE_CHECKING:
    from shardrouter.cli.shell.shell import Shell
    from shardrouter.pgclient import Client

__all__ = ["describe_relations"]

_FIND = """\
SELECT c.oid,
  n.nspname,
  c.relname
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {pattern}ORDER BY 2, 3;"""

_KIND = """\
SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, \
c.relrowsecurity, c.relforcerowsecurity, false AS relhasoids, c.relispartition, '', \
c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE \
c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname
FROM pg_catalog.pg_class c
 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
WHERE c.oid = {oid};"""

_COLUMNS = """\
SELECT a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
   FROM pg_catalog.pg_attrdef d
   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
  a.attnotnull,
  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) \
AS attcollation,
  a.attidentity,
  a.attgenerated
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;"""

_INDEXES = """\
SELECT c2.relname, i.indisprimary, i.indisunique, i.indisclustered, i.indisvalid, \
pg_catalog.pg_get_indexdef(i.indexrelid, 0, true),
  pg_catalog.pg_get_constraintdef(con.oid, true), contype, condeferrable, condeferred, \
i.indisreplident, c2.reltablespace
FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i
  LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid \
AND contype IN ('p','u','x'))
WHERE c.oid = {oid} AND c.oid = i.indrelid AND i.indexrelid = c2.oid
ORDER BY i.indisprimary DESC, c2.relname;"""

_CHECKS = """\
SELECT r.conname, pg_catalog.pg_get_constraintdef(r.oid, true)
FROM pg_catalog.pg_constraint r
WHERE r.conrelid = {oid} AND r.contype = 'c'
ORDER BY 1;"""

_REFERENCES = """\
SELECT true as sametable, conname,
  pg_catalog.pg_get_constraintdef(r.oid, true) as condef,
  conrelid::pg_catalog.regclass AS ontable
FROM pg_catalog.pg_constraint r
WHERE r.conrelid = {oid} AND r.contype = 'f'
     AND conparentid = 0
ORDER BY conname"""

_REFERENCED = """\
SELECT conname, conrelid::pg_catalog.regclass AS ontable,
       pg_catalog.pg_get_constraintdef(oid, true) AS condef
  FROM pg_catalog.pg_constraint c
 WHERE confrelid IN (SELECT pg_catalog.pg_partition_ancestors({oid})
                     UNION ALL VALUES ({oid}::pg_catalog.regclass))
       AND contype = 'f' AND conparentid = 0
ORDER BY conname;"""

_SEQUENCE = """\
SELECT pg_catalog.format_type(seqtypid, NULL) AS "Type",
       seqstart AS "Start",
       seqmin AS "Minimum",
       seqmax AS "Maximum",
       seqincrement AS "Increment",
       CASE WHEN seqcycle THEN 'yes' ELSE 'no' END AS "Cycles?",
       seqcache AS "Cache"
FROM pg_catalog.pg_sequence
WHERE seqrelid = {oid};"""

_OWNER_OF_SEQUENCE = """\
SELECT pg_catalog.quote_ident(nspname) || '.' ||
   pg_catalog.quote_ident(relname) || '.' ||
   pg_catalog.quote_ident(attname),
   d.deptype
FROM pg_catalog.pg_class c
INNER JOIN pg_catalog.pg_depend d ON c.oid=d.refobjid
INNER JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace
INNER JOIN pg_catalog.pg_attribute a ON (
 a.attrelid=c.oid AND
 a.attnum=d.refobjsubid)
WHERE d.classid='pg_catalog.pg_class'::pg_catalog.regclass
 AND d.refclassid='pg_catalog.pg_class'::pg_catalog.regclass
 AND d.objid={oid}
 AND d.deptype IN ('a', 'i')"""

_INDEX_COLUMNS = """\
SELECT a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attnum <= (SELECT i.indnkeyatts FROM pg_catalog.pg_index i WHERE i.indexrelid = \
{oid}) THEN 'yes' ELSE 'no' END AS is_key,
  pg_catalog.pg_get_indexdef(a.attrelid, a.attnum, TRUE) AS indexdef
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;"""

_INDEX = """\
SELECT i.indisunique, i.indisprimary, i.indisclustered, i.indisvalid,
  (NOT i.indimmediate) AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = \
i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x') AND condeferrable) AS \
condeferrable,
  (NOT i.indimmediate) AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = \
i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x') AND condeferred) AS condeferred,
i.indisreplident,
i.indnullsnotdistinct,
  a.amname, c2.relname, pg_catalog.pg_get_expr(i.indpred, i.indrelid, true)
FROM pg_catalog.pg_index i, pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_am a
WHERE i.indexrelid = c.oid AND c.oid = {oid} AND c.relam = a.oid
AND i.indrelid = c2.oid;"""

_TITLES = {
    "r": "Table",
    "p": "Partitioned table",
    "v": "View",
    "m": "Materialized view",
    "S": "Sequence",
    "i": "Index",
    "I": "Partitioned index",
    "c": "Composite type",
    "f": "Foreign table",
    "t": "TOAST table",
}

_INT8 = 20


async def describe_relations(shell: Shell, pattern: Pattern) -> bool:
    """False if there is none of that name."""
    client = await shell.ready()
    visible = "pg_catalog.pg_table_is_visible(c.oid)"
    found = condition(pattern, "c.relname", schema="n.nspname", visible=visible)
    where = found.removeprefix("  AND ") or "true\n"
    relations = await client.rows(_FIND.format(pattern=where))
    for oid, schema, name in relations:
        await _describe(shell, client, literal(oid or ""), f"{schema}.{name}", schema or "")
    return bool(relations)


async def _describe(shell: Shell, client: Client, oid: str, name: str, schema: str) -> None:
    [about] = await client.rows(_KIND.format(oid=oid))
    kind = about[1] or ""
    unlogged = "Unlogged " if about[12] == "u" else ""
    title = _TITLES.get(kind, kind)
    title = f'{unlogged}{title.lower() if unlogged else title} "{name}"'
    if kind == "S":
        columns, rows, footers = await _sequence(client, oid)
    elif kind in ("i", "I"):
        columns, rows, footers = await _index(client, oid, schema)
    else:
        columns, rows, footers = await _table(client, oid, about)
    settings = dataclasses.replace(shell.settings, null="", expanded="off")
    print_rows(shell.output, settings, columns, rows, title=title, footers=footers)


async def _table(client: Client, oid: str, about: Row) -> tuple[list[Column], list[Row], list[str]]:
    columns = [Column(n) for n in ("Column", "Type", "Collation", "Nullable", "Default")]
    rows: list[Row] = [
        (row[0], row[1], row[4], "not null" if row[3] == "t" else "", _default(row[2], *row[5:]))
        for row in await client.rows(_COLUMNS.format(oid=oid))
    ]
    footers: list[str] = []
    if about[2] == "t":
        _section(
            footers, "Indexes", map(_index_footer, await client.rows(_INDEXES.format(oid=oid)))
        )
    if about[0] != "0":
        checks = await client.rows(_CHECKS.format(oid=oid))
        _section(footers, "Check constraints", (f'"{n}" {text}' for n, text in checks))
    if about[1] in ("r", "p", "f"):
        references = await client.rows(_REFERENCES.format(oid=oid))
        _section(
            footers, "Foreign-key constraints", (f'"{n}" {text}' for _, n, text, _ in references)
        )
        referenced = await client.rows(_REFERENCED.format(oid=oid))
        _section(
            footers,
            "Referenced by",
            (f'TABLE "{table}" CONSTRAINT "{n}" {text}' for n, table, text in referenced),
        )
    return columns, rows, footers


def _default(default: Cell, identity: Cell, generated: Cell) -> str:
    if identity == "a":
        return "generated always as identity"
    if identity == "d":
        return "generated by default as identity"
    if generated == "s":
        return f"generated always as ({default}) stored"
    return default or ""


def _section(footers: list[str], title: str, lines: Iterable[str]) -> None:
    found = [f"    {line}" for line in lines]
    if found:
        footers += [f"{title}:", *found]


def _index_footer(row: Row) -> str:
    name, primary, unique, clustered, valid, definition, constraint, kind, deferrable, deferred = (
        row[:10]
    )
    if kind == "x":
        return f'"{name}" {constraint}'
    text = f'"{name}"'
    if primary == "t":
        text += " PRIMARY KEY,"
    elif unique == "t":
        text += " UNIQUE CONSTRAINT," if kind == "u" else " UNIQUE,"
    _, _, using = (definition or "").partition(" USING ")
    text += f" {using or definition}"
    for word, is_so in (
        (" DEFERRABLE", deferrable == "t"),
        (" INITIALLY DEFERRED", deferred == "t"),
        (" CLUSTER", clustered == "t"),
        (" INVALID", valid != "t"),
        (" REPLICA IDENTITY", row[10] == "t"),
    ):
        text += word if is_so else ""
    return text


async def _sequence(client: Client, oid: str) -> tuple[list[Column], list[Row], list[str]]:
    rows = await client.rows(_SEQUENCE.format(oid=oid))
    numbers = [Column(n, _INT8) for n in ("Start", "Minimum", "Maximum", "Increment")]
    columns = [Column("Type"), *numbers, Column("Cycles?"), Column("Cache", _INT8)]
    footers = [
        f"Owned by: {column}" if how == "a" else f"Sequence for identity column: {column}"
        for column, how in await client.rows(_OWNER_OF_SEQUENCE.format(oid=oid))
    ]
    return columns, list(rows), footers


async def _index(
    client: Client, oid: str, schema: str
) -> tuple[list[Column], list[Row], list[str]]:
    columns = [Column(n) for n in ("Column", "Type", "Key?", "Definition")]
    rows = await client.rows(_INDEX_COLUMNS.format(oid=oid))
    footers = []
    for row in await client.rows(_INDEX.format(oid=oid)):
        unique, primary, clustered, valid, deferrable, deferred, replica, nulls = row[:8]
        method, table, predicate = row[8:]
        text = "primary key, " if primary == "t" else "unique, " if unique == "t" else ""
        text += "nulls not distinct, " if nulls == "t" and unique == "t" else ""
        text += f'{method}, for table "{schema}.{table}"'
        text += f", predicate ({predicate})" if predicate else ""
        for word, is_so in (
            (", clustered", clustered == "t"),
            (", invalid", valid != "t"),
            (", deferrable", deferrable == "t"),
            (", initially deferred", deferred == "t"),
            (", replica identity", replica == "t"),
        ):
            text += word if is_so else ""
        footers.append(text)
    return columns, list(rows), footers
