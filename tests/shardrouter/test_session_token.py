"""What a session has seen, as it is kept, written and read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol import AtLeast
from shardrouter.errors import StatementError
from shardrouter.levels import Hint, hint_in
from shardrouter.session_token import NOTHING, TOKEN_BYTES_MAX, SessionToken, check_token

GROUPS = st.sampled_from(["meta", "shard-1", "shard-22"])
SEEN = st.lists(st.tuples(GROUPS, st.integers(1, 3), st.integers(0, 1 << 62)))


@given(SEEN, SEEN)
def test_a_token_is_the_most_that_was_seen_in_whatever_order_and_by_way_of_its_text(
    first: list[tuple[str, int, int]], second: list[tuple[str, int, int]]
) -> None:
    whole, part, other = SessionToken(), SessionToken(), SessionToken()
    for seen in first + second:
        whole.advance(*seen)
    for seen in first:
        part.advance(*seen)
    for seen in reversed(second):
        other.advance(*seen)
    other.add(str(part))
    assert str(other) == str(whole)
    for group, *_ in first:
        assert whole.of(group) == AtLeast(*max(s[1:] for s in first + second if s[0] == group))


def test_what_was_never_seen_asks_for_nothing() -> None:
    assert SessionToken().of("shard-1") == NOTHING == AtLeast(0, 0)
    assert check_token("") == check_token(" , ") == ""


@pytest.mark.parametrize(
    "text",
    [
        *("x", "shard-1=1", "shard-1=1:2:3", "shard-1=-1:2", "SHARD=1:2", "=1:2", "a=1:2;b=1:3"),
        *("a=1:99999999999999999999", "a=1:9999999999999999999", "é=1:2", "a" * TOKEN_BYTES_MAX),
        "a=1:2," * TOKEN_BYTES_MAX,
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(StatementError) as caught:
        check_token(text)
    assert caught.value.sqlstate == "22023"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("SELECT 1", None),
        ("/*+ consistency=any */ SELECT 1", Hint("any")),
        (" \nselect/*+consistency = LEASE*/1", Hint("lease")),
        ("SELECT /*+ max_staleness=2s consistency=bounded */ 1", Hint("bounded", "2s")),
        ("/*+ Leading(a b) */ SELECT 1", None),
        ("/* consistency=any */ SELECT 1", None),
        ("SELECT '/*+ consistency=any */'", None),
        ("SELECT 1 /*+ consistency=any */", None),
    ],
)
def test_a_comment_at_the_head_of_a_statement_asks_for_a_level(
    text: str, hint: Hint | None
) -> None:
    assert hint_in(text) == hint
