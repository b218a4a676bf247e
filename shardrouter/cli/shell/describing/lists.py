"""Lists: relations of some kinds, schemas, functions, roles, databases."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shardrouter.cli.shell.arguments import Pattern
from shardrouter.cli.shell.describing.conditions import condition
from shardrouter.cli.shell.layout import Column, Row
from shardrouter.cli.shell.result import print_rows

if TYPE_CHECKING:
    from shardrouter.cli.shell.shell import Shell

__all__ = ["list_databases", "list_functions", "list_relations", "list_roles", "list_schemas"]

_RELATIONS = """\
SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' \
WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN \
'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"{more}
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam{joins}
WHERE c.relkind IN ({kinds})
{system}{pattern}ORDER BY 1,2;"""

_NOT_SYSTEM = """\
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
"""

_INDEXED = """
     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     LEFT JOIN pg_catalog.pg_class c2 ON i.indrelid = c2.oid"""

_SCHEMAS = """\
SELECT n.nspname AS "Name",
  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
{where}ORDER BY 1;"""

_FUNCTIONS = """\
SELECT n.nspname as "Schema",
  p.proname as "Name",
  pg_catalog.pg_get_function_result(p.oid) as "Result data type",
  pg_catalog.pg_get_function_arguments(p.oid) as "Argument data types",
 CASE p.prokind
  WHEN 'a' THEN 'agg'
  WHEN 'w' THEN 'window'
  WHEN 'p' THEN 'proc'
  ELSE 'func'
 END as "Type"
FROM pg_catalog.pg_proc p
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
{where}ORDER BY 1, 2, 4;"""

_ROLES = """\
SELECT r.rolname, r.rolsuper, r.rolinherit,
  r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
  r.rolconnlimit, r.rolvaliduntil,
  ARRAY(SELECT b.rolname
        FROM pg_catalog.pg_auth_members m
        JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid)
        WHERE m.member = r.oid) as memberof
, r.rolreplication
, r.rolbypassrls
FROM pg_catalog.pg_roles r
{where}ORDER BY 1;"""

_DATABASES = """\
SELECT d.datname as "Name",
       pg_catalog.pg_get_userbyid(d.datdba) as "Owner",
       pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding",
       d.datcollate as "Collate",
       d.datctype as "Ctype",
       d.daticulocale as "ICU Locale",
       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END AS "Locale Provider",
       pg_catalog.array_to_string(d.datacl, E'\\n') AS "Access privileges"
FROM pg_catalog.pg_database d
{where}ORDER BY 1;"""


async def list_relations(shell: Shell, kinds: Sequence[str], pattern: Pattern) -> bool:
    """False if there is none."""
    names = ["Schema", "Name", "Type", "Owner"]
    has_pattern = pattern != Pattern(None)
    shown = (*kinds, "t", "s") if has_pattern and kinds == ("r", "p") else kinds
    of_indexes = "i" in kinds
    query = _RELATIONS.format(
        more=',\n  c2.relname as "Table"' if of_indexes else "",
        joins=_INDEXED if of_indexes else "",
        kinds=",".join(f"'{kind}'" for kind in (*shown, "")),
        system="" if has_pattern else _NOT_SYSTEM,
        pattern=condition(
            pattern,
            "c.relname",
            schema="n.nspname",
            visible="pg_catalog.pg_table_is_visible(c.oid)",
        ),
    )
    rows = await _ask(shell, query)
    if rows:
        _print(shell, "List of relations", [*names, "Table"] if of_indexes else names, rows)
    return bool(rows)


async def list_schemas(shell: Shell, pattern: Pattern) -> bool:
    where = "WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'\n"
    if pattern.name is not None:
        where = _where(condition(pattern, "n.nspname"))
    rows = await _ask(shell, _SCHEMAS.format(where=where))
    _print(shell, "List of schemas", ["Name", "Owner"], rows)
    return True


async def list_functions(shell: Shell, pattern: Pattern) -> bool:
    visible = "pg_catalog.pg_function_is_visible(p.oid)"
    where = _where(condition(pattern, "p.proname", schema="n.nspname", visible=visible))
    if pattern == Pattern(None):
        where += (
            "      AND n.nspname <> 'pg_catalog'\n      AND n.nspname <> 'information_schema'\n"
        )
    rows = await _ask(shell, _FUNCTIONS.format(where=where))
    names = ["Schema", "Name", "Result data type", "Argument data types", "Type"]
    _print(shell, "List of functions", names, rows)
    return True


async def list_databases(shell: Shell, pattern: Pattern) -> bool:
    rows = await _ask(shell, _DATABASES.format(where=_where(condition(pattern, "d.datname"))))
    names = ["Name", "Owner", "Encoding", "Collate", "Ctype", "ICU Locale", "Locale Provider"]
    _print(shell, "List of databases", [*names, "Access privileges"], rows)
    return True


async def list_roles(shell: Shell, pattern: Pattern) -> bool:
    where = "WHERE r.rolname !~ '^pg_'\n"
    if pattern.name is not None:
        where = _where(condition(pattern, "r.rolname"))
    found = await _ask(shell, _ROLES.format(where=where))
    rows = [(row[0], _attributes(row), row[8]) for row in found]
    _print(shell, "List of roles", ["Role name", "Attributes", "Member of"], rows, footers=())
    return True


def _attributes(row: Row) -> str:
    _, superuser, inherits, roles, databases, log_in, limit, until, _, replication, bypass = row
    words = [
        word
        for word, is_so in (
            ("Superuser", superuser == "t"),
            ("No inheritance", inherits != "t"),
            ("Create role", roles == "t"),
            ("Create DB", databases == "t"),
            ("Cannot login", log_in != "t"),
            ("Replication", replication == "t"),
            ("Bypass RLS", bypass == "t"),
        )
        if is_so
    ]
    text = ", ".join(words)
    count = int(limit or -1)
    if count >= 0:
        how = "No connections" if not count else f"{count} connection{'' if count == 1 else 's'}"
        text += f"\n{how}" if text else how
    if until is not None:
        text += f"\nPassword valid until {until}" if text else f"Password valid until {until}"
    return text


def _where(conditions: str) -> str:
    return "WHERE" + conditions.removeprefix("  AND") if conditions else ""


async def _ask(shell: Shell, query: str) -> list[tuple[str | None, ...]]:
    return await (await shell.ready()).rows(query)


def _print(
    shell: Shell,
    title: str,
    names: Sequence[str],
    rows: Sequence[Row],
    footers: Sequence[str] | None = None,
) -> None:
    settings = dataclasses.replace(shell.settings, null="")
    columns = [Column(name) for name in names]
    print_rows(shell.output, settings, columns, rows, title=title, footers=footers)
