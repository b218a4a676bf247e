"""Long fork, causal reverse and write skew: by textbook, brute force and simulated stores."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from jepsen_like.checks.named import Question, judge
from jepsen_like.checks.transactions import causal_reverse, check, long_fork
from jepsen_like.history import Operation
from jepsen_like.result import Verdict
from tests.jepsen_like.histories import op
from tests.jepsen_like.oracle import compared
from tests.jepsen_like.test_algorithms import HISTORIES
from tests.jepsen_like.test_transactions import txn


def write_skew(history: list[Operation]) -> Verdict:
    return check(history, "rw-register", "write-skew")


X, Y = txn("w x 1", 0, 10, process=1), txn("w y 1", 0, 10, process=2)
Y_LATER = txn("w y 1", 20, 30, process=2)
X_NOT_Y = txn("R x 1, R y -", 40, 50, process=3)
Y_NOT_X = txn("R x -, R y 1", 40, 50, process=4)
BOTH = txn("R x 1, R y 1", 40, 50, process=5)
NEITHER = txn("R y -, R x -", 40, 50, process=6)
SKEW = [txn("R x -, R y -, w x 1"), txn("R x -, R y -, w y 1")]

JUDGES: dict[str, Callable[[list[Operation]], Verdict]] = {
    "long-fork": long_fork,
    "causal-reverse": causal_reverse,
    "write-skew": write_skew,
}
EXAMPLES: list[tuple[str, list[Operation], str]] = [
    ("long-fork", [X, Y, X_NOT_Y, BOTH, NEITHER], "valid"),
    ("long-fork", [X, Y, X_NOT_Y, BOTH, Y_NOT_X], "invalid"),
    ("long-fork", [X, Y_LATER, Y_NOT_X], "valid"),
    ("long-fork", [X, Y, txn("R x 1, R y -, R z -"), Y_NOT_X], "valid"),  # of different keys
    ("long-fork", [X, X, X_NOT_Y], "unknown"),
    ("long-fork", [X, Y], "unknown"),
    ("long-fork", [X, txn("R x 1, R y 7")], "invalid"),
    ("long-fork", [X, txn("w y 1", outcome="fail"), Y_NOT_X], "invalid"),
    ("causal-reverse", [X, Y_LATER, BOTH, X_NOT_Y, NEITHER], "valid"),
    ("causal-reverse", [X, Y_LATER, Y_NOT_X], "invalid"),
    ("causal-reverse", [X, Y, Y_NOT_X], "valid"),  # concurrent
    ("causal-reverse", [txn("w x 1", 0, 10, outcome="info"), Y_LATER, Y_NOT_X], "valid"),
    ("causal-reverse", [X, txn("w y 1", 20, 30, outcome="info"), Y_NOT_X], "invalid"),
    ("causal-reverse", [op("add", 1, at=(0, 10)), op("add", 2, at=(20, 30)),
                        op("read", None, (2,), at=(40, 50))], "invalid"),
    ("causal-reverse", [op("add", 1, at=(0, 10)), op("add", 2, at=(20, 30)),
                        op("read", None, (1,), at=(40, 50))], "valid"),
    ("causal-reverse", [op("add", 1, at=(0, 10), key="a"), op("add", 2, at=(20, 30), key="b"),
                        op("read", None, (2,), at=(40, 50), key="b")], "valid"),
    ("causal-reverse", [op("read", None, (2,), at=(40, 50))], "invalid"),
    ("write-skew", SKEW, "invalid"),
    ("write-skew", [SKEW[0], txn("R x 1, R y -, w y 1")], "valid"),
    ("write-skew", [txn("R x -, w x 1"), txn("R x -, w x 2")], "valid"),  # a lost update
    ("write-skew", [X, Y, X_NOT_Y, Y_NOT_X], "valid"),  # a long fork
    ("write-skew", [txn("w x 1"), txn("w x 1")], "unknown"),
    # With a worse anomaly beside it, whose cycle a search would be content with
    ("write-skew", [*SKEW, txn("R x 1, R y -, w z 1"), txn("R z 1, R x -")], "invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "history", "validity"), EXAMPLES)
def test_examples_both_ways(name: str, history: list[Operation], validity: str) -> None:
    verdict = JUDGES[name](history)
    assert verdict.check == name
    assert verdict.validity == validity, verdict
    assert verdict.offending or validity != "invalid"
    model = "rw-register" if history[0].f == "txn" else "set"
    assert judge(history, Question(model=model, consistency=name))[1] == verdict


def test_the_sentences_name_processes_and_keys() -> None:
    fork = long_fork([X, Y, X_NOT_Y, Y_NOT_X])
    assert fork.reason == (
        "process 3 saw the write of x and not that of y; process 4 saw that of y and not that of x"
    )
    assert fork.offending == (X, Y, X_NOT_Y, Y_NOT_X)
    reverse = causal_reverse([X, Y_LATER, Y_NOT_X])
    assert reverse.reason == (
        "process 4 saw the write of y and not that of x, "
        "which had been acknowledged before the other was sent"
    )
    assert reverse.offending == (X, Y_LATER, Y_NOT_X)
    assert write_skew(SKEW).reason.startswith("write-skew: T1 read y as None, before T2 wrote 1")


def drawn(rng: random.Random) -> list[Operation]:
    keys = "abcd"[: rng.randrange(2, 5)]
    history = []
    for n, key in enumerate(keys):
        sent = rng.randrange(20)
        outcome: Any = "info" if rng.random() < 0.2 else "ok"
        at = (sent, sent + rng.randrange(1, 9))
        history.append(txn(f"w {key} 1", *at, process=n, outcome=outcome))
    for n in range(rng.randrange(1, 5)):
        group = keys[: rng.choice([len(keys), 2])]
        steps = ", ".join(f"R {key} {rng.choice('1-')}" for key in group)
        history.append(txn(steps, 50, 60, process=10 + n))
    return history


def test_agree_with_the_definitions() -> None:
    rng = random.Random(5)
    seen = set()
    for _ in range(HISTORIES):
        history = drawn(rng)
        writers = {o.value[0][1]: o for o in history if o.value[0][0] == "w"}
        reads = [{k: v for _, k, v in o.output} for o in history if o.value[0][0] == "r"]
        forks = any(
            a.keys() == b.keys() and a[x] and not a[y] and b[y] and not b[x]
            for a, b in itertools.permutations(reads, 2)
            for x, y in itertools.permutations(a, 2)
        )
        reversed_ = any(
            r[y]
            and not r[x]
            and writers[x].outcome == "ok"
            and writers[x].returned_ns < writers[y].sent_ns
            for r in reads
            for x, y in itertools.permutations(r, 2)
        )
        assert (long_fork(history).validity == "invalid") == forks, history
        assert (causal_reverse(history).validity == "invalid") == reversed_, history
        # What is named is no more than what Adya's cycles forbid
        if forks:
            assert check(history, "rw-register", "snapshot-isolation").validity == "invalid"
        if reversed_:
            assert check(history, "rw-register").validity == "invalid"
        compared(history, "long fork", "causal reverse")
        seen.add((forks, reversed_))
    assert len(seen) == 4


def store(rng: random.Random, isolation: str) -> list[Operation]:
    """Transactions over a store that gives each a snapshot of its start and commits in order.

    serializable: a transaction whose reads were overwritten meanwhile is refused; snapshot: only
    one whose writes were.
    """
    committed: list[dict[str, int]] = [{}]
    versions: dict[str, int] = {}  # key -> the commit that wrote it last
    history = []
    now = written = 0
    open_: list[tuple[int, int, dict[str, int], list[str], list[str]]] = []
    for process in range(14):
        now += 1
        keys = rng.sample("xyz", 2)
        open_.append((process, now, committed[-1], keys, rng.sample(keys, rng.randrange(2))))
        while len(open_) > rng.randrange(3):
            who, start, snapshot, reads, writes = open_.pop(rng.randrange(len(open_)))
            now += 1
            clash = reads if isolation == "serializable" else writes
            if any(versions.get(key, 0) != snapshot.get(f"at {key}", 0) for key in clash):
                continue  # refused: it never happened
            steps = [f"R {key} {snapshot.get(key, '-')}" for key in reads]
            state = dict(committed[-1])
            for key in writes:
                written += 1
                versions[key] = len(committed)
                state |= {key: written, f"at {key}": len(committed)}
                steps.append(f"w {key} {written}")
            committed.append(state)
            history.append(txn(", ".join(steps), start, now, process=who))
    return history


def test_a_store_with_snapshots_skews_and_a_serializable_one_never_does() -> None:
    skewed = 0
    for seed in range(HISTORIES):
        rng = random.Random(seed)
        good = store(rng, "serializable")
        assert write_skew(good).validity == "valid", good
        assert check(good, "rw-register", "serializable").validity == "valid", good
        loose = store(rng, "snapshot")
        verdict = write_skew(loose)
        skewed += verdict.validity == "invalid"
        if verdict.validity == "invalid":
            assert check(loose, "rw-register", "serializable").validity == "invalid"
        assert check(loose, "rw-register", "snapshot-isolation").validity == "valid", loose
    assert skewed > HISTORIES / 10
