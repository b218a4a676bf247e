"""What logs show of statements: nothing, their text, or all of it; never a password."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.process.conftest import start_up

pytestmark = pytest.mark.slow

SECRET = "Ann-Smith-1971"
PASSWORD = "correct-horse"
SMALL = ("--nodes", "1", "--shards", "1", "--replicas", "1")


async def converse(dsn: str) -> None:
    """Say the secret in every way there is, in statements that work and that fail."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE people (name text PRIMARY KEY, age int)")
        await connection.execute(f"INSERT INTO people VALUES ('{SECRET}', 53) -- {SECRET}")
        for text, error in (
            (f"INSERT INTO people VALUES ('{SECRET}', 1)", asyncpg.UniqueViolationError),
            (f"SELECT '{SECRET}'::int", asyncpg.InvalidTextRepresentationError),
            (f"SELECT '{SECRET}' FROM FROM", asyncpg.PostgresSyntaxError),
            (f"SELECT '{SECRET}", asyncpg.PostgresSyntaxError),
            (f"SELECT age FROM people WHERE nosuch = '{SECRET}'", asyncpg.UndefinedColumnError),
        ):
            with pytest.raises(error):
                await connection.execute(text)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO people VALUES ($1, 2)", SECRET)
        async with connection.transaction():
            await connection.fetch("SELECT age FROM people WHERE name = $1", SECRET)
        records = [(f"{SECRET}-{i}", i) for i in range(3)]
        await connection.copy_records_to_table("people", records=records)
        await connection.execute(f"CREATE ROLE ann LOGIN PASSWORD '{PASSWORD}'")
        with pytest.raises(asyncpg.DuplicateObjectError):
            await connection.execute(f"CREATE ROLE ann LOGIN PASSWORD '{PASSWORD}'")
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute(f"CREATE ROLE ben PASSWORD PASSWORD '{PASSWORD}'")
    finally:
        await connection.close()


@pytest.mark.parametrize("level", ["none", "text", "values"])
async def test_a_log_shows_what_was_asked_for(tmp_path: Path, level: str) -> None:
    options = () if level == "none" else ("--log-statements", level)
    up = start_up(tmp_path / "data", *SMALL, *options)
    try:
        await converse(up.dsn)
    finally:
        up.stop()
    said = up.progress.read_text()
    logs = "".join(path.read_text() for path in sorted(up.directory.rglob("*.log")))
    assert "leads group" in logs, "these are the logs of the node"
    assert SECRET not in logs
    assert PASSWORD not in said + logs
    assert (SECRET in said) is (level == "values")
    lines = [line.partition(" shardrouter: ")[2] for line in said.splitlines()]
    if level == "none":
        assert not any(lines)
        return
    shown = "\n".join(line.rpartition(" (")[0] for line in lines)
    if level == "text":
        assert "INSERT INTO people VALUES (?, ?) -> INSERT 0 1\n" in shown
        assert "INSERT INTO people VALUES ($1, ?) -> 23505\n" in shown
        assert "SELECT ?::int -> 22P02\n" in shown
        assert "CREATE ROLE ann LOGIN PASSWORD ? -> CREATE ROLE\n" in shown
    else:
        assert f"INSERT INTO people VALUES ('{SECRET}', 53) -> INSERT 0 1\n" in shown
        assert f"INSERT INTO people VALUES ($1, 2) ['{SECRET}'] -> 23505: duplicate key" in shown
        assert f'22P02: invalid input syntax for type integer: "{SECRET}"' in shown
        assert "CREATE ROLE ann LOGIN PASSWORD ? -> CREATE ROLE\n" in shown
    assert "rows come" in shown
