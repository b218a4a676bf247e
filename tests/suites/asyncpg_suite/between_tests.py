"""Copied beside asyncpg's tests as their conftest.py: each is judged by itself.

A test that fails may leave its table behind, and then each one fails that makes it again: what a
failed test has left is dropped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from typing import Any

import asyncpg
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed
    if report.when == "teardown" and item.failed and "TABLES_QUERY" in os.environ:
        asyncio.run(_drop_tables(os.environ["TABLES_QUERY"]))
    return report


async def _drop_tables(query: str) -> None:
    connection = await asyncpg.connect(statement_cache_size=0)
    try:
        for row in await connection.fetch(query):
            await connection.execute(f'DROP TABLE "{row[0]}" CASCADE')
    finally:
        await connection.close()
