"""From SQLite's errors to PostgreSQL's, and from both to the question: is it a result?

A result is the same on every replica: a constraint, a type, a function's own complaint, a
name that does not exist. Everything else (no memory, disk full, I/O, corruption, a lock) is a
fault of one machine: it must never become an answer, for other replicas would have another
(DESIGN section 6).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.functions import FunctionError
from nodes.values import ValueFormatError

__all__ = ["SQL_ERRORS", "SqlError", "as_result"]

SQL_ERRORS: Final = (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, FunctionError)
"""What running one statement can raise because of the statement."""


@dataclass(frozen=True)
class SqlError:
    """SQLSTATE, message and detail as PostgreSQL would have them."""

    sqlstate: str
    message: str
    detail: str = ""


def as_result(
    error: BaseException, sql: str, function_error: FunctionError | None, denied: str | None
) -> SqlError | None:
    """What `error` means to the client; None if it is a fault of this machine.

    function_error: what a function raised in this statement (sqlite3 drops it). denied: what
    the authorizer refused in it.
    """
    if function_error is not None:
        return SqlError(function_error.sqlstate, function_error.message, function_error.detail)
    if denied is not None:
        return SqlError("42501", f"{denied} is not allowed")
    if isinstance(error, ValueFormatError | FunctionError):
        return SqlError(error.sqlstate, error.message, error.detail)
    if isinstance(error, OverflowError):
        return SqlError("22003", "bigint out of range")
    if isinstance(error, UnicodeError):
        return SqlError("22021", 'a parameter cannot be encoded in "UTF8"')
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.Warning | ValueError):
        # The module's own checks: number and types of parameters, NUL in the text, two
        # statements in one.
        return SqlError("08P01", str(error))
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    message = str(error)
    if code == sqlite3.SQLITE_ERROR:
        return _general(message)
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return _constraint(code, message, sql)
    if primary == sqlite3.SQLITE_MISMATCH:
        return SqlError("42804", "a value is not of its column's type")
    if primary == sqlite3.SQLITE_TOOBIG:
        return SqlError("54000", "a value or statement is too large")
    return None


# --------------------------------------------------------------------------- SQLITE_ERROR

_GENERAL: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(pattern), sqlstate, message)
    for pattern, sqlstate, message in (
        (r"no such table: (?:main\.)?(.+)", "42P01", r'relation "\1" does not exist'),
        (r"no such column: (.+)", "42703", r'column "\1" does not exist'),
        (
            r"table (.+) has no column named (.+)",
            "42703",
            r'column "\2" of relation "\1" does not exist',
        ),
        (r"ambiguous column name: (.+)", "42702", r'column reference "\1" is ambiguous'),
        (r"no such function: (.+)", "42883", r"function \1 does not exist"),
        (r"wrong number of arguments to function (.+)", "42883", r"function \1 does not exist"),
        (r"table (.+) already exists", "42P07", r'relation \1 already exists'),
        (r"index (.+) already exists", "42P07", r'relation "\1" already exists'),
        (r"no such index: (.+)", "42704", r'index "\1" does not exist'),
        (r'near "(.*)": syntax error', "42601", r'syntax error at or near "\1"'),
        (r"incomplete input", "42601", "syntax error at end of input"),
        (r"unrecognized token: (.*)", "42601", r"syntax error at or near \1"),
        (r"integer overflow", "22003", "bigint out of range"),
        (r"Expression tree is too large.*", "54001", "stack depth limit exceeded"),
        (r"parser stack overflow", "54001", "stack depth limit exceeded"),
        (r"too many levels of trigger recursion", "54001", "stack depth limit exceeded"),
        (r"too many arguments on function (.+)", "54023", r"too many arguments to function \1"),
        (r"too many columns in result set", "54011", "the answer has too many columns"),
        (r"(too many terms in .+|at most \d+ tables in a join)", "54000", r"\1"),
        (r"(too many SQL variables|LIKE or GLOB pattern too complex)", "54000", r"\1"),
    )
)  # fmt: skip


def _general(message: str) -> SqlError | None:
    """SQLITE_ERROR: found when compiling, or raised by a function."""
    if message.startswith("user-defined "):
        # A function's own errors are kept beside it; this is one of Python's, like no memory.
        return None
    for pattern, sqlstate, replacement in _GENERAL:
        found = pattern.fullmatch(message)
        if found is not None:
            return SqlError(sqlstate, found.expand(replacement))
    return SqlError("42000", message)


# --------------------------------------------------------------------------- constraints

_RANGE_CHECK: Final = re.compile(r"shardrouter_range_([a-z0-9]+)_.*", re.DOTALL)
_RANGE_NAMES: Final = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
}
_TABLE: Final = re.compile(
    r"""\b(?:insert\s+(?:or\s+\w+\s+)?into|update(?:\s+or\s+\w+)?)\s+(?:"((?:[^"]|"")+)"|(\w+))""",
    re.IGNORECASE,
)
_DATATYPE: Final = re.compile(r"cannot store (\w+) value in (\w+) column ([^.]+)\.(.+)")
_TYPE_NAMES: Final = {
    "INT": "bigint",
    "INTEGER": "bigint",
    "REAL": "double precision",
    "TEXT": "text",
    "BLOB": "bytea",
}


