"""`\\copy`: COPY between a table and a file on the user's own machine."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from shardrouter.cli.shell.arguments import ArgumentError
from shardrouter.cli.shell.reports import report_lines
from shardrouter.cli.shell.source import Source, user_path
from shardrouter.pgclient import Client
from shardrouter.pgwire import messages as m

if TYPE_CHECKING:
    from shardrouter.cli.shell.shell import Shell

__all__ = ["CopyRequest", "copy", "read_copy"]

CHUNK_BYTES: Final = 64 * 1024

_PART: Final = re.compile(r"""\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|[^\s'"()]+""")
_FILE: Final = re.compile(r"""\s*(?:'((?:[^']|'')*)'|([^\s']+))\s*""")
_USAGE: Final = "write \\copy TABLE [(COLUMNS)] or (QUERY), FROM or TO, a file, and options."


@dataclass(frozen=True)
class CopyRequest:
    """file: "-" is what follows in the input, or the output; "--" standard input or output."""

    what: str
    is_from: bool
    file: str
    options: str

    @property
    def statement(self) -> str:
        way = "FROM STDIN" if self.is_from else "TO STDOUT"
        return f"COPY {self.what} {way} {self.options}".rstrip()


def read_copy(text: str) -> CopyRequest:
    """Raises ArgumentError."""
    at = depth = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise ArgumentError("a quote is not closed.")
        word = part.group().lower()
        depth += (word == "(") - (word == ")")
        if not depth and word in ("from", "to"):
            break
        at = part.end()
    else:
        raise ArgumentError(_USAGE)
    what = text[:at].strip()
    file = _FILE.match(text, part.end())
    if not what or file is None:
        raise ArgumentError(_USAGE)
    options = text[file.end() :]
    if file[1] is not None:
        return CopyRequest(what, word == "from", file[1].replace("''", "'"), options)
    name = file[2]
    if name.lower() == "program":
        raise ArgumentError("programs are not run; use a pipe: shardrouter sql -c '\\copy ...'.")
    special = {"stdin": "-", "stdout": "-", "pstdin": "--", "pstdout": "--"}
    return CopyRequest(what, word == "from", special.get(name.lower(), name), options)


async def copy(shell: Shell, client: Client, text: str, source: Source) -> bool:
    """Whether it succeeded. Raises ArgumentError, OSError, ConnectionLost."""
    request = read_copy(text)
    with ExitStack() as stack:
        reading: BinaryIO | None = None
        if request.is_from and request.file not in ("-", "--"):
            reading = stack.enter_context(user_path(request.file).open("rb"))
        elif request.is_from and request.file == "--":
            reading = sys.stdin.buffer
        async with aclosing(client.query(request.statement)) as messages:
            try:
                return await _run(shell, client, request, messages, reading, source, stack)
            except OSError:
                await client.cancel()
                async for _ in messages:
                    continue  # what was on its way: the connection is for others too
                raise


async def _run(
    shell: Shell,
    client: Client,
    request: CopyRequest,
    messages: AsyncIterator[m.BackendMessage],
    reading: BinaryIO | None,
    source: Source,
    stack: ExitStack,
) -> bool:
    succeeded = True
    writing: BinaryIO | None = None
    async for message in messages:
        if isinstance(message, m.CopyInResponse):
            if reading is None:
                await shell.feed(client, source)
            else:
                await _send(client, reading, shown=shell.output.is_interactive)
        elif isinstance(message, m.CopyOutResponse):
            if request.file not in ("-", "--"):
                writing = stack.enter_context(user_path(request.file).open("wb"))
        elif isinstance(message, m.CopyData):
            if writing is None:
                shell.output.write(message.data.decode("utf-8", "replace"))
            else:
                writing.write(message.data)
        elif isinstance(message, m.CommandComplete):
            if request.is_from or writing is not None:
                shell.output.line(message.tag)
        elif isinstance(message, m.ErrorResponse):
            succeeded = False
            shell.output.say(*report_lines(message.report, request.statement))
    return succeeded


async def _send(client: Client, file: BinaryIO, *, shown: bool) -> None:
    try:
        with _progress(file, shown=shown) as chunks:
            for chunk in chunks:
                if client.has_answered:
                    break  # it has failed
                await client.send_copy(chunk)
    except OSError as exc:
        client.end_copy(exc.strerror or "the file cannot be read")
        raise
    client.end_copy()


@contextmanager
def _progress(file: BinaryIO, *, shown: bool) -> Iterator[Iterator[bytes]]:
    """The file in pieces, with a bar on a terminal."""
    pieces = iter(lambda: file.read(CHUNK_BYTES), b"")
    if not (shown and sys.stderr.isatty()):
        yield pieces
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    bar = Progress(
        BarColumn(bar_width=30),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False, markup=False),
        transient=True,
    )
    size = Path(file.name).stat().st_size if Path(str(file.name)).is_file() else None
    task = bar.add_task("", total=size)

    def counted() -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            bar.update(task, advance=len(piece))

    with bar:
        yield counted()
