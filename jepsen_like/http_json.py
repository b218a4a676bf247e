"""Just enough of HTTP/1.1 (RFC 9112) to ask a server that answers JSON with JSON.

One connection that is kept, one question at a time: a client of the harness must know whether
its question left, and end its connection at once (`abort`), which pools of connections hide.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, Self

__all__ = ["HttpError", "JsonOverHttp"]

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024

LINE_BYTES_MAX: Final = 64 * 1024


class HttpError(ValueError):
    """An answer that is none: another status than 200, or not HTTP. A sentence."""


class JsonOverHttp:
    """`await JsonOverHttp.open(host, port)`; raises OSError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX))

    @property
    def is_usable(self) -> bool:
        return not (self._writer.is_closing() or self._reader.at_eof())

    def abort(self) -> None:
        """A question under way ends with an OSError."""
        self._writer.transport.abort()

    async def post(self, path: str, question: Any) -> Any:
        """Raises HttpError, or OSError if the connection was lost; it is aborted then, and after
        anything that is not HTTP."""
        body = json.dumps(question).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        try:
            status, answer = await self._answer()
            found = json.loads(answer)
        except (EOFError, ValueError, asyncio.LimitOverrunError) as exc:
            self.abort()
            if isinstance(exc, EOFError):
                raise ConnectionResetError("the connection was closed") from exc
            raise HttpError(f"this is not JSON over HTTP: {exc}") from exc
        except BaseException:
            self.abort()
            raise
        if status != "200":
            said = found.get("error", found) if isinstance(found, dict) else found
            raise HttpError(f"{status} {said}")
        return found

    async def _answer(self) -> tuple[str, bytes]:
        version, status, *_ = [*(await self._line()).split(" "), ""]
        if not version.startswith("HTTP/1."):
            raise ValueError(f"it begins with {version[:20]!r}")
        fields = {}
        while line := await self._line():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        if fields.get("transfer-encoding", "") == "chunked":
            return status, await self._chunks()
        return status, await self._exactly(int(fields.get("content-length", "")))

    async def _line(self) -> str:
        return (await self._reader.readuntil(b"\r\n"))[:-2].decode("latin-1")

    async def _exactly(self, size: int) -> bytes:
        if not 0 <= size <= ANSWER_BYTES_MAX:
            raise ValueError(f"an answer of {size} bytes")
        return await self._reader.readexactly(size)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self._line()).partition(";")[0], 16):
            body += await self._exactly(size)
            await self._exactly(2)
            if len(body) > ANSWER_BYTES_MAX:
                raise ValueError(f"an answer of over {ANSWER_BYTES_MAX} bytes")
        while await self._line():
            pass
        return body
