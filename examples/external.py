"""A database started elsewhere under test: run it with `jepsen-like run examples/external.py`.

All that is done to the database of examples/registers_db.py is a step that is given here, as a
command line or as a coroutine function; the harness verifies what became of each.
"""

import asyncio
import json
import sys
from pathlib import Path

from jepsen_like import Test, faults, leader_of, load, workloads
from jepsen_like.adapters.external import External, Steps
from jepsen_like.adapters.members import MemberStatus

sys.path.insert(0, str(Path(__file__).parent))
from registers_db import ask, port

OPERATE = f"{sys.executable} {Path(__file__).with_name('registers_db.py')}"


async def probe(source: str, target: str) -> None:
    await ask(source, {"f": "ping", "to": target})


class Connection:
    """A client of the database; see jepsen_like.adapters.members."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @property
    def is_usable(self) -> bool:
        return not (self.writer.is_closing() or self.reader.at_eof())

    async def ask(self, question: dict):
        self.writer.write(json.dumps(question).encode() + b"\n")
        line = await self.reader.readline()
        if not line:
            self.abort()
            raise ConnectionResetError("the member hung up")
        return json.loads(line)

    async def perform(self, call):
        question = {"f": call.f, "key": f"{call.workload}/{call.key}", "value": call.value}
        answer = await self.ask(question)
        return None if call.f == "write" else answer

    async def status(self) -> MemberStatus:
        return MemberStatus(**await self.ask({"f": "status"}))

    def abort(self) -> None:
        self.writer.transport.abort()


async def connect(host: str) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port(host)))


test = Test(
    name="external",
    db=External(
        "registers",
        hosts=("n1", "n2", "n3"),
        open=connect,
        steps=Steps(
            start=f"{OPERATE} start {{host}}",
            stop=f"{OPERATE} stop {{host}}",
            kill=f"{OPERATE} kill {{host}}",
            cut=f"{OPERATE} cut {{source}} {{target}}",
            heal=f"{OPERATE} heal {{source}} {{target}}",
            probe=probe,
        ),
    ),
    workloads=[workloads.register(keys=6)],
    load=load.open_loop(rate=90, deadline="300ms", clients=20),
    faults=[
        faults.healthy("500ms"),
        faults.partition(faults.isolate("n2"), hold="2s", rest="500ms"),
        faults.outage(leader_of("registers"), hold="1s", rest="1s"),
    ],
    seed=3,
)
