"""SCRAM-SHA-256: the example of the RFC, PostgreSQL's verifier, a client apart, and lies."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardrouter.pgwire import scram
from shardrouter.pgwire.scram import Exchange, SaslError, Verifier, make_verifier, parse_verifier

PENCIL = make_verifier("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))


def test_the_example_of_rfc_7677() -> None:
    exchange = Exchange(PENCIL, b"")
    exchange._nonce = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert exchange.mechanisms == ("SCRAM-SHA-256",)
    first = exchange.first("SCRAM-SHA-256", b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = exchange.final(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert final == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_verifier_is_written_as_postgresql_writes_it() -> None:
    # SELECT rolpassword FROM pg_authid, PostgreSQL 15, after CREATE ROLE r PASSWORD 'pässwörd'.
    text = (
        "SCRAM-SHA-256$4096:SzwzalS1kV56jRZ3iXzHCA==$mqwBQicD6qPMmBHwv6nU3v/Qk6ffwKrzuS16xE/s+G8="
        ":nc4/932cEc+IPDuehZNKaFXmJ9kleJz8Icnau8/eljQ="
    )
    verifier = parse_verifier(text)
    assert verifier is not None
    assert make_verifier("pässwörd", verifier.salt) == verifier
    assert str(verifier) == text
    assert text.split("$")[2] not in repr(verifier), "it must not come into a log by accident"


@pytest.mark.parametrize(
    "text",
    [
        *("", "pencil", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$4096:YQ==$YQ==:YQ=="),
        *("SCRAM-SHA-256$x:YQ==$a:b", "SCRAM-SHA-256$4096:YQ==", "SCRAM-SHA-1$1:YQ==$a:b"),
        str(PENCIL).replace("4096", "0"),
        str(PENCIL).replace("4096", "99999999"),
        str(PENCIL).replace("4096:", "4096:!"),
    ],
)
def test_what_is_no_verifier_is_a_password(text: str) -> None:
    assert parse_verifier(text) is None


# SASLprep: RFC 4013, section 3, and what PostgreSQL's saslprep test has.
@pytest.mark.parametrize(
    ("typed", "same_as"),
    [
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0007", "\u0007"),  # prohibited: as it is
        ("\u0627\u0031", "\u0627\u0031"),  # bidirectional, and does not end as it begins
    ],
)
def test_a_password_is_prepared(typed: str, same_as: str) -> None:
    expected = hashlib.pbkdf2_hmac("sha256", same_as.encode(), b"salt", 1)
    key = hashlib.sha256(hmac.digest(expected, b"Client Key", "sha256")).digest()
    assert make_verifier(typed, b"salt", 1).stored_key == key


# ---------------------------------------------------------------- a client of the test's own


class Client:
    """After RFC 5802, section 3; it shares no code with the server."""

    def __init__(self, password: str, *, flag: bytes = b"n", binding: bytes = b"") -> None:
        self.password = password
        self.header = flag + b",,"
        self.binding = binding

    def log_in(self, exchange: Exchange, mechanism: str = scram.MECHANISM) -> None:
        """Raises what the server raises; asserts that the server knows the password too."""
        bare = b"n=,r=abc"
        answer = exchange.first(mechanism, self.header + bare)
        nonce, salt, count = (part[2:] for part in answer.split(b",", 2))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), b64decode(salt), int(count))
        said = b"c=" + b64encode(self.header + self.binding) + b",r=" + nonce
        about = bare + b"," + answer + b"," + said
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), about, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        last = exchange.final(said + b",p=" + b64encode(proof))
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), about, "sha256")
        assert last == b"v=" + b64encode(server)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)), st.binary(min_size=1))
def test_who_knows_the_password_gets_in_and_nobody_else(password: str, salt: bytes) -> None:
    verifier = make_verifier(password, salt, 2)
    Client(password).log_in(Exchange(verifier, b"nonce"))
    with pytest.raises(SaslError) as refused:
        Client(password + "x").log_in(Exchange(verifier, b"nonce"))
    assert refused.value.sqlstate == "28P01"


def test_a_proof_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but hmac.compare_digest decides: any other comparison tells its time."""
    asked: list[bytes] = []

    def never(left: bytes, right: bytes) -> bool:
        asked.append(right)
        return right != PENCIL.stored_key  # the channel binding's comparison is another

    monkeypatch.setattr(hmac, "compare_digest", never)
    with pytest.raises(SaslError) as refused:
        Client("pencil").log_in(Exchange(PENCIL, b"nonce"))
    assert refused.value.sqlstate == "28P01"
    assert asked[-1] == PENCIL.stored_key


