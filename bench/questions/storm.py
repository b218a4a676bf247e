"""A storm of connections: connect, prove a password (SCRAM-SHA-256), ask one thing, close."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bench.contestants import OURS, POSTGRES, Started
from bench.question import Answer, Question, Setting
from bench.questions.writes import named
from bench.runs import Figures, python_client
from bench.turns import Entry, in_turns

CLIENTS: Final = (1, 16)
PASSWORD: Final = "storm"


async def with_password(started: Started) -> None:
    """PostgreSQL asks for one too, as this database does."""
    if started.name != POSTGRES.name:
        return
    import asyncpg

    connection = await asyncpg.connect(started.address)
    await connection.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    rules = started.directories[0] / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("trust", "scram-sha-256"))
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def measure(setting: Setting) -> Answer:
    async def run(started: Started, case: str) -> Figures:
        if started.name == POSTGRES.name:
            address = started.address.replace("postgres@", f"postgres:{PASSWORD}@")
            started = replace(started, address=address)
        length, warm_up = str(setting.run_s), str(setting.warm_up_s)
        words = (started.address, "connect", case.split()[0], length, "0", warm_up)
        return await python_client(started, setting, "bench.load", *words)

    entries = (Entry("shardrouter", OURS, run), Entry("PostgreSQL", POSTGRES, run))
    return await in_turns(setting, entries, [named(n) for n in CLIENTS], with_password)


QUESTION: Final = Question(
    "storm",
    "How many connections a second are made, asked one thing and closed?",
    "per_second",
    measure,
)
