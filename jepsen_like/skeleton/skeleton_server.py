"""The database under test: replace it by yours. One program, started once on each host.

n1 keeps the registers in a file; every other member sends each question on to it. A question and
its answer are lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any


async def ask(host: str, port: int, question: dict[str, Any]) -> dict[str, Any]:
    """Raises OSError without an answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(json.dumps(question).encode() + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionResetError("it hung up")
    answer: dict[str, Any] = json.loads(line)
    return answer


class Registers:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def answer(self, question: dict[str, Any]) -> Any:
        key, value = question["key"], question.get("value")
        if question["f"] == "read":
            return self.values.get(key)
        if question["f"] == "cas":
            expected, value = question["value"]
            if self.values.get(key) != expected:
                return False
        self.values[key] = value
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.values))
        new.replace(self.file)
        return True


async def main(options: dict[str, Any]) -> None:
    registers = Registers(Path(options["file"])) if options["leader"] is None else None

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        if question["f"] == "status":
            return {"ok": {"leads": registers is not None}}
        if registers is not None:
            return {"ok": registers.answer(question)}
        host, port = options["leader"]
        return await ask(host, port, question)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await answer(json.loads(line))).encode() + b"\n")
        except OSError:
            pass  # the client has gone, or the leader does not answer: then nor do we
        finally:
            writer.close()

    servers = [await asyncio.start_server(serve, *options[at]) for at in ("clients", "peers")]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
