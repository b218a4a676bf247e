"""The data file of one replica: whose it is, and the machine's own tables in it.

User tables lie beside them; what starts with `_` is the machine's and out of SQL's reach.
Every table is STRICT and WITHOUT ROWID, user tables included, so that SQLite never chooses a
key: a chosen rowid depends on rows that were deleted before.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from nodes.authorizer import OWN
from nodes.sql_connection import SqlConnection

__all__ = [
    "BEGIN_READ",
    "BEGIN_WRITE",
    "COMMIT",
    "Identity",
    "IdentityError",
    "LOOSE_TABLES",
    "READ_ANSWERS",
    "READ_APPLIED",
    "READ_SESSIONS",
    "READ_VERSION",
    "READ_VERSIONS",
    "RELEASE",
    "ROLLBACK",
    "ROLLBACK_TO",
    "SAVEPOINT",
    "WRITE_ANSWER",
    "WRITE_APPLIED",
    "WRITE_EXPIRED",
    "WRITE_SESSION",
    "WRITE_VERSION",
    "WRITE_WATERMARK",
    "file_path",
    "identify",
]

FORMAT: Final = 1
"""Raised when the machine's tables change; another one is refused."""

GENERATION: Final = 1
"""Number in the file's name. A snapshot will be received as the next generation: a file is
never renamed over a database, an old -wal would be replayed onto it (DESIGN section 5)."""

_SCHEMA: Final = """
CREATE TABLE _machine (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE _applied (
    one INTEGER PRIMARY KEY, idx INTEGER NOT NULL, term INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE _sessions (
    session INTEGER PRIMARY KEY, router TEXT NOT NULL, watermark INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE _answers (
    session INTEGER NOT NULL, seq INTEGER NOT NULL, answer BLOB, PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE _versions (
    object TEXT PRIMARY KEY, version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO _applied VALUES (1, 0, 0)
"""


def _own(sql: str) -> str:
    """A statement of the machine; the prefix keeps it apart from SQL of the same text."""
    return OWN + sql


BEGIN_READ: Final = _own("BEGIN")
BEGIN_WRITE: Final = _own("BEGIN IMMEDIATE")
COMMIT: Final = _own("COMMIT")
ROLLBACK: Final = _own("ROLLBACK")
SAVEPOINT: Final = _own("SAVEPOINT unit")
ROLLBACK_TO: Final = _own("ROLLBACK TO unit")
RELEASE: Final = _own("RELEASE unit")

READ_APPLIED: Final = _own("SELECT idx, term FROM _applied")
READ_SESSIONS: Final = _own("SELECT session, watermark FROM _sessions ORDER BY session")
READ_ANSWERS: Final = _own("SELECT session, seq, answer FROM _answers ORDER BY session, seq")
READ_VERSIONS: Final = _own("SELECT object, version FROM _versions")
READ_VERSION: Final = _own("SELECT version FROM _versions WHERE object = ?")

WRITE_APPLIED: Final = _own("UPDATE _applied SET idx = ?, term = ?")
WRITE_SESSION: Final = _own("INSERT INTO _sessions VALUES (?, ?, 0)")
WRITE_EXPIRED: Final = (
    _own("DELETE FROM _sessions WHERE session = ?"),
    _own("DELETE FROM _answers WHERE session = ?"),
)
WRITE_WATERMARK: Final = (
    _own("UPDATE _sessions SET watermark = ?1 WHERE session = ?2"),
    _own("DELETE FROM _answers WHERE session = ?2 AND seq <= ?1"),
)
WRITE_ANSWER: Final = _own("INSERT INTO _answers VALUES (?, ?, ?)")
WRITE_VERSION: Final = _own(
    "INSERT INTO _versions VALUES (?, ?) "
    "ON CONFLICT (object) DO UPDATE SET version = excluded.version"
)

LOOSE_TABLES: Final = _own(
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT (strict AND wr) "
    "AND name <> 'sqlite_schema' ORDER BY name LIMIT 1"
)


class IdentityError(Exception):
    """The file is not this replica's; the message is a sentence that says what to do."""


class Identity:
    """Whose file it is."""

    def __init__(self, *, cluster_id: str, group: str, replica: int, incarnation: int) -> None:
        self._facts = {
            "format": str(FORMAT),
            "cluster_id": cluster_id,
            "group": group,
            "replica": str(replica),
            "incarnation": str(incarnation),
        }

    def items(self) -> list[tuple[str, str]]:
        return list(self._facts.items())

    def check(self, found: dict[str, str], path: Path) -> None:
        """Raises IdentityError on the first difference."""
        if found.get("format") != self._facts["format"]:
            raise IdentityError(
                f"{path} has format {found.get('format')}, this version reads format {FORMAT}; "
                "use the version that wrote it."
            )
        for key, value in self._facts.items():
            if found.get(key) != value:
                raise IdentityError(
                    f"{path} belongs to {key.replace('_id', '')} {found.get(key)}, not to {value}; "
                    "choose another data directory."
                )


def file_path(directory: Path) -> Path:
    """The data file in a replica's directory."""
    return directory / f"data-{GENERATION}.db"


def identify(connection: SqlConnection, path: Path, identity: Identity) -> None:
    """Check that the file is this replica's, or make a new one so. Raises IdentityError."""
    execute = connection.raw.execute
    execute(BEGIN_WRITE)
    with closing(execute(_own("SELECT name FROM sqlite_schema"))) as rows:
        tables = {name for (name,) in rows}
    if not tables:
        for statement in _SCHEMA.split(";"):
            execute(_own(statement))
        connection.raw.executemany(_own("INSERT INTO _machine VALUES (?, ?)"), identity.items())
        execute(COMMIT)
        return
    if "_machine" not in tables:
        raise IdentityError(
            f"{path} is not a data file of this database; choose another data directory."
        )
    found = dict(execute(_own("SELECT key, value FROM _machine")).fetchall())
    execute(ROLLBACK)
    identity.check(found, path)
