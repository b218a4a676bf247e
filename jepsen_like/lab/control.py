"""How commands talk to a lab: a socket in its directory, one question a connection, JSON lines.

What the lab says while it works comes line by line ({"say": ...}), and last what came of it
({"done": ...} or {"refused": ...}). Only who may read the directory can ask.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

__all__ = ["Answering", "NoLab", "Refusal", "ask", "is_alive", "listening"]

SOCKET: Final = "control"

PATH_BYTES_MAX: Final = 100
"""Of a socket's name the kernel takes 107."""

LINE_BYTES_MAX: Final = 1 << 20

ANSWER_TIMEOUT_S: Final = 600.0
"""A heal after a long cut waits until TCP tries again."""

Answering: TypeAlias = Callable[[dict[str, Any], Callable[[str], None]], Awaitable[dict[str, Any]]]
"""What a lab does with a question, saying what happens; raises ValueError, a sentence."""


class NoLab(Exception):
    """No lab listens there; a sentence that says what to do."""


class Refusal(Exception):
    """The lab does not do that now; its sentence."""


@asynccontextmanager
async def listening(directory: Path, answer: Answering) -> AsyncIterator[None]:
    """Take questions until the end of the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _serve(reader, writer, answer)
        finally:
            tasks.discard(task)
            writer.close()

    path = _path(directory)
    server = await asyncio.start_unix_server(serve, path, limit=LINE_BYTES_MAX)
    try:
        yield
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answering
) -> None:
    def tell(**what: Any) -> None:
        if not writer.is_closing():
            writer.write(json.dumps(what).encode() + b"\n")

    try:
        line = await reader.readline()
        if not line:
            return  # somebody looked whether we are here
        try:
            tell(done=await answer(json.loads(line), lambda text: tell(say=text)))
        except ValueError as exc:
            tell(refused=str(exc))
        await writer.drain()
    except OSError:
        return  # who asked has gone


def is_alive(directory: Path) -> bool:
    """Whether a lab listens there."""
    with suppress(NoLab, OSError), _connected(directory):
        return True
    return False


def ask(directory: Path, question: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """What came of it. Raises NoLab and Refusal."""
    try:
        with _connected(directory) as sock, sock.makefile("rwb") as file:
            file.write(json.dumps(question).encode() + b"\n")
            file.flush()
            for line in file:
                told = json.loads(line)
                if "refused" in told:
                    raise Refusal(told["refused"])
                if "done" in told:
                    found: dict[str, Any] = told["done"]
                    return found
                say(told["say"])
    except OSError as exc:
        raise NoLab(f"the lab in {directory} does not answer: {exc}.") from exc
    raise NoLab(f"the lab in {directory} ended meanwhile.")


@contextmanager
def _connected(directory: Path) -> Iterator[socket.socket]:
    path = _path(directory)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_TIMEOUT_S)
        try:
            sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NoLab(
                f"no lab runs in {directory}; start one with `jepsen-like lab up`, or say where "
                "it is with --dir."
            ) from exc
        yield sock


def _path(directory: Path) -> str:
    """Raises NoLab if the name is too long for a socket."""
    path = str(directory / SOCKET)
    if len(path.encode()) > PATH_BYTES_MAX:
        path = str((directory / SOCKET).resolve())
    if len(path.encode()) > PATH_BYTES_MAX:
        raise NoLab(f"{directory} is too long a name for a socket; take a shorter one with --dir.")
    return path
