"""Errors with a caret under the place."""

from __future__ import annotations

from shardrouter.cli.shell.reports import report_lines
from shardrouter.pgwire.fields import Report


def lines(statement: str, near: str) -> list[str]:
    report = Report("ERROR", "42703", "no such thing", position=statement.index(near) + 1)
    return report_lines(report, statement)[1:]


def test_the_caret_is_in_the_right_line() -> None:
    said, caret = lines("SELECT 1,\n  '漢字', wrong\nFROM t", "wrong")
    assert said == "LINE 2:   '漢字', wrong"
    assert caret.index("^") == len("LINE 2:   '____', ")


def test_a_long_line_is_cut_around_the_place() -> None:
    for place in range(0, 190, 10):
        words = " ".join(f"w{n:03}" for n in range(100))
        said, caret = lines(words, f"w{place // 2:03}")
        assert said[caret.index("^") :].startswith(f"w{place // 2:03}")
        assert len(said) < 80


def test_a_place_at_the_end_and_beyond_it() -> None:
    report = Report("ERROR", "42601", "syntax error at end of input", position=100)
    assert report_lines(report, "SELECT")[1:] == ["LINE 1: SELECT", "              ^"]


def test_everything_else_a_report_says() -> None:
    report = Report("NOTICE", "00000", "hello", detail="d", hint="h", where="w")
    assert report_lines(report) == ["NOTICE:  hello", "DETAIL:  d", "HINT:  h", "CONTEXT:  w"]
