"""What every verb needs to run: an event loop, an end on signals, errors as one sentence."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click

from nodes.collector import settle_collector
from nodes.config import ConfigError
from nodes.local_cluster import ProcessFailed
from shardrouter.errors import RouterError

__all__ = ["run_async", "until_stopped", "watch_stdin"]

T = TypeVar("T")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop if it is installed; errors that a user can mend become one sentence."""
    try:
        import uvloop
    except ImportError:
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    else:
        factory = uvloop.new_event_loop
    settle_collector()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    except RouterError as exc:
        detail = f": {exc.detail}" if exc.detail else ""
        hint = f"\n{exc.hint}" if exc.hint else ""
        raise click.ClickException(f"{exc.message}{detail}{hint}") from exc
    except (ConfigError, ProcessFailed, ConnectionError) as exc:
        raise click.ClickException(str(exc)) from exc


@asynccontextmanager
async def until_stopped() -> AsyncIterator[Callable[[], None]]:
    """The body runs until Ctrl-C, SIGTERM, or a call of the yielded function ends it.

    The end is a cancellation, so the body's context managers close what they opened; signals
    that come while they do so are ignored.
    """
    loop = asyncio.get_running_loop()
    body = asyncio.current_task()
    assert body is not None
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            body.cancel()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield stop
    except asyncio.CancelledError:
        if not stopping:
            raise
        body.uncancel()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def watch_stdin(stop: Callable[[], None]) -> None:
    """Call `stop` when standard input closes: whoever holds its other end is gone."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop()

    loop.add_reader(descriptor, readable)
