"""How fast the checkers are, and beside Porcupine if PORCUPINE_SRC names its source tree.

    python bench/checkers.py
    PORCUPINE_SRC=~/porcupine python bench/checkers.py

Times are the best of some runs in a warm process, from operations in memory to a verdict with a
replayed linearization; Porcupine's are measured alike. Without Porcupine no ratio is claimed:
absolute times, and a calibration loop that says how fast this machine is. Recorded histories are
used where they are at ../shared/data/histories from the project's root, or RECORDED_HISTORIES.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.histories import Load, append_history, register_history, with_a_stale_read
from bench.porcupine import Answer, Porcupine
from jepsen_like.checks import columnar, fast
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.objects import decide
from jepsen_like.checks.transactions import check as check_transactions
from jepsen_like.history import Operation
from jepsen_like.history.files import read
from jepsen_like.history.jsonl import read_jsonl, write_jsonl
from jepsen_like.models import CasRegister, Model, Text

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "histories"
RECORDED = Path(os.environ.get("RECORDED_HISTORIES", BESIDE))
RUNS_SECONDS = 1.5  # of repeating one case
VERDICT_ONLY = Budget(seconds=60, shrink_seconds=-1.0)


@dataclass(frozen=True)
class Case:
    name: str
    histories: Sequence[Sequence[Operation]]
    model: Model
    run: Callable[[Sequence[Sequence[Operation]], Model], Any]
    target_ratio: float | None = None  # times faster than Porcupine
    target_ms: float | None = None
    compare: bool = True  # with Porcupine


def best_ms(run: Callable[[], Any]) -> float:
    best = float("inf")
    end = time.perf_counter() + RUNS_SECONDS
    while True:
        gc.collect()
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best * 1e3


def calibration_ms() -> float:
    """A loop of dictionary and integer work, as the checkers' are."""

    def loop() -> int:
        seen: dict[int, int] = {}
        for i in range(200_000):
            seen[i & 1023] = seen.get(i & 511, 0) + 1
        return len(seen)

    return best_ms(loop)


def verdicts(histories: Sequence[Sequence[Operation]], model: Model, budget: Budget) -> list[str]:
    return [check(history, model, budget=budget).validity for history in histories]


def in_python(histories: Sequence[Sequence[Operation]], model: Model) -> list[str]:
    kept, columnar.OPERATIONS_MIN = columnar.OPERATIONS_MIN, sys.maxsize
    try:
        return verdicts(histories, model, VERDICT_ONLY)
    finally:
        columnar.OPERATIONS_MIN = kept


def blocks_only(histories: Sequence[Sequence[Operation]], model: Model) -> None:
    for history in histories:
        answer = decide(history, model, want_order=False)
        assert answer is not None
        assert answer.answer != "unclear"


def first_contradiction(histories: Sequence[Sequence[Operation]], model: Model) -> list[str]:
    return verdicts(histories, model, replace(VERDICT_ONLY, stop_at_first=True))


def explained(histories: Sequence[Sequence[Operation]], model: Model) -> list[str]:
    return verdicts(histories, model, Budget(seconds=60))


def isolated(histories: Sequence[Sequence[Operation]], model: Model) -> None:
    del model
    for history in histories:
        assert check_transactions(history, "list-append").validity == "valid"


def numpy_on(history: list[Operation], model: Model) -> Callable[[Any, Any], Any]:
    """From columns that numpy takes as they are."""
    columns = columnar.columns_for_numpy(history, model)
    assert columns is not None

    def run(_: Sequence[Sequence[Operation]], __: Model) -> None:
        answer = fast.decide_all(columns)
        assert answer is not None
        assert not answer.illegal
        assert not answer.unclear

    return run


def recorded() -> Iterator[Case]:
    if not RECORDED.is_dir():
        print(f"no recorded histories at {RECORDED}")
        return
    etcd = [list(read(path)) for path in sorted((RECORDED / "etcd").glob("*.log"))]
    yield Case(f"etcd logs ({len(etcd)})", etcd, CasRegister(), in_python, 8)
    yield Case("kv c50-ok", [list(read(RECORDED / "kv/c50-ok.txt"))], Text(), in_python, 4)
    bad = [list(read(RECORDED / "kv/c50-bad.txt"))]
    yield Case("kv c50-bad, first contradiction", bad, Text(), first_contradiction, 1)


