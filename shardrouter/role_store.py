"""The roles of a cluster: read from `meta` when somebody logs in, changed by statements.

A role is read anew for every login, so that a password that was changed, or a role that was
dropped, through another router counts here at once. While `meta` does not answer, roles that
logged in here before still can, as they were then: else nobody could connect to a cluster in
trouble, to look at it or to read at `any`.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from nodes.config import META_GROUP
from nodes.protocol import Done, Statement
from shardrouter import roles
from shardrouter.errors import RouterError, StatementError, Unavailable
from shardrouter.execution import Notice
from shardrouter.pgwire.scram import (
    SALT_BYTES,
    Verifier,
    make_verifier,
    mock_verifier,
    parse_verifier,
)
from shardrouter.role_statements import AlterRole, CreateRole, DropRoles, RoleStatement
from shardrouter.roles import Role
from shardrouter.shards import Shards

__all__ = ["EMBEDDED", "RoleStore"]

EMBEDDED: Final = Role("shardrouter", may_log_in=True, is_superuser=True)
"""Who runs the statements of a router inside an application: it has the cluster's secret."""

READ_S_MAX: Final = 5.0
"""How long a login waits for `meta` ..."""

READ_KNOWN_S_MAX: Final = 0.5
"""... and how long before it takes what is known here: an election may take 0.4 s."""

TROUBLE_S: Final = 5.0
"""How long after such a wait no other login waits."""

KNOWN_MAX: Final = 1024
"""Roles remembered."""


