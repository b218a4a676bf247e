"""The command line: tests are found by file and name, and errors are one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepsen_like import Test
from jepsen_like.__main__ import main
from jepsen_like.spec_files import load_test

SPEC = """
from jepsen_like import Test, checks, faults, leader_of, load, workloads
from tests.jepsen_like.register_db import RegisterDb

def make(name, **more):
    return Test(name=name, db=RegisterDb(), workloads=[workloads.register(keys=4)],
                load=load.open_loop(rate=100, deadline="250ms", clients=5),
                checks=[checks.linearizable(), checks.availability(), checks.recovery()], **more)

test = make("plain", faults=[faults.healthy("200ms")], seed=9)
stale = make("stale")
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.py"
    path.write_text(SPEC)
    return path


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_test_is_found_by_file_and_name(spec: Path) -> None:
    assert load_test(str(spec)).name == "plain"
    found = load_test(f"{spec}:stale")
    assert isinstance(found, Test)
    assert found.name == "stale"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "missing.py"], "there is no file missing.py"),
        (["run", "SPEC:nothing"], "no test named nothing; it has stale, test"),
        (["demo", "--sead", "1"], "No such option"),
        (["frobnicate"], "No such command"),
        (["demo", "--seed", "x"], "not a valid integer"),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_code_64(
    spec: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word.replace("SPEC", str(spec)) for word in arguments]
    assert exit_code(*arguments) == 64
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("make('a/b')", 3, "'a/b' is not a name"),
        ("make('x', faults=[faults.kill(faults.host('n7'))])", 3, "there is no host n7"),
        ("make('x', faults=[faults.pause('minorty')])", 3, "no host minorty; there are n1, n2"),
        ("make('x', faults=[faults.kill(faults.router())])", 3, "it has no routers"),
        ("make('x', faults=[faults.any_of(faults.transfer('g'))])", 3, "cannot be told to move"),
        ("make('x', faults=[faults.healthy('soon')])", 64, "'soon' is not a duration"),
        ("undefined", 64, "NameError"),
    ],
)
def test_a_test_that_cannot_be_run_is_a_sentence_before_anything_starts(
    spec: Path, text: str, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(f"{SPEC}\ntest = {text}\n")
    assert exit_code("run", str(spec)) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [
        (
            "pigeons",
            "Error: there is no backend 'pigeons'; there are auto, netns, proxy,",
        ),
        ("proxy", "Error: the backend proxy cannot do magic, and no other can"),
    ],
)
def test_a_backend_that_cannot_carry_the_test_is_exit_code_3(
    spec: Path, tmp_path: Path, backend: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, before anything is started."""
    spec.write_text(
        f"{SPEC}\n"
        "class Magic(faults.Healthy):\n"
        "    needs = frozenset({'magic'})\n"
        f"test = make('x', faults=[Magic(1.0)], backend={backend!r})\n"
    )
    out = tmp_path / "out"
    assert exit_code("run", str(spec), "--out", str(out)) == 3
    said = capsys.readouterr().err
    assert said.startswith(sentence), said
    assert said.count("\n") == 1
    assert list(out.iterdir()) == []


def test_help_is_quick_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    text = capsys.readouterr().out
    assert "demo" in text
    assert "run" in text


@pytest.mark.slow
def test_run_writes_its_files_and_ends_with_the_verdict(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert exit_code("run", str(spec), "--out", str(out)) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["history.jsonl", "junit.xml", "logs", "report.html", "results.json"]
    assert "valid" in capsys.readouterr().out


@pytest.mark.slow
def test_an_out_that_cannot_be_used_is_exit_code_3(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert exit_code("run", str(spec), "--out", str(file / "out")) == 3
    assert "cannot be used" in capsys.readouterr().err


@pytest.mark.slow
def test_a_test_is_repeated_with_one_seed_after_the_other_and_ends_with_the_worst(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(
        f"{SPEC}\n"
        "from dataclasses import replace\n"
        "good = test\n"
        "bad = replace(test, db=RegisterDb(stale=True), faults=[faults.partition("
        "faults.isolate('n1'), hold='1s', rest='100ms')], backend='proxy')\n"
    )
    out = tmp_path / "out"
    assert exit_code("run", f"{spec}:good", "--repeat", "2", "--seed", "4", "--out", str(out)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("seed 4: valid: ")
    assert said[1].startswith("seed 5: valid: ")
    assert said[2].startswith("2 runs: 2 valid; ")
    assert sorted(path.name for path in out.iterdir()) == ["seed-4", "seed-5"]
    assert exit_code("run", f"{spec}:bad", "--repeat", "2", "--out", str(tmp_path / "bad")) == 1
    assert "2 runs: 2 invalid" in capsys.readouterr().out
