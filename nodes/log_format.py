"""How a process writes its log: one line for each thing it says, and no values of statements.

A statement that meets a bug leaves a traceback. What the exception says of itself may be a value
out of the statement (`KeyError: 'Ann Smith'`), so the log says of which type it is and where it
was raised, and no more.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TypeAlias

__all__ = ["WithoutValues", "log_to_stderr"]

_Info: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class WithoutValues(logging.Formatter):
    """Shows where an exception came from, not what it says."""

    def formatException(self, ei: _Info) -> str:  # noqa: N802 -- logging's name
        return "".join(_lines(ei[1])).rstrip("\n") if ei[1] is not None else ""


def _lines(error: BaseException) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _lines(before)
        yield "which led to\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield "one of its exceptions:\n"
            yield from _lines(each)


def log_to_stderr(name: str, level: int) -> None:
    """Write what the process `name` has to say from `level` on to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(WithoutValues(f"%(asctime)s {name} %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