class RoleStore:
    """Used from one event loop. `secret` is the cluster's, if it has one: routers that share it
    give a user that does not exist the same salt."""

    def __init__(self, shards: Shards, secret: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self._shards = shards
        self._secret = secret or os.urandom(32)
        self._known: OrderedDict[str, Role] = OrderedDict()
        self._trouble_until = 0.0

    # ------------------------------------------------------------------ logging in

    async def found(self, role: Role, deadline: float) -> bool:
        """Make `role` if the cluster has no roles. Raises RouterError."""
        table = roles.make_table()
        await self._shards.write(
            META_GROUP, table.statements, table.guards, table.sets, deadline=deadline
        )
        return await self._write(roles.found_role(role), deadline) > 0

    async def has_password(self, name: str, password: str, deadline: float) -> bool:
        """Whether that is the password of this role. Raises RouterError."""
        role = await self._read(name, deadline)
        verifier = parse_verifier(role.verifier) if role is not None else None
        if verifier is None:
            return False
        return make_verifier(password, verifier.salt, verifier.iterations) == verifier

    async def find(self, name: str) -> Role | None:
        """The role that wants to log in. Raises Unavailable if nobody can tell."""
        known = self._known.get(name)
        now = self._loop.time()
        if known is not None and now < self._trouble_until:
            return known
        try:
            role = await self._read(name, now + (READ_KNOWN_S_MAX if known else READ_S_MAX))
        except RouterError as error:
            self._trouble_until = self._loop.time() + TROUBLE_S
            if known is not None:
                return known
            raise Unavailable(
                "who may connect cannot be read now",
                detail=error.detail or error.message,
                hint="The group meta has to answer; `shardrouter status` shows how it is.",
            ) from error
        self._trouble_until = 0.0
        self._known.pop(name, None)
        if role is not None:
            self._known[name] = role
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return role

    def verifier(self, name: str, role: Role | None) -> Verifier:
        """What a proof is checked against: of a role that is not there, or has no password, one
        that no proof meets."""
        found = parse_verifier(role.verifier) if role is not None else None
        return found or mock_verifier(name, self._secret)

    async def give_password(self, name: str, password: str, deadline: float) -> None:
        """For who has the cluster's secret. The role is made if it is missing."""
        role = Role(name, _verifier(password), may_log_in=True, is_superuser=True)
        if not await self.found(role, deadline) and not await self._write(
            roles.create_role(role), deadline
        ):
            await self._write(roles.alter_role(name, [("verifier", role.verifier)]), deadline)

    # ------------------------------------------------------------------ changing

    async def change(self, plan: RoleStatement, by: Role, deadline: float) -> tuple[Notice, ...]:
        """Run a statement about roles for `by`: its notices. Raises RouterError."""
        if not by.is_superuser:  # what it was when it logged in may have been taken from it
            by = await self._read(by.name, deadline) or replace(by, may_create_roles=False)
        match plan:
            case CreateRole():
                await self._create(plan, by, deadline)
            case AlterRole():
                await self._alter(plan, by, deadline)
            case DropRoles():
                return await self._drop(plan, by, deadline)
        return ()

    async def _create(self, plan: CreateRole, by: Role, deadline: float) -> None:
        role = Role(plan.name, _verifier(plan.password), **dict(plan.flags))
        if role.is_superuser and not by.is_superuser:
            raise _denied("must be superuser to create superusers")
        if not (by.is_superuser or by.may_create_roles):
            raise _denied("permission denied to create role")
        if not await self._write(roles.create_role(role), deadline):
            raise StatementError(f'role "{plan.name}" already exists', sqlstate="42710")

    async def _alter(self, plan: AlterRole, by: Role, deadline: float) -> None:
        name = by.name if plan.name is None else plan.name
        target = await self._read(name, deadline)
        if target is None:
            raise _missing(name)
        flags = dict(plan.flags)
        if not by.is_superuser:
            if target.is_superuser or "is_superuser" in flags:
                raise _denied(
                    "must be superuser to alter superuser roles or change superuser attribute"
                )
            if not by.may_create_roles and (name != by.name or flags):
                raise _denied("permission denied")
        changes: list[tuple[str, str | int]] = [(flag, int(on)) for flag, on in flags.items()]
        if plan.sets_password:
            changes.append(("verifier", _verifier(plan.password)))
        if not await self._write(roles.alter_role(name, changes), deadline):
            raise _missing(name)

    async def _drop(self, plan: DropRoles, by: Role, deadline: float) -> tuple[Notice, ...]:
        if not (by.is_superuser or by.may_create_roles):
            raise _denied("permission denied to drop role")
        notices: list[Notice] = []
        names: list[str] = []
        for name in dict.fromkeys(plan.names):
            target = await self._read(name, deadline)
            if target is None:
                if not plan.if_exists:
                    raise _missing(name)
                notices.append(Notice(f'role "{name}" does not exist, skipping'))
                continue
            if name == by.name:
                raise StatementError("current user cannot be dropped", sqlstate="55006")
            if target.is_superuser and not by.is_superuser:
                raise _denied("must be superuser to drop superusers")
            names.append(name)
        if names:
            await self._write_all([roles.drop_role(name) for name in names], deadline)
        return tuple(notices)

    # ------------------------------------------------------------------ meta

    async def all(self, deadline: float) -> list[Role]:
        """Every role, by name. Raises RouterError."""
        return await self._rows(roles.select_roles(), deadline)

    async def _read(self, name: str, deadline: float) -> Role | None:
        found = await self._rows(roles.select_role(name), deadline)
        return found[0] if found else None

    async def _rows(self, statement: Statement, deadline: float) -> list[Role]:
        answer = await self._shards.read(META_GROUP, (statement,), quick=True, deadline=deadline)
        assert isinstance(answer, Done), "a read without guards is never stale"
        return [roles.role_of_row(row) for row in answer.results[0].values]

    async def _write(self, statement: Statement, deadline: float) -> int:
        """How many rows it changed."""
        return await self._write_all([statement], deadline)

    async def _write_all(self, statements: list[Statement], deadline: float) -> int:
        answer = await self._shards.write(META_GROUP, tuple(statements), deadline=deadline)
        assert isinstance(answer, Done), "a write without guards is never stale"
        return sum(result.row_count for result in answer.results)


def _verifier(password: str | None) -> str:
    """PostgreSQL's rule: a text that is a verifier is taken for one. An empty password is none."""
    if not password:
        return ""
    if parse_verifier(password) is not None:
        return password
    return str(make_verifier(password, os.urandom(SALT_BYTES)))


def _denied(message: str) -> StatementError:
    return StatementError(message, sqlstate="42501")


def _missing(name: str) -> StatementError:
    return StatementError(f'role "{name}" does not exist', sqlstate="42704")
