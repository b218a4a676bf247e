"""Registers kept by the library pysyncobj as its authors ship it: a member of `PySyncObj`.

    python -m jepsen_like.adapters.pysyncobj_program '{"clients": ["127.0.0.1", 7000], ...}'

Questions and answers are lines of JSON: {"f": "write", "key": "a/1", "value": 3}. An answer is
{"ok": ...}, {"refused": "..."} if the library says that the command never entered its log, or
{"unknown": "..."}. All commands go through the log, reads too.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

__all__ = ["Registers"]

NEVER_ENTERED: Final = {
    FAIL_REASON.QUEUE_FULL: "the queue is full",
    FAIL_REASON.MISSING_LEADER: "there is no leader",
    FAIL_REASON.NOT_LEADER: "it is not the leader",
    FAIL_REASON.REQUEST_DENIED: "it is not a member",
}

UNKNOWN: Final = {
    FAIL_REASON.DISCARDED: "the command was discarded",
    FAIL_REASON.LEADER_CHANGED: "the leader has changed",
}


class Registers(SyncObj):  # type: ignore[misc]  # the library has no types
    """The state that is replicated."""

    def __init__(self, me: str, others: list[str], conf: SyncObjConf) -> None:
        super().__init__(me, others, conf)
        self._values: dict[str, Any] = {}

    @replicated  # type: ignore[untyped-decorator]
    def read(self, key: str) -> Any:
        return self._values.get(key)

    @replicated  # type: ignore[untyped-decorator]
    def write(self, key: str, value: Any) -> None:
        self._values[key] = value

    @replicated  # type: ignore[untyped-decorator]
    def cas(self, key: str, expected: Any, new: Any) -> bool:
        if self._values.get(key) != expected:
            return False
        self._values[key] = new
        return True


async def answer(registers: Registers, question: dict[str, Any]) -> dict[str, Any]:
    if question["f"] == "status":
        status = registers.getStatus()
        is_leader = status["leader"] is not None and status["leader"] == status["self"]
        return {"ok": {"leads": is_leader, "term": status["raft_term"]}}
    loop = asyncio.get_running_loop()
    done: asyncio.Future[dict[str, Any]] = loop.create_future()

    def finish(said: dict[str, Any]) -> None:
        if not done.done():
            done.set_result(said)

    def say(result: Any, error: int) -> None:
        """Called by the thread of the library."""
        if error == FAIL_REASON.SUCCESS:
            said = {"ok": result}
        elif error in NEVER_ENTERED:
            said = {"refused": NEVER_ENTERED[error]}
        else:
            said = {"unknown": UNKNOWN.get(error, f"reason {error}")}
        loop.call_soon_threadsafe(finish, said)

    key, value = question["key"], question.get("value")
    if question["f"] == "read":
        registers.read(key, callback=say)
    elif question["f"] == "write":
        registers.write(key, value, callback=say)
    else:
        expected, new = question["value"]
        registers.cas(key, expected, new, callback=say)
    return await done


async def main(options: dict[str, Any], directory: Path) -> None:
    conf = SyncObjConf(
        bindAddress=options["bind"],
        journalFile=str(directory / "journal"),
        fullDumpFile=str(directory / "dump"),
        **options["conf"],
    )
    registers = Registers(options["me"], options["others"], conf)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                said = await answer(registers, json.loads(line))
                writer.write(json.dumps(said).encode() + b"\n")
        except ConnectionError:
            return  # the client has gone, and with it who wanted to know
        finally:
            writer.close()

    server = await asyncio.start_server(serve, *options["clients"])
    await server.serve_forever()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    kept = Path(given["directory"])
    kept.mkdir(exist_ok=True)
    asyncio.run(main(given, kept))
