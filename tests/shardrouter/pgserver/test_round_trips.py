"""A statement that comes in one go is what it is when its messages come one by one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardrouter.pgserver import PgServer
from shardrouter.pgserver.dialogue import Dialogue
from shardrouter.pgwire import messages as m
from tests.shardrouter.pgserver.conftest import CREATE
from tests.shardrouter.pgserver.memory_session import Database
from tests.shardrouter.pgserver.wire_client import START

PREPARED = {
    "all": "SELECT id, name FROM t WHERE id = $1",
    "add": "INSERT INTO t (id, name) VALUES ($1, $2)",
    "many": "SELECT id FROM t ORDER BY id",
    "": "SELECT name FROM t WHERE id = $1",
    "empty": "",
}
FILL = "INSERT INTO t (id, name) VALUES (1, 'one'), (2, NULL)"

Said = Sequence[m.FrontendMessage | m.StartupPacket | bytes]


class Kept(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return self.is_closed

    def is_reading(self) -> bool:
        return True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


async def heard(
    pieces: Sequence[Sequence[bytes]], *, at_once: bool, in_block: bool = False
) -> list[bytes]:
    """What a client hears to each of `pieces`, whose parts come one after the other; `in_block`:
    in a transaction block, from where something is not there `BEFORE`."""
    database = Database(answer_at_once=at_once)
    server, transport = PgServer(database.session, host="127.0.0.1", port=0), Kept()
    client = server.accept()
    client.connection_made(transport)
    answers = []
    for number, piece in enumerate(pieces):
        if in_block and number == len(BEFORE):
            database.status = "T"
        for part in piece:
            if not transport.is_closed:
                client.data_received(part)
            for _ in range(10):  # more than anything takes here
                await asyncio.sleep(0)
        answers.append(b"".join(transport.written))
        transport.written.clear()
    client.connection_lost(None)
    await server.close(5)
    database.close()
    return answers


def of(*said: m.FrontendMessage | m.StartupPacket | bytes) -> list[bytes]:
    return [each if isinstance(each, bytes) else m.encode(each) for each in said]


BEFORE = [
    of(START),
    of(m.Query(CREATE)),
    of(m.Query(FILL)),
    *(of(m.Parse(name, text, ()), m.Sync()) for name, text in PREPARED.items()),
]

RIGHT = [
    m.Bind("", "all", (1,), (b"\0\0\0\1",), (1,)),
    m.Bind("", "all", (), (b"1",), ()),
    m.Bind("", "all", (1,), (None,), (1, 0)),
    m.Bind("", "", (0,), (b"1",), ()),
    m.Bind("", "add", (1, 0), (b"\0\0\0\1", b"one"), ()),  # there is one
]
ADD_ONE = m.Bind("", "add", (1, 0), (b"\0\0\0\x09", b"nine"), ())
FORMATS = st.sampled_from([(), (0,), (1,), (1, 0), (2,)])
VALUES = st.sampled_from(
    [
        *((), (b"\0\0\0\1",), (b"1",), (b"\0\0\0\2",), (None,), (b"x",), (b"\0\0\0\0\1",)),
        *((b"\0\0\0\3", b"three"), (b"3", b"thr\0e"), (b"\0\0\0\4", None), (b"", b"\xff")),
    ]
)
BINDS = st.sampled_from(RIGHT) | st.builds(
    m.Bind,
    st.sampled_from(["", "", "", "p"]),
    st.sampled_from([*PREPARED, "all", "add", "nosuch", "\N{REPLACEMENT CHARACTER}"]),
    FORMATS,
    VALUES,
    FORMATS,
)
BETWEEN = st.sampled_from(
    [(), (), (), (m.Describe(m.Target.PORTAL, ""),), (m.Describe(m.Target.STATEMENT, "all"),)]
)
EXECUTES = st.sampled_from(
    [m.Execute("", 0), m.Execute("", 0), m.Execute("", 1), m.Execute("p", 0)]
)


@st.composite
def round_trips(draw: st.DrawFn) -> list[bytes]:
    """Nearly all of them right; some with a length that is not theirs, or bytes changed."""
    bind = bytearray(m.encode(draw(BINDS)))
    if draw(st.integers(0, 5)) == 0:
        bind[draw(st.integers(1, len(bind) - 1))] = draw(st.integers(0, 255))
    return of(bytes(bind), *draw(BETWEEN), draw(EXECUTES), m.Sync())


OTHERS = st.sampled_from(
    [
        of(m.Close(m.Target.STATEMENT, "all"), m.Sync()),
        of(m.Parse("all", PREPARED["all"], ()), m.Sync()),
        of(m.Parse("all", PREPARED["add"], ()), m.Sync()),
        of(m.Parse("", PREPARED[""], ()), m.Flush()),
        of(m.Parse("", PREPARED["all"], ()), m.Sync()),
        of(m.Bind("", "many", (), (), ()), m.Execute("", 1), m.Flush()),
        of(m.Query("SELECT 1")),
        of(m.Execute("", 0), m.Sync()),
        of(m.Sync()),
    ]
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.one_of(round_trips(), round_trips(), round_trips(), OTHERS), max_size=10),
    st.booleans(),
    st.booleans(),
)
def test_it_is_answered_alike(said: list[list[bytes]], at_once: bool, in_block: bool) -> None:
    said = [each for piece in said for each in (piece, piece)]  # the second time it is known
    logging.disable(logging.CRITICAL)  # of broken protocol
    try:
        whole = asyncio.run(
            heard(
                [*BEFORE, *([b"".join(piece)] for piece in said)],
                at_once=at_once,
                in_block=in_block,
            )
        )
        pieces = asyncio.run(heard([*BEFORE, *said], at_once=at_once, in_block=in_block))
    finally:
        logging.disable(logging.NOTSET)
    assert whole[1:] == pieces[1:], "but for the key of the greeting"


@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize("between", [(), (m.Describe(m.Target.PORTAL, ""),)])
@pytest.mark.parametrize(
    "bind",
    RIGHT,
)
def test_it_is_learned_and_taken(
    bind: m.Bind,
    between: tuple[m.Describe, ...],
    in_block: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[bool] = []
    take = Dialogue.take

    def look(dialogue: Dialogue, data: bytes) -> bool:
        taken.append(take(dialogue, data))
        return taken[-1]

    monkeypatch.setattr(Dialogue, "take", look)
    said = b"".join(of(bind, *between, m.Execute("", 0), m.Sync()))
    said_twice = [*BEFORE, [said], [said]]
    *_, first, second = asyncio.run(heard(said_twice, at_once=False, in_block=in_block))
    has_failed = in_block and bind is RIGHT[-1]  # what comes then is not looked at in one go
    assert taken[-2:] == [False, not has_failed]
    assert second == first or has_failed


async def test_in_a_block_its_portal_stays_and_has_been_read() -> None:
    """As PostgreSQL: another Execute of it has no rows left; one of a write is an error."""
    for bind, told in ((RIGHT[0], b"SELECT 0"), (ADD_ONE, b"55000")):
        said = b"".join(of(bind, m.Execute("", 0), m.Sync()))
        pieces = [*BEFORE, [said], of(m.Query("DELETE FROM t WHERE id = 9")), [said]]
        *_, last = await heard(
            [*pieces, of(m.Execute("", 0), m.Sync())], at_once=True, in_block=True
        )
        assert told in last
        assert b"one" not in last


async def test_what_is_skipped_is_none() -> None:
    """The rest of a message that is too large may look like one."""
    said = of(RIGHT[0], m.Execute("", 0), m.Sync())
    round_trip = b"".join(said)
    too_large = b"B" + (m.LARGE_BYTES_MAX + 5).to_bytes(4)
    *_, known, _, skipped = await heard(
        [*BEFORE, [round_trip], [round_trip], [too_large], [round_trip]], at_once=True
    )
    assert known.startswith(m.encode(m.BindComplete()))
    assert skipped == b""


async def test_another_of_the_same_name_is_another() -> None:
    said = b"".join(of(m.Bind("", "", (0,), (b"1",), ()), m.Execute("", 0), m.Sync()))
    parsed = of(m.Parse("", "SELECT id FROM t WHERE id = $1", ()), m.Sync())
    pieces = [*BEFORE, [said], [said], parsed, [said]]
    *_, first, _, second = await heard(pieces, at_once=True)
    assert b"one" in first
    assert b"one" not in second
    assert second.startswith(m.encode(m.BindComplete()))


async def test_what_has_more_to_say_goes_on_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices of a statement that comes in one go."""
    from shardrouter.execution import Notice, Outcome
    from tests.shardrouter.pgserver.memory_session import MemorySession

    notice = Notice("what is to be known", detail="A detail.")
    run = MemorySession._run_one

    def noticed(session: MemorySession, execution: Any) -> Outcome:
        outcome = run(session, execution)
        return Outcome(outcome.tag, outcome.row_count, outcome.rows, notices=(notice,))

    said = of(m.Bind("", "many", (), (), ()), m.Execute("", 0), m.Sync())
    monkeypatch.setattr(MemorySession, "_run_one", noticed)
    *_, first, second = await heard([*BEFORE, [b"".join(said)], [b"".join(said)]], at_once=True)
    assert b"what is to be known" in second
    assert second == first
