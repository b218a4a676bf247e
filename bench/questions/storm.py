"""A storm of connections: connect, prove a password (SCRAM-SHA-256), ask one thing, close."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bench.contestants import OURS, POSTGRES, Started
from bench.question import Answer, Question, Setting
from bench.questions.writes import named
from bench.runs import Figures, pgbench, python_client
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
    def proved(started: Started) -> Started:
        if started.name != POSTGRES.name:
            return started
        return replace(
            started, address=started.address.replace("postgres@", f"postgres:{PASSWORD}@")
        )

    async def by_asyncpg(started: Started, case: str) -> Figures:
        started = proved(started)
        length, warm_up = str(setting.run_s), str(setting.warm_up_s)
        words = (started.address, "connect", case.split()[0], length, "0", warm_up)
        return await python_client(started, setting, "bench.load", *words)

    async def by_pgbench(started: Started, case: str) -> Figures:
        clients = int(case.split()[0])
        scripts = [("SELECT 1;\n", 1.0)]
        return await pgbench(
            proved(started), setting, clients, "-C", scripts=scripts, protocol="simple"
        )

    entries = [
        Entry(f"{contestant.name}, {client}", contestant, run)
        for client, run in (("asyncpg", by_asyncpg), ("pgbench", by_pgbench))
        for contestant in (OURS, POSTGRES)
    ]
    return await in_turns(setting, entries, [named(n) for n in CLIENTS], with_password)


QUESTION: Final = Question(
    "storm",
    "How many connections a second are made, asked one thing and closed?",
    "per_second",
    measure,
)