def generated() -> Iterator[Case]:
    model = CasRegister()
    distinct = register_history(Load(10_000, 10))
    yield Case("1 key x 1e4 distinct, Python", [distinct], model, in_python, 150)
    yield Case("  the same, decided without an order", [distinct], model, blocks_only, 150)
    if fast.available():
        yield Case("  the same, numpy", [distinct], model, numpy_on(distinct, model), 800)
    long = register_history(Load(100_000, 50, info=0.01))
    yield Case("1 key x 1e5, 50 clients, 1% info, Python", [long], model, in_python,
               target_ms=250, compare=False)  # fmt: skip
    five = register_history(Load(10_000, 10, values=5, cas=0.3))
    yield Case("cas over 5 values, 1 key x 1e4", [five], model, in_python, 4)
    many = register_history(Load(100_000, 50, keys=100, values=5, cas=0.3, info=0.001))
    yield Case("cas over 5 values, 100 keys, 1e5", [many], model, in_python, 1)
    stale = with_a_stale_read(distinct)
    yield Case("minimal counterexample from 1e4", [stale], model, explained,
               target_ms=200, compare=False)  # fmt: skip
    repeated = with_a_stale_read(register_history(Load(10_000, 10, values=50, cas=0.3)))
    yield Case("  the same over 50 values", [repeated], model, explained, compare=False)
    if fast.available():
        million = register_history(Load(1_000_000, 50, keys=100, info=0.001))
        yield Case("100 keys x 1e4 = 1e6, numpy", [million], model, numpy_on(million, model), 8,
                   target_ms=250)  # fmt: skip


def others() -> Iterator[Case]:
    """What Porcupine has nothing like."""
    model = CasRegister()
    appends = append_history(Load(100_000, 20, keys=10, info=0.01))
    yield Case("1e5 list-append transactions", [appends], model, isolated,
               target_ms=800, compare=False)  # fmt: skip
    lines = register_history(Load(200_000, 50, keys=100, info=0.001))
    with tempfile.TemporaryDirectory(prefix="histories-") as directory:
        path = Path(directory) / "history.jsonl"
        write_jsonl(path, lines)
        yield Case("2e5 operations of JSON Lines", [lines], model, lambda *_: read_jsonl(path),
                   target_ms=400, compare=False)  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    source = os.environ.get("PORCUPINE_SRC")
    porcupine = Porcupine(Path(source)) if source else None
    print(f"calibration loop {calibration_ms():.1f} ms")
    if porcupine is None:
        print("PORCUPINE_SRC is not set: absolute times, no ratios")
    print("ratio: Porcupine's time by ours; ? where it gave up on a history after some seconds")
    print(f"{'case':44} {'ours ms':>9} {'Porcupine ms':>13} {'ratio':>8}  target")
    try:
        judged: list[tuple[Sequence[Sequence[Operation]], Answer]] = []  # the last: in several rows
        for case in chain(recorded(), generated(), others()):
            if not arguments or any(word in case.name for word in arguments):
                report(case, porcupine, judged)
    finally:
        if porcupine is not None:
            porcupine.close()


def report(
    case: Case,
    porcupine: Porcupine | None,
    judged: list[tuple[Sequence[Sequence[Operation]], Answer]],
) -> None:
    ours = best_ms(lambda: case.run(case.histories, case.model))
    theirs, ratio = "-", "-"
    met = []
    if porcupine is not None and case.compare:
        same = (a for known, a in judged if known[0] is case.histories[0])
        answer = next(same, None) or porcupine.judge(case.histories, case.model)
        judged[:] = [(case.histories, answer)]  # an older one would only take memory
        theirs = f"{answer.ms:.1f}" + ("?" if "unknown" in answer.verdicts else "")
        ratio = f"{answer.ms / ours:.1f}x"
        if case.target_ratio is not None:
            met.append(answer.ms / ours >= case.target_ratio)
    if case.target_ms is not None:
        met.append(ours <= case.target_ms)
    target = "" if case.target_ratio is None else f">={case.target_ratio:g}x "
    target += "" if case.target_ms is None else f"<={case.target_ms:g} ms "
    target += "" if not met else "met" if all(met) else "not met"
    print(f"{case.name:44} {ours:9.2f} {theirs:>13} {ratio:>8}  {target}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
