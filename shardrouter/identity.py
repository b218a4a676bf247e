"""Who runs a statement, and in which database: what current_user and current_database() answer.

Pure. A plan is made once for a text and used for whoever sends it, unless it depends on the role:
an `Identity` is asked while the plan is made, and remembers that it was.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DATABASE", "NAMES_OF_DATABASE", "Identity"]

DATABASE: Final = "shardrouter"
"""The name of a cluster's one database."""

NAMES_OF_DATABASE: Final = frozenset({DATABASE, "postgres"})
"""A connection may name it so: tools look for PostgreSQL's `postgres`, which is always there."""


class Identity:
    """The role that a statement is planned for."""

    __slots__ = ("_user", "was_asked")

    def __init__(self, user: str) -> None:
        self._user = user
        self.was_asked = False

    @property
    def user(self) -> str:
        """The role's name; what is made of it is for this role alone."""
        self.was_asked = True
        return self._user
