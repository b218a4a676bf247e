"""A request that a node works on, until it is answered or nobody wants the answer any longer.

Whoever asked may say so (`Request`), or be gone with his connection. Then a long read, a statement
of a transaction or a write that is being tried is ended where it is, inside SQLite if need be; what
has entered the log is not, for that is the log's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nodes.protocol import Busy, ResponseBody

__all__ = ["STOPPING", "UNWANTED", "Work"]

UNWANTED: Final = Busy("nobody waits for the answer")
STOPPING: Final = Busy("the node is stopping")


class Work:
    """One request. `answer` is for who works on it, `give_up` for who asked."""

    __slots__ = ("_answer", "_stop", "is_over", "is_unwanted")

    def __init__(self, answer: Callable[[ResponseBody], None]) -> None:
        self._answer = answer
        self._stop: Callable[[], object] | None = None
        self.is_over = False
        """It has been answered."""
        self.is_unwanted = False
        """It need not be begun."""

    def answer(self, body: ResponseBody) -> None:
        """Its end; to be called once."""
        self.is_over = True
        self._stop = None
        self._answer(body)

    def ends_by(self, stop: Callable[[], object]) -> None:
        """From now on it is ended by calling `stop`, and answers all the same."""
        if self.is_unwanted:
            stop()
        elif not self.is_over:
            self._stop = stop

    def ended(self) -> Busy:
        """What to answer if it was ended, by who asked or by the node."""
        return UNWANTED if self.is_unwanted else STOPPING

    def give_up(self) -> None:
        """Nobody waits for the answer."""
        if self.is_over or self.is_unwanted:
            return
        self.is_unwanted = True
        if self._stop is not None:
            self._stop()
