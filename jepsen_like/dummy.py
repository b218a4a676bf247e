"""A database that is none: one small process that can be killed, stopped, misled and starved.

`jepsen-like doctor` tries the faults on it, and so do the tests: what is verified of it is verified
in the same way as of a database, and no database is needed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, cast

from jepsen_like import dummy_program
from jepsen_like.adapters.database import DatabaseError, RunningDatabase
from jepsen_like.backends.leftovers import marked
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.dispatch import Clock
from jepsen_like.faults.fault import Site
from jepsen_like.interpose import Instruments

__all__ = ["HOST", "Dummy", "dummy_site"]

HOST: Final = "a"

ANSWER_S: Final = 1.0

START_S: Final = 10.0


class Dummy:
    """One process on one host, which leads the group `g`."""

    def __init__(self, directory: Path, instruments: Instruments | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        argv: Sequence[str] = (sys.executable, "-I", "-S", dummy_program.__file__, str(directory))
        if instruments is not None:
            argv = instruments.command(HOST, directory, argv)
        self._argv = marked(argv)
        self._directory = directory
        self._asking = asyncio.Lock()
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Raises DatabaseError."""
        async with self._asking:
            await self._start()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        if await self._line(START_S) != "ready":
            await self.stop()
            assert self._process.stderr is not None
            said = (await self._process.stderr.read()).decode().strip().splitlines()
            raise DatabaseError(f"the dummy did not start: {(said or ['no reason given'])[-1]}")

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def ask(self, question: str, timeout_s: float = ANSWER_S) -> str:
        """The answer, empty if there is none in time."""
        async with self._asking:
            to = self._process.stdin
            assert to is not None
            if to.is_closing():
                return ""
            try:
                to.write(f"{question}\n".encode())
                await to.drain()
            except ConnectionError:
                return ""
            return await self._line(timeout_s)

    async def _line(self, timeout_s: float) -> str:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                return (await self._process.stdout.readline()).decode().strip()
        except TimeoutError:
            return ""

    async def leaders(self) -> Mapping[str, str]:
        return {"g": HOST}

    def pid(self, host: str) -> int:
        return self._process.pid

    async def answering_pid(self, host: str) -> int | None:
        said = await self.ask("pid")
        return int(said) if said else None

    async def restart(self, host: str) -> None:
        await self._process.wait()
        await self.start()

    def data_directory(self, host: str) -> Path:
        return self._directory


@asynccontextmanager
async def dummy_site(
    directory: Path, library: Path | None = None
) -> AsyncIterator[tuple[Site, Dummy]]:
    """A dummy that runs, with the library in it if there is one, and where faults find it."""
    async with AsyncExitStack() as stack:
        instruments = None
        if library is not None:
            instruments = Instruments(library, directory / "instruments", records=True)
            stack.callback(instruments.close)
        dummy = Dummy(directory / "data", instruments)
        await dummy.start()
        stack.push_async_callback(dummy.stop)
        mesh = Mesh([HOST])
        stack.push_async_callback(mesh.close)
        prober = await stack.enter_async_context(Prober(mesh))
        db = cast("RunningDatabase", dummy)
        yield Site(db, mesh, prober, Clock(), lambda _: None, instruments), dummy
