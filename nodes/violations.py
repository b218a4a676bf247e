"""Which row violated a constraint: what SQLite does not say and PostgreSQL's errors do.

SQLite names columns or a constraint and has undone the statement. The row is found again: the rows
that an INSERT would add are what the query or the VALUES behind its columns answer; of an UPDATE
they are captured as it is run once more; a foreign key that is deferred lets the statement end, and
its RETURNING tells what to look for. All of it happens under a savepoint that is rolled back, and
depends on the entry and the state alone, so every replica finds the same row.

It is a detail of an error: where it cannot be found by bounded means there is none.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Any, Final

from nodes.authorizer import OWN
from nodes.protocol import Value, Violation

__all__ = ["find"]

ROWS_MAX: Final = 10_000
"""Rows of one statement that are looked through."""

TEXT_MAX: Final = 256
"""A longer value is cut: PostgreSQL shows 64 bytes of each."""

COLUMNS_MAX: Final = 100
"""Of a table whose rows can be captured: a SQLite function takes so many arguments."""

_QUOTED: Final = r'"(?:[^"]|"")*"'
_INSERT: Final = re.compile(
    rf"INSERT INTO ({_QUOTED})(?: AS \w+)? \(((?:{_QUOTED}(?:, )?)+)\) ", re.DOTALL
)
_TARGET: Final = re.compile(rf"(INSERT INTO|UPDATE|DELETE FROM) ({_QUOTED})")
_LITERALS: Final = re.compile(rf"'(?:[^']|'')*'|{_QUOTED}", re.DOTALL)
_OF_SQL: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG})
"""Primary codes that are the same on every replica."""

_TAIL: Final = re.compile(r" (?:ON CONFLICT|RETURNING) ")


def find(
    raw: sqlite3.Connection, sql: str, parameters: Sequence[Value], error: sqlite3.Error
) -> Violation | None:
    """The violation behind an error of a statement, which left nothing behind."""
    target = _TARGET.match(sql)
    if target is None:
        return None
    verb, table = target[1], _unquoted(target[2])
    code = error.sqlite_errorcode
    subject = str(error).partition(": ")[2]
    try:
        with _undone(raw):
            return _search(_Search(raw, sql, parameters, verb, table), code, subject)
    except sqlite3.Error as exc:
        # What this machine alone has against it is a fault, as it is in the statement itself.
        found = getattr(exc, "sqlite_errorcode", None)
        if found is not None and found & 0xFF not in _OF_SQL:
            raise
        return None


def _search(search: _Search, code: int, subject: str) -> Violation | None:
    if code == sqlite3.SQLITE_CONSTRAINT_NOTNULL:
        return search.null(subject.rpartition(".")[2])
    if code == sqlite3.SQLITE_CONSTRAINT_CHECK:
        return search.check(subject)
    if code in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
        if subject.startswith("index '"):
            return Violation("unique", search.table, constraint=subject[7:-1])
        return search.duplicate(tuple(p.rpartition(".")[2] for p in subject.split(", ")))
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return search.foreign_key()
    return None


@contextmanager
def _undone(raw: sqlite3.Connection) -> Iterator[None]:
    raw.execute(f"{OWN}SAVEPOINT violation")
    try:
        yield
    finally:
        raw.execute(f"{OWN}ROLLBACK TO violation")
        raw.execute(f"{OWN}RELEASE violation")
        raw.execute(f"{OWN}PRAGMA defer_foreign_keys = OFF")


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"')


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _tail(sql: str) -> int:
    """Where ON CONFLICT or RETURNING begins, outside of literals; else the end."""
    masked = _LITERALS.sub(lambda match: "x" * len(match[0]), sql)
    found = _TAIL.search(masked)
    return len(sql) if found is None else found.start()


def _cut(value: Value) -> Value:
    return value[:TEXT_MAX] if isinstance(value, str | bytes) else value


class _Search:
    def __init__(
        self,
        raw: sqlite3.Connection,
        sql: str,
        parameters: Sequence[Value],
        verb: str,
        table: str,
    ) -> None:
        self._raw = raw
        self._sql = sql
        self._parameters = parameters
        self._verb = verb
        self.table = table
        text = OWN + "SELECT name, dflt_value FROM pragma_table_info(?)"  # noqa: S608 -- a constant
        self._columns: list[tuple[str, str | None]] = raw.execute(text, (table,)).fetchall()

    # ---- rows

    def _rows(self) -> list[dict[str, Value]]:
        """What an INSERT would add, or an UPDATE make of its rows up to the one that failed."""
        if self._verb == "UPDATE":
            return self._captured()
        found = _INSERT.match(self._sql)
        if found is None:
            return []
        names = [_unquoted(name) for name in re.findall(_QUOTED, found[2])]
        source = self._sql[found.end() : _tail(self._sql)]
        last = len(self._parameters)  # all are bound, whether the source has them or not
        where = f" WHERE ?{last} IS ?{last}" if last else ""
        text = f"{OWN}SELECT * FROM ({source}){where} LIMIT {ROWS_MAX}"  # noqa: S608 -- its own text
        rows = self._raw.execute(text, self._parameters).fetchall()
        others = {
            name: self._default(default) if default else None
            for name, default in self._columns
            if name not in names and name != "ctid"
        }
        return [others | dict(zip(names, row, strict=True)) for row in rows]

    def _default(self, text: str) -> Value:
        value: Value = self._raw.execute(f"{OWN}SELECT {text}").fetchone()[0]
        return value

    def _captured(self) -> list[dict[str, Value]]:
        names = [name for name, _ in self._columns]
        if len(names) > COLUMNS_MAX:
            return []
        rows: list[tuple[Value, ...]] = []
        self._raw.create_function("_capture", len(names), lambda *row: rows.append(row))
        listed = ", ".join(f"NEW.{_quoted(name)}" for name in names)
        self._raw.execute(
            f"{OWN}CREATE TEMP TRIGGER _capturing BEFORE UPDATE ON main.{_quoted(self.table)} "
            f"BEGIN SELECT _capture({listed}); END"
        )
        with suppress(sqlite3.IntegrityError):  # at the same row as before
            self._raw.execute(OWN + self._sql, self._parameters).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows[-1:]]

    def _whole(self, row: dict[str, Value] | None) -> tuple[Value, ...]:
        if row is None:
            return ()
        return tuple(_cut(row.get(name)) for name, _ in self._columns if name != "ctid")

    # ---- constraints of one row

    def null(self, column: str) -> Violation:
        row = next((row for row in self._rows() if row.get(column) is None), None)
        return Violation("not null", self.table, (column,), "", self._whole(row))

    def check(self, name: str) -> Violation:
        rows = self._rows()
        return Violation(
            "check", self.table, (), name, self._whole(rows[0] if len(rows) == 1 else None)
        )

    def duplicate(self, columns: tuple[str, ...]) -> Violation:
        keys = self._unique_keys() if self._verb == "INSERT INTO" else []
        if columns not in keys or " ON CONFLICT " in self._sql[_tail(self._sql) :]:
            keys = [columns]  # of an UPDATE, and of what is no conflict, others are there anyway
        tests = [self._exists(self.table, names) for names in keys]
        seen: set[tuple[int, tuple[Value, ...]]] = set()
        for row in self._rows():
            for number, (names, is_there) in enumerate(zip(keys, tests, strict=True)):
                key = tuple(row.get(name) for name in names)
                if None in key:
                    continue
                if (number, key) in seen or is_there(key):
                    return Violation("unique", self.table, names, "", tuple(map(_cut, key)))
                seen.add((number, key))
        return Violation("unique", self.table, columns)

    def _unique_keys(self) -> list[tuple[str, ...]]:
        """Columns of what is unique over all rows, in the order in which PostgreSQL would look:
        the primary key, then as they were made."""
        text = OWN + (  # noqa: S608 -- a constant
            "SELECT i.name, c.name FROM pragma_index_list(?) i, pragma_index_info(i.name) c "
            "WHERE i.\"unique\" AND NOT i.partial ORDER BY i.origin <> 'pk', i.seq DESC, c.seqno"
        )
        rows = self._raw.execute(text, (self.table,)).fetchall()
        keys = [tuple(c for _, c in group) for _, group in groupby(rows, lambda row: row[0])]
        return [key for key in keys if None not in key and key != ("ctid",)]

    def _exists(self, table: str, columns: Sequence[str]) -> Callable[[Sequence[Value]], bool]:
        test = " AND ".join(f"{_quoted(name)} = ?" for name in columns)
        text = f"{OWN}SELECT 1 FROM {_quoted(table)} WHERE {test} LIMIT 1"  # noqa: S608 -- quoted names
        return lambda key: self._raw.execute(text, tuple(key)).fetchone() is not None

    # ---- foreign keys

    def _keys_of(self, table: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """(parent, columns, columns referred to), in the order they were declared."""
        text = OWN + (  # noqa: S608 -- a constant
            'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq'
        )
        keys = []
        for _, group in groupby(self._raw.execute(text, (table,)).fetchall(), lambda row: row[0]):
            parts = list(group)
            keys.append((parts[0][1], tuple(p[2] for p in parts), tuple(p[3] for p in parts)))
        return keys

    def _returned(self, columns: Sequence[str]) -> list[Any]:
        """These columns of the rows that the statement changes, foreign keys set aside."""
        self._raw.execute(f"{OWN}PRAGMA defer_foreign_keys = ON")
        listed = ", ".join(map(_quoted, columns))
        masked = _LITERALS.sub(lambda match: "x" * len(match[0]), self._sql)
        end = masked.find(" RETURNING ")
        text = self._sql if end < 0 else self._sql[:end]
        return self._raw.execute(f"{OWN}{text} RETURNING {listed}", self._parameters).fetchmany(
            ROWS_MAX
        )

    def foreign_key(self) -> Violation | None:
        if self._verb != "DELETE FROM":
            found = self._without_parent()
            if found is not None:
                return found
        return self._with_children()

    def _without_parent(self) -> Violation | None:
        keys = self._keys_of(self.table)
        columns = list(dict.fromkeys(name for _, names, _ in keys for name in names))
        if not columns:
            return None
        tests = [self._exists(parent, referred) for parent, _, referred in keys]
        for values in self._returned(columns):
            row = dict(zip(columns, values, strict=True))
            for (parent, names, _), has_parent in zip(keys, tests, strict=True):
                key = tuple(row[name] for name in names)
                if None not in key and not has_parent(key):
                    shown = tuple(map(_cut, key))
                    return Violation("reference", self.table, names, "", shown, parent)
        return None

    def _with_children(self) -> Violation | None:
        if self._verb != "DELETE FROM":
            return None  # which keys an UPDATE took away is not told by what it leaves
        text = OWN + "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"  # noqa: S608 -- a constant
        families = [
            (child, names, referred)
            for (child,) in self._raw.execute(text).fetchall()
            for parent, names, referred in self._keys_of(child)
            if parent == self.table
        ]
        columns = list(dict.fromkeys(name for _, _, referred in families for name in referred))
        if not columns:
            return None
        tests = [self._exists(child, names) for child, names, _ in families]
        for values in self._returned(columns):
            row = dict(zip(columns, values, strict=True))
            for (child, names, referred), has_child in zip(families, tests, strict=True):
                key = tuple(row[name] for name in referred)
                if has_child(key):
                    shown = tuple(map(_cut, key))
                    return Violation("referenced", child, names, "", shown, self.table)
        return None
