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

    upstream: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    asking = asyncio.Lock()

    async def from_leader(line: bytes) -> dict[str, Any]:
        """Over the one connection to it. Raises OSError without an answer."""
        async with asking:
            if not upstream:
                host, port = options["leader"]
                upstream.append(await asyncio.open_connection(host, port))
            reader, writer = upstream.pop()
            writer.write(line)
            answer = await reader.readline()
            if not answer:
                writer.close()
                raise ConnectionResetError("the leader hung up")
            upstream.append((reader, writer))
            said: dict[str, Any] = json.loads(answer)
            return said

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                question = json.loads(line)
                if question["f"] == "status":
                    said = {"ok": {"leads": registers is not None}}
                elif registers is not None:
                    said = {"ok": registers.answer(question)}
                else:
                    said = await from_leader(line)
                writer.write(json.dumps(said).encode() + b"\n")
        except OSError:
            pass  # the client has gone, or the leader cannot be reached: no answer
        finally:
            writer.close()

    servers = [await asyncio.start_server(serve, *options[at]) for at in ("clients", "peers")]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
