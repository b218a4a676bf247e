"""The harness against a small register database: real processes, sockets, signals."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from jepsen_like import checks, faults, load, workloads
from jepsen_like.checks.linearizable import check
from jepsen_like.faults.targets import leader_of
from jepsen_like.history import Operation, read_jsonl
from jepsen_like.judge import judge
from jepsen_like.models import CasRegister
from jepsen_like.recording import Recording
from jepsen_like.runner import HarnessError, Unfinished, record
from jepsen_like.spec import Test
from jepsen_like.workloads.register import INITIAL
from tests.jepsen_like.networks import require_namespaces
from tests.jepsen_like.register_db import GROUP, RegisterDb

pytestmark = [pytest.mark.slow, pytest.mark.processes]

PARTITION = faults.partition(faults.isolate(leader_of(GROUP)), hold="1.5s", rest="0.3s")


def register_test(
    *schedule: faults.Fault, db: RegisterDb | None = None, backend: str = "proxy"
) -> Test:
    return Test(
        name="registers",
        db=db or RegisterDb(),
        workloads=[workloads.register(keys=6, calls_per_key=40)],
        load=load.open_loop(rate=150, deadline="250ms", clients=20),
        faults=[faults.healthy("0.3s"), *schedule],
        seed=3,
        backend=backend,
    )


@pytest.fixture(params=["proxy", "netns"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "netns":
        require_namespaces()
    return str(request.param)


def verdict(recording: Recording) -> str:
    return check(recording.history, CasRegister(INITIAL)).validity


def during(recording: Recording, kind: str) -> list[Operation]:
    (fault,) = [f for f in recording.faults if f.kind == kind]
    return [
        operation
        for operation in recording.history
        if fault.start_ns <= operation.scheduled_ns < fault.end_ns
    ]


async def test_a_verified_partition_of_a_linearizable_database_is_valid(
    tmp_path: Path, backend: str
) -> None:
    recording = await record(register_test(PARTITION, backend=backend), directory=tmp_path)
    assert recording.backend == backend
    (cut,) = recording.faults
    assert cut.verified, cut.evidence
    assert cut.target == "n1"
    assert cut.role_before == f"leader of {GROUP}"
    assert cut.sides == (("n1",), ("n2", "n3"))
    assert verdict(recording) == "valid"
    assert recording.unread == ()
    assert recording.leaders == {GROUP: "n1"}

    operations = during(recording, "partition")
    by_side = Counter((operation.node == "n1", operation.outcome) for operation in operations)
    assert by_side[True, "ok"] > 40
    assert by_side[False, "ok"] < by_side[True, "ok"]  # asked just before the heal, and held
    assert by_side[False, "info"] > 20
    assert by_side[False, "fail"] > 20  # reads

    retired = [o.process for o in recording.history if o.outcome == "info"]
    assert len(retired) == len(set(retired))
    last = {o.process: o for o in recording.history}
    assert all(last[process].outcome == "info" for process in retired)


async def test_workloads_have_keys_and_verdicts_of_their_own(tmp_path: Path) -> None:
    """Both write their key 1; judged as one register, it would hold what nobody wrote."""
    test = replace(
        register_test(PARTITION),
        workloads=[workloads.register(keys=3), workloads.register(keys=3, name="second", weight=2)],
    )
    path = tmp_path / "history.jsonl"
    recording = await record(test, directory=tmp_path / "data", history_path=path)
    counts = Counter(operation.workload for operation in recording.history)
    assert set(counts) == {"register", "second"}
    assert {workload for workload, _ in recording.groups} == {"register", "second"}
    assert read_jsonl(path).workload.count("second") == counts["second"]
    result = judge(recording, command="")
    titles = [v.title for v in result.verdicts if v.check == "linearizable"]
    assert titles == ["linearizable (register)", "linearizable (second)"]
    assert result.validity == "valid", [v.reason for v in result.verdicts]


async def test_a_process_has_one_operation_in_flight(tmp_path: Path) -> None:
    recording = await record(register_test(), directory=tmp_path)
    busy_until: dict[int, int] = {}
    for operation in sorted(recording.history, key=lambda o: o.sent_ns):
        assert operation.scheduled_ns <= operation.sent_ns <= operation.returned_ns
        assert busy_until.get(operation.process, 0) <= operation.sent_ns
        busy_until[operation.process] = operation.returned_ns


async def test_stale_reads_on_the_cut_off_side_are_convicted(tmp_path: Path, backend: str) -> None:
    recording = await record(
        register_test(PARTITION, db=RegisterDb(stale=True), backend=backend), directory=tmp_path
    )
    assert recording.faults[0].verified, recording.faults[0].evidence
    assert verdict(recording) == "invalid"


async def test_a_run_that_is_judged_online_stops_at_the_first_violation(tmp_path: Path) -> None:
    cut = faults.partition(faults.isolate(leader_of(GROUP)), hold="60s", rest="60s")
    test = replace(
        register_test(cut, db=RegisterDb(stale=True)), checks=[checks.linearizable(online=True)]
    )
    path = tmp_path / "history.jsonl"
    said: list[str] = []
    recording = await record(
        test, directory=tmp_path / "data", write=said.append, history_path=path
    )
    assert recording.duration_ns < 30e9
    assert recording.violation is not None
    assert recording.violation.validity == verdict(recording) == "invalid"
    result = judge(recording, command="jepsen-like run")
    stopped = f"stopped at operation {recording.violation.operations}: no order explains read -> "
    assert any(stopped in line for line in said)
    assert result.notes[1].startswith(stopped)
    assert result.validity == "invalid"
    # Until then it was written down, and could be read
    assert sorted(read_jsonl(path), key=str) == sorted(recording.history, key=str)


@dataclass(frozen=True)
class NoEnd:
    """A fault that lasts until the run is ended."""

    begun: asyncio.Event
    kind: str = "trouble"
    name: str = "trouble without end"
    hold_s: float = 60.0
    rest_s: float = 0.0

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> NoEnd:
        return self

    async def run(self, site: faults.Site) -> None:
        self.begun.set()
        await asyncio.Event().wait()


async def test_the_history_tells_of_faults_also_if_the_run_is_ended_early(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    last = NoEnd(asyncio.Event())
    kill = faults.kill(leader_of(GROUP), hold="0.2s", rest="0.1s")
    test = register_test(kill, last)
    running = asyncio.ensure_future(record(test, directory=tmp_path / "data", history_path=path))
    await last.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    written = read_jsonl(path)
    killed, at_work = written.faults
    assert (killed.name, killed.verified) == ("kill n1", True)
    assert 0 < killed.start_ns < (killed.end_ns or 0) <= at_work.start_ns
    assert (at_work.name, at_work.end_ns) == ("trouble without end", None)
    assert any(killed.start_ns <= o.sent_ns <= (killed.end_ns or 0) for o in written)


async def test_a_run_that_is_judged_online_and_keeps_its_promise_goes_on(tmp_path: Path) -> None:
    online = [checks.linearizable(online=True), checks.staleness(1e-6, online=True)]
    test = replace(register_test(PARTITION), checks=online)
    recording = await record(test, directory=tmp_path)
    assert [verdict.validity for verdict in recording.online] == ["valid"] * 2, recording.online
    assert recording.faults[0].verified
    assert recording.unread == ()
    assert judge(recording, command="").validity == "valid"


async def test_a_killed_process_is_gone_and_comes_back(tmp_path: Path) -> None:
    recording = await record(
        register_test(faults.kill(leader_of(GROUP), hold="0.5s", rest="0.5s")), directory=tmp_path
    )
    (killed,) = recording.faults
    assert killed.verified, killed.evidence
    assert verdict(recording) == "valid"
    assert any(operation.outcome != "ok" for operation in during(recording, "kill"))


async def test_a_paused_process_stops_and_goes_on(tmp_path: Path) -> None:
    recording = await record(
        register_test(faults.pause(leader_of(GROUP), hold="0.5s", rest="0.3s")), directory=tmp_path
    )
    (paused,) = recording.faults
    assert paused.verified, paused.evidence
    assert verdict(recording) == "valid"
    assert any(operation.outcome != "ok" for operation in during(recording, "pause"))


async def test_a_target_that_does_not_exist_leaves_an_unverified_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.faults.fault.LEADER_WAIT_S", 0.1)
    recording = await record(
        register_test(faults.kill(leader_of("nobody"), hold="0.1s", rest="0s")), directory=tmp_path
    )
    (fault,) = recording.faults
    assert not fault.verified
    assert "nobody leads nobody" in fault.evidence[0]
    assert recording.history


async def test_a_database_that_does_not_start_is_a_harness_error(tmp_path: Path) -> None:
    broken = register_test(db=RegisterDb(options=("--no-such-option",)))
    with pytest.raises(HarnessError, match=r"did not start.*--no-such-option"):
        await record(broken, directory=tmp_path)


async def test_a_cancelled_run_leaves_no_process(tmp_path: Path) -> None:
    seen: list[str] = []
    cut = asyncio.Event()

    def write(line: str) -> None:
        seen.append(line)
        if "cut:" in line:
            cut.set()

    run = asyncio.ensure_future(record(register_test(PARTITION), directory=tmp_path, write=write))
    async with asyncio.timeout(20):
        await cut.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not processes_that_name(str(tmp_path))


def processes_that_name(text: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        if text in line:
            found.append(line)
    return found


@dataclass(frozen=True)
class Endless(faults.Healthy):
    """A fault of a test's own that waits for what never comes."""

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Endless:
        return self

    async def run(self, site: faults.Site) -> None:
        await asyncio.Event().wait()


async def test_a_run_that_would_never_end_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.runner.PATIENCE_S", 1.0)
    test = replace(register_test(), faults=[Endless(0.5)])
    with pytest.raises(Unfinished, match="did not come to its end within 2 s of its own time"):
        await record(test, directory=tmp_path)
