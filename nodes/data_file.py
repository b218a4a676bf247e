"""The data file of one replica: whose it is, and the machine's own tables in it.

User tables lie beside them; what starts with `_` is the machine's and out of SQL's reach.
Every table is STRICT and WITHOUT ROWID, user tables included, so that SQLite never chooses a
key: a chosen rowid depends on rows that were deleted before.

Each file has a generation, in its name and in itself: a snapshot is received as the next one,
and a file is never renamed over a database, for an old -wal would be replayed onto it (with
integrity_check = ok). That the -wal beside a file is the file's own is checked too: `_applied`
is written by every transaction, so every -wal has a page that says whose it is, while
`_machine` is written once.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from nodes.authorizer import OWN
from nodes.durability import sync_directory
from nodes.sql_connection import SqlConnection

__all__ = [
    "BEGIN_READ",
    "BEGIN_WRITE",
    "COMMIT",
    "Identity",
    "IdentityError",
    "LOOSE_TABLES",
    "READ_ANSWERS",
    "READ_OUTCOMES",
    "READ_PREPARED",
    "READ_STAGES",
    "REMOVE_STAGE",
    "WRITE_CHUNK",
    "READ_APPLIED",
    "READ_POSITION",
    "READ_FINGERPRINT",
    "READ_SWITCHED",
    "READ_INCARNATION",
    "READ_SESSIONS",
    "READ_VERSION",
    "READ_VERSIONS",
    "RELEASE",
    "ROLLBACK",
    "ROLLBACK_TO",
    "SAVEPOINT",
    "WRITE_ANSWERS",
    "WRITE_APPLIED",
    "REMOVE_OUTCOME",
    "REMOVE_PREPARED",
    "WRITE_OUTCOME",
    "WRITE_PREPARED",
    "WRITE_EXPIRED",
    "WRITE_FORGOTTEN",
    "WRITE_FINGERPRINT",
    "WRITE_SWITCHED",
    "WRITE_INCARNATION",
    "WRITE_SESSION",
    "WRITE_VERSION",
    "WRITE_WATERMARK",
    "check_file",
    "create_file",
    "file_path",
    "remove_generation",
    "remove_other_generations",
    "take_over_file",
]

FORMAT: Final = 5
"""Raised when the machine's tables change; another one is refused."""

CHECKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Files up to this size have their whole structure checked at start, in well under a second.
In larger ones damage is found when it is read."""

_SCHEMA: Final = """
CREATE TABLE _machine (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE _applied (
    one INTEGER PRIMARY KEY, idx INTEGER NOT NULL, term INTEGER NOT NULL, file TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE _sessions (
    session INTEGER PRIMARY KEY, router TEXT NOT NULL, watermark INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE _stages (
    session INTEGER NOT NULL, stage INTEGER NOT NULL, chunk INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (session, stage, chunk)
) STRICT, WITHOUT ROWID;
CREATE TABLE _answers (entry INTEGER PRIMARY KEY, answers BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE _prepared (id BLOB PRIMARY KEY, held BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE _outcomes (id BLOB PRIMARY KEY, outcome BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE _versions (
    object TEXT PRIMARY KEY, version INTEGER NOT NULL
) STRICT, WITHOUT ROWID
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
READ_POSITION: Final = _own(
    "SELECT idx, coalesce((SELECT CAST(value AS INTEGER) FROM _machine WHERE key = 'incarnation'), "
    "1) FROM _applied"
)
"""Applied index and incarnation of a state: what a session may ask for of another replica."""

READ_SESSIONS: Final = _own("SELECT session, watermark FROM _sessions ORDER BY session")
READ_ANSWERS: Final = _own("SELECT entry, answers FROM _answers ORDER BY entry")
READ_STAGES: Final = _own(
    "SELECT session, stage, sum(length(data)) FROM _stages GROUP BY session, stage "
    "ORDER BY session, stage"
)
READ_CHUNKS: Final = _own("SELECT data FROM _stages WHERE session = ? AND stage = ? ORDER BY chunk")
WRITE_CHUNK: Final = _own("INSERT OR REPLACE INTO _stages VALUES (?, ?, ?, ?)")
REMOVE_STAGE: Final = _own("DELETE FROM _stages WHERE session = ? AND stage = ?")
READ_PREPARED: Final = _own("SELECT id, held FROM _prepared ORDER BY id")
WRITE_PREPARED: Final = _own("INSERT OR REPLACE INTO _prepared VALUES (?, ?)")
REMOVE_PREPARED: Final = _own("DELETE FROM _prepared WHERE id = ?")
READ_OUTCOMES: Final = _own("SELECT id, outcome FROM _outcomes ORDER BY id")
WRITE_OUTCOME: Final = _own("INSERT OR REPLACE INTO _outcomes VALUES (?, ?)")
REMOVE_OUTCOME: Final = _own("DELETE FROM _outcomes WHERE id = ?")
READ_VERSIONS: Final = _own("SELECT object, version FROM _versions")
READ_VERSION: Final = _own("SELECT version FROM _versions WHERE object = ?")

READ_FINGERPRINT: Final = _own("SELECT value FROM _machine WHERE key = 'fingerprint'")
READ_SWITCHED: Final = _own("SELECT value FROM _machine WHERE key = 'switched'")

READ_INCARNATION: Final = _own("SELECT value FROM _machine WHERE key = 'incarnation'")
WRITE_INCARNATION: Final = (
    _own("INSERT OR REPLACE INTO _machine VALUES ('incarnation', ?)"),
    _own("DELETE FROM _sessions"),
    _own("DELETE FROM _answers"),
)
WRITE_FINGERPRINT: Final = _own("INSERT OR REPLACE INTO _machine VALUES ('fingerprint', ?)")
WRITE_SWITCHED: Final = _own("INSERT OR REPLACE INTO _machine VALUES ('switched', ?)")
WRITE_APPLIED: Final = _own("UPDATE _applied SET idx = ?, term = ?")
WRITE_SESSION: Final = _own("INSERT INTO _sessions VALUES (?, ?, 0)")
WRITE_EXPIRED: Final = _own("DELETE FROM _sessions WHERE session = ?")
WRITE_WATERMARK: Final = _own("UPDATE _sessions SET watermark = ? WHERE session = ?")
WRITE_ANSWERS: Final = _own("INSERT INTO _answers VALUES (?, ?)")
WRITE_FORGOTTEN: Final = _own("DELETE FROM _answers WHERE entry = ?")
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

    def __init__(self, *, cluster_id: str, group: str, replica: int, generation: int = 1) -> None:
        self.generation = generation
        self.group = group
        self.file = f"{group}/{replica}/{generation}"
        """What every transaction writes into the file."""
        self._facts = {
            "format": str(FORMAT),
            "cluster_id": cluster_id,
            "group": group,
            "replica": str(replica),
            "generation": str(generation),
        }

    def of_generation(self, generation: int) -> Identity:
        """The same replica's file of another generation."""
        return self.of_replica(int(self._facts["replica"]), generation)

    def of_replica(self, replica: int, generation: int) -> Identity:
        """A file of another replica of the group."""
        return Identity(
            cluster_id=self._facts["cluster_id"],
            group=self._facts["group"],
            replica=replica,
            generation=generation,
        )

    def items(self) -> list[tuple[str, str]]:
        return list(self._facts.items())

    def check(self, found: dict[str, str], path: Path) -> None:
        """Raises IdentityError on the first difference."""
        self._check(found, path, self._facts)

    def check_origin(self, found: dict[str, str], path: Path) -> None:
        """Like `check`, of a file from another replica of the group."""
        of_group = {k: v for k, v in self._facts.items() if k not in ("replica", "generation")}
        self._check(found, path, of_group)

    def _check(self, found: dict[str, str], path: Path, facts: dict[str, str]) -> None:
        if found.get("format") != facts["format"]:
            raise IdentityError(
                f"{path} has format {found.get('format')}, this version reads format {FORMAT}; "
                "use the version that wrote it."
            )
        for key, value in facts.items():
            if found.get(key) != value:
                raise IdentityError(
                    f"{path} belongs to {key.replace('_id', '')} {found.get(key)}, not to {value}; "
                    "choose another data directory."
                )


# --------------------------------------------------------------------------- files


def file_path(directory: Path, generation: int) -> Path:
    """The data file in a replica's directory."""
    return directory / f"data-{generation}.db"


_NAME: Final = re.compile(r"(?:data-(\d+)|snapshot-\d+)\.db(?:-wal|-shm|-journal)?\Z")


def remove_generation(directory: Path, generation: int) -> None:
    """Remove a data file and what belongs to it, durably. The -wal goes first: one that stays
    behind would be replayed onto the next file of that name."""
    path = file_path(directory, generation)
    for suffix in ("-wal", "-shm", "-journal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    sync_directory(directory)


def remove_other_generations(directory: Path, generation: int) -> None:
    """Remove files that were replaced, half received, or made to be sent."""
    for path in sorted(directory.iterdir(), reverse=True):  # "x.db-wal" before "x.db"
        match = _NAME.match(path.name)
        if match is not None and match[1] != str(generation):
            path.unlink()
    sync_directory(directory)


# --------------------------------------------------------------------------- whose file it is


def create_file(connection: SqlConnection, identity: Identity) -> None:
    """Make an empty file this replica's, durably."""
    execute = connection.raw.execute
    execute(BEGIN_WRITE)
    for statement in _SCHEMA.split(";"):
        execute(_own(statement))
    connection.raw.executemany(_own("INSERT INTO _machine VALUES (?, ?)"), identity.items())
    execute(_own("INSERT INTO _applied VALUES (1, 0, 0, ?)"), (identity.file,))
    execute(COMMIT)
    _checkpoint(connection)


def check_file(path: Path, identity: Identity) -> bool:
    """Check that an existing file is this replica's, with its own -wal, and sound; False if
    its creation was cut off before it held anything. Raises IdentityError, sqlite3.Error.

    Read-only: closing the last ordinary connection copies the -wal into the file, and what is
    damaged or strange must stay as it was found.
    """
    with closing(SqlConnection(path, is_writer=False, read_only=True)) as connection:
        if not _check_is_data_file(connection, path):
            return False
        identity.check(_facts(connection), path)
        (file,) = connection.raw.execute(_own("SELECT file FROM _applied")).fetchone()
        if file != identity.file:
            raise IdentityError(
                f"{path}-wal belongs to {file}, the file beside it to {identity.file}; "
                "rebuild this replica."
            )
        if path.stat().st_size <= CHECKED_BYTES_MAX:
            (verdict,) = connection.raw.execute(_own("PRAGMA quick_check(1)")).fetchone()
            if verdict != "ok":
                raise IdentityError(f"{path} is damaged: {verdict}; rebuild this replica.")
    return True


def take_over_file(path: Path, identity: Identity) -> tuple[int, int]:
    """Make a file from another replica of the group this replica's, durably but for a sync of
    the file; returns its applied index and term. Raises IdentityError, sqlite3.Error."""
    with closing(SqlConnection(path, is_writer=True)) as connection:
        if not _check_is_data_file(connection, path):
            raise IdentityError(f"{path} is empty.")
        identity.check_origin(_facts(connection), path)
        execute = connection.raw.execute
        execute(BEGIN_WRITE)
        connection.raw.executemany(
            _own("INSERT OR REPLACE INTO _machine VALUES (?, ?)"), identity.items()
        )
        execute(_own("UPDATE _applied SET file = ?"), (identity.file,))
        execute(COMMIT)
        _checkpoint(connection)
        index, term = execute(READ_APPLIED).fetchone()
        return index, term


def _checkpoint(connection: SqlConnection) -> None:
    checkpoint = _own("PRAGMA wal_checkpoint(TRUNCATE)")
    busy, _, _ = connection.raw.execute(checkpoint).fetchone()
    if busy:
        raise sqlite3.OperationalError("another connection keeps the file from its checkpoint")


def _check_is_data_file(connection: SqlConnection, path: Path) -> bool:
    """False if the file is empty. Raises IdentityError if it is anything else."""
    with closing(connection.raw.execute(_own("SELECT name FROM sqlite_schema"))) as rows:
        tables = {name for (name,) in rows}
    if tables and "_machine" not in tables:
        raise IdentityError(
            f"{path} is not a data file of this database; choose another data directory."
        )
    return bool(tables)


def _facts(connection: SqlConnection) -> dict[str, str]:
    return dict(connection.raw.execute(_own("SELECT key, value FROM _machine")).fetchall())
