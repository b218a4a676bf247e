"""SCRAM-SHA-256, the client's side: the RFC's example, our own other side, and lies."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardrouter.pgclient.proof import MECHANISM, Proof, ProofError
from shardrouter.pgwire.scram import Exchange, SaslError, make_verifier


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=12), st.binary(min_size=16, max_size=16))
def test_client_and_server_believe_each_other(password: str, salt: bytes) -> None:
    proof = Proof(password, b"client nonce")
    exchange = Exchange(make_verifier(password, salt, 10), b"server nonce")
    challenge = exchange.first(MECHANISM, proof.first())
    proof.check(exchange.final(proof.final(challenge)))


def test_another_password_is_refused() -> None:
    proof = Proof("wrong", b"n")
    exchange = Exchange(make_verifier("right", b"salt" * 4, 10), b"m")
    challenge = exchange.first(MECHANISM, proof.first())
    with pytest.raises(SaslError):
        exchange.final(proof.final(challenge))


def test_the_example_of_rfc_7677() -> None:
    proof = Proof("pencil", b64decode("rOprNGfwEbeRWgbNEkqO"))
    final = proof.final(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    # The example's proof is about n=user; PostgreSQL's clients leave the name empty.
    assert final.startswith(b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=")


@pytest.mark.parametrize(
    "challenge",
    [
        *(b"", b"r=abc", b"r=other,s=c2FsdA==,i=4096", b"r=bg==,s=c2FsdA==,i=4096"),
        *(b"r=bg==x,s=!,i=4096", b"r=bg==x,s=c2FsdA==,i=0", b"r=bg==x,s=c2FsdA==,i=999999999"),
    ],
)
def test_a_server_that_does_not_speak_scram_is_not_answered(challenge: bytes) -> None:
    with pytest.raises(ProofError):
        Proof("p", b"n").final(challenge)


def test_a_server_without_the_password_is_found_out() -> None:
    proof = Proof("p", b"n")
    exchange = Exchange(make_verifier("p", b"salt" * 4, 10), b"m")
    proof.final(exchange.first(MECHANISM, proof.first()))
    with pytest.raises(ProofError, match="does not know the password"):
        proof.check(b"v=AAAA")
    with pytest.raises(ProofError):
        Proof("p", b"n").check(b"v=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
