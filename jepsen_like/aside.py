"""A computation in a process of its own, beside what this one does meanwhile.

The child is forked: it has everything already, and sends back one result. Where forking is not
safe (other threads run) or not possible, and if the child ends early, the result is computed here,
when it is asked for: slower, and the same.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

__all__ = ["Aside"]

T = TypeVar("T")


class Aside(Generic[T]):
    """The result of `work`, which is begun at once and given up when the block ends.

    with Aside(work) as aside:
        something_else()
        print(aside.result())
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._child: multiprocessing.process.BaseProcess | None = None
        self._receiver: Connection | None = None

    def __enter__(self) -> Self:
        if "fork" in multiprocessing.get_all_start_methods() and threading.active_count() == 1:
            context = multiprocessing.get_context("fork")
            self._receiver, sender = context.Pipe(duplex=False)
            self._child = context.Process(target=_send, args=(self._work, sender), daemon=True)
            self._child.start()
            sender.close()  # so that the end of the child is the end of what it says
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None and self._receiver is not None:
            self._child.terminate()
            self._child.join()
            self._receiver.close()

    def result(self) -> T:
        """Waits for it, once. What `work` raises is raised here."""
        if self._receiver is not None:
            try:
                return cast("T", self._receiver.recv())
            except EOFError:
                pass
        return self._work()


def _send(work: Callable[[], T], sender: Connection) -> None:
    """In the child. An interrupt is its parent's to handle; a failure is seen when the parent
    does the same."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        found = work()
    except Exception:
        sender.close()
        return
    sender.send(found)
