"""A change of the schema as one step of a transaction.

SQLite drops a table by deleting its rows, and with foreign keys on that deletes, or refuses, the
rows of others that refer to them: also where the table is only made anew under another name and
takes its name back. An entry that changes the schema and nothing else has foreign keys off
(`nodes.foreign_keys`). In a transaction they have to be on, for its other steps, and cannot be
switched while it is open. So a table that is dropped is first made one that nobody refers to: in
the text of the tables that do, the name of the table is replaced, by SQLite's documented way of
editing its schema table (https://sqlite.org/lang_altertable.html, section 7), and put back at the
end of the step. Then all that refer to it are checked.

That way ends with a new schema_version, after which the connection reads the schema again. PRAGMA
writable_schema = RESET would do so too, but lets the connection forget that its transaction has
changed the schema: after a ROLLBACK it would keep what it had read in between, and take that for
the schema of the file as soon as others have made as many changes.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from nodes.authorizer import OWN, mode_of_write
from nodes.foreign_keys import check_children, children_of
from nodes.protocol import SqlFailure, Statement, StatementResult
from nodes.sql_connection import Answer, Refused, SqlConnection

__all__ = ["run_definition"]

_DROP: Final = re.compile(r'DROP TABLE (?:"((?:[^"]|"")+)"|(\w+))$')

_TEXT: Final = f"{OWN}SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1"  # noqa: S608 -- a constant prefix
_REPLACE: Final = f"{OWN}UPDATE sqlite_schema SET sql = ?2 WHERE type = 'table' AND name = ?1"  # noqa: S608 -- the same
_WRITABLE: Final = OWN + "PRAGMA writable_schema = ON"
_NOT_WRITABLE: Final = OWN + "PRAGMA writable_schema = OFF"
_VERSION: Final = OWN + "PRAGMA schema_version"


def run_definition(
    connection: SqlConnection,
    statements: Sequence[Statement],
    ordinal: int,
    now_us: int,
    seed: int,
) -> StatementResult:
    """Run all statements. Raises Refused, or a fault: then what was done stays until the caller
    rolls it back."""
    hidden: dict[str, str] = {}  # tables that are dropped, and what stands for their names
    children: dict[str, None] = {}
    for statement in statements:
        found = _DROP.match(statement.sql)
        if found is not None:
            name = found[2] or found[1].replace('""', '"')
            referring = children_of(connection, name)
            if referring:
                hidden[name] = f"_gone {name}"
                children.update(dict.fromkeys(referring))
                _rename_parent(connection.raw, referring, name, hidden[name])
        mode = mode_of_write(statement.sql, sets_versions=True)
        connection.run(statement, Answer(), now_us, seed, mode, ordinal)
    for name, other in hidden.items():
        _rename_parent(connection.raw, children_of(connection, other), other, name)
    check_children(connection, (child for child in children if _exists(connection.raw, child)))
    return StatementResult(0)


def _exists(raw: sqlite3.Connection, table: str) -> bool:
    return raw.execute(_TEXT, (table,)).fetchone() is not None


def _rename_parent(raw: sqlite3.Connection, children: Iterable[str], name: str, other: str) -> None:
    """Let the foreign keys of `children` to the table `name` refer to `other`. Raises Refused
    before it changes anything."""
    old, new = f"REFERENCES {_quoted(name)}", f"REFERENCES {_quoted(other)}"
    texts: dict[str, str] = {}
    for child in children:
        (text,) = raw.execute(_TEXT, (child,)).fetchone()
        if old not in text or new in text:
            raise Refused(SqlFailure("0A000", f'table "{name}" cannot be changed in a transaction'))
        texts[child] = text.replace(old, new)
    raw.execute(_WRITABLE)
    try:
        raw.executemany(_REPLACE, texts.items())
    finally:
        raw.execute(_NOT_WRITABLE)
    (version,) = raw.execute(_VERSION).fetchone()
    raw.execute(f"{_VERSION} = {version + 1}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
