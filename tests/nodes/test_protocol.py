"""Frames and messages: cut anywhere, they come out whole; too large, they never come in."""

from __future__ import annotations

import itertools
from hashlib import blake2b
from inspect import get_annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes import protocol
from nodes.frames import ITEM_BYTES_MAX, ITEMS_MAX, FrameDecoder, array_frames, encode_frame
from nodes.protocol import (
    FRAME_BYTES_MAX,
    PROTOCOL_VERSION,
    ChangeReplicas,
    Done,
    Envelope,
    Guard,
    MemberStatus,
    PeerBatch,
    ProtocolError,
    ReplicaStatus,
    Request,
    RequestBody,
    Response,
    SessionId,
    Statement,
    StatementResult,
    Status,
    Write,
)
from nodes.raft import messages
from nodes.raft.messages import AppendRequest, LogEntry


@given(st.lists(st.binary(max_size=50), max_size=20), st.lists(st.integers(0, 200)))
def test_a_stream_cut_anywhere_gives_the_same_frames(
    payloads: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(encode_frame(p) for p in payloads)
    edges = sorted({min(c, len(stream)) for c in cuts} | {0, len(stream)})
    decoder = FrameDecoder()
    got = [
        bytes(frame)
        for start, end in itertools.pairwise(edges)
        for frame in decoder.feed(stream[start:end])
    ]
    assert got == payloads


def test_an_oversized_frame_is_refused_at_its_length_before_its_bytes_arrive() -> None:
    decoder = FrameDecoder(limit=10)
    with pytest.raises(ProtocolError, match="11 bytes"):
        list(decoder.feed((11).to_bytes(4, "big")))
    with pytest.raises(ProtocolError, match="11 bytes"):
        list(FrameDecoder(limit=10).feed(encode_frame(bytes(11))))
    assert list(FrameDecoder(limit=10).feed(encode_frame(bytes(10)))) == [bytes(10)]


def test_a_frame_that_the_receiver_would_refuse_is_not_built() -> None:
    with pytest.raises(ProtocolError):
        encode_frame(bytes(FRAME_BYTES_MAX + 1))
    with pytest.raises(ProtocolError):
        array_frames([bytes(ITEM_BYTES_MAX)], msgspec.msgpack.Encoder())


@pytest.mark.parametrize(
    ("sizes", "frames"),
    [
        ([], 1),
        ([3] * 300, 1),
        ([400_000] * 4, 2),
        ([5, ITEM_BYTES_MAX - 5, 5], 3),
        ([1] * ITEMS_MAX, 1),
        ([1] * (ITEMS_MAX + 1), 2),
    ],
)
def test_items_share_a_frame_while_they_are_small(sizes: list[int], frames: int) -> None:
    texts = ["x" * size for size in sizes]
    frames_ = array_frames(texts, msgspec.msgpack.Encoder())
    found = list(FrameDecoder().feed(b"".join(frames_)))
    assert len(found) == frames
    assert [text for frame in found for text in msgspec.msgpack.decode(frame)] == texts


def test_a_request_keeps_its_body_raw_so_that_it_can_be_spliced() -> None:
    body = Write(
        SessionId(1, 7),
        3,
        2,
        (Statement("INSERT INTO t VALUES (?1, ?2)", (1, b"\x00", "a", None, 1.5, True)),),
        (Guard("table:t", 4),),
    )
    raw = msgspec.Raw(msgspec.msgpack.encode(body))
    frame = msgspec.msgpack.encode(Request(9, "shard-1", 1000, raw))
    request = msgspec.msgpack.decode(frame, type=Request)
    assert msgspec.msgpack.decode(request.body, type=RequestBody) == body
    assert bytes(request.body) == bytes(raw)


def test_answers_and_peer_messages_survive_the_trip() -> None:
    response = Response(1, Done((StatementResult(1, b"rows"), StatementResult(0)), 12))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(response), type=Response) == response
    batch = PeerBatch(
        (Envelope("meta", AppendRequest(1, 2, 3, 4, 3, 4, 9, (LogEntry(3, b"data"),))),)
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(batch), type=PeerBatch) == batch


def test_the_status_of_a_full_node_is_one_frame() -> None:
    members = tuple(MemberStatus(2**40 + id, "n" * 63, True, 2**50, True) for id in range(9))
    replica = ReplicaStatus(
        "g" * 63, 2**40, "leader", "n" * 63, 2**40, 2**50, 2**50, 2**50, "", members, 2**40
    )
    status = Status("n" * 63, 2**22, (replica,) * 4096)
    payload = msgspec.msgpack.encode(Response(1, status))
    assert len(payload) <= FRAME_BYTES_MAX
    assert msgspec.msgpack.decode(payload, type=Response).body == status


def test_steps_of_a_membership_are_three() -> None:
    body = ChangeReplicas("learner", 4, "n4")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=RequestBody) == body
    with pytest.raises(msgspec.ValidationError, match="enum"):
        msgspec.msgpack.decode(
            msgspec.msgpack.encode(["change", "demote", 4, ""]), type=RequestBody
        )


SHAPES = {7: "608f631b76f5c7bc", 8: "167cdd082c8e8aed", 9: "a786f44a2a41a8f5"}
"""Of the messages of each version of the protocol, as `shapes` tells them."""


def shapes() -> str:
    """A hash of the names, tags and fields of all messages, in their order, with the types of the
    fields as they are written and how many of them may be left out."""
    kinds = [
        kind
        for module in (protocol, messages)
        for name in module.__all__
        if isinstance(kind := getattr(module, name), type) and issubclass(kind, msgspec.Struct)
    ]
    lines = []
    for kind in kinds:
        said = {
            k: v for base in reversed(kind.__mro__[:-1]) for k, v in get_annotations(base).items()
        }
        fields = ", ".join(f"{name}: {said[name]}" for name in kind.__struct_fields__)
        tag, defaults = kind.__struct_config__.tag, len(kind.__struct_defaults__)
        lines.append(f"{kind.__name__} {tag} ({fields}) {defaults}")
    return blake2b("\n".join(sorted(lines)).encode(), digest_size=8).hexdigest()


def test_messages_change_with_the_number_of_the_protocol_and_not_without_it() -> None:
    """Releases that speak different frames refuse each other in the greeting, with a sentence; two
    that believe they speak the same ones would take one message for another."""
    assert SHAPES.get(PROTOCOL_VERSION) == shapes(), (
        f"a message has changed: raise PROTOCOL_VERSION and note {shapes()} for it here"
    )
