"""A small register database over TCP, to test the harness with: real processes, real sockets.

    python -m tests.jepsen_like.register_server ADDRESS FILE --follower HOST:PORT ... [--stale]
    python -m tests.jepsen_like.register_server ADDRESS FILE --leader HOST:PORT [--stale]

A follower forwards every request to the leader, on one connection per client; the leader
answers from one dictionary, after appending writes to FILE and fsync, so
the whole is linearizable and survives SIGKILL. With `--stale` every process keeps a copy, fed
by the leader as fast as links allow, and answers reads from it: fine while all is well, stale
on a host that is cut off. Exits when its standard input closes.

One request and one answer per line, as JSON: {"f": "read", "key": "register/1", "value": null} and
{"output": 7}; {"f": "pid"} is answered by the process itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

REDIAL_S = 0.05


class Store:
    """The registers; every write is on disk before it is answered."""

    def __init__(self, path: Path) -> None:
        self.values: dict[str, int] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                key, value = json.loads(line)
                self.values[key] = value
        self._log: TextIO = path.open("a")

    def put(self, key: str, value: int) -> None:
        self._log.write(json.dumps([key, value]) + "\n")
        self._log.flush()
        os.fsync(self._log.fileno())
        self.values[key] = value

    def answer(self, request: dict[str, Any]) -> Any:
        key, value = request["key"], request["value"]
        match request["f"]:
            case "read":
                return self.values.get(key)
            case "write":
                self.put(key, value)
                return None
            case "cas":
                expected, new = value
                if self.values.get(key) != expected:
                    return False
                self.put(key, new)
                return True
        raise ValueError(request["f"])


class Server:
    def __init__(self, options: argparse.Namespace) -> None:
        self.is_leader = options.leader is None
        self.is_stale: bool = options.stale
        self.store = Store(Path(options.file))
        self.leader: str | None = options.leader
        self.followers: list[str] = options.follower
        self.feeds: list[asyncio.Queue[tuple[str, int]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while line := await reader.readline():
                request = json.loads(line)
                f = request["f"]
                if f == "pid":
                    answer: dict[str, Any] = {"output": os.getpid()}
                elif f == "copy":
                    self.store.values[request["key"]] = request["value"]
                    continue
                elif self.is_leader or (self.is_stale and f == "read"):
                    answer = {"output": self.store.answer(request)}
                    if self.is_leader and f != "read" and answer["output"] is not False:
                        for feed in self.feeds:
                            feed.put_nowait((request["key"], self.store.values[request["key"]]))
                else:
                    if upstream is None:
                        upstream = await dial(self.leader)
                    upstream[1].write(line)
                    writer.write(await upstream[0].readline())
                    continue
                writer.write(json.dumps(answer).encode() + b"\n")
        except OSError:
            pass  # the leader or the client went away; its connection is closed below
        finally:
            writer.close()
            if upstream is not None:
                upstream[1].close()

    async def feed(self, follower: str) -> None:
        queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.feeds.append(queue)
        while True:
            try:
                _, writer = await dial(follower)
                for key, value in list(self.store.values.items()):
                    writer.write(copy_of(key, value))
                while True:
                    writer.write(copy_of(*await queue.get()))
                    await writer.drain()
            except OSError:
                await asyncio.sleep(REDIAL_S)


def copy_of(key: str, value: int) -> bytes:
    return json.dumps({"f": "copy", "key": key, "value": value}).encode() + b"\n"


async def dial(address: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    assert address is not None
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def main(options: argparse.Namespace) -> None:
    server = Server(options)
    host, _, port = options.address.rpartition(":")
    listener = await asyncio.start_server(server.serve, host, int(port))
    feeds = [asyncio.ensure_future(server.feed(f)) for f in options.follower if options.stale]
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def stdin_readable() -> None:
        if not os.read(0, 4096):
            ended.set()

    loop.add_reader(0, stdin_readable)
    print(f"ready {options.address}", flush=True)
    await ended.wait()
    for feed in feeds:
        feed.cancel()
    listener.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address", help="HOST:PORT to listen on")
    parser.add_argument("file")
    parser.add_argument("--leader", help="HOST:PORT; without it, this process leads")
    parser.add_argument("--follower", action="append", default=[], help="HOST:PORT")
    parser.add_argument("--stale", action="store_true")
    asyncio.run(main(parser.parse_args()))
    sys.exit(0)
