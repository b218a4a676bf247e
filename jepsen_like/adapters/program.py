"""A program of a database under test: started, watched, ended. It need not know the harness.

What it prints goes to a log. Where util-linux has `setpriv`, the kernel ends it with the harness,
however that dies; elsewhere the next run does (`backends.leftovers`).
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from jepsen_like.backends.backend import Backend, BackendError
from jepsen_like.kernel import kernel

__all__ = ["PORTS", "Program", "ProgramError", "ending_with_us", "free_port"]

TERMINATE_TIMEOUT_S: Final = 5.0
"""How long it may take to end by itself before it is killed."""

PORTS: Final = range(15_000, 32_000)
"""Below the range of outgoing connections, which would take the port of a program that is down."""

LINE_CHARACTERS_MAX: Final = 300


class ProgramError(Exception):
    """It did not start, or ended; a sentence."""


class Program:
    """`argv`, under the name `name`, what it says in `log`; it ends by the signal `ended_by`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        ended_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self.ended_by = ended_by
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the current or last run."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        process = self._process
        is_known = process is not None and process.returncode is None
        return is_known and kernel().state(self.pid) != ""

    async def start(self) -> None:
        """Raises ProgramError."""
        try:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as exc:
            raise ProgramError(f"{self.argv[0]} cannot be started: {exc}.") from exc

    def check(self) -> None:
        """Raises ProgramError if it has ended."""
        if self._process is not None and self._process.returncode is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = f": {lines[-1][:LINE_CHARACTERS_MAX]}" if lines else ""
            code = self._process.returncode
            raise ProgramError(f"{self.name} ended with exit code {code}{last}")

    async def wait(self) -> None:
        """Until it has ended."""
        if self._process is not None:
            await self._process.wait()

    async def terminate(self) -> None:
        """By its signal, also of a stopped one, then SIGKILL; returns when it has ended."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(self.ended_by)
        process.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(TERMINATE_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            pass  # killed below
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def ending_with_us(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs `argv`, under the same process id, until the harness ends."""
    return ("setpriv", "--pdeathsig", "KILL", *argv) if shutil.which("setpriv") else tuple(argv)


def free_port(backend: Backend, host: str, candidates: Iterator[int]) -> int:
    """The next port that nobody on `host` has now. Raises BackendError."""
    for port in candidates:
        with closing(backend.socket(host)) as probe:
            try:
                probe.bind((backend.address(host), port))
            except OSError:
                continue
            return port
    raise BackendError(f"{host} has no free port from {PORTS.start} to {PORTS.stop - 1}.")
