"""docs/operations.md, carried out from top to bottom on a cluster of four nodes, and what the
verbs refuse on the way."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import Up, start_up

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
NODES = ("n1", "n2", "n3", "n4")
STEP_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    cluster = start_up(tmp_path_factory.mktemp("operations") / "data", "--nodes", "4")
    made = cluster.run("sql", "-c", "CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
    assert made.returncode == 0, made.stderr
    yield cluster
    cluster.stop()


def story() -> list[list[str]]:
    """The words of every command that the document shows."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = (shlex.split(line, comments=True) for line in "".join(blocks).splitlines())
    return [line for line in lines if line]


def status(up: Up) -> dict[str, Any]:
    shown = up.run("status", "--json")
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def voters(up: Up, group: str) -> set[str]:
    replicas = status(up)["groups"][group]["replicas"]
    assert all(replica["voter"] for replica in replicas)
    return {replica["node"] for replica in replicas}


def after_move(up: Up) -> None:
    assert voters(up, "shard-1") == {"n2", "n3", "n4"}


def after_drain(up: Up) -> None:
    found = status(up)
    assert found["nodes"]["n4"]["replicas"] == 0
    assert found["nodes"]["n4"]["draining"]
    assert "node n4 is drained: shardrouter node remove n4" in found["missing"]
    for group in found["groups"]:
        assert voters(up, group) == {"n1", "n2", "n3"}


def after_add(up: Up) -> None:
    assert voters(up, "shard-1") == set(NODES)


def after_transfer(up: Up) -> None:
    assert status(up)["nodes"]["n1"]["leads"] > 0


AFTER: dict[str, Callable[[Up], None]] = {
    "shardrouter replica add shard-1 n3": after_add,
    "shardrouter replica move shard-1 n1 n3": after_move,
    "shardrouter leader transfer shard-2 n1": after_transfer,
    "shardrouter node drain n4": after_drain,
}


def test_the_story_of_the_document(four: Up) -> None:
    """Each command twice: what is done already is said to be done."""
    told = set()
    for number, words in enumerate(story()):
        line = " ".join(words)
        told.add(line)
        if words[:2] == ["shardrouter", "up"]:
            assert words[2:] == ["--nodes", "4", "&"]
            continue
        if words[0] == "jepsen-like":
            assert Path(words[2]).name == "move.py"  # tests/process/test_examples.py runs it
            continue
        done = four.run(*words[1:], timeout_s=STEP_TIMEOUT_S)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert done.stdout
        row = four.run("sql", "-c", f"INSERT INTO t VALUES ({number}, 1)")
        assert row.returncode == 0, row.stderr
        if line in AFTER:
            AFTER[line](four)
        if words[1] in ("replica", "leader"):
            again = four.run(*words[1:], timeout_s=STEP_TIMEOUT_S)
            assert again.returncode == 0, again.stderr
    assert set(AFTER) <= told
    assert not status(four)["missing"]
    counted = four.run("verify")
    assert counted.returncode == 0, counted.stdout + counted.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("replica add shard-9 n1", 2, "there is no group shard-9"),
        ("replica add shard-1 n9", 2, "there is no node n9"),
        ("replica move shard-1 n1 n1", 2, "FROM and TO are both n1"),
        ("replica remove shard-1 n2", 1, "insist with --force"),
        ("leader transfer shard-1 n1", 1, "node n1 has no replica of shard-1"),
        ("node drain n9", 2, "there is no node n9"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(
    four: Up, words: str, code: int, sentence: str
) -> None:
    before = {group: voters(four, group) for group in ("shard-1", "meta")}
    if words == "leader transfer shard-1 n1" and "n1" in before["shard-1"]:
        words, sentence = "leader transfer shard-1 n4", "node n4 has no replica of shard-1"
    refused = four.run(*words.split())
    assert refused.returncode == code, refused.stdout + refused.stderr
    assert sentence in refused.stderr
    assert {group: voters(four, group) for group in before} == before
