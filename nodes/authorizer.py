"""What SQL may do on a node, whatever a router sent: an allow-list (DESIGN section 6).

SQLite asks the authorizer while it compiles a statement. Allowed are reads and changes of
user tables, functions whose answer is the same everywhere, and, in a command that also sets
versions, CREATE and DROP of tables and indexes. The machine's own tables start with `_` and
are as closed as SQLite's.

Some things SQLite does not ask about and the text tells: `text_refusal`.
"""

from __future__ import annotations

import enum
import re
import sqlite3
from functools import lru_cache
from typing import Final

from nodes.functions import (
    AGGREGATES,
    BUILTINS,
    FUNCTIONS,
    NOW,
    OVERRIDDEN,
    RANDOM,
    RANDOM_UUID,
    RECURSION,
    ROW_ID,
    UUID_V7,
)

__all__ = ["OWN", "DDL", "Authorizer", "Mode", "mode_of_write", "text_refusal"]

OWN: Final = "/*_own*/"
DDL: Final = "/*_ddl*/"
"""Prefixes of the texts a node runs. sqlite3 caches compiled statements by text and SQLite
asks only when it compiles, so what was compiled under one mode must never be found by another:
a replica with a warm cache would obey where a restarted one refuses."""

_FUNCTIONS: Final = (
    BUILTINS
    | OVERRIDDEN
    | frozenset(FUNCTIONS)
    | frozenset(AGGREGATES)
    | {NOW, RANDOM, RANDOM_UUID, RECURSION, ROW_ID, UUID_V7}
)


REBUILT: Final = "_rebuild"
"""The name under which a table is made anew, between two statements of one write."""

PLACED: Final = "_placed"
"""The name under which rows wait that come from other shards, between two writes."""

_BESIDE: Final = frozenset({REBUILT, PLACED})
_RENAMES: Final = tuple(f'ALTER TABLE "{name}" RENAME TO ' for name in sorted(_BESIDE))


class Mode(enum.Enum):
    """Whose statement is compiled."""

    OWN = enum.auto()  # the machine's
    READ = enum.auto()
    WRITE = enum.auto()
    DDL = enum.auto()  # CREATE and DROP
    RENAME = enum.auto()  # of a table made beside another: by SELECT and UPDATE of the schema table


def mode_of_write(sql: str, *, sets_versions: bool) -> Mode:
    """The mode for a statement of a write: the schema changes only together with a version."""
    if sets_versions:
        if sql[:6].upper().startswith(("CREATE", "DROP")):
            return Mode.DDL
        if sql.startswith(_RENAMES):
            return Mode.RENAME
    return Mode.WRITE


_CHANGES: Final = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_SCHEMA: Final = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_REINDEX,  # asked by CREATE INDEX
        sqlite3.SQLITE_ALTER_TABLE,
    }
)
_SCHEMA_TABLES: Final = frozenset({"sqlite_master", "sqlite_schema", "sqlite_temp_master"})


_OF_ALTER: Final = frozenset(
    {"sqlite_rename_table", "sqlite_rename_test", "sqlite_rename_quotefix"}
)
"""Functions by which ALTER TABLE ... RENAME edits the schema table."""


class Authorizer:
    """The callback for `Connection.set_authorizer`. `mode` is set before each statement."""

    __slots__ = ("_denied", "mode")

    def __init__(self) -> None:
        self.mode = Mode.OWN
        self._denied: str | None = None

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        _database: str | None,
        _trigger: str | None,
    ) -> int:
        if self.mode is Mode.OWN or self._is_allowed(action, first or "", second or ""):
            return sqlite3.SQLITE_OK
        self._denied = self._describe(action, first or "", second or "")
        return sqlite3.SQLITE_DENY

    def take_denied(self) -> str | None:
        """What the last refused statement wanted, once."""
        denied, self._denied = self._denied, None
        return denied

    def _is_allowed(self, action: int, first: str, second: str) -> bool:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return self.mode is not Mode.DDL  # CREATE TABLE ... AS SELECT
        if action == sqlite3.SQLITE_FUNCTION:
            if self.mode is Mode.RENAME and second in _OF_ALTER:
                return True
            return second.lower() in _FUNCTIONS
        if action == sqlite3.SQLITE_READ or (action in _CHANGES and self.mode is not Mode.READ):
            # CREATE and DROP also read and write the schema table.
            if first.lower() in _SCHEMA_TABLES:
                return self.mode in (Mode.DDL, Mode.RENAME)
            return not _is_closed(first)
        if action in _SCHEMA and self.mode in (Mode.DDL, Mode.RENAME):
            # An index made for UNIQUE carries SQLite's own name; its table is what counts.
            return not _is_closed(second) and (
                not _is_closed(first) or first.startswith("sqlite_autoindex_")
            )
        return False

    @staticmethod
    def _describe(action: int, first: str, second: str) -> str:
        if action == sqlite3.SQLITE_FUNCTION:
            return f"function {second}"
        if action in _CHANGES or action in _SCHEMA or action == sqlite3.SQLITE_READ:
            return f"access to {first}"
        return "this kind of statement"


def _is_closed(name: str) -> bool:
    if name in _BESIDE:
        return False
    return name.startswith("_") or name.lower().startswith(("sqlite_", "pragma_"))


_NOT_CODE: Final = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | --[^\n]* | /\*.*?\*/""",
    re.VERBOSE | re.DOTALL,
)
_BREAKS_OUT: Final = re.compile(
    r"\b(?:(?:insert|update)\s+or|on\s+conflict)\s+(?:rollback|fail)\b", re.IGNORECASE
)


@lru_cache(maxsize=1024)
def text_refusal(sql: str) -> str | None:
    """Why a text may not run, or None.

    ON CONFLICT ROLLBACK ends the transaction of the whole batch, other commands' writes
    included, and ON CONFLICT FAIL keeps half a statement; neither is asked of the authorizer.
    """
    if sql.startswith("/*_"):
        return "a statement may not start with /*_"
    if _BREAKS_OUT.search(_NOT_CODE.sub(" ", sql)):
        return "OR ROLLBACK and OR FAIL are not allowed"
    return None
