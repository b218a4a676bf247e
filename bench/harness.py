"""What the harness itself costs: of a core while it records, and for the report of a run.

    python bench/harness.py
    python bench/harness.py --quick     a few seconds, to see that it works

The database is a dictionary in this process that answers after a millisecond, so that nearly all
CPU time is the harness's own: the plan, the dispatcher, the deadlines, the recorder and its file.
The load is that of a test: 2 000 calls a second from three hosts, for 60 s. Then the same run is
judged and its report written.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

from bench.machine import commit, machine
from jepsen_like import Test, checks, faults, load, workloads
from jepsen_like.backends.backend import Backend
from jepsen_like.clients import Answer
from jepsen_like.judge import judge
from jepsen_like.load import Call
from jepsen_like.report.html import page
from jepsen_like.runner import record, run_async
from jepsen_like.workloads.workload import Workload

ROOT: Final = Path(__file__).resolve().parents[1]
RATE: Final = 2_000
CORE_TARGET: Final = 0.25
REPORT_TARGET_S: Final = 3.0
REPORT_TARGET_MB: Final = 3.0
ANSWER_S: Final = 0.001


@dataclass(frozen=True)
class InMemory:
    """Linearizable without doing anything for it: one process, one dictionary."""

    hosts: tuple[str, ...] = ("n1", "n2", "n3")

    def describe(self) -> dict[str, Any]:
        return {"database": "a dictionary"}

    def versions(self) -> dict[str, str]:
        return {}

    async def start(
        self, backend: Backend, directory: Path, say: Callable[[str], None]
    ) -> RunningInMemory:
        return RunningInMemory()


class RunningInMemory:
    def __init__(self) -> None:
        self.values: dict[int | str, Any] = {}

    async def prepare(self, workload: Workload, keys: Sequence[int]) -> None:
        self.values.update(dict.fromkeys(keys, workload.initial))

    async def connect(
        self, host: str, workloads: Sequence[Workload], deadline_s: float
    ) -> InMemoryClient:
        return InMemoryClient(self.values)

    async def leaders(self) -> Mapping[str, str]:
        return {"all": "n1"}

    async def groups_of(self, workload: Workload, keys: Collection[int]) -> Mapping[int, str]:
        return dict.fromkeys(keys, "all")

    def pid(self, host: str) -> int:
        return 0

    async def answering_pid(self, host: str) -> int | None:
        return 0

    async def restart(self, host: str) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """There is nothing to stop."""


class InMemoryClient:
    is_usable = True

    def __init__(self, values: dict[int | str, Any]) -> None:
        self._values = values

    async def invoke(self, call: Call) -> Answer:
        await asyncio.sleep(ANSWER_S)
        if call.f == "read":
            return Answer("ok", self._values[call.key])
        if call.f == "write":
            self._values[call.key] = call.value
            return Answer("ok")
        old, new = call.value
        matches = self._values[call.key] == old
        if matches:
            self._values[call.key] = new
        return Answer("ok", matches)

    def abort(self) -> None:
        """Nothing is held."""


def measure(seconds: int, directory: Path) -> dict[str, Any]:
    test = Test(
        name="harness",
        db=InMemory(),
        workloads=[workloads.register(keys=20)],
        load=load.open_loop(rate=RATE, deadline="500ms"),
        faults=[faults.healthy(f"{seconds}s")],
        checks=[checks.linearizable(), checks.availability(), checks.recovery()],
        backend="proxy",
    )
    cpu, wall = time.process_time(), time.perf_counter()
    recording = run_async(
        record(test, directory=directory, history_path=directory / "history.jsonl")
    )
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    count = len(recording.history)
    begun = time.perf_counter()
    result = judge(recording, command="bench")
    judged = time.perf_counter() - begun
    begun = time.perf_counter()
    report = page(result)
    written = time.perf_counter() - begun
    return {
        "operations": count,
        "wall_s": round(wall, 1),
        "core": round(cpu / count * RATE, 3),  # not of `wall`: there is more time than load in it
        "us_per_operation": round(cpu / count * 1e6, 1),
        "unserved": len(recording.unserved),
        "validity": result.validity,
        "judge_s": round(judged, 2),
        "report_s": round(written, 2),
        "report_mb": round(len(report.encode()) / 1e6, 2),
    }


@click.command()
@click.option("--quick", is_flag=True, help="Three seconds for sixty.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=ROOT / "bench" / "results",
    help="Where the JSON goes.",
)
def main(quick: bool, out: Path) -> None:
    """Measure what recording costs of a core at 2 000 operations/s, and the report of the run."""
    with tempfile.TemporaryDirectory() as directory:
        found = measure(3 if quick else 60, Path(directory))
    click.echo(
        f"{found['operations']} operations in {found['wall_s']} s, {found['validity']}, "
        f"{found['unserved']} without a connection (load {machine()['load']})"
    )
    for what, value, target, unit in (
        (f"recording {RATE} operations/s takes of a core", found["core"], CORE_TARGET, ""),
        ("the report is written in", found["report_s"], REPORT_TARGET_S, " s"),
        ("the report has", found["report_mb"], REPORT_TARGET_MB, " MB"),
    ):
        verdict = "met" if value <= target else "missed"
        click.echo(f"{what} {value:g}{unit}; target <= {target:g}{unit}: {verdict}")
    click.echo(
        f"{found['us_per_operation']:g} us of CPU an operation; judged in {found['judge_s']} s"
    )
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        **found,
    }
    path = out / f"harness-{content['commit']}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
