"""Steps of a test that its author gives: a command line, or a coroutine function.

    "ssh {host} systemctl start db"        words in braces are filled in, no shell is asked
    async def start(host: str) -> None     the same words are its arguments

A command that ends with another exit code than 0 has failed, and so has a coroutine that raises.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

__all__ = ["Step", "StepFailed", "take"]

STEP_TIMEOUT_S: Final = 60.0

Step: TypeAlias = str | Callable[..., Awaitable[object]]


class StepFailed(Exception):
    """A sentence: which step, and the last that it said."""


async def take(step: Step, timeout_s: float = STEP_TIMEOUT_S, **words: str) -> None:
    """Raises StepFailed, also after `timeout_s`; its process has ended then."""
    if callable(step):
        name = getattr(step, "__name__", "a step")
        try:
            async with asyncio.timeout(timeout_s):
                await step(**words)
        except TimeoutError as exc:
            raise StepFailed(f"{name} {words} took longer than {timeout_s:g} s.") from exc
        except Exception as exc:  # the author's: whatever it raises is a failed step
            raise StepFailed(f"{name} {words}: {type(exc).__name__}: {exc}") from exc
        return
    argv = [word.format(**words) for word in shlex.split(step)]
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as exc:
        raise StepFailed(f"{shlex.join(argv)} cannot be started: {exc}.") from exc
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
    except TimeoutError as exc:
        raise StepFailed(f"{shlex.join(argv)} took longer than {timeout_s:g} s.") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise StepFailed(
            f"{shlex.join(argv)} ended with exit code {process.returncode} and said: {lines[-1]}"
        )
