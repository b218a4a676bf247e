"""The table of broken Rafts is made in pieces, and says what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim import raft_mutant_table
from tests.sim.raft_mutant_table import main


def test_a_search_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft_mutant_table, "SEEDS_OF_THE_UNBROKEN", 2)
    monkeypatch.setattr(raft_mutant_table, "BATCH", 1)
    table = tmp_path / "table.md"
    words = ["--resume", str(tmp_path / "done.jsonl"), "--out", str(table), "acknowledges-early"]

    assert main(["--minutes", "0", *words]) == 1
    assert "| acknowledges-early | undecided: not yet, in 0 | |" in table.read_text()

    assert main(words) == 0
    whole = table.read_text()
    assert "| acknowledges-early | undecided" not in whole
    assert "| (none) | not, in 2 | |" in whole

    assert main(["--minutes", "0", *words]) == 0
    assert table.read_text() == whole
