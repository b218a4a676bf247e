"""Runs pgbench and reads what it says."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from typing import Final

from tests.suites.postgres import find_programs

__all__ = ["Bench", "PgbenchFailed", "Run", "read_report"]

TRIES: Final = 1000
"""How often pgbench repeats a transaction that ended with 40001."""


class PgbenchFailed(Exception):
    """It ended with an error; the message is what it said last."""


@dataclass(frozen=True)
class Run:
    """What pgbench reports of a run."""

    transactions: int
    failed: int
    retried: int
    tps: float
    aborted: int = 0
    """Clients that gave up, because a transaction failed otherwise than with 40001."""


def read_report(text: str) -> Run:
    """Raises PgbenchFailed if there is no report in `text`."""
    done = re.search(r"number of transactions actually processed: (\d+)", text)
    tps = re.search(r"tps = ([\d.]+) \(without", text)
    if done is None or tps is None:
        raise PgbenchFailed("\n".join(text.strip().splitlines()[-5:]))
    failed = re.search(r"number of failed transactions: (\d+)", text)
    retried = re.search(r"number of transactions retried: (\d+)", text)
    return Run(
        int(done[1]),
        int(failed[1]) if failed else 0,
        int(retried[1]) if retried else 0,
        float(tps[1]),
        len(re.findall(r"client \d+ (?:script \d+ )?aborted", text)),
    )


class Bench:
    """pgbench on the server at `port` of loopback."""

    def __init__(
        self, port: int, *, user: str, database: str, password: str = "", options: str = ""
    ) -> None:
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PG")},
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": user,
            "PGPASSWORD": password,
            "PGDATABASE": database,
            "PGOPTIONS": options,
        }

    async def initialize(self, scale: int) -> None:
        """Make its tables and fill them. Raises PgbenchFailed."""
        code, said = await self._pgbench("-i", "-s", str(scale), "-q")
        if code:
            raise PgbenchFailed("\n".join(said.strip().splitlines()[-5:]))

    async def run(self, protocol: str, seconds: int, clients: int, *, reads: bool = False) -> Run:
        """TPC-B, or its SELECT alone. Raises PgbenchFailed if no client came to its end."""
        _, said = await self._pgbench(
            *("-n", "-M", protocol, "-c", str(clients), "-T", str(seconds)),
            *(("-S",) if reads else ("--max-tries", str(TRIES))),
        )
        return read_report(said)

    async def _pgbench(self, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            str(find_programs() / "pgbench"),
            *words,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(errors="replace")
