"""What the system catalogs are computed from: the catalog, and who asks where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from shardrouter.catalog import Catalog
from shardrouter.catalogs.builtin import Row
from shardrouter.catalogs.objects import Objects
from shardrouter.roles import Role

__all__ = ["DATABASE_OID", "FIRST_ROLE_OID", "Row", "World"]

DATABASE_OID: Final = 5
"""PostgreSQL's of the database `postgres`."""

FIRST_ROLE_OID: Final = 10
"""PostgreSQL's of the role that made the cluster."""


@dataclass(frozen=True)
class World:
    """`settings` are name, value as SHOW shows it, and what RESET goes back to."""

    catalog: Catalog
    database: str = "shardrouter"
    user: str = "shardrouter"
    roles: Sequence[Role] = ()
    settings: Sequence[tuple[str, str, str]] = ()
    backend: int = 0
    application: str = ""

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.catalog)

    @cached_property
    def role_oids(self) -> Mapping[str, int]:
        """The role that is asking owns everything: there are no owners here."""
        names = [role.name for role in self.roles]
        if self.user not in names:
            names.insert(0, self.user)
        first = next((role.name for role in self.roles if role.is_superuser), names[0])
        names.remove(first)
        return {first: FIRST_ROLE_OID, **{name: 16384 + i for i, name in enumerate(sorted(names))}}

    @property
    def lasting(self) -> tuple[object, ...]:
        """What all sessions of a role agree on, as long as the catalog is the same."""
        path = self.catalog.search_path
        return self.catalog.version, path, self.database, self.user, tuple(self.roles)

    @property
    def owner(self) -> int:
        return FIRST_ROLE_OID
