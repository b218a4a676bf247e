"""The register and compare-and-set, one call at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jepsen_like.models import ILLEGAL, Call, CasRegister, call_of
from tests.jepsen_like.histories import cas, read, write

MODEL = CasRegister()


@pytest.mark.parametrize(
    ("state", "call", "after"),
    [
        (None, Call("read", None, None, True), None),
        (None, Call("read", None, 1, True), ILLEGAL),
        (1, Call("read", None, 1, True), 1),
        (1, Call("read", None, None, True), ILLEGAL),
        (1, Call("read", None, None, False), 1),
        (1, Call("write", 2, None, True), 2),
        (1, Call("write", 2, None, False), 2),
        (1, Call("cas", (1, 2), True, True), 2),
        (3, Call("cas", (1, 2), True, True), ILLEGAL),
        (3, Call("cas", (1, 2), False, True), 3),
        (1, Call("cas", (1, 2), False, True), ILLEGAL),
        (1, Call("cas", (1, 2), None, False), 2),
        (3, Call("cas", (1, 2), None, False), 3),
        (None, Call("cas", (None, 2), True, True), 2),
    ],
)
def test_step(state: Any, call: Call, after: Any) -> None:
    assert MODEL.step(state, call) == after


def test_a_key_starts_as_never_written() -> None:
    assert MODEL.init() is None
    assert CasRegister(initial=0).init() == 0


def test_what_the_model_does_not_know_is_an_error_and_no_verdict() -> None:
    with pytest.raises(ValueError, match="'append'"):
        MODEL.step(1, Call("append", 1, None, True))
    with pytest.raises(ValueError, match="True or False"):
        MODEL.step(1, Call("cas", (1, 2), None, True))


calls = st.one_of(
    st.builds(Call, st.just("read"), st.none(), st.integers(0, 3), st.booleans()),
    st.builds(Call, st.just("write"), st.integers(0, 3), st.none(), st.booleans()),
    st.builds(
        Call,
        st.just("cas"),
        st.tuples(st.integers(0, 3), st.integers(0, 3)),
        st.booleans(),
        st.booleans(),
    ),
)


@given(calls)
def test_what_is_declared_pure_changes_no_state(call: Call) -> None:
    after = {s: MODEL.step(s, call) for s in (None, 0, 1, 2, 3)}
    if MODEL.is_pure(call):
        assert all(a is ILLEGAL or a == s for s, a in after.items())


def test_write_is_not_pure_though_it_changes_nothing_at_its_own_value() -> None:
    assert not MODEL.is_pure(Call("write", 1, None, True))
    assert not MODEL.is_pure(Call("cas", (1, 1), True, True))


def test_an_output_that_never_came_is_not_looked_at() -> None:
    assert call_of(write(1, 0, 1, outcome="info")) == Call("write", 1, None, False)
    assert call_of(cas(1, 2, True, 0, 1)) == Call("cas", (1, 2), True, True)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (read(5, 0, 1), "read -> 5"),
        (read(None, 0, 1), "read -> nothing"),
        (read(None, 0, 1, outcome="info"), "read (no answer)"),
        (write(5, 0, 1), "write 5"),
        (write(5, 0, 1, outcome="info"), "write 5 (no answer)"),
        (cas(1, 2, True, 0, 1), "cas 1 -> 2"),
        (cas(1, 2, False, 0, 1), "cas 1 -> 2 (no match)"),
        (cas(1, 2, None, 0, 1, outcome="info"), "cas 1 -> 2 (no answer)"),
    ],
)
def test_describe(operation: Any, text: str) -> None:
    assert MODEL.describe(call_of(operation)) == text
