"""The greeting, and what somebody in the middle or without the secret may try."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import pytest

from nodes.handshake import NONCE_BYTES, Answering, Arrival, Dialing
from nodes.protocol import (
    PROTOCOL_VERSION,
    Challenge,
    Files,
    Hello,
    Proof,
    ProtocolError,
    Refused,
    Welcome,
)

SECRET = bytes(range(32))
FILES = Files("d4f1", 3, b"third", b"second")

Message = TypeVar("Message", bound=msgspec.Struct)


def nonce(number: int) -> bytes:
    return bytes([number]) * NONCE_BYTES


def encode(message: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(message)


def changed(message: Message, **fields: object) -> Message:
    return msgspec.structs.replace(message, **fields)


@dataclass
class Meeting:
    """A dialer and a node, and the frames between them."""

    dialers_secret: bytes = SECRET
    nodes_secret: bytes = SECRET
    kind: str = "peer"
    cluster_id: str = "c1"
    expected: str | None = "n1"
    dialers_nonce: int = 1
    nodes_nonce: int = 2
    asked: list[str | int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dialing = Dialing(
            kind=self.kind,
            name="n2",
            node=self.expected,
            cluster_id=self.cluster_id,
            secret=self.dialers_secret,
            nonce=nonce(self.dialers_nonce),
            files=self.files if self.kind == "peer" else None,
            revision=7,
        )
        self.answering = Answering(
            node="n1",
            cluster_id="c1",
            secret=self.nodes_secret,
            nonce=nonce(self.nodes_nonce),
            met=self.met,
        )

    def files(self, met: int) -> Files:
        self.asked.append(met)
        return FILES

    def met(self, node: str) -> int:
        self.asked.append(node)
        return 2

    @property
    def hello(self) -> Hello:
        return self.dialing.hello

    def challenge(self) -> Challenge:
        said = self.answering.receive(encode(self.hello))
        assert isinstance(said, Challenge)
        return said

    def proof(self) -> Proof:
        said = self.dialing.receive(encode(self.challenge()))
        assert isinstance(said, Proof)
        return said

    def end(self, proof: Proof) -> Arrival | Challenge | Refused:
        return self.answering.receive(encode(proof))


@pytest.mark.parametrize("secret", [SECRET, b""], ids=["secret", "none"])
def test_both_sides_prove_that_they_know_the_secret(secret: bytes) -> None:
    meeting = Meeting(secret, secret)
    assert meeting.end(meeting.proof()) == Arrival("peer", "n2", FILES, 7)
    assert meeting.dialing.is_proven
    assert meeting.asked == ["n2", 2]  # whose start 2 the node has met
    welcome = Welcome("n1", 7)
    assert meeting.dialing.receive(encode(welcome)) == welcome


def test_a_client_has_no_files() -> None:
    meeting = Meeting(kind="client", expected=None)
    assert meeting.end(meeting.proof()) == Arrival("client", "n2", None, 7)
    assert meeting.asked == []


@pytest.mark.parametrize(("dialers", "nodes"), [(bytes(32), SECRET), (b"", SECRET), (SECRET, b"")])
def test_without_the_nodes_proof_the_dialer_says_nothing_more(dialers: bytes, nodes: bytes) -> None:
    meeting = Meeting(dialers, nodes)
    said = meeting.dialing.receive(encode(meeting.challenge()))
    assert isinstance(said, Refused)
    assert "put the same cluster.secret beside" in said.reason
    assert not meeting.dialing.is_proven
    assert meeting.asked == ["n2"]  # its files were not asked for


@pytest.mark.parametrize("theirs", [bytes(32), b""], ids=["another", "none"])
def test_a_dialer_with_another_secret_is_refused(theirs: bytes) -> None:
    """One that does not care for the node's proof."""
    meeting = Meeting(SECRET)
    careless = Meeting(theirs, theirs)
    meeting.challenge()
    forged = careless.proof()
    said = meeting.end(forged)
    assert isinstance(said, Refused)
    assert "n2 does not know the secret" in said.reason


def test_the_nodes_proof_sent_back_proves_nothing() -> None:
    """Reflection: who knows no secret returns what he was sent."""
    meeting = Meeting()
    challenge = meeting.challenge()
    assert isinstance(meeting.end(Proof(FILES, 7, challenge.proof)), Refused)


def test_a_node_asked_by_an_impostor_does_not_help_him_to_greet_another() -> None:
    """Reflection over two connections: the node's own nonce, given to it as a dialer's."""
    victim = Meeting()
    nonce_of_victim = victim.challenge().nonce
    oracle = Meeting()
    said = oracle.answering.receive(encode(changed(victim.hello, nonce=nonce_of_victim)))
    assert isinstance(said, Challenge)
    assert isinstance(victim.end(Proof(FILES, 7, said.proof)), Refused)


def test_a_proof_that_was_heard_once_fits_no_other_connection() -> None:
    heard = Meeting().proof()
    replayed = Meeting(nodes_nonce=3)
    replayed.challenge()
    assert isinstance(replayed.end(heard), Refused)


def test_a_challenge_that_was_heard_once_fits_no_other_connection() -> None:
    heard = Meeting().challenge()
    assert isinstance(Meeting(dialers_nonce=3).dialing.receive(encode(heard)), Refused)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "n3"},
        {"kind": "client"},
        {"nonce": nonce(9)},
    ],
)
def test_a_hello_that_was_changed_on_its_way_is_noticed(change: dict[str, object]) -> None:
    meeting = Meeting()
    challenge = meeting.answering.receive(encode(changed(meeting.hello, **change)))
    assert isinstance(challenge, Challenge)
    assert isinstance(meeting.dialing.receive(encode(challenge)), Refused)


