"""Every transcript in testdata says what the core does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodes.raft import snapshots
from tests.nodes.raft.transcript import replay

FILES = sorted((Path(__file__).parent / "testdata").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 4)

    expected, actual = replay(path)

    if os.environ.get("REWRITE"):
        path.write_text(actual, encoding="utf-8")
    else:
        assert actual == expected


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 4
