"""Backslash commands in their parts, and patterns of names."""

from __future__ import annotations

import pytest

from shardrouter.cli.shell.arguments import ArgumentError, Pattern, read_pattern, words_of
from shardrouter.cli.shell.copying import read_copy


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("\\d", "d", ()),
        ("\\d+ t;", "d+", ("t",)),
        ('\\d "My t".a', "d", ('"My t".a',)),
        ("\\o 'a file''s \\n name' x", "o", ("a file's \n name", "x")),
        ("\\?", "?", ()),
        ("\\x auto", "x", ("auto",)),
        ("\\", "", ()),
    ],
)
def test_a_command_is_cut(text: str, name: str, arguments: tuple[str, ...]) -> None:
    words = words_of(text)
    assert (words.name, words.arguments) == (name, arguments)


def test_an_open_quote_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="not closed"):
        words_of("\\o 'file")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (None, Pattern(None)),
        ("*", Pattern(None)),
        ("Foo*", Pattern("^(foo.*)$")),
        ('"Foo*"', Pattern("^(Foo\\*)$")),
        ("a?b$", Pattern("^(a.b\\$)$")),
        ("s*.t", Pattern("^(t)$", "^(s.*)$", True)),
        ('a"b""C"d', Pattern('^(ab"Cd)$')),
        ("*.t", Pattern("^(t)$", None, True)),
        ("db.s.t", Pattern("^(t)$", "^(s)$", True)),
    ],
)
def test_a_pattern_is_psqls(text: str | None, pattern: Pattern) -> None:
    assert read_pattern(text) == pattern


@pytest.mark.parametrize(
    ("text", "statement", "file"),
    [
        ("t from 'a b.csv' csv", "COPY t FROM STDIN csv", "a b.csv"),
        ("t (a, b) FROM /x-y/z.csv", "COPY t (a, b) FROM STDIN", "/x-y/z.csv"),
        (
            "(SELECT 'from' FROM t) to out.txt (FORMAT csv)",
            "COPY (SELECT 'from' FROM t) TO STDOUT (FORMAT csv)",
            "out.txt",
        ),
        ('"from" to pstdout', 'COPY "from" TO STDOUT', "--"),
        ("t from stdin", "COPY t FROM STDIN", "-"),
    ],
)
def test_copy_is_read(text: str, statement: str, file: str) -> None:
    request = read_copy(text)
    assert (request.statement, request.file) == (statement, file)


@pytest.mark.parametrize(
    "text", ["", "t", "t from", "from x", "(select to x", "t from program 'x'"]
)
def test_a_wrong_copy_is_a_sentence(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"\.$"):
        read_copy(text)
