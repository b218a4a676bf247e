"""CREATE, ALTER and DROP ROLE, as statements and as plans.

Pure. A plan holds the password as it was written; `shardrouter.role_store` makes a verifier of it
before anything leaves the router, and plans with passwords are not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind
from shardrouter.statement_words import Rest

__all__ = ["AlterRole", "CreateRole", "DropRoles", "RoleStatement", "role_statement"]


@dataclass(frozen=True)
class CreateRole:
    name: str
    flags: tuple[tuple[str, bool], ...]  # fields of Role
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class AlterRole:
    name: str | None  # None: the current one
    flags: tuple[tuple[str, bool], ...]
    password: str | None = field(default=None, repr=False)
    sets_password: bool = False  # with `password` None: it has none from now on


@dataclass(frozen=True)
class DropRoles:
    names: tuple[str, ...]
    if_exists: bool


RoleStatement: TypeAlias = CreateRole | AlterRole | DropRoles

_FLAGS: Final = {
    "login": "may_log_in",
    "superuser": "is_superuser",
    "createrole": "may_create_roles",
    "createdb": "may_create_databases",
    "inherit": "inherits",
}
_NEVER: Final = ("replication", "bypassrls")
"""What no role has here: to be told that it has not is fine."""


def role_statement(rest: Rest) -> RoleStatement:
    """The plan of `CREATE | ALTER | DROP ROLE | USER | GROUP ...`."""
    verb, kind = rest.take().text, rest.take().text
    if verb == "drop":
        return _drop(rest)
    if verb == "create":
        name = _new_name(rest)
        flags, password, _ = _options(rest)
        flags.setdefault("may_log_in", kind == "user")
        return CreateRole(name, tuple(flags.items()), password)
    found = _name(rest)
    if (token := rest.peek()) is not None and token.is_word("rename", "set", "reset", "in"):
        raise NotSupported(
            f"ALTER ROLE ... {token.text.upper()} is not supported",
            position=token.start + 1,
            hint="Create a role with the new name; settings are given when one connects.",
        )
    flags, password, sets_password = _options(rest)
    return AlterRole(found, tuple(flags.items()), password, sets_password)


def _drop(rest: Rest) -> DropRoles:
    if_exists = rest.takes("if")
    if if_exists:
        rest.word("exists")
    names = [rest.name()]
    while rest.takes_mark(","):
        names.append(rest.name())
    return DropRoles(rest.last(tuple(names)), if_exists)


def _name(rest: Rest) -> str | None:
    if rest.takes("current_user") or rest.takes("session_user") or rest.takes("current_role"):
        return None
    return rest.name()


def _new_name(rest: Rest) -> str:
    token = rest.peek()
    name = rest.name()
    assert token is not None
    if name in ("public", "none") or (
        token.kind is Kind.WORD and name in ("current_user", "session_user", "current_role", "user")
    ):
        raise StatementError(
            f'role name "{name}" is reserved', sqlstate="42939", position=token.start + 1
        )
    if name.startswith("pg_"):
        raise StatementError(
            f'role name "{name}" is reserved',
            sqlstate="42939",
            detail='Role names starting with "pg_" are reserved.',
        )
    return name


def _options(rest: Rest) -> tuple[dict[str, bool], str | None, bool]:
    rest.takes("with")
    flags: dict[str, bool] = {}
    password: str | None = None
    sets_password = False
    while (token := rest.peek()) is not None:
        word = rest.name()
        option, value = word, True
        if word.startswith("no") and word[2:] in (*_FLAGS, *_NEVER):
            option, value = word[2:], False
        if option in _FLAGS:
            if _FLAGS[option] in flags:
                raise _redundant(token.start)
            flags[_FLAGS[option]] = value
        elif option in _NEVER and not value:
            continue
        elif word in ("encrypted", "password"):
            if word == "encrypted":
                rest.word("password")
            if sets_password:
                raise _redundant(token.start)
            password, sets_password = _password(rest), True
        else:
            raise _not_an_option(word, token.start)
    return flags, password, sets_password


def _password(rest: Rest) -> str | None:
    if rest.takes("null"):
        return None
    token = rest.take()
    if token.kind is not Kind.STRING:
        raise rest.unexpected(token)
    return token.text


def _redundant(start: int) -> StatementError:
    return StatementError("conflicting or redundant options", sqlstate="42601", position=start + 1)


_REFUSED: Final = {
    "replication": "",
    "bypassrls": "",
    "connection": "A router limits the connections of all roles together.",
    "valid": "Drop the role, or give it another password, when its time has come.",
    "in": "Roles have no members: every role that may log in reads and writes all tables.",
    "role": "Roles have no members: every role that may log in reads and writes all tables.",
    "user": "Roles have no members: every role that may log in reads and writes all tables.",
    "admin": "Roles have no members: every role that may log in reads and writes all tables.",
    "sysid": "",
    "unencrypted": "Passwords are kept as verifiers only.",
}


def _not_an_option(word: str, start: int) -> StatementError | NotSupported:
    if word in _REFUSED:
        return NotSupported(
            f"{word.upper()} of a role is not supported",
            position=start + 1,
            hint=_REFUSED[word],
        )
    return StatementError(
        f'unrecognized role option "{word}"', sqlstate="42601", position=start + 1
    )