def test_a_user_that_does_not_exist_looks_like_one_with_another_password() -> None:
    mock = scram.mock_verifier("nobody", b"secret")
    assert mock == scram.mock_verifier("nobody", b"secret")
    assert mock.salt != scram.mock_verifier("nobody2", b"secret").salt
    assert (len(mock.salt), mock.iterations) == (scram.SALT_BYTES, scram.ITERATIONS)
    for password in ("", "x"):
        with pytest.raises(SaslError) as refused:
            Client(password).log_in(Exchange(mock, b"nonce"))
        assert refused.value.sqlstate == "28P01"


def test_a_proof_is_bound_to_the_certificate() -> None:
    def exchange() -> Exchange:
        return Exchange(PENCIL, b"nonce", binding=b"our certificate")

    def client(flag: str, binding: bytes) -> Client:
        return Client("pencil", flag=flag.encode(), binding=binding)

    assert exchange().mechanisms == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")
    end_point = "p=tls-server-end-point"
    client(end_point, b"our certificate").log_in(exchange(), scram.MECHANISM_PLUS)
    client("n", b"").log_in(exchange())
    for mechanism, liar, sqlstate in (
        (scram.MECHANISM_PLUS, client(end_point, b"another's"), "28000"),
        (scram.MECHANISM_PLUS, client("p=tls-unique", b"our certificate"), "08P01"),
        (scram.MECHANISM_PLUS, client("n", b""), "08P01"),
        (scram.MECHANISM, client("y", b""), "28000"),  # somebody took PLUS from our offer
        (scram.MECHANISM, client("n", b"our certificate"), "28000"),
        ("SCRAM-SHA-1", client("n", b""), "08P01"),
    ):
        with pytest.raises(SaslError) as refused:
            liar.log_in(exchange(), mechanism)
        assert refused.value.sqlstate == sqlstate, (mechanism, liar.header)
    client("y", b"").log_in(Exchange(PENCIL, b"nonce"))
    with pytest.raises(SaslError):
        client(end_point, b"").log_in(Exchange(PENCIL, b"nonce"), scram.MECHANISM_PLUS)


@pytest.mark.parametrize(
    ("data", "sqlstate"),
    [
        *((b"", "08P01"), (b"n", "08P01"), (b"n,", "08P01"), (b"n,,", "08P01")),
        *((b"n,,n=u", "08P01"), (b"n,,r=abc,n=u", "08P01"), (b"n,,n=u,r=", "08P01")),
        *((b"n,,n=u,r=a\xff", "08P01"), (b"n,,n=u,r=a b", "08P01"), (b"x,,n=u,r=a", "08P01")),
        *((b"n,a=other,n=u,r=abc", "0A000"), (b"n,,m=must,n=u,r=abc", "0A000")),
    ],
)
def test_a_first_message_that_is_not_scram_is_refused(data: bytes, sqlstate: str) -> None:
    with pytest.raises(SaslError) as refused:
        Exchange(PENCIL, b"nonce").first(scram.MECHANISM, data)
    assert refused.value.sqlstate == sqlstate


PROOF = b64encode(bytes(32))


@pytest.mark.parametrize(
    ("final", "sqlstate"),
    [
        (lambda nonce: b"", "08P01"),
        (lambda nonce: b"c=biws,r=" + nonce, "08P01"),
        (lambda nonce: b"c=biws,r=" + nonce + b"x,p=" + PROOF, "08P01"),
        (lambda nonce: b"c=biws,p=" + PROOF, "08P01"),
        (lambda nonce: b"r=" + nonce + b",c=biws,p=" + PROOF, "08P01"),
        (lambda nonce: b"c=!,r=" + nonce + b",p=" + PROOF, "08P01"),
        (lambda nonce: b"c=biws,r=" + nonce + b",p=" + b64encode(bytes(31)), "08P01"),
        (lambda nonce: b"c=biws,r=" + nonce + b",p=!", "08P01"),
        (lambda nonce: b"c=eSws,r=" + nonce + b",p=" + PROOF, "28000"),
        (lambda nonce: b"c=biws,r=" + nonce + b",p=" + PROOF, "28P01"),
    ],
)
def test_a_final_message_that_proves_nothing_is_refused(
    final: Callable[[bytes], bytes], sqlstate: str
) -> None:
    exchange = Exchange(PENCIL, b"nonce")
    answer = exchange.first(scram.MECHANISM, b"n,,n=u,r=abc")
    with pytest.raises(SaslError) as refused:
        exchange.final(final(answer.split(b",")[0][2:]))
    assert refused.value.sqlstate == sqlstate


@given(st.binary(), st.binary())
def test_any_bytes_are_refused_and_nothing_breaks(first: bytes, final: bytes) -> None:
    exchange = Exchange(Verifier(1, b"s", b"k" * 32, b"k" * 32), b"nonce")

    def said() -> None:
        exchange.first(scram.MECHANISM, b"n,," + first)
        exchange.final(final)

    with pytest.raises(SaslError):
        said()
