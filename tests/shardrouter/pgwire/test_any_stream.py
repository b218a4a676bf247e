"""Any stream of bytes, cut anywhere: the connection keeps its promises (see `driving`)."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from shardrouter.pgwire import State
from shardrouter.pgwire import messages as m
from tests.shardrouter.pgwire.driving import drive
from tests.shardrouter.pgwire.test_recorded import SAID

START = m.StartupMessage(3, 0, (("user", "u"),))
PACKETS = st.sampled_from(
    [
        m.encode(packet)
        for packet in (
            *(START, m.StartupMessage(3, 2, (("user", "u"), ("_pq_.x", "")))),
            *(m.SSLRequest(), m.GSSENCRequest(), m.CancelRequest(1, b"abcd")),
        )
    ]
)
MESSAGES = st.sampled_from(
    [
        *map(m.encode, SAID),
        m.encode(m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abc")),
        m.encode(m.SASLResponse(b"c=biws,r=abcbm9uY2U=,p=" + b"A" * 43 + b"=")),
    ]
)
LIES = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda tag, length: tag + length.to_bytes(4),
        st.sampled_from([bytes([tag]) for tag in m.FRONTEND]),
        st.integers(0, (1 << 32) - 1),
    ),
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Mostly a conversation, with lies between, cut into pieces."""
    parts = draw(st.lists(PACKETS, max_size=3))
    parts += draw(st.lists(st.one_of(MESSAGES, MESSAGES, MESSAGES, LIES), max_size=12))
    stream = bytearray(b"".join(parts))
    for _ in range(draw(st.integers(0, 2))):
        if stream:
            stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    size = draw(st.integers(1, 64))
    return [bytes(stream[at : at + size]) for at in range(0, len(stream), size)]


@given(streams(), st.integers(0, 99), st.booleans(), st.booleans())
def test_any_stream_is_answered_or_refused(
    chunks: list[bytes], seed: int, encrypts: bool, asks: bool
) -> None:
    chance = random.Random(seed)
    drive(chunks, fails=lambda: chance.random() < 0.3, encrypts=encrypts, asks=asks)


@given(streams(), st.booleans())
def test_where_a_stream_is_cut_changes_nothing(chunks: list[bytes], asks: bool) -> None:
    whole = drive([b"".join(chunks)], asks=asks, encrypts=False)
    by_the_byte = drive(
        [bytes([byte]) for chunk in chunks for byte in chunk], asks=asks, encrypts=False
    )
    assert by_the_byte.state is whole.state
    assert by_the_byte.buffered == whole.buffered or whole.state is State.CLOSED
