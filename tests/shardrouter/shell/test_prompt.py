"""What Enter does, and what is kept of what was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardrouter.cli.shell.prompt import History, history_path, is_complete


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("quit", True),
        ("SELECT 1;", True),
        ("SELECT 1", False),
        ("SELECT ';", False),
        ("SELECT 1;\nSELECT", False),
        ("SELECT 1; -- done", True),
        ("\\d t", True),
        ("SELECT 1 \\watch 2", True),
        ("SELECT\n1 \\g", True),
        ("\\x\nSELECT 1", False),
        ("DO $$ a;", False),
    ],
)
def test_enter_sends_what_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) == complete


def test_passwords_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = history_path()
    assert path.stat().st_mode & 0o777 == 0o600
    history = History(str(path))
    history.store_string("CREATE ROLE ann PASSWORD 'x'")
    history.store_string("SELECT 1;")
    assert list(History(str(path)).load_history_strings()) == ["SELECT 1;"]
