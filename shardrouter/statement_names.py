"""The names of prepared statements: one space for those of the protocol and those of PREPARE."""

from __future__ import annotations

from typing import Final

from shardrouter.errors import StatementError

__all__ = ["STATEMENTS_MAX", "no_such_statement"]

STATEMENTS_MAX: Final = 4096
"""Prepared statements of a session: many times what any driver caches."""


def no_such_statement(name: str) -> StatementError:
    """Nobody has prepared it, or it was deallocated."""
    what = f'prepared statement "{name}"' if name else "unnamed prepared statement"
    return StatementError(f"{what} does not exist", sqlstate="26000")
