"""docs/checking.md, carried out from top to bottom as a reader would, in an empty directory."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.__main__ import main
from jepsen_like.checks.named import KINDS
from jepsen_like.history import read_jsonl

DOCUMENT = Path(__file__).parents[2] / "docs" / "checking.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMES = re.compile(r"\d+\.\d\d s|\[\d+, \d+\]$", re.MULTILINE)


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))


def run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    words = shlex.split(line)
    assert words[0] == "jepsen-like"
    with pytest.raises(SystemExit) as caught:
        main(words[1:])
    done = capsys.readouterr()
    assert caught.value.code in (0, 1), done.err
    return done.out


def test_every_example_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = ""
    compared = 0
    for number, (language, text) in enumerate(blocks()):
        if language == "python":
            code = compile(text, f"{DOCUMENT.name} block {number}", "exec")
            exec(code, names)
        elif language == "sh":
            printed = "".join(run(line, capsys) for line in text.splitlines())
        elif language == "json":
            path = tmp_path / f"{number}.jsonl"
            path.write_text(text, encoding="utf-8")
            assert len(read_jsonl(path)) == 1
        else:
            # A table cuts long reasons off; and how long it took is not promised
            wanted, found = TIMES.sub("", text), TIMES.sub("", printed)
            for line, shown in zip(wanted.splitlines(), found.splitlines(), strict=False):
                assert line.startswith(shown.removesuffix("...")), (line, shown)
            assert len(found.splitlines()) >= len(wanted.splitlines())
            compared += 1
    assert compared == 7


def test_the_first_example_is_short() -> None:
    first = next(text for language, text in blocks() if language == "python")
    assert len([line for line in first.splitlines() if line.strip()]) < 10


def test_every_model_and_promise_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for kind in KINDS.values():
        for name in (kind.name, *kind.consistencies):
            assert f"`{name}`" in text, name
