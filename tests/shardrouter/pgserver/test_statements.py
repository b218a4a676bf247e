"""What a client's messages mean: simple and extended query over the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shardrouter.pgserver import dialogue
from shardrouter.pgwire import messages as m
from tests.shardrouter.pgserver.memory_session import Database, MemorySession
from tests.shardrouter.pgserver.wire_client import WireClient, kinds, sqlstates, texts

SYNC = m.Sync()
INSERT = "INSERT INTO t (id, name) VALUES ($1, $2)"
SELECT = "SELECT id, name FROM t WHERE id = $1"
S, P = m.Target.STATEMENT, m.Target.PORTAL


def bind(
    statement: str, *values: str | bytes | None, portal: str = "", **formats: tuple[int, ...]
) -> m.Bind:
    data = tuple(v.encode() if isinstance(v, str) else v for v in values)
    return m.Bind(portal, statement, formats.get("given", ()), data, formats.get("wanted", ()))


def execute(portal: str = "", limit: int = 0) -> m.Execute:
    return m.Execute(portal, limit)


async def prepare(client: WireClient, **statements: str) -> None:
    said = await client.ask(*(m.Parse(name, text, ()) for name, text in statements.items()), SYNC)
    assert kinds(said) == ["ParseComplete"] * len(statements)


async def ids(client: WireClient) -> list[Any]:
    return [row[0] for row in texts(await client.query("SELECT id FROM t ORDER BY id"))]


# ------------------------------------------------------------------------- simple query


async def test_a_query_is_answered_with_description_rows_and_tag(client: WireClient) -> None:
    assert await client.query("INSERT INTO t VALUES (1, 'é', true, 1.5)") == [
        m.CommandComplete("INSERT 0 1")
    ]
    assert await client.query("SELECT * FROM t WHERE id = 1;") == [
        m.RowDescription(
            (
                m.Field("id", 0, 0, 23, 4, -1, 0),
                m.Field("name", 0, 0, 25, -1, -1, 0),
                m.Field("ok", 0, 0, 16, 1, -1, 0),
                m.Field("x", 0, 0, 701, 8, -1, 0),
            )
        ),
        m.DataRow((b"1", "é".encode(), b"t", b"1.5")),
        m.CommandComplete("SELECT 1"),
    ]


@pytest.mark.parametrize("text", ["", " ", ";", "-- nothing", "/* ; */ ;;"])
async def test_an_empty_query_is_answered_as_such(client: WireClient, text: str) -> None:
    assert await client.query(text) == [m.EmptyQueryResponse()]


async def test_statements_of_one_query_are_answered_in_order(client: WireClient) -> None:
    said = await client.query("SELECT 1; SELECT 'a;b'; SET application_name = 'x'; SELECT 3")
    assert kinds(said) == [
        *("RowDescription", "DataRow", "CommandComplete") * 2,
        *("CommandComplete", "ParameterStatus"),
        *("RowDescription", "DataRow", "CommandComplete"),
    ]
    assert texts(said) == [(b"1",), (b"a;b",), (b"3",)]


async def test_statements_of_one_query_are_one_unit_of_commit(
    client: WireClient, database: Database
) -> None:
    insert = "INSERT INTO t (id) VALUES"
    said = await client.query(f"{insert} (1); SELECT id FROM t WHERE id = 1; {insert} (2)")
    assert kinds(said) == ["CommandComplete", "RowDescription", "DataRow"] + ["CommandComplete"] * 2
    assert len(database.units) == 1
    said = await client.query(f"{insert} (3); {insert} (1); {insert} (4)")
    assert sqlstates(said) == ["23505"]
    assert len(said) == 1, "nothing of a unit that failed has happened"
    assert await ids(client) == [b"1", b"2"]


async def test_an_error_says_where_in_the_whole_message(client: WireClient) -> None:
    text = "SELECT 1; /* é */ SELECT nosuch FROM t"
    (error,) = await client.query(text)
    assert error.report.sqlstate == "42703"
    assert text[error.report.position - 1 :].startswith("nosuch")


async def test_parameters_have_no_place_in_a_simple_query(client: WireClient) -> None:
    assert sqlstates(await client.query("SELECT id FROM t WHERE id = $1")) == ["42P02"]


async def test_notices_come_before_the_tag(client: WireClient) -> None:
    notice, tag = await client.query("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)")
    assert notice.report.severity == "NOTICE"
    assert tag == m.CommandComplete("CREATE TABLE")


async def test_a_function_call_is_refused(client: WireClient) -> None:
    assert sqlstates(await client.ask(m.FunctionCall(b"\0\0\0\1"))) == ["0A000"]
    assert texts(await client.query("SELECT 1")) == [(b"1",)]


# ------------------------------------------------------------------------ extended query


async def test_parse_bind_execute(client: WireClient, database: Database) -> None:
    await prepare(client, ins=INSERT, sel=SELECT)
    said = await client.ask(bind("ins", "1", None), execute(), SYNC)
    assert said == [m.BindComplete(), m.CommandComplete("INSERT 0 1")]
    said = await client.ask(
        bind("sel", b"\0\0\0\x01", given=(1,), wanted=(1, 0)), m.Describe(P, ""), execute(), SYNC
    )
    assert said == [
        m.BindComplete(),
        m.RowDescription((m.Field("id", 0, 0, 23, 4, -1, 1), m.Field("name", 0, 0, 25, -1, -1, 0))),
        m.DataRow((b"\0\0\0\x01", None)),
        m.CommandComplete("SELECT 1"),
    ]
    assert database.units == [[INSERT], [SELECT]]


async def test_describe_tells_real_types_and_executes_nothing(
    client: WireClient, database: Database
) -> None:
    await prepare(client, ins=INSERT, sel=SELECT)
    said = await client.ask(m.Describe(S, "ins"), m.Describe(S, "sel"), SYNC)
    assert said[:3] == [
        m.ParameterDescription((23, 25)),
        m.NoData(),
        m.ParameterDescription((23,)),
    ]
    assert [f.oid for f in said[3].fields] == [23, 25]
    said = await client.ask(bind("ins", "1", "a"), m.Describe(P, ""), SYNC)
    assert said == [m.BindComplete(), m.NoData()]
    assert database.units == []


async def test_everything_up_to_sync_is_one_unit_of_commit(
    client: WireClient, database: Database
) -> None:
    await prepare(client, ins=INSERT)
    said = await client.ask(
        *(bind("ins", "1", "a"), execute(), m.Parse("", SELECT, ())),
        *(bind("", "1"), m.Describe(P, ""), execute(), m.Close(S, "ins")),
        *(bind("", "2"), execute(), SYNC),
    )
    assert kinds(said) == [
        *("BindComplete", "CommandComplete", "ParseComplete"),
        *("BindComplete", "RowDescription", "DataRow", "CommandComplete", "CloseComplete"),
        *("BindComplete", "CommandComplete"),
    ]
    assert database.units == [[INSERT, SELECT, SELECT]]


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_unit_that_fails_has_not_happened(
    client: WireClient, database: Database, at_once: bool
) -> None:
    database.answer_at_once = at_once
    await prepare(client, ins=INSERT)
    said = await client.ask(
        *(bind("ins", "1", "a"), execute(), bind("ins", "1", "b"), execute(), SYNC)
    )
    assert kinds(said) == ["BindComplete", "ErrorResponse"]
    assert sqlstates(said) == ["23505"]
    assert await ids(client) == []


async def test_an_error_in_a_later_message_undoes_the_unit(
    client: WireClient, database: Database
) -> None:
    await prepare(client, ins=INSERT)
    said = await client.ask(
        *(bind("ins", "1", "a"), execute(), m.Parse("", "SELEC", ())),
        *(bind("ins", "2", "a"), execute(), m.Query("SELECT 1"), SYNC),
    )
    assert kinds(said) == ["BindComplete", "ErrorResponse"]
    assert sqlstates(said) == ["42601"]
    assert database.units == []


async def test_reads_before_an_error_are_answered(client: WireClient) -> None:
    await prepare(client, sel=SELECT)
    said = await client.ask(bind("sel", "1"), execute(), bind("sel", "x"), execute(), SYNC)
    assert sqlstates(said) == ["22P02"]
    assert texts(await client.query("SELECT 1")) == [(b"1",)]


@pytest.mark.parametrize(
    ("messages", "sqlstate"),
    [
        ([m.Parse("sel", "SELECT 1", ())], "42P05"),
        ([m.Parse("", "SELECT 1; SELECT 2", ())], "42601"),
        ([m.Parse("", "SELECT * FROM nosuch", ())], "42P01"),
        ([bind("nosuch", "1")], "26000"),
        ([bind("")], "26000"),
        ([bind("sel")], "08P01"),
        ([bind("sel", "1", "2")], "08P01"),
        ([bind("sel", "1", given=(0, 0))], "08P01"),
        ([bind("sel", "1", wanted=(0, 0, 0))], "08P01"),
        ([bind("sel", "1", given=(2,))], "22023"),
        ([bind("sel", "abc")], "22P02"),
        ([bind("sel", "99999999999")], "22003"),
        ([bind("sel", b"\0\0\1", given=(1,))], "22P03"),
        ([bind("sel", "1", portal="p"), bind("sel", "1", portal="p")], "42P03"),
        ([m.Describe(S, "nosuch")], "26000"),
        ([m.Describe(P, "nosuch")], "34000"),
        ([execute("nosuch")], "34000"),
        ([bind("ins", "1", "a"), execute(), execute()], "55000"),
    ],
)
async def test_what_is_wrong_is_said_and_the_rest_skipped_to_sync(
    client: WireClient, messages: list[m.FrontendMessage], sqlstate: str, database: Database
) -> None:
    await prepare(client, sel=SELECT, ins=INSERT)
    said = await client.ask(*messages, m.Describe(S, "sel"), m.Query("SELECT 1"), SYNC)
    assert sqlstates(said) == [sqlstate]
    assert kinds(said)[-1] == "ErrorResponse"
    assert database.units == []
    assert texts(await client.query("SELECT 1")) == [(b"1",)]


async def test_the_empty_query_can_be_prepared(client: WireClient) -> None:
    said = await client.ask(
        *(m.Parse("", " -- no", ()), m.Describe(S, ""), bind(""), m.Describe(P, "")),
        *(execute(), SYNC),
    )
    assert kinds(said) == [
        *("ParseComplete", "ParameterDescription", "NoData", "BindComplete", "NoData"),
        "EmptyQueryResponse",
    ]


async def test_a_portal_ends_with_its_unit_and_a_statement_does_not(client: WireClient) -> None:
    await prepare(client, sel=SELECT)
    await client.ask(bind("sel", "1", portal="p"), SYNC)
    assert sqlstates(await client.ask(execute("p"), SYNC)) == ["34000"]
    assert kinds(await client.ask(m.Describe(S, "sel"), SYNC))[0] == "ParameterDescription"
    await client.ask(m.Close(S, "sel"), m.Close(S, "nosuch"), m.Close(P, "nosuch"), SYNC)
    assert sqlstates(await client.ask(m.Describe(S, "sel"), SYNC)) == ["26000"]


async def test_the_unnamed_statement_is_replaced_and_ends_with_a_query(client: WireClient) -> None:
    said = await client.ask(m.Parse("", "SELECT 1", ()), m.Parse("", "SELECT 2", ()), SYNC)
    assert kinds(said) == ["ParseComplete"] * 2
    assert texts(await client.ask(bind(""), execute(), SYNC)) == [(b"2",)]
    await client.query("SELECT 1")
    assert sqlstates(await client.ask(bind(""), SYNC)) == ["26000"]


# ------------------------------------------------------------------ row limits and Flush


async def fill(client: WireClient, count: int) -> None:
    rows = ", ".join(f"({i})" for i in range(1, count + 1))
    await client.query(f"INSERT INTO t (id) VALUES {rows}")


@pytest.mark.parametrize("flush", [False, True])
async def test_a_portal_gives_its_rows_in_parts(
    client: WireClient, database: Database, flush: bool
) -> None:
    await fill(client, 4)
    await prepare(client, all="SELECT id FROM t ORDER BY id")
    database.units.clear()
    parts = [execute(limit=2), execute(limit=2), execute(limit=2)]
    flushed: list[m.FrontendMessage] = []
    for part in parts:
        flushed += [part, m.Flush()] if flush else [part]
    said = await client.ask(bind("all"), *flushed, SYNC)
    # As PostgreSQL, which learns only from the third Execute that there are no more.
    assert said[1:] == [
        *(m.DataRow((b"1",)), m.DataRow((b"2",)), m.PortalSuspended()),
        *(m.DataRow((b"3",)), m.DataRow((b"4",)), m.PortalSuspended()),
        m.CommandComplete("SELECT 0"),
    ]
    assert len(database.units) == 1, "the statement runs once"


async def test_the_rest_of_a_portal_comes_without_a_limit(client: WireClient) -> None:
    await fill(client, 3)
    await prepare(client, all="SELECT id FROM t ORDER BY id")
    said = await client.ask(bind("all"), execute(limit=1), execute(), execute(limit=9), SYNC)
    assert said[1:] == [
        *(m.DataRow((b"1",)), m.PortalSuspended()),
        *(m.DataRow((b"2",)), m.DataRow((b"3",)), m.CommandComplete("SELECT 2")),
        m.CommandComplete("SELECT 0"),
    ]


async def test_a_limit_on_a_write_changes_nothing(client: WireClient) -> None:
    await prepare(client, ins=INSERT)
    said = await client.ask(bind("ins", "1", "a"), execute(limit=1), SYNC)
    assert said[-1] == m.CommandComplete("INSERT 0 1")


async def test_flush_answers_without_sync(client: WireClient, database: Database) -> None:
    await prepare(client, sel=SELECT)
    client.send(bind("sel", "1"), execute(), m.Flush())
    assert kinds(await client.until(m.CommandComplete)) == ["BindComplete", "CommandComplete"]
    client.send(bind("sel", "2"), m.Flush())
    assert kinds(await client.until(m.BindComplete)) == ["BindComplete"]
    assert kinds(await client.ask(execute(), SYNC)) == ["CommandComplete"]
    assert len(database.units) == 2


async def test_nothing_follows_a_write_that_flush_has_committed(
    client: WireClient, database: Database
) -> None:
    await prepare(client, ins=INSERT, sel=SELECT)
    client.send(bind("ins", "1", "a"), execute(), m.Flush())
    assert kinds(await client.until(m.CommandComplete)) == ["BindComplete", "CommandComplete"]
    said = await client.ask(bind("sel", "1"), execute(), SYNC)
    assert sqlstates(said) == ["0A000"]
    assert said[-1].report.hint
    assert kinds(await client.ask(bind("sel", "1"), execute(), SYNC))[-1] == "CommandComplete"
    assert database.units == [[INSERT], [SELECT]]


async def test_an_error_at_flush_skips_to_sync(client: WireClient) -> None:
    await prepare(client, ins=INSERT)
    await client.ask(bind("ins", "1", "a"), execute(), SYNC)
    client.send(bind("ins", "1", "a"), execute(), m.Flush(), m.Query("SELECT 1"))
    assert kinds(await client.until(m.ErrorResponse)) == ["BindComplete", "ErrorResponse"]
    assert await client.ask(SYNC) == []


# ------------------------------------------------------------- inside a transaction block


async def in_block(client: WireClient, *messages: m.FrontendMessage) -> tuple[list[Any], str]:
    """What is answered, and the status that ends it."""
    client.send(*messages)
    *said, ready = await client.until(m.ReadyForQuery)
    return said, ready.status


async def test_a_portal_lives_as_long_as_its_transaction(
    client: WireClient, database: Database
) -> None:
    await fill(client, 3)
    await prepare(client, all="SELECT id FROM t ORDER BY id")
    database.status = "T"
    said, status = await in_block(client, bind("all", portal="p"), execute("p", limit=2), SYNC)
    assert (kinds(said)[-1], status) == ("PortalSuspended", "T")
    said, _ = await in_block(client, execute("p", limit=2), SYNC)
    assert said == [m.DataRow((b"3",)), m.CommandComplete("SELECT 1")]
    said, _ = await in_block(client, bind("all", portal="p"), SYNC)
    assert sqlstates(said) == ["42P03"]
    database.status = "T"
    await in_block(client, bind("all", portal="p"), SYNC)
    database.status = "I"
    await client.ask(SYNC)
    assert sqlstates(await client.ask(execute("p"), SYNC)) == ["34000"]


async def test_what_fails_before_the_session_sees_it_fails_the_block(
    client: WireClient, database: Database
) -> None:
    await prepare(client, sel=SELECT)
    for message in (bind("sel", "x"), bind("nosuch"), m.Query("SELECT 1; SELEC"), execute("p")):
        database.status = "T"
        said, status = await in_block(client, message, SYNC)
        assert (kinds(said)[-1], status) == ("ErrorResponse", "E"), message
        if isinstance(message, m.Query):
            await client.until(m.ReadyForQuery)  # of the Sync
    database.status = "I"


async def test_writes_may_follow_a_flush_in_a_block(client: WireClient, database: Database) -> None:
    await prepare(client, ins=INSERT, sel=SELECT)
    database.status = "T"
    client.send(bind("ins", "1", "a"), execute(), m.Flush())
    assert kinds(await client.until(m.CommandComplete)) == ["BindComplete", "CommandComplete"]
    said, _ = await in_block(client, bind("sel", "1"), execute(), SYNC)
    assert kinds(said) == ["BindComplete", "DataRow", "CommandComplete"]
    database.status = "I"


# ------------------------------------------------------------------- limits, bugs, speed


async def test_statements_of_a_connection_are_limited(
    client: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogue, "STATEMENTS_MAX", 2)
    await prepare(client, a="SELECT 1", b="SELECT 1")
    assert sqlstates(await client.ask(m.Parse("c", "SELECT 1", ()), SYNC)) == ["54000"]
    await client.ask(m.Close(S, "a"), SYNC)
    await prepare(client, c="SELECT 1")


async def test_bytes_held_by_a_connection_are_limited(
    client: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogue, "HELD_BYTES_MAX", 1000)
    assert sqlstates(await client.ask(m.Parse("c", "SELECT 1" + " " * 1000, ()), SYNC)) == ["54000"]
    await prepare(client, ins=INSERT)
    big = [bind("ins", str(i), "x" * 600) for i in range(2)]
    assert sqlstates(await client.ask(*big, SYNC)) == ["54000"]
    assert sqlstates(await client.ask(big[0], execute(), SYNC)) == []


async def test_portals_of_a_connection_are_limited(
    client: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogue, "PORTALS_MAX", 2)
    await prepare(client, sel=SELECT)
    binds = [bind("sel", "1", portal=f"p{i}") for i in range(3)]
    assert sqlstates(await client.ask(*binds, SYNC)) == ["54000"]
    assert sqlstates(await client.ask(*binds[:2], SYNC)) == []


async def test_an_oversized_statement_is_refused_and_the_connection_goes_on(
    client: WireClient,
) -> None:
    (error,) = await client.ask(m.Query("SELECT 1" + " " * m.LARGE_BYTES_MAX))
    assert error.report.sqlstate == "54000"
    assert "16 MiB" in error.report.hint
    assert texts(await client.query("SELECT 1")) == [(b"1",)]


async def test_text_that_is_not_utf8_is_refused(client: WireClient) -> None:
    client.writer.write(b"Q\0\0\0\x08\xff\xfe;\0")
    assert sqlstates(await client.until(m.ReadyForQuery)) == ["22021"]


@pytest.mark.parametrize("method", ["execute_unit", "prepare", "prepared"])
async def test_a_bug_is_an_internal_error_with_a_traceback_in_the_log(
    client: WireClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(MemorySession, method, broken)
        assert sqlstates(await client.query("SELECT 17")) == ["XX000"]
    assert "ZeroDivisionError" in caplog.text
    assert texts(await client.query("SELECT 17")) == [(b"17",)]


async def test_a_prepared_statement_costs_no_task(client: WireClient) -> None:
    await prepare(client, sel=SELECT)
    await client.query("SELECT 1")
    started: list[object] = []

    def counting(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        started.append(work)
        return asyncio.Task(work, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(counting)
    try:
        await client.ask(bind("sel", "1"), execute(), SYNC)
        await client.query("SELECT 1")
    finally:
        loop.set_task_factory(None)
    assert started == []