@pytest.mark.parametrize(
    "change", [{"node": "n3"}, {"nonce": nonce(9)}, {"met": 0}, {"proof": b""}]
)
def test_a_challenge_that_was_changed_on_its_way_is_noticed(change: dict[str, object]) -> None:
    meeting = Meeting()
    said = meeting.dialing.receive(encode(changed(meeting.challenge(), **change)))
    assert isinstance(said, Refused)
    assert "does not know the secret" in said.reason


@pytest.mark.parametrize(
    "change",
    [
        {"files": changed(FILES, starts=4)},
        {"files": changed(FILES, data_id="other")},
        {"files": None},
        {"revision": 8},
        {"proof": b""},
    ],
)
def test_a_proof_that_was_changed_on_its_way_is_refused(change: dict[str, object]) -> None:
    meeting = Meeting()
    assert isinstance(meeting.end(changed(meeting.proof(), **change)), Refused)


def test_every_message_cut_short_or_grown_is_no_greeting() -> None:
    hello, challenge, proof = Meeting().hello, Meeting().challenge(), Meeting().proof()
    for size in range(len(encode(hello))):
        with pytest.raises(ProtocolError):
            Meeting().answering.receive(encode(hello)[:size])
    for size in range(len(encode(challenge))):
        with pytest.raises(ProtocolError):
            Meeting().dialing.receive(encode(challenge)[:size])
    for size in range(len(encode(proof))):
        meeting = Meeting()
        meeting.challenge()
        with pytest.raises(ProtocolError):
            meeting.answering.receive(encode(proof)[:size])
    with pytest.raises(ProtocolError):
        Meeting().answering.receive(encode(hello) + b"\0")


def test_a_welcome_before_the_proof_is_no_way_around_it() -> None:
    """Downgrade: a node that asks for nothing is none of this cluster."""
    with pytest.raises(ProtocolError, match="Welcome out of turn"):
        Meeting().dialing.receive(encode(Welcome("n1")))


def test_what_is_no_greeting_is_not_even_decoded() -> None:
    for frame in (b"", b"\xc1", encode(Proof()), encode(Welcome("n2")), b"\x80"):
        with pytest.raises(ProtocolError):
            Meeting().answering.receive(frame)
    meeting = Meeting()
    meeting.challenge()
    with pytest.raises(ProtocolError):
        meeting.answering.receive(encode(meeting.hello))  # a second one
    meeting = Meeting()
    challenge = meeting.challenge()
    meeting.dialing.receive(encode(challenge))
    with pytest.raises(ProtocolError, match="Challenge out of turn"):
        meeting.dialing.receive(encode(challenge))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"protocol": PROTOCOL_VERSION + 1},
            f"n1 speaks version {PROTOCOL_VERSION} of the node protocol, n2 speaks",
        ),
        ({"cluster_id": "c2"}, "n1 belongs to cluster c1, not to c2"),
        ({"kind": "guest"}, "'guest' is neither client nor peer"),
    ],
)
def test_another_protocol_cluster_or_kind_gets_a_sentence(
    change: dict[str, object], sentence: str
) -> None:
    said = Meeting().answering.receive(encode(changed(Meeting().hello, **change)))
    assert isinstance(said, Refused)
    assert sentence in said.reason


def test_the_first_version_of_the_greeting_is_told_which_is_spoken_here() -> None:
    first = msgspec.msgpack.encode(["hello", 1, "c1", "peer", "n2"])
    said = Meeting().answering.receive(first)
    assert isinstance(said, Refused)
    assert "n2 speaks 1; use the same release for both" in said.reason


@pytest.mark.parametrize("name", ["", "n" * 129, "n2\nERROR all is lost", "\x1b[2J"])
def test_a_name_that_would_spoil_a_log_is_no_name(name: str) -> None:
    with pytest.raises(ProtocolError):
        Meeting().answering.receive(encode(changed(Meeting().hello, name=name)))


def test_what_nobody_has_proved_cannot_spoil_a_log() -> None:
    said = Meeting().dialing.receive(encode(Refused("no.\nERROR \x1b[2J")))
    assert said == Refused("no.?ERROR ?[2J")


def test_a_peer_that_reaches_another_node_goes_away() -> None:
    meeting = Meeting(expected="n5")
    said = meeting.dialing.receive(encode(meeting.challenge()))
    assert isinstance(said, Refused)
    assert "the node there is n1, not n5" in said.reason


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_short_nonce_is_not_taken(size: int) -> None:
    with pytest.raises(ProtocolError, match="nonce"):
        Meeting().answering.receive(encode(changed(Meeting().hello, nonce=bytes(size))))


@pytest.mark.parametrize(("kind", "files"), [("peer", None), ("client", FILES)])
def test_only_peers_have_files(kind: str, files: Files | None) -> None:
    meeting = Meeting(kind=kind)
    meeting.dialing = Dialing(
        kind=kind,
        name="n2",
        cluster_id="c1",
        secret=SECRET,
        nonce=nonce(1),
        files=None if files is None else lambda _met: files,
    )
    with pytest.raises(ProtocolError, match="files"):
        meeting.end(meeting.proof())
