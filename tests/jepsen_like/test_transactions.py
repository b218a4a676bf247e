"""Anomalies of transactions: each by the smallest history that shows it, and none in good ones."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from jepsen_like.checks.cycles import WW, Graph, components
from jepsen_like.checks.transactions import CONSISTENCIES, check
from jepsen_like.checks.transactions.time_order import add_time_order, in_no_order
from jepsen_like.checks.transactions.transaction import transactions
from jepsen_like.history import Operation, Outcome

PROCESSES = itertools.count(100)


def txn(text: str, *at: int, process: int | None = None, outcome: Outcome = "ok") -> Operation:
    """txn("r x 12, a x 3"): reads x as [1, 2] and appends 3; "r x -" reads nothing.

    For registers: "r x 1, w x 2".
    """
    steps: list[Any] = []
    for part in text.split(", "):
        what, key, value = part.split()
        read_list: Any = tuple(int(digit) for digit in value if digit != "-")
        if what == "r":
            steps.append(("r", key, read_list))
        elif what == "R":
            steps.append(("r", key, None if value == "-" else int(value)))
        else:
            steps.append(({"a": "append", "w": "w"}[what], key, int(value)))
    sent, returned = at or (0, 1000)
    asked = tuple((w, k, None if w == "r" else v) for w, k, v in steps)
    who = next(PROCESSES) if process is None else process
    error = "" if outcome == "ok" else "why"
    return Operation(who, "txn", "", asked, outcome, tuple(steps), sent, sent, returned, "", error)


LISTS: dict[str, tuple[list[Operation], str | None]] = {
    # name: (history, the strictest isolation that holds)
    "nothing": ([txn("a x 1"), txn("r x 1, a y 1"), txn("r x 1, r y 1")], "strict-serializable"),
    "G0": ([txn("a x 1, a y 1"), txn("a x 2, a y 2"), txn("r x 12, r y 21")], None),
    "G1a": ([txn("a x 1", outcome="fail"), txn("r x 1")], None),
    "G1b": ([txn("a x 1, a x 2"), txn("r x 1"), txn("r x 12")], None),
    "G1c": ([txn("a x 1, r y 1"), txn("a y 1, r x 1")], None),
    "garbage-read": ([txn("r x 7")], None),
    "duplicate-elements": ([txn("a x 1"), txn("r x 11")], None),
    "incompatible-order": ([txn("a x 1"), txn("a x 2"), txn("r x 12"), txn("r x 21")], None),
    "internal": ([txn("a x 1, r x -")], "read-committed"),
    "lost-update": ([txn("r x -, a x 1"), txn("r x -, a x 2"), txn("r x 12")], "read-committed"),
    "G-single": ([txn("a x 1, a y 1"), txn("r x -, r y 1"), txn("r x 1")], "read-committed"),
    "G2": ([txn("r x -, a y 1"), txn("r y -, a x 1"), txn("r x 1, r y 1")], "snapshot-isolation"),
    "G-single-process": (
        [txn("a x 1", 0, 9, process=1), txn("r x -", 9, 10, process=1), txn("r x 1")],
        "serializable",
    ),
    "G-single-realtime": (
        [txn("a x 1", 0, 9, process=1), txn("r x -", 10, 11, process=2), txn("r x 1")],
        "strong-session-serializable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_each_anomaly_of_lists_by_its_smallest_history(name: str) -> None:
    history, holds = LISTS[name]
    verdict = check(history, "list-append")
    assert verdict.details["holds"] == holds, verdict
    if name == "nothing":
        assert verdict.validity == "valid"
    else:
        assert verdict.validity == "invalid"
        assert name in verdict.details["anomalies"], verdict.details
    for consistency in CONSISTENCIES:
        weaker = holds is not None and CONSISTENCIES.index(consistency) >= CONSISTENCIES.index(
            holds
        )
        found = check(history, "list-append", consistency).validity
        assert found == ("valid" if weaker else "invalid")


REGISTERS: dict[str, tuple[list[Operation], str | None]] = {
    "nothing": ([txn("w x 1"), txn("R x 1, w x 2"), txn("R x 2")], "strict-serializable"),
    "G1a": ([txn("w x 1", outcome="fail"), txn("R x 1")], None),
    "G1b": ([txn("w x 1, w x 2"), txn("R x 1")], None),
    "G1c": ([txn("w x 1, R y 1"), txn("w y 1, R x 1")], None),
    "garbage-read": ([txn("R x 7")], None),
    "internal": ([txn("w x 1, R x 2"), txn("w x 2")], "read-committed"),
    "cyclic-versions": ([txn("R x 1, w x 2"), txn("R x 2, w x 1")], None),
    "lost-update": (
        [txn("w x 1"), txn("R x 1, w x 2"), txn("R x 1, w x 3")],
        "read-committed",
    ),
    "G2": ([txn("R x -, w y 1"), txn("R y -, w x 1")], "snapshot-isolation"),
    "G-single": ([txn("w x 1, w y 1"), txn("R x -, R y 1")], "read-committed"),
    "G-single-realtime": (
        [txn("w x 1", 0, 1), txn("R x -", 2, 3)],
        "strong-session-serializable",
    ),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_each_anomaly_of_registers_by_its_smallest_history(name: str) -> None:
    history, holds = REGISTERS[name]
    verdict = check(history, "rw-register")
    assert verdict.details["holds"] == holds, verdict
    assert (verdict.validity == "valid") == (name == "nothing")
    if name != "nothing":
        assert name in verdict.details["anomalies"], verdict.details


def test_an_instant_shared_is_no_order() -> None:
    history = [txn("a x 1", 0, 9, process=1), txn("r x -", 9, 11, process=2), txn("r x 1")]
    assert check(history, "list-append").validity == "valid"


def test_a_write_of_unknown_outcome_may_have_happened() -> None:
    unsure = txn("a x 1", outcome="info")
    assert check([unsure, txn("r x 1")], "list-append").validity == "valid"
    assert check([unsure, txn("r x -")], "list-append").validity == "valid"


def test_an_append_that_nobody_read_came_after_the_longest_list() -> None:
    history = [
        txn("a x 1", 0, 1, process=1),
        txn("a x 2", 2, 3, process=2),
        txn("r x 1", 4, 5, process=3),
    ]
    verdict = check(history, "list-append")
    assert verdict.details["anomalies"] == {"G-single-realtime": 1}


def test_a_cycle_is_drawn_and_told() -> None:
    history, _ = LISTS["G2"]
    verdict = check(history, "list-append", "serializable")
    (text,) = verdict.details["anomalies_in_words"]
    assert text.splitlines() == [
        "G2: T1 -(rw x)-> T2 -(rw y)-> T1",
        f"  T1 is process {history[0].process}: read x -> [], append y 1",
        f"  T2 is process {history[1].process}: read y -> [], append x 1",
        "  - T1 read x as [], without 1, which T2 appended",
        "  - T2 read y as [], without 1, which T1 appended",
    ]
    assert verdict.reason == (
        "G2: T1 read x as [], without 1, which T2 appended; T2 read y as [], without 1, "
        "which T1 appended; at most snapshot-isolation holds"
    )
    assert verdict.offending == tuple(history[:2])
    history, _ = REGISTERS["G-single-realtime"]
    verdict = check(history, "rw-register")
    (text,) = verdict.details["anomalies_in_words"]
    assert "T2 was over before T1 was sent" in text
    assert "T1 read x as None, before T2 wrote 1" in text


def test_what_is_no_transaction_is_unknown() -> None:
    bad = Operation(0, "read", "x", None, "ok", 1, 0, 0, 1, "")
    assert "read is no transaction" in check([bad], "list-append").reason
    verdict = check([txn("w x 1")], "list-append")
    assert (verdict.validity, "is no step" in verdict.reason) == ("unknown", True)
    twice = [txn("a x 1"), txn("a x 1")]
    assert check(twice, "list-append").validity == "unknown"


def serial(seed: int, count: int, *, registers: bool, info: float = 0.0) -> list[Operation]:
    """What a strictly serializable database answers: each transaction at an instant inside it."""
    rng = random.Random(seed)
    free_at = [0] * 5
    process = list(range(5))
    state: dict[int, Any] = {}
    planned = []
    for _ in range(count):
        client = min(range(5), key=lambda c: free_at[c])
        sent = free_at[client] + rng.randrange(1, 50)
        returned = sent + rng.randrange(1, 200)
        outcome: Outcome = "info" if rng.random() < info else "ok"
        planned.append((rng.uniform(sent, returned), sent, returned, process[client], outcome))
        free_at[client] = returned
        if outcome == "info":
            process[client] += 5
    history = []
    value = 0
    for _, sent, returned, who, outcome in sorted(planned):
        happens = outcome == "ok" or rng.random() < 0.5
        mine = dict(state)
        steps: list[Any] = []
        for _ in range(rng.randrange(1, 5)):
            key = rng.randrange(4)
            if rng.random() < 0.5:
                steps.append(("r", key, mine.get(key, None if registers else ())))
            else:
                value += 1
                steps.append(("w" if registers else "append", key, value))
                mine[key] = value if registers else (*mine.get(key, ()), value)
        if happens:
            state = mine
        asked = tuple((w, k, None if w == "r" else v) for w, k, v in steps)
        error = "" if outcome == "ok" else "timeout"
        history.append(
            Operation(who, "txn", "", asked, outcome, tuple(steps), sent, sent, returned, "", error)
        )
    return history


@pytest.mark.parametrize("registers", [False, True], ids=["lists", "registers"])
def test_what_a_correct_database_answers_is_strictly_serializable(registers: bool) -> None:
    workload = "rw-register" if registers else "list-append"
    for seed in range(25):
        history = serial(seed, 80, registers=registers, info=0.1)
        verdict = check(history, workload)
        assert verdict.validity == "valid", (seed, verdict.reason)
        assert verdict.details["anomalies"] == {}


def test_a_stale_read_among_many_is_found() -> None:
    missed = 0
    for seed in range(30):
        history = serial(seed, 80, registers=False)
        rng = random.Random(seed)
        reads = [
            (i, n)
            for i, o in enumerate(history)
            for n, step in enumerate(o.output)
            if step[0] == "r" and len(step[2]) > 3 and step[1] not in {s[1] for s in o.output[:n]}
        ]
        i, n = rng.choice(reads)
        steps = list(history[i].output)
        steps[n] = ("r", steps[n][1], steps[n][2][:-3])
        mutant = Operation(
            **{f: getattr(history[i], f) for f in Operation.__slots__} | {"output": tuple(steps)}
        )
        verdict = check([*history[:i], mutant, *history[i + 1 :]], "list-append")
        missed += verdict.validity != "invalid"
    assert missed <= 3  # the few whose appends were still concurrent with the read


def test_an_order_without_edges_of_the_clock_leaves_out_every_cycle() -> None:
    """`in_no_order` against the components of the graph with all its edges."""
    rng = random.Random(11)
    cyclic = 0
    for _ in range(400):
        outcomes: list[Outcome] = ["ok", "ok", "ok", "info", "fail"]
        history = []
        for _ in range(rng.randrange(1, 9)):
            sent = rng.randrange(12)
            at = (sent, sent + rng.randrange(6))
            which = rng.choice(outcomes)
            history.append(txn("a x 1", *at, process=rng.randrange(3), outcome=which))
        found = transactions(history, "append")
        graph = Graph(len(found), len(found) + rng.randrange(2))
        alive = [i for i in range(graph.nodes) if i >= len(found) or found.outcome[i] != "fail"]
        for _ in range(rng.randrange(0, 6) if alive else 0):
            graph.add(rng.choice(alive), rng.choice(alive), WW)
        doubtful = in_no_order(graph, found)
        add_time_order(graph, found, range(len(found)))
        members = components(graph.nodes, graph.source, graph.target)
        assert bool(doubtful) == bool(members)
        in_cycles = {i for some in members for i in some if i < len(found)}
        assert in_cycles <= set(doubtful)
        cyclic += bool(members)
    assert 100 < cyclic < 300


def test_components_agree_with_reachability() -> None:
    rng = random.Random(5)
    for _ in range(200):
        nodes = rng.randrange(1, 9)
        edges = [(rng.randrange(nodes), rng.randrange(nodes)) for _ in range(rng.randrange(0, 14))]
        reach = {(a, b) for a, b in edges} | {(a, a) for a in range(nodes)}
        for middle in range(nodes):
            reach |= {
                (a, b) for a in range(nodes) for b in range(nodes)
                if (a, middle) in reach and (middle, b) in reach
            }  # fmt: skip
        wanted = {
            frozenset(b for b in range(nodes) if (a, b) in reach and (b, a) in reach)
            for a in range(nodes)
        }
        found = components(nodes, [a for a, _ in edges], [b for _, b in edges])
        assert sorted(map(sorted, found)) == sorted(sorted(c) for c in wanted if len(c) > 1)
