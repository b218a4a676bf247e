"""What the shell says when a connection goes, and where it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from shardrouter.cli.shell.arguments import ArgumentError
from shardrouter.cli.shell.output import Output
from shardrouter.cli.shell.settings import Settings
from shardrouter.cli.shell.shell import Leave, Shell
from shardrouter.cli.shell.source import Lines
from shardrouter.pgclient import Client
from shardrouter.pgclient.target import shown_address
from shardrouter.pgwire import messages as m
from tests.shardrouter.pgclient.test_client import Peer, greet, serving, target

UNKNOWN_STATEMENT = "What the statement did is unknown: look before you repeat it."
UNKNOWN_COMMIT = "Whether the transaction was committed is unknown: look first."
GONE = "The open transaction is gone; nothing of it has happened."


async def begins_and_dies(peer: Peer) -> None:
    """Answers BEGIN, and ends in the middle of what comes next, or behind LEAVE."""
    await greet(peer)
    while True:
        asked = await peer.hear()
        assert isinstance(asked, m.Query)
        if asked.text not in ("BEGIN", "LEAVE"):
            return
        peer.say(m.CommandComplete(asked.text), m.ReadyForQuery("T"))
        if asked.text == "LEAVE":
            return


async def ended(client: Client) -> None:
    async with asyncio.timeout(10):
        while not client.is_lost:  # noqa: ASYNC110 -- a client has no event for it
            await asyncio.sleep(0)


heard: list[str] = []
"""By the host that lives."""


async def lives(peer: Peer) -> None:
    heard.clear()
    await greet(peer)
    while isinstance(asked := await peer.hear(), m.Query):
        heard.append(asked.text)
        peer.say(m.CommandComplete(asked.text), m.ReadyForQuery("I"))


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["INSERT"], UNKNOWN_STATEMENT),
        (["BEGIN", "INSERT"], GONE),
        (["BEGIN", "COMMIT"], UNKNOWN_COMMIT),
        (["BEGIN", "INSERT; /* x */ commit"], UNKNOWN_COMMIT),
        (["BEGIN", "LEAVE", "COMMIT"], GONE),
    ],
)
async def test_what_was_lost_is_said_and_another_host_taken(
    statements: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(begins_and_dies) as one, serving(lives) as two:
        shell = Shell(target(one, two), Output(is_interactive=True), Settings())
        await shell.connect()
        for statement in statements:
            assert shell.client is not None
            before = shell.client
            await shell.run_statement(statement, Lines([]))
            if statement == "LEAVE":
                await ended(before)
        assert statements[-1] not in heard, "it would have run outside of its transaction"
        errors = capsys.readouterr().err
        assert f"The connection to {shown_address(*one)} was lost: " in errors
        assert f"Connected to {shown_address(*two)}." in errors
        assert [
            line
            for line in errors.splitlines()
            if line in (UNKNOWN_STATEMENT, UNKNOWN_COMMIT, GONE)
        ] == [said]
        assert await shell.run_statement("SELECT", Lines([]))
        shell.close()


def router(heard: list[str], level: str) -> Callable[[Peer], Awaitable[None]]:
    """Knows that its session is at `level`, and what it has seen; ends with DIE."""
    answers = {
        "SHOW shardrouter.consistency": level.encode(),
        "SHOW shardrouter.session_token": b"shard-1=1:7",
    }

    async def script(peer: Peer) -> None:
        await peer.startup()
        peer.say(m.Authentication(0), m.ParameterStatus("server_version", "15.0 (shardrouter)"))
        peer.say(m.BackendKeyData(7, b"keys"), m.ReadyForQuery("I"))
        while isinstance(asked := await peer.hear(), m.Query) and asked.text != "DIE":
            heard.append(asked.text)
            if asked.text in answers:
                peer.say(m.DataRow((answers[asked.text],)))
            peer.say(m.CommandComplete("SELECT 1"), m.ReadyForQuery("I"))

    return script


@pytest.mark.parametrize("level", ["session", "linearizable"])
async def test_a_session_s_token_goes_along_to_the_next_router(level: str) -> None:
    first: list[str] = []
    second: list[str] = []
    async with serving(router(first, level)) as one, serving(router(second, level)) as two:
        shell = Shell(target(one, two), Output(is_interactive=True), Settings())
        await shell.connect()
        assert await shell.run_statement("SELECT 1", Lines([]))
        assert not await shell.run_statement("DIE", Lines([]))
        assert await shell.run_statement("SELECT 2", Lines([]))
        shell.close()
    if level == "session":
        assert second[:3] == [
            "SET shardrouter.consistency = 'session'",
            "SET shardrouter.session_token = 'shard-1=1:7'",
            "SELECT 2",
        ]
    else:
        assert second[0] == "SELECT 2"
        assert first == ["SELECT 1", "SHOW shardrouter.consistency"]


async def test_a_script_ends_with_its_connection(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(begins_and_dies) as one:
        shell = Shell(target(one), Output(is_interactive=False), Settings())
        await shell.connect()
        with pytest.raises(Leave) as left:
            await shell.run_source(Lines(["INSERT;\n", "INSERT;\n"]))
        assert left.value.code == 2
        assert UNKNOWN_STATEMENT in capsys.readouterr().err
        shell.close()


async def test_what_is_not_utf_8_is_a_sentence() -> None:
    def lines() -> Iterator[str]:
        yield b"\xe4".decode()

    shell = Shell(target(("127.0.0.1", 1)), Output(is_interactive=False), Settings())
    with pytest.raises(ArgumentError, match="not UTF-8"):
        await shell.run_source(Lines(lines()))