def _constraint(code: int, message: str, sql: str) -> SqlError | None:
    subject = message.partition(": ")[2]
    kind = _CONSTRAINTS.get(code)
    if kind is not None:
        return kind(subject, sql)
    if found := _DATATYPE.fullmatch(message):  # SQLITE_CONSTRAINT_DATATYPE, 3091
        given, wanted, _, column = found.groups()
        return SqlError(
            "42804",
            f'column "{column}" is of type {_TYPE_NAMES.get(wanted, wanted.lower())} '
            f"but expression is of type {_TYPE_NAMES.get(given, given.lower())}",
        )
    return SqlError("23000", message)


def _duplicate(columns: str, *, primary: bool) -> SqlError:
    """`t.a, t.b`, or `index 'name'`; named as PostgreSQL names constraints by default."""
    if columns.startswith("index '"):
        name, detail = columns[7:-1], ""
    else:
        table = columns.partition(".")[0]
        names = [column.strip().rpartition(".")[2] for column in columns.split(",")]
        name = f"{table}_pkey" if primary else f"{table}_{'_'.join(names)}_key"
        detail = f"Key ({', '.join(names)}) already exists."
    message = f'duplicate key value violates unique constraint "{name}"'
    return SqlError("23505", message, detail)


def _not_null(subject: str, _sql: str) -> SqlError:
    table, _, column = subject.partition(".")
    return SqlError(
        "23502",
        f'null value in column "{column}" of relation "{table}" violates not-null constraint',
    )


def _check(name: str, sql: str) -> SqlError:
    if found := _RANGE_CHECK.fullmatch(name):
        return SqlError("22003", f"{_RANGE_NAMES.get(found[1], found[1])} out of range")
    table = _TABLE.search(sql)
    relation = f' for relation "{table[1] or table[2]}"' if table else ""
    return SqlError("23514", f'new row{relation} violates check constraint "{name}"')


def _foreign_key(_subject: str, _sql: str) -> SqlError:
    return SqlError("23503", "insert, update or delete violates foreign key constraint")


_CONSTRAINTS: Final[dict[int, Callable[[str, str], SqlError]]] = {
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: lambda subject, _: _duplicate(subject, primary=True),
    sqlite3.SQLITE_CONSTRAINT_ROWID: lambda subject, _: _duplicate(subject, primary=True),
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: lambda subject, _: _duplicate(subject, primary=False),
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: _not_null,
    sqlite3.SQLITE_CONSTRAINT_CHECK: _check,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: _foreign_key,
}
