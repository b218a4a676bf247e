"""Questions over HTTP: how answers are framed, and what is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jepsen_like.http_json import ANSWER_BYTES_MAX, HttpError, JsonOverHttp

OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def asked(
    *answers: bytes, held: asyncio.Event | None = None
) -> AsyncIterator[tuple[JsonOverHttp, list[bytes]]]:
    """A connection to a server that gives these answers, one a question, then hangs up; `held`: it
    does not answer, and sets that when it was asked."""
    questions: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            questions.append(head.split(b"\r\n")[0] + b" " + await reader.readexactly(size))
            if held is not None:
                held.set()
                await reader.read()
            writer.write(answer)
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    connection = await JsonOverHttp.open(*server.sockets[0].getsockname()[:2])
    try:
        yield connection, questions
    finally:
        connection.abort()
        await ended.wait()
        server.close()


async def test_questions_and_answers_one_after_the_other() -> None:
    answers = [
        OK + b'Content-Length: 9\r\n\r\n{"a": 12}',
        OK + b'Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{"b":\r\n3\r\n 1}\r\n0\r\nT: x\r\n\r\n',
        OK + b"content-length: 2\r\n\r\n{}",
    ]
    async with asked(*answers) as (http, questions):
        assert await http.post("/one", {"k": "v"}) == {"a": 12}
        assert await http.post("/two", {}) == {"b": 1}
        assert http.is_usable
        assert await http.post("/three", {}) == {}
        assert questions[0] == b'POST /one HTTP/1.1 {"k": "v"}'


async def test_another_status_is_an_error_and_the_connection_goes_on() -> None:
    refusal = b"HTTP/1.1 503 No\r\nContent-Length: 22\r\n\r\n" + b'{"error": "no leader"}'
    async with asked(refusal, OK + b"Content-Length: 2\r\n\r\n{}") as (http, _):
        with pytest.raises(HttpError, match="503 no leader"):
            await http.post("/", {})
        assert await http.post("/", {}) == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail ready\r\n\r\n",
        b"\r\n\r\n",
        OK + b"\r\n{}",
        OK + b"Content-Length: many\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: %d\r\n\r\n" % (ANSWER_BYTES_MAX + 1),
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Content-Length: 4\r\n\r\n<ht>",
        OK + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_not_json_over_http_ends_the_connection(answer: bytes) -> None:
    async with asked(answer) as (http, _):
        with pytest.raises(HttpError, match="not JSON over HTTP"):
            await http.post("/", {})
        assert not http.is_usable


@pytest.mark.parametrize("answer", [b"", OK, OK + b"Content-Length: 9\r\n\r\n{"])
async def test_a_lost_connection_is_one(answer: bytes) -> None:
    async with asked(answer) as (http, _):
        with pytest.raises(OSError, match="closed"):
            await http.post("/", {})
        assert not http.is_usable


async def test_aborting_ends_the_question_under_way() -> None:
    held = asyncio.Event()
    async with asked(b"", held=held) as (http, _):
        asking = asyncio.ensure_future(http.post("/", {}))
        await held.wait()
        http.abort()
        with pytest.raises(OSError, match="closed"):
            await asking
