"""A small database that the harness knows nothing of, and the commands of its operator.

    python examples/registers_db.py start | stop | kill HOST        (n1, n2 or n3)
    python examples/registers_db.py cut | heal | probe SOURCE TARGET

n1 leads and keeps the registers in a file; n2 and n3 send every question to it. A question and its
answer are lines of JSON. Members listen on REGISTERS_PORT and the two ports after it and keep their
files in REGISTERS_DIR. `cut` tells TARGET to hear nothing of SOURCE, `probe` has SOURCE ask TARGET
whether it is there.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PORT = int(os.environ.get("REGISTERS_PORT", "27100"))
FILES = Path(os.environ.get("REGISTERS_DIR", "."))


def port(host: str) -> int:
    return PORT + int(host[1:])


async def ask(host: str, question: dict, timeout_s: float = 1.0):
    """Raises OSError (TimeoutError is one) without an answer."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port(host))
        try:
            writer.write(json.dumps(question).encode() + b"\n")
            return json.loads(await reader.readuntil(b"\n"))
        except EOFError as exc:
            raise ConnectionResetError(f"{host} hung up") from exc
        finally:
            writer.close()


class Member:
    def __init__(self, host: str) -> None:
        self.host, self.deaf = host, set()
        self.file = FILES / "registers.json"
        self.registers = json.loads(self.file.read_text()) if self.file.exists() else {}

    async def serve(self, reader, writer) -> None:
        try:
            while line := await reader.readline():
                question = json.loads(line)
                if question.get("from") in self.deaf:
                    break  # not heard, and never answered
                writer.write(json.dumps(await self.answer(question)).encode() + b"\n")
        except OSError:
            pass  # whoever asked, or the leader, cannot be reached: no answer
        finally:
            writer.close()

    async def answer(self, question):
        match question["f"]:
            case "status":
                return {"leads": self.host == "n1"}
            case "deaf":
                (self.deaf.add if question["is"] else self.deaf.discard)(question["to"])
                return True
            case "ping":
                return await ask(question["to"], {"f": "status", "from": self.host})
        if self.host != "n1":
            return await ask("n1", {**question, "from": self.host}, 10)
        key, value = question["key"], question.get("value")
        if question["f"] == "read":
            return self.registers.get(key)
        if question["f"] == "cas":
            expected, value = value
            if self.registers.get(key) != expected:
                return False
        self.registers[key] = value
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.registers))
        temporary.replace(self.file)
        return True


async def run(host: str) -> None:
    server = await asyncio.start_server(Member(host).serve, "127.0.0.1", port(host))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    (FILES / f"{host}.pid").write_text(str(os.getpid()))
    await server.wait_closed()


def start(host: str) -> None:
    log = (FILES / f"{host}.log").open("a")
    subprocess.Popen(
        [sys.executable, __file__, "run", host], stdout=log, stderr=log, start_new_session=True
    )
    for _ in range(200):
        try:
            asyncio.run(ask(host, {"f": "status"}))
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{host} does not answer; see {host}.log")


def end(host: str, number: signal.Signals) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):  # it does not run
        os.kill(int((FILES / f"{host}.pid").read_text()), number)


def main(verb: str, host: str, target: str = "") -> None:
    match verb:
        case "run":
            asyncio.run(run(host))
        case "start":
            start(host)
        case "stop" | "kill":
            end(host, signal.SIGTERM if verb == "stop" else signal.SIGKILL)
        case "cut" | "heal":
            asyncio.run(ask(target, {"f": "deaf", "to": host, "is": verb == "cut"}))
        case "probe":
            asyncio.run(ask(host, {"f": "ping", "to": target}))


if __name__ == "__main__":
    main(*sys.argv[1:])
