"""Databases that can be tested: what the harness asks of one."""

from jepsen_like.adapters.database import Database, DatabaseError, RunningDatabase

__all__ = ["Database", "DatabaseError", "RunningDatabase"]
