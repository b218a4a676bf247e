"""Whatever a client says, in whatever order: it is answered, and nothing breaks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shardrouter.pgserver import PgServer
from shardrouter.pgwire import messages as m
from tests.shardrouter.pgserver.conftest import CREATE
from tests.shardrouter.pgserver.memory_session import Database
from tests.shardrouter.pgserver.wire_client import START, WireClient

NAMES = st.sampled_from(["", "a", "b"])
TARGETS = st.sampled_from(m.Target)
TEXTS = st.sampled_from(
    [
        *("", "SELECT 1", "SELEC", "SELECT 1; SELECT 2", "LOCK t", "SELECT * FROM t ORDER BY id"),
        *("INSERT INTO t (id) VALUES ($1)", "INSERT INTO t (id) VALUES (1)", "DROP TABLE nosuch"),
        *("SELECT id FROM t WHERE id = $1", "SET application_name = 'x'", "SHOW nosuch"),
        *("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)", "SELECT 'x'; INSERT INTO t (id)"),
    ]
)
FORMATS = st.lists(st.integers(0, 2), max_size=2).map(tuple)
VALUES = st.lists(st.sampled_from([None, b"1", b"\0\0\0\1", b"x"]), max_size=2).map(tuple)
MESSAGES = st.one_of(
    st.builds(m.Query, TEXTS),
    st.builds(m.Parse, NAMES, TEXTS, st.just(())),
    st.builds(m.Bind, NAMES, NAMES, FORMATS, VALUES, FORMATS),
    st.builds(m.Describe, TARGETS, NAMES),
    st.builds(m.Execute, NAMES, st.integers(-1, 2)),
    st.builds(m.Close, TARGETS, NAMES),
    st.just(m.Flush()),
    st.just(m.Sync()),
    st.just(m.FunctionCall(b"")),
    st.just(m.CopyData(b"x")),
)


async def converse(said: list[Any], at_once: bool) -> list[Any]:
    """All answers to `said`, from a server of its own."""
    database = Database(answer_at_once=at_once)
    server = PgServer(database.session, host="127.0.0.1", port=0)
    async with WireClient(await server.start()) as client:
        client.send(START, m.Query(CREATE), *said, m.Sync(), m.Terminate())
        answers = await client.until(type(None))
    await server.close(5)
    assert database.sessions == 0
    database.close()
    return answers


@settings(deadline=None, max_examples=150)
@given(st.lists(MESSAGES, max_size=12), st.booleans())
def test_every_sync_and_query_is_answered_and_nothing_is_a_bug(
    said: list[Any], at_once: bool
) -> None:
    logged: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record.getMessage())

    handler = Collect()
    logging.getLogger("shardrouter.pgserver").addHandler(handler)
    try:
        answers = asyncio.run(converse(said, at_once))
    finally:
        logging.getLogger("shardrouter.pgserver").removeHandler(handler)
    assert logged == []
    assert answers[-1] == m.ReadyForQuery("I")
    ready = sum(isinstance(answer, m.ReadyForQuery) for answer in answers)
    syncs = sum(isinstance(message, m.Sync) for message in said) + 1
    asked = sum(isinstance(message, m.Query | m.FunctionCall) for message in said) + 1
    # The greeting and each Sync; a Query too, unless it was skipped.
    assert 1 + syncs <= ready <= 1 + syncs + asked
