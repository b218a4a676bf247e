"""How a process writes its log: one line for each thing it says, and no values of statements.

A statement that meets a bug leaves a traceback. What the exception says of itself may be a value
out of the statement (`KeyError: 'Ann Smith'`), so the log says of which type it is and where it
was raised, and no more.

As `text` a line is for people; as `json` it is one object, whose `group`, `term`, `node` and
`request` are there where they apply. Who logs gives them as `extra={"group": ...}`.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Literal, TypeAlias, get_args

__all__ = ["ABOUT", "LOG_FORMATS", "AsJson", "LogFormat", "WithoutValues", "log_to_stderr"]

LogFormat: TypeAlias = Literal["text", "json"]
LOG_FORMATS: Final = get_args(LogFormat)

ABOUT: Final = ("group", "term", "node", "request", "user", "milliseconds")
"""What a line may be about besides its message, for machines."""

_Info: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class WithoutValues(logging.Formatter):
    """Shows where an exception came from, not what it says."""

    def formatException(self, ei: _Info) -> str:  # noqa: N802 -- logging's name
        return "".join(_lines(ei[1])).rstrip("\n") if ei[1] is not None else ""


class AsJson(WithoutValues):
    """The same as one JSON object in one line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "process": self._process,
            "message": record.getMessage(),
        }
        said |= {name: record.__dict__[name] for name in ABOUT if name in record.__dict__}
        if record.exc_info:
            said["where"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


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


def log_to_stderr(name: str, level: int, form: LogFormat = "text") -> None:
    """Write what the process `name` has to say from `level` on to standard error."""
    handler = logging.StreamHandler()
    as_text = WithoutValues(f"%(asctime)s {name} %(levelname)s %(message)s")
    handler.setFormatter(AsJson(name) if form == "json" else as_text)
    logging.basicConfig(level=level, handlers=[handler])
