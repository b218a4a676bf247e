"""The client of the power soak, a process of its own: it writes, and remembers what it was told.

    python client.py CLUSTER_TOML

Some workers insert rows, each under a key of its own, exactly once: a command whose answer did
not come is sent again under the same (session, seq), anywhere, until it is answered. Reads
commands from standard input, one a line, and answers each with one line of JSON:

    count   how many writes are acknowledged; `failure` if an answer broke a promise
    check   how many of the rows that are acknowledged the database does not have
    stop    write no more; compare the whole table with what was acknowledged
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from nodes.client import NodeClient
from nodes.config import parse_cluster
from nodes.protocol import (
    AnswerNotKept,
    Busy,
    Done,
    NotLeader,
    Opened,
    OpenSession,
    Read,
    RequestBody,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Statement,
    UnknownOutcome,
    Write,
)

GROUP = "s1"
WORKERS = 12
PADDING_MAX = 3000  # bytes in the log that are not in the table
CALL_S = 1.0
AGAIN_S = 0.01
ROWS_AT_ONCE = 50_000

CREATE = "CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT, WITHOUT ROWID"
SELECT = "SELECT k, v FROM t WHERE k >= ?1 AND k < ?2"
INSERT = "INSERT INTO t VALUES (?1, ?2 + 0 * length(?3))"


def value_of(key: int) -> int:
    return key * 7919 % 1_000_003


class Client:
    def __init__(self, config_file: Path) -> None:
        config = parse_cluster(config_file.read_text(encoding="utf-8"))
        self._nodes = {
            name: NodeClient(node.address, cluster_id=config.cluster_id, name="power-soak")
            for name, node in config.nodes.items()
        }
        self._leader = next(iter(self._nodes))
        self._rng = random.Random(1)
        self._session = SessionId(0, 0)
        self._next = 0
        self._open: set[int] = set()
        self._stopping = False
        self.acknowledged = 0
        self.failure = ""

    # ------------------------------------------------------------------ requests

    async def ask(self, body: RequestBody) -> ResponseBody:
        """Until a node answers with what the command did, not with who else might know."""
        while True:
            asked = self._leader
            try:
                answer = await self._nodes[asked].call(GROUP, body, CALL_S)
            except ConnectionError:
                self._try_another(asked, None)
            else:
                if not isinstance(answer, NotLeader | Busy | UnknownOutcome):
                    return answer
                self._try_another(asked, answer.leader if isinstance(answer, NotLeader) else None)
            await asyncio.sleep(AGAIN_S)

    def _try_another(self, asked: str, leader: str | None) -> None:
        if self._leader != asked:  # another worker has found out already
            return
        names = list(self._nodes)
        following = names[(names.index(asked) + 1) % len(names)]
        self._leader = leader if leader in self._nodes else following

    async def begin(self) -> None:
        opened = await self.ask(OpenSession("power-soak"))
        assert isinstance(opened, Opened), opened
        self._session = opened.session
        table = Write(self._session, 1, 0, (Statement(CREATE),), sets=(SetVersion("table:t", 1),))
        answer = await self.ask(table)
        assert isinstance(answer, Done), answer

    async def write_on(self) -> None:
        while not self._stopping and not self.failure:
            key, self._next = self._next, self._next + 1
            self._open.add(key)
            padding = "x" * self._rng.randrange(PADDING_MAX)
            statement = Statement(INSERT, (key, value_of(key), padding))
            watermark = min(self._open) + 1
            body = Write(self._session, key + 2, watermark, (statement,), quick=True)
            answer = await self.ask(body)
            if not isinstance(answer, Done | AnswerNotKept):
                self.failure = self.failure or f"the write of key {key} was answered {answer}"
                return
            self._open.discard(key)
            self.acknowledged += 1

    # ------------------------------------------------------------------ what is asked of us

    def count(self) -> dict[str, Any]:
        return {"acknowledged": self.acknowledged, "failure": self.failure}

    async def check(self) -> dict[str, Any]:
        """Of the keys that were all acknowledged before the read began."""
        until = min(self._open, default=self._next)
        statement = Statement("SELECT count(*) FROM t WHERE k < ?1", (until,))
        answer = await self.ask(Read((statement,)))
        if isinstance(answer, SqlFailure):  # not even the table is there
            return {"lost": until, "failure": answer.message}
        assert isinstance(answer, Done), answer
        found = answer.results[0].values[0][0]
        assert isinstance(found, int)
        return {"lost": until - found, "failure": self.failure}

    async def compare(self) -> dict[str, Any]:
        """With every key that was acknowledged. A key whose write failed may be there or not."""
        found: dict[Any, Any] = {}
        for first in range(0, self._next, ROWS_AT_ONCE):
            statement = Statement(SELECT, (first, first + ROWS_AT_ONCE))
            answer = await self.ask(Read((statement,)))
            if isinstance(answer, Done):  # else there is no table
                found.update((key, value) for key, value in answer.results[0].values)
        wanted = {key: value_of(key) for key in range(self._next) if key not in self._open}
        lost = [key for key, value in wanted.items() if found.get(key) != value]
        strange = [key for key in found if key not in wanted and key not in self._open]
        return {
            "acknowledged": self.acknowledged,
            "lost": len(lost),
            "first_lost": lost[:5],
            "never_written": len(strange),
            "failure": self.failure,
        }

    async def serve(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await self.begin()
        workers = [asyncio.create_task(self.write_on()) for _ in range(WORKERS)]
        while line := (await reader.readline()).decode().strip():
            if line == "count":
                answer = self.count()
            elif line == "check":
                answer = await self.check()
            else:
                self._stopping = True
                await asyncio.gather(*workers)
                answer = await self.compare()
            print(json.dumps(answer), flush=True)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for node in self._nodes.values():
            await node.close()


async def main(config_file: Path) -> None:
    """On a running loop, which the connections need."""
    await Client(config_file).serve()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
