"""The labels of the reports that are kept, computed again from what clients saw by other code."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
KEPT = sorted((ROOT / "docs" / "reports").glob("*/history.jsonl.gz"))


@pytest.mark.slow
@pytest.mark.parametrize("history", KEPT, ids=lambda path: path.parent.name)
def test_a_kept_history_has_the_labels_of_its_report(history: Path, tmp_path: Path) -> None:
    shutil.copy(history.parent / "results.json", tmp_path)
    (tmp_path / "history.jsonl").write_bytes(gzip.decompress(history.read_bytes()))
    script = [sys.executable, str(ROOT / "examples" / "pacelc_labels.py"), str(tmp_path)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    letters = {"undetermined": "?"}
    expected = {
        one["f"]: "/".join(letters.get(word, word) for word in (one["partition"], one["otherwise"]))
        for one in json.loads((tmp_path / "results.json").read_text())["labels"]
    }
    assert dict(line.rsplit(" ", 1) for line in said.splitlines()) == expected


def test_there_is_one() -> None:
    assert KEPT
