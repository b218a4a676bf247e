"""The bar of `\\copy`: on a terminal, beside the file, which goes through unchanged."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from shardrouter.cli.shell.copying import CHUNK_BYTES, _progress

SIZE = 5 * CHUNK_BYTES + 17


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(bytes(range(256)) * (SIZE // 256) + b"x" * (SIZE % 256))
    return path


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, True), (True, False), (False, True)])
def test_a_bar_is_shown_on_a_terminal_only(
    file: Path, is_terminal: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setenv("TERM", "xterm")
    with file.open("rb") as opened, _progress(opened, shown=shown) as chunks:
        pieces = list(chunks)
    assert b"".join(pieces) == file.read_bytes()
    assert len(pieces) == 6
    said = errors.getvalue()
    if not (is_terminal and shown):
        assert said == ""
        return
    assert "/" in said  # how much of how much
    assert "kB" in said
    assert said.rstrip().endswith("\x1b[2K")  # and is taken away at the end
