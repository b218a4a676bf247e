"""The examples of docs/checkers.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.checks.linearizable import check
from tests.jepsen_like.histories import read, write

PAGE = Path(__file__).parents[2] / "docs" / "checkers.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def run(example: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    return names


def test_the_first_example_finds_the_stale_read(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = run(EXAMPLES[0])["verdict"]
    assert verdict.validity == "invalid"
    assert verdict.details["staleness_ns"] == 45
    assert "read of x on n2 returned 1 after write 2" in capsys.readouterr().out


def test_a_model_of_ones_own() -> None:
    model = run(EXAMPLES[1])["MaxRegister"]()
    history = [write(5, 0, 1), write(3, 2, 3)]
    assert check([*history, read(5, 4, 5)], model).validity == "valid"
    assert check([*history, read(3, 4, 5)], model).validity == "invalid"
