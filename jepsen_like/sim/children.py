"""Simulated child processes, as asyncio starts and ends real ones.

A command line names a program by a module, `python -m nodes ...`; who simulates a database says
what coroutine that is (`Program`). It is given the words behind the module's name, prints by
`Child.print`, and is cancelled by SIGTERM or when its standard input closes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jepsen_like.sim.processes import Process

if TYPE_CHECKING:
    from jepsen_like.sim.loop import SimulationLoop

__all__ = ["ON", "Child", "Program", "Programs"]

Program: TypeAlias = Callable[["Child", Sequence[str]], Awaitable[None]]
"""Raises ProgramError, whose text is its last word on stderr, to end with exit code 1."""

Programs: TypeAlias = Mapping[str, Program]
"""By the module of `python -m`."""

START_S: Final = 0.3
"""How long a program takes before its first line: importing is most of it."""

ON: Final = "--on-simulated-machine"
"""The word before a machine's name, before the command line that runs there."""


class Child(asyncio.SubprocessTransport):
    """One simulated process and its pipes; to whoever started it, as a real one."""

    def __init__(
        self,
        loop: SimulationLoop,
        protocol: asyncio.SubprocessProtocol,
        process: Process,
        stderr: Any,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self.process = process
        self._main: asyncio.Task[None] | None = None
        self._code: int | None = None
        self._starter = copy_context()  # what it says and how it ends concerns who started it
        self._ended: asyncio.Future[int] = loop.create_future()
        self._pipes = {0: _Pipe(self._input_closed), 1: _Pipe(lambda: None)}
        descriptor = stderr if isinstance(stderr, int) else stderr.fileno()
        self.stderr = os.fdopen(os.dup(descriptor), "ab", buffering=0) if descriptor >= 0 else None
        protocol.connection_made(self)

    # ------------------------------------------------------------------ for the program

    def run(self, program: Program, words: Sequence[str]) -> None:
        self._main = self._loop.spawn(self.process, self._run(program, words))

    def print(self, line: str) -> None:
        """To standard output, at once."""
        self._tell(self._protocol.pipe_data_received, 1, f"{line}\n".encode())

    def log(self, line: str) -> None:
        """To standard error."""
        if self.stderr is not None:
            self.stderr.write(f"{line}\n".encode())

    async def _run(self, program: Program, words: Sequence[str]) -> None:
        code = 0
        try:
            await asyncio.sleep(START_S * (0.5 + self._loop.rng.random()))
            await program(self, words)
        except asyncio.CancelledError:
            pass  # it was told to stop, and has
        except Exception as exc:  # a program's last words, and the code of those that fail
            self.log(f"Error: {exc}")
            code = 1
        self._exit(code)

    # ------------------------------------------------------------------ of its end

    def _exit(self, code: int) -> None:
        if self._code is None:
            self._code = code
            self.process.is_alive = False
            self._loop.network.process_ended(self.process)
            if self.stderr is not None:
                self.stderr.close()
            self._tell(self._protocol.pipe_connection_lost, 1, None)
            self._tell(self._protocol.process_exited)
            self._tell(self._ended.set_result, code)

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon(call, *arguments, context=self._starter)

    def _input_closed(self) -> None:
        self.send_signal(signal.SIGTERM)

    # ------------------------------------------------------------------ asyncio's interface

    def get_pid(self) -> int:
        return self.process.pid

    def get_returncode(self) -> int | None:
        return self._code

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        return self._pipes.get(fd)

    async def _wait(self) -> int:
        """As asyncio.subprocess.Process.wait asks of its transport."""
        return await asyncio.shield(self._ended)

    def send_signal(self, signal: int) -> None:
        self.signal(signal)

    def signal(self, number: int) -> None:
        """SIGKILL, SIGSTOP, SIGCONT and SIGTERM; others mean nothing to these programs."""
        if self._code is not None:
            return
        if number == signal.SIGKILL:
            self._loop.kill(self.process)
            self._exit(-signal.SIGKILL)
        elif number == signal.SIGSTOP:
            self._loop.stop_process(self.process)
        elif number == signal.SIGCONT:
            self._loop.continue_process(self.process)
        elif number == signal.SIGTERM and self._main is not None:
            self._main.cancel()

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def is_closing(self) -> bool:
        return self._code is not None

    def close(self) -> None:
        self.kill()


class _Pipe(asyncio.Transport):
    def __init__(self, on_close: Callable[[], None]) -> None:
        super().__init__()
        self._on_close = on_close
        self._is_closed = False

    def write(self, data: Any) -> None:
        """No program of ours reads what it is given."""

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_close()

    def pause_reading(self) -> None:
        """What a program prints is a line or two."""

    def resume_reading(self) -> None:
        """The same."""
