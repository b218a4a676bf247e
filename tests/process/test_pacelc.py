"""`jepsen-like pacelc` as a user runs it, and on a mutant: the labels that the database deserves,
by two programs, and none that it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.pacelc import pacelc_test
from jepsen_like.result import ClassLabel
from jepsen_like.runner import run
from tests.process.negative_control import STALE_NODE

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).parent.parent.parent


def test_every_class_is_found_where_the_database_says(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jepsen_like", "pacelc", "--quick", "--json"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, 2), done.stdout + done.stderr
    answer = json.loads(done.stdout)
    found = {row["class"]: row for row in answer["labels"]}
    promised = {
        "read": "PC/EC",
        "write": "PC/EC",
        "read lease": "PC/EC",
        "read session": "PA/EL",
        "read bounded": "PC/EL",
        "read any": "PA/EL",
    }
    # How many letters are found hangs on the machine; that none is wrong does not.
    measured = {f: row["measured"] for f, row in found.items()}
    for f, letters in measured.items():
        pairs = zip(letters.split("/"), promised[f].split("/"), strict=True)
        assert all(letter in ("?", right) for letter, right in pairs), (f, letters)
    assert measured == promised or done.returncode == 2
    for f in ("read session", "read any"):
        yields = found[f]["figures"]["yields"]["minority"]
        assert yields["count"] > 100
        assert yields["value"] > 0.5, "answered by who is there, as `read` is not"
    assert found["read any"]["figures"]["in_cuts"]["minority"]["stale"] > 0
    for f in ("read", "write"):
        assert found[f]["figures"]["yields"]["minority"]["value"] < 0.05
        assert found[f]["figures"]["within_rtt"]["stale"] == 0
    results = json.loads((tmp_path / "results.json").read_text())
    checks = {verdict["check"]: verdict["validity"] for verdict in results["verdicts"]}
    assert checks["linearizable"] == "valid"
    assert checks["lost writes"] == "valid"
    assert checks["staleness of read bounded"] == "valid"
    assert checks["read-your-writes of read session"] == "valid"
    assert checks["monotonic-reads of read session"] == "valid"

    script = [sys.executable, str(ROOT / "examples" / "pacelc_labels.py"), str(tmp_path)]
    again = subprocess.run(script, capture_output=True, text=True, check=True)
    computed = dict(line.rsplit(" ", 1) for line in again.stdout.splitlines())
    assert computed.keys() == measured.keys()
    for f, letters in computed.items():  # its lots are others: at a limit one of them may not say
        pairs = zip(letters.split("/"), measured[f].split("/"), strict=True)
        assert all(a == b or "?" in (a, b) for a, b in pairs), (f, letters, measured[f])


CACHED_NODE = (sys.executable, str(Path(__file__).with_name("cached_reads_node.py")))


def labelled(out: Path, node: tuple[str, ...]) -> dict[str, ClassLabel]:
    """The labels of a mutant, and that the history alone convicts it."""
    mutant = ShardRouter(nodes=3, shards=3, replicas=3, node_command=node)
    result = run(pacelc_test(mutant, quick=True), out=out)
    assert result.validity == "invalid"
    verdict = next(v for v in result.verdicts if v.check == "linearizable")
    assert verdict.validity == "invalid"
    return {one.f: one for one in result.labels}


@pytest.mark.nightly
def test_reads_from_a_cache_lose_ec(tmp_path: Path) -> None:
    """And so do writes, for which they testify."""
    labels = labelled(tmp_path, CACHED_NODE)
    for f in ("read", "write"):
        assert labels[f].otherwise == "undetermined"
        assert labels[f].figures["within_rtt"]["stale"] > 0
        assert any("close behind a write were stale" in why for why in labels[f].missing)


@pytest.mark.nightly
def test_reads_without_a_quorum_lose_pc(tmp_path: Path) -> None:
    """In a cut: as long as nothing is cut, the leader has what was written last."""
    read = labelled(tmp_path, STALE_NODE)["read"]
    assert read.partition == "undetermined"
    assert read.figures["in_cuts"]["minority"]["stale"] > 0
    assert any(why.startswith("PC:") and "were stale" in why for why in read.missing)
    assert read.figures["within_rtt"]["stale"] == 0
