"""Where statements end: as the lexer says, line by line, and at any wrong text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardrouter.cli.shell.splitting import Command, Splitter, Statement
from shardrouter.errors import RouterError
from shardrouter.lexer import split


def pieces(text: str) -> list[str]:
    """Statements and commands of a text, fed by lines."""
    splitter = Splitter()
    found = [p for line in text.splitlines(keepends=True) for p in splitter.feed(line)]
    return [piece.text for piece in [*found, *splitter.end()]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1\n;;\n ; SELECT\n2", ["SELECT 1", "SELECT\n2"]),
        ("SELECT 'a;b', \"c;d\";", ["SELECT 'a;b', \"c;d\""]),
        ("SELECT 'it''s;\n;' ; X", ["SELECT 'it''s;\n;'", "X"]),
        ("SELECT E'\\';' ; X", ["SELECT E'\\';'", "X"]),
        ("SELECT e'a''\n;\\'' ; X", ["SELECT e'a''\n;\\''", "X"]),
        ("SELECT name'a' ; X", ["SELECT name'a'", "X"]),
        ("DO $$ a; b $$; DO $f$ $$ ; $f$;", ["DO $$ a; b $$", "DO $f$ $$ ; $f$"]),
        ("SELECT $1, a$b$c ; X", ["SELECT $1, a$b$c", "X"]),
        ("SELECT 1 -- a; 'b\n; X", ["SELECT 1", "X"]),
        ("/* ; /* ; */ ; */ SELECT 1 /* ' */ ; X", ["SELECT 1", "X"]),
        ("\\d t\nSELECT 1;", ["\\d t", "SELECT 1"]),
        ("SELECT 1 \\gx\n", ["\\gx", "SELECT 1"]),
        ("SELECT '\\d';", ["SELECT '\\d'"]),
        ("; ;\n", []),
        ("-- nothing\n", []),
    ],
)
def test_a_text_is_cut(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("", "="),
        ("SELECT", "-"),
        ("SELECT 'a", "'"),
        ("SELECT E'a\\'", "'"),
        ('SELECT "a', '"'),
        ("SELECT $x$ a", "$"),
        ("/* a", "*"),
        ("SELECT 1;", "="),
    ],
)
def test_the_prompt_says_what_is_open(text: str, sign: str) -> None:
    splitter = Splitter()
    splitter.feed(f"{text}\n")
    assert splitter.sign == sign


def test_a_command_leaves_the_statement_before_it() -> None:
    splitter = Splitter()
    assert splitter.feed("SELECT 1,\n") == []
    assert splitter.feed(" 2 \\g more\n") == [Command("\\g more")]
    assert splitter.pending == "SELECT 1,\n 2"
    assert splitter.take() == "SELECT 1,\n 2"
    assert splitter.pending == ""
    assert splitter.feed("SELECT 3;\n") == [Statement("SELECT 3")]


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *("SELECT", "a", "e", "E", "1", "1.5", "$1", "$$", "$a$", "'", "''", '"', '""', ";"),
            *(" ", "\n", "--", "/*", "*/", "-", "/", "*", "+", "(", ")", "é", "x'", "::", "\\'"),
        ]
    ),
    max_size=25,
).map("".join)


@given(FRAGMENTS)
def test_it_agrees_with_the_lexer(text: str) -> None:
    try:
        expected = split(text)
    except RouterError:
        pieces(text)  # whatever it is, it is cut somewhere
        return
    assert pieces(text) == expected


def test_a_long_statement_is_read_in_linear_time() -> None:
    splitter = Splitter()
    splitter.feed("INSERT INTO t VALUES (0)\n")
    for number in range(20_000):
        assert splitter.feed(f", ({number}, 'it''s')\n") == []
    [piece] = splitter.feed(";\n")
    assert piece.text.endswith("(19999, 'it''s')")
