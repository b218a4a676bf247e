"""A blocking PostgreSQL client that keeps everything a server says, byte for byte.

Drivers hide what the comparison of two servers is about: type modifiers, the text of values,
types of parameters, the state of the transaction. This one decodes nothing, knows no types, and
shares no code with the server under test.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

__all__ = ["Answer", "Client", "Column", "Gone"]

TIMEOUT_S: Final = 60.0

_INT: Final = struct.Struct(">i")
_SHORT: Final = struct.Struct(">h")


class Gone(Exception):
    """The server closed the connection, or says what no server may say here."""


@dataclass(frozen=True)
class Column:
    """What RowDescription says of a column, but for where in a table it comes from."""

    name: str
    type: int
    size: int
    modifier: int


@dataclass
class Answer:
    """What one statement was answered with."""

    columns: tuple[Column, ...] | None = None
    rows: list[tuple[bytes | None, ...]] = field(default_factory=list)
    tag: str = ""
    error: dict[str, str] | None = None
    """Fields of the ErrorResponse: C is the SQLSTATE, M the message, H the hint, P the position."""
    notices: list[dict[str, str]] = field(default_factory=list)
    parameters: tuple[int, ...] | None = None
    copying: bytes = b""
    """What CopyInResponse or CopyOutResponse says of formats."""
    copied: bytes = b""
    """All of COPY TO."""

    @property
    def sqlstate(self) -> str:
        return "" if self.error is None else self.error.get("C", "")


class Client:
    """`with Client(port) as client: client.query("SELECT 1")`."""

    def __init__(
        self,
        port: int,
        *,
        user: str = "postgres",
        database: str = "postgres",
        host: str = "127.0.0.1",
        **settings: str,
    ) -> None:
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = b""
        self.status = ""
        self.settings: dict[str, str] = {}
        words = {"user": user, "database": database, **settings}
        body = b"".join(_text(word) for pair in words.items() for word in pair) + b"\0"
        self._socket.sendall(_INT.pack(len(body) + 8) + _INT.pack(196608) + body)
        [answer] = self._answers()
        if answer.error is not None:
            raise Gone(f"{answer.sqlstate} {answer.error.get('M')}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye; a server that is gone already hears nothing."""
        try:
            self._socket.sendall(_message("X", b""))
        except OSError:
            self.status = ""
        self._socket.close()

    def query(self, sql: str, *, copied: bytes | None = None) -> list[Answer]:
        """The simple protocol: one answer for each statement in `sql` that was reached. `copied`
        is for COPY FROM, which is told that there is nothing without it."""
        self._socket.sendall(_message("Q", _text(sql)))
        return self._answers(_copied(copied))

    def execute(
        self,
        sql: str,
        values: Sequence[str | bytes | None] = (),
        types: Sequence[int] = (),
        *,
        result_format: int = 0,
        copied: bytes | None = None,
    ) -> Answer:
        """The extended protocol: Parse, Describe, Bind, Execute, Sync. A `bytes` value is sent in
        the binary format, a `str` as text. `types` are the OIDs declared, 0 or missing: none."""
        parse = b"\0" + _text(sql) + _SHORT.pack(len(types))
        parse += b"".join(struct.pack(">I", oid) for oid in types)
        bind = b"\0\0" + _SHORT.pack(len(values))
        bind += b"".join(_SHORT.pack(int(isinstance(value, bytes))) for value in values)
        bind += _SHORT.pack(len(values)) + b"".join(map(_value, values))
        bind += _SHORT.pack(1) + _SHORT.pack(result_format)
        self._socket.sendall(
            _message("P", parse)
            + _message("D", b"S\0")
            + _message("B", bind)
            + _message("D", b"P\0")
            + _message("E", b"\0" + _INT.pack(0))
            + _message("S", b"")
        )
        # A server that reads a COPY passes over that Sync.
        [answer] = self._answers(_copied(copied) + _message("S", b""))
        return answer

    def describe(self, sql: str, types: Sequence[int] = ()) -> Answer:
        """Parse, Describe, Sync: nothing runs."""
        parse = b"\0" + _text(sql) + _SHORT.pack(len(types))
        parse += b"".join(struct.pack(">I", oid) for oid in types)
        self._socket.sendall(_message("P", parse) + _message("D", b"S\0") + _message("S", b""))
        [answer] = self._answers()
        return answer

    # ------------------------------------------------------------------ what the server says

    def _answers(self, copied: bytes = b"") -> list[Answer]:
        """Everything up to ReadyForQuery, which `status` keeps; `copied` are the messages that
        answer CopyInResponse."""
        answers = [Answer()]
        is_over = False  # the next message is of the next statement
        while True:
            kind, body = self._receive()
            if kind in "TDCIEnGH" and is_over:
                answers.append(Answer())
                is_over = False
            answer = answers[-1]
            match kind:
                case "Z":
                    self.status = body.decode()
                    return answers
                case "T":
                    answer.columns = _columns(body)
                case "D":
                    answer.rows.append(_row(body))
                case "C":
                    answer.tag = body[:-1].decode()
                    is_over = True
                case "I":
                    is_over = True
                case "E":
                    answer.error = _fields(body)
                    is_over = True
                case "N":
                    answer.notices.append(_fields(body))
                case "t":
                    count = _SHORT.unpack_from(body)[0]
                    answer.parameters = struct.unpack_from(f">{count}I", body, 2)
                case "S":
                    name, value = body[:-1].decode().split("\0")
                    self.settings[name] = value
                case "R":
                    if body != _INT.pack(0):
                        raise Gone(f"authentication {body!r} is asked for")
                case "G":
                    answer.copying = body
                    self._socket.sendall(copied or _copied(None))
                case "H":
                    answer.copying = body
                case "d":
                    answer.copied += body
                case "1" | "2" | "n" | "K" | "3" | "s" | "c":
                    pass
                case _:
                    raise Gone(f"message {kind!r}: {body[:80]!r}")

    def _receive(self) -> tuple[str, bytes]:
        while len(self._input) < 5:
            self._more()
        size = 1 + _INT.unpack_from(self._input, 1)[0]
        while len(self._input) < size:
            self._more()
        message, self._input = self._input[:size], self._input[size:]
        return chr(message[0]), message[5:]

    def _more(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise Gone("the server closed the connection")
        self._input += data


def _message(kind: str, body: bytes) -> bytes:
    return kind.encode() + _INT.pack(len(body) + 4) + body


def _copied(data: bytes | None) -> bytes:
    """Messages of a COPY FROM: its data, cut where no row ends."""
    if data is None:
        return _message("f", _text("nothing to copy"))
    cut = len(data) // 2
    return _message("d", data[:cut]) + _message("d", data[cut:]) + _message("c", b"")


def _text(word: str) -> bytes:
    return word.encode() + b"\0"


def _value(value: str | bytes | None) -> bytes:
    if value is None:
        return _INT.pack(-1)
    data = value.encode() if isinstance(value, str) else value
    return _INT.pack(len(data)) + data


def _columns(body: bytes) -> tuple[Column, ...]:
    columns = []
    at = 2
    for _ in range(_SHORT.unpack_from(body)[0]):
        end = body.index(b"\0", at)
        _, _, oid, size, modifier, _ = struct.unpack_from(">IhIhih", body, end + 1)
        columns.append(Column(body[at:end].decode(), oid, size, modifier))
        at = end + 19
    return tuple(columns)


def _row(body: bytes) -> tuple[bytes | None, ...]:
    values: list[bytes | None] = []
    at = 2
    for _ in range(_SHORT.unpack_from(body)[0]):
        size = _INT.unpack_from(body, at)[0]
        at += 4
        if size < 0:
            values.append(None)
        else:
            values.append(body[at : at + size])
            at += size
    return tuple(values)


def _fields(body: bytes) -> dict[str, str]:
    parts = body.rstrip(b"\0").split(b"\0")
    return {chr(part[0]): part[1:].decode(errors="replace") for part in parts if part}
