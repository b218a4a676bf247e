"""Roles as values: who may connect, by which proof, and who may change roles.

They live in a table of `meta` of their own, apart from the catalog, so that a new role makes no
router plan its statements again. Pure: says which SQL reads and changes that table.

A role proves who it is and may or may not change roles. It is no owner and has no privileges
on tables: every role that may log in reads and writes all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nodes.protocol import Guard, SetVersion, Statement, Value
from shardrouter.catalog import Parts

__all__ = [
    "Role",
    "alter_role",
    "create_role",
    "drop_role",
    "found_role",
    "make_table",
    "select_role",
    "select_roles",
    "role_of_row",
]


@dataclass(frozen=True)
class Role:
    """A role. `verifier` is PostgreSQL's text of a SCRAM verifier, empty if it has no password."""

    name: str
    verifier: str = ""
    may_log_in: bool = False
    is_superuser: bool = False
    may_create_roles: bool = False
    may_create_databases: bool = False
    inherits: bool = True

    def __repr__(self) -> str:
        return f"<role {self.name}>"  # not its verifier: it may come into a log


_FLAGS: Final = (
    "may_log_in",
    "is_superuser",
    "may_create_roles",
    "may_create_databases",
    "inherits",
)
_COLUMNS: Final = ", ".join(f'"{name}"' for name in ("name", "verifier", *_FLAGS))
_TABLE: Final = (
    'CREATE TABLE "catalog_roles" ("name" TEXT NOT NULL, "verifier" TEXT NOT NULL, '
    + ", ".join(f'"{flag}" INTEGER NOT NULL' for flag in _FLAGS)
    + ', PRIMARY KEY ("name")) STRICT, WITHOUT ROWID'
)


def make_table() -> Parts:
    """The write that makes the table of roles. Refused as Stale if there is one."""
    return Parts((Statement(_TABLE),), (Guard("roles", 0),), (SetVersion("roles", 1),))


def select_role(name: str) -> Statement:
    return Statement(f'SELECT {_COLUMNS} FROM "catalog_roles" WHERE "name" = ?1', (name,))  # noqa: S608 -- constants


def select_roles() -> Statement:
    return Statement(f'SELECT {_COLUMNS} FROM "catalog_roles" ORDER BY "name"')  # noqa: S608 -- constants


def role_of_row(row: Sequence[Value]) -> Role:
    name, verifier, *flags = row
    return Role(str(name), str(verifier), *map(bool, flags))


def _values(role: Role) -> tuple[Value, ...]:
    return (role.name, role.verifier, *(int(getattr(role, flag)) for flag in _FLAGS))


_PLACES: Final = ", ".join(f"?{number}" for number in range(1, 3 + len(_FLAGS)))


def found_role(role: Role) -> Statement:
    """Make the first role of a cluster; changes no row if it has roles."""
    return Statement(
        f'INSERT INTO "catalog_roles" ({_COLUMNS}) SELECT {_PLACES} '  # noqa: S608 -- constants
        'WHERE NOT EXISTS (SELECT 1 FROM "catalog_roles")',
        _values(role),
    )


def create_role(role: Role) -> Statement:
    """Changes no row if there is a role of that name."""
    return Statement(
        f'INSERT INTO "catalog_roles" ({_COLUMNS}) VALUES ({_PLACES}) '  # noqa: S608 -- constants
        'ON CONFLICT ("name") DO NOTHING',
        _values(role),
    )


def alter_role(name: str, changes: Sequence[tuple[str, Value]]) -> Statement:
    """Changes no row if there is no such role. `changes`: fields of Role and their values."""
    assert {field for field, _ in changes} <= {"verifier", *_FLAGS}
    sets = ", ".join(f'"{field}" = ?{at}' for at, (field, _) in enumerate(changes, 2))
    return Statement(
        f'UPDATE "catalog_roles" SET {sets or _NOTHING} WHERE "name" = ?1',  # noqa: S608 -- constants
        (name, *(value for _, value in changes)),
    )


_NOTHING: Final = '"verifier" = "verifier"'


def drop_role(name: str) -> Statement:
    """Changes no row if there is no such role."""
    return Statement('DELETE FROM "catalog_roles" WHERE "name" = ?1', (name,))
