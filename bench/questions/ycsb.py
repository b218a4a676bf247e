"""YCSB's workloads A, B and C: reads and updates of keys, some much more wanted than others."""

from __future__ import annotations

from typing import Final

from bench.contestants import OURS, STANDBY, Started
from bench.load import UPDATES, VALUE, ZIPFIAN
from bench.question import Answer, Question, Setting
from bench.runs import Figures, fill, pgbench, python_client
from bench.turns import Entry, in_turns

ROWS: Final = 10_000
CLIENTS: Final = 16
COMPILED_ZIPFIAN: Final = 1.001
"""The least that pgbench takes."""

_KEY: Final = rf"\set id random_zipfian(1, {ROWS}, {COMPILED_ZIPFIAN}) - 1"
READ: Final = f"{_KEY}\nSELECT val FROM bench WHERE id = :id;\n"
UPDATE: Final = f"{_KEY}\nUPDATE bench SET val = '{VALUE}' WHERE id = :id;\n"


async def measure(setting: Setting) -> Answer:
    async def by_asyncpg(started: Started, case: str) -> Figures:
        kind, length, warm_up = case.split(":")[0].lower(), setting.run_s, setting.warm_up_s
        words = (started.address, kind, str(CLIENTS), str(length), str(ROWS), str(warm_up))
        return await python_client(started, setting, "bench.load", *words)

    async def by_pgbench(started: Started, case: str) -> Figures:
        share = UPDATES[case.split(":")[0].lower()]
        scripts = [(READ, 1 - share), *([(UPDATE, share)] if share else [])]
        return await pgbench(started, setting, CLIENTS, scripts=scripts)

    async def prepare(started: Started) -> None:
        await fill(started.address, ROWS)

    entries = [
        Entry(f"{contestant.name}, {client}", contestant, run)
        for client, run in (("asyncpg", by_asyncpg), ("pgbench", by_pgbench))
        for contestant in (OURS, STANDBY)
    ]
    cases = [f"{kind.upper()}: {share:.0%} updates" for kind, share in UPDATES.items()]
    return await in_turns(setting, entries, cases, prepare)


QUESTION: Final = Question(
    "ycsb",
    f"How many reads and updates a second of {CLIENTS} clients, keys zipfian ({ZIPFIAN})?",
    "per_second",
    measure,
)
