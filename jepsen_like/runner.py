"""Runs a test: boot, load, faults, heal, final reads, judge, write everything down.

One event loop owns the time, the network between the hosts and the history. What is decided
before the run (the calls, the faults) is data drawn from the seed; what is decided in the run
is only who leads when a fault names a leader.

Whatever ends a run (its plan, an error, Ctrl-C), every process is ended and waited for, every
port is closed, and the data is removed unless it is to be kept. After SIGKILL the next run
does that, or `jepsen-like doctor --clean`.
"""

from __future__ import annotations

import asyncio
import datetime
import errno
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from jepsen_like.adapters.database import (
    ComparableDatabase,
    DatabaseError,
    NetworkedDatabase,
    OperableDatabase,
    RunningDatabase,
    SimulatedDatabase,
    TellingDatabase,
    WatchedDatabase,
)
from jepsen_like.backends.abilities import CUT, SIM
from jepsen_like.backends.backend import Backend, BackendError
from jepsen_like.backends.choose import open_backend
from jepsen_like.backends.leftovers import claimed, clean
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.simulated import SimulatedNetwork
from jepsen_like.clients import Client, ClientError
from jepsen_like.dispatch import Clock, Dispatcher
from jepsen_like.faults.compose import strike
from jepsen_like.faults.demands import needs_of
from jepsen_like.faults.fault import Planned, Site, total_seconds
from jepsen_like.history import FaultWindow, Operation, Recorder, Unserved
from jepsen_like.interpose import Instruments, InterposeError
from jepsen_like.judge import judge, stopped_in_words, write_files
from jepsen_like.kernel import kernel
from jepsen_like.load import FINAL_READS_PER_S_MAX, Call, final_rate, final_reads
from jepsen_like.logs import count_lines, read_logs
from jepsen_like.preloading import preloaded
from jepsen_like.recording import Recording
from jepsen_like.reigns import PERIOD_S, SIMULATED_PERIOD_S, Reigns, watch
from jepsen_like.result import LIVENESS, FaultRecord, ReplicaComparison, RunResult, Verdict
from jepsen_like.schedule import Schedule, planned, planned_calls, planned_keys
from jepsen_like.sim.loop import SimulationError
from jepsen_like.spec import SpecError, Test

__all__ = ["HarnessError", "Interrupted", "Unfinished", "run", "record", "run_async"]

T = TypeVar("T")

PUNCTUAL_NS: Final = 20_000_000
PROGRESS_S: Final = 1.0

LATE_NS: Final = 100_000_000
"""How far the history in the file may be behind while the load goes on."""

PATIENCE_S: Final = 1800.0
"""How long a run may take beyond twice what its faults are planned to: who waits for something
that never comes, a fault of a test's own for instance, is told so."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a disk, a quota and a limit on the size of files say when they are reached."""

FINAL_ROUNDS_MAX: Final = 20
"""Each round reads once more what could not be read; a cluster that has healed needs one."""

FINAL_READS_MAX_S: Final = 120.0
"""No round begins later than this after the first."""

FINAL_GRACE_S: Final = 5.0
"""How late the answer to a final read may be before its connection is given up. Nobody measures
how long they take, and a new connection costs a database that is busy more than the read."""

FINAL_ROUND_PAUSE_S: Final = 0.5


class HarnessError(Exception):
    """The run could not be carried out; it says nothing about the database. A sentence."""


class Unfinished(HarnessError):
    """It would have gone on for ever, or for longer than it may: nobody knows how it ends."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM; everything has been ended."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


@dataclass
class Progress:
    """Lines about what happens, each with the time; `tick` at most once a second."""

    write: Callable[[str], None]
    clock: Clock = field(default_factory=Clock)

    def say(self, text: str) -> None:
        self.write(f"{self.clock.now_ns() / 1e9:6.1f} s  {text}")


def run(
    test: Test,
    *,
    out: Path,
    seed: int | None = None,
    schedule: Schedule | None = None,
    limit_s: float | None = None,
    command: str = "",
    keep: bool = False,
    write: Callable[[str], None] = lambda _: None,
    is_reported: Callable[[RunResult], bool] = lambda _: True,
) -> RunResult:
    """Run the test, judge it, and write OUT/history.jsonl, results.json and report.html.

    The history can be read while it is written, and is what is left if the run is ended early.
    `is_reported`: whether anything else is to be written of a result; drawing takes a tenth of a
    short simulated run.

    `schedule` takes the place of what the seed plans. `command` is the command line that runs it
    again, for the report; `keep` leaves the database's files in OUT. Logs of the processes are in
    OUT/logs. Raises HarnessError, Unfinished if it takes more than `limit_s` on the run's clock
    (None: far more than its faults are planned to last), or Interrupted, with nothing left running.
    """
    seed = test.seed if seed is None else seed
    try:
        left = clean()
        if left:
            write(f"removed what a killed run had left: {left}")
        out.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="data-", dir=out))
    except OSError as exc:
        raise HarnessError(f"{out} cannot be used for the results: {exc}.") from exc
    with _room_in(out):
        with nullcontext() if keep else claimed(directory):
            try:
                recording = run_async(
                    record(
                        test,
                        directory=directory,
                        seed=seed,
                        schedule=schedule,
                        limit_s=limit_s,
                        write=write,
                        history_path=out / "history.jsonl",
                    ),
                    seed if schedule is None else schedule.order,
                )
            except SimulationError as exc:
                raise Unfinished(f"the simulation cannot go on: {exc}.") from exc
            finally:
                try:
                    _keep_logs(directory, out / "logs")
                finally:
                    if not keep:
                        shutil.rmtree(directory)
        write("judging")
        logs = read_logs(out / "logs", recording.zero_s)
        happened = (
            count_lines(out / "logs", recording.zero_s, test.db.happenings)
            if isinstance(test.db, TellingDatabase)
            else {}
        )
        result = replace(judge(recording, command=command), logs=logs, happened=happened)
        try:
            if is_reported(result):
                write_files(result, out)
        except OSError as exc:
            raise HarnessError(f"the results cannot be written: {exc}.") from exc
    return result


@contextmanager
def _room_in(out: Path) -> Iterator[None]:
    """A full disk, wherever in the run it shows, as one sentence."""
    try:
        yield
    except (OSError, ExceptionGroup) as exc:
        found = exc
        while isinstance(found, ExceptionGroup):
            found = found.exceptions[0]
        if not isinstance(found, OSError) or found.errno not in FULL:
            raise
        raise HarnessError(
            f"there is no room for the results in {out}: {found.strerror}; free some, or write "
            "them elsewhere with --out."
        ) from exc


def _keep_logs(directory: Path, logs: Path) -> None:
    """What the processes said, each file named after where it was."""
    for log in directory.rglob("*.log"):
        logs.mkdir(exist_ok=True)
        shutil.copyfile(log, logs / "-".join(log.relative_to(directory).parts))


async def record(
    test: Test,
    *,
    directory: Path,
    seed: int | None = None,
    schedule: Schedule | None = None,
    limit_s: float | None = None,
    write: Callable[[str], None] = lambda _: None,
    history_path: Path | None = None,
) -> Recording:
    """Run the test with the database's files in `directory` (which stays).

    Raises HarnessError if a fault is impossible, the backend is not to be had here or cannot do
    what the faults need, the database does not start, or its clients cannot connect; Unfinished
    if it takes more than `limit_s`; None: far more than its faults are planned to last.
    """
    seed = test.seed if seed is None else seed
    started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    progress = Progress(write)
    limit = asyncio.timeout(None)
    try:
        plan = planned(test, seed)
        keys = planned_keys(test, plan)
        plan = schedule or plan
        test = replace(test, load=replace(test.load, clients=plan.clients))
        if limit_s is None:
            limit_s = PATIENCE_S + 2 * total_seconds(plan.faults)
        async with limit, AsyncExitStack() as stack:
            limit.reschedule(asyncio.get_running_loop().time() + limit_s)
            backend, probing = await _network(test, plan.faults, progress.say)
            stack.push_async_callback(backend.close)
            progress.say(f"backend: {backend.name}")
            database, instruments = preloaded(test.db, plan.faults, directory)
            if instruments is not None:
                stack.callback(instruments.close)
            db = await database.start(backend, directory, progress.say)
            stack.push_async_callback(db.stop)
            prober = await stack.enter_async_context(probing)
            for workload in test.workloads:
                mine = keys[workload.name]
                progress.say(f"loading {len(mine)} keys of {workload.name}")
                await db.prepare(workload, mine)
            run = _Run(
                test, seed, started_at, db, backend, prober, progress, history_path, instruments
            )
            stack.callback(run.recorder.close)
            return await run.carry_out(plan, keys)
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise Unfinished(
            f"the run did not come to its end within {limit_s:g} s of its own time."
        ) from exc
    except (BackendError, DatabaseError, ClientError, InterposeError, SpecError) as exc:
        raise HarnessError(str(exc)) from exc


async def _network(
    test: Test, schedule: Sequence[Planned], say: Callable[[str], None]
) -> tuple[Backend, Prober]:
    """The network between the hosts, and how it is probed. Raises BackendError."""
    if isinstance(test.db, NetworkedDatabase):
        impossible = needs_of(schedule) - {CUT}
        if impossible:
            listed = ", ".join(sorted(impossible))
            raise BackendError(f"the network of an external database cannot do {listed} here.")
        return test.db.network()
    if test.backend == SIM and not isinstance(test.db, SimulatedDatabase):
        raise BackendError("this database cannot be simulated: it has no programs in Python.")
    backend = await open_backend(test.backend, test.db.hosts, needs_of(schedule), say)
    if isinstance(backend, SimulatedNetwork) and isinstance(test.db, SimulatedDatabase):
        backend.run(test.db.programs())
    return backend, Prober(backend)


class _Run:
    """One run on a database that is up and loaded; its clock starts here."""

    def __init__(
        self,
        test: Test,
        seed: int,
        started_at: str,
        db: RunningDatabase,
        backend: Backend,
        prober: Prober,
        progress: Progress,
        history_path: Path | None,
        instruments: Instruments | None,
    ) -> None:
        self.test = test
        self.seed = seed
        self.started_at = started_at
        self.db = db
        self.progress = progress
        self.clock = Clock()
        self.zero_s = time.time() - self.clock.now_ns() / 1e9
        self.online = test.online()
        self.stop = asyncio.Event()  # the load: the faults are over, or a violation was found
        self.recorder = Recorder(
            history_path,
            clock=self.clock.now_ns,
            start_ns=0,
            watch=self._watch if any(self.online.values()) else None,
            late_ns=LATE_NS,
        )
        self.history = self.recorder.history
        self.unserved: list[Unserved] = []
        self.reigns = Reigns()
        self.late_ns = 0
        self.site = Site(db, backend, prober, self.clock, progress.say, instruments)

    async def carry_out(self, plan: Schedule, keys: Mapping[str, Sequence[int]]) -> Recording:
        test = self.test
        leaders = dict(await self.db.leaders())
        groups: dict[tuple[str, int | str], str] = {}
        for workload in test.workloads:  # now, while everything answers
            found = await self.db.groups_of(workload, keys[workload.name])
            groups |= {(workload.name, key): group for key, group in found.items()}
        if any(fault.kind == LIVENESS for fault in plan.faults):
            self.site = replace(self.site, voters=await self._voters({*groups.values()}))
        async with Dispatcher(
            self._connect,
            hosts=test.db.hosts,
            clients_per_host=test.load.clients,
            deadline_s=test.load.deadline_s,
            clock=self.clock,
            recorder=self.recorder,
            unserved=self.unserved,
            unsure_max={
                workload.name: workload.unsure_max
                for workload in test.workloads
                if workload.unsure_max is not None
            },
        ) as dispatcher:
            await dispatcher.connect()
            self.progress.say(
                f"load: {test.load.rate:g} calls/s from {len(test.db.hosts)} hosts, "
                f"deadline {test.load.deadline_s * 1000:g} ms"
            )
            faults = await self._load_and_faults(dispatcher, plan, keys)
            asked = set(zip(self.history.workload, self.history.key, strict=True))
            used = [place for place in groups if place in asked]
            unread: tuple[tuple[Call, str], ...] = ()
            if self._violation is None:
                unread = await self._final_reads(dispatcher, asked, keys)
        comparison = await self._compare_replicas()
        self.recorder.close()
        return Recording(
            test=test,
            seed=self.seed,
            started_at=self.started_at,
            backend=self.site.backend.name,
            zero_s=self.zero_s,
            duration_ns=self.clock.now_ns(),
            history=self.history,
            unserved=tuple(self.unserved),
            faults=faults,
            leaders=leaders,
            groups={place: groups[place] for place in used},
            unread=unread,
            comparison=comparison,
            late_ns=self.late_ns,
            reigns=self.reigns.seen(),
            online=tuple(
                replace(checker.finish(), workload=name)
                for name, checkers in self.online.items()
                for checker in checkers
            ),
        )

    async def _voters(self, groups: Collection[str]) -> Mapping[str, Sequence[str]]:
        """All hosts, of a database that does not say who votes."""
        db = self.db
        if not isinstance(db, OperableDatabase):
            return dict.fromkeys(groups, self.test.db.hosts)
        return {group: await db.voters(group) for group in sorted(groups)}

    async def _compare_replicas(self) -> ReplicaComparison | None:
        if not self.test.compares_replicas or not isinstance(self.db, ComparableDatabase):
            return None
        self.progress.say("comparing the replicas of every group")
        return await self.db.compare_replicas()

    @property
    def _violation(self) -> Verdict | None:
        found = (c.violation for checkers in self.online.values() for c in checkers)
        return next((violation for violation in found if violation is not None), None)

    def _watch(self, operation: Operation, is_open: bool) -> None:
        for checker in self.online.get(operation.workload, ()):
            is_known = checker.violation is not None
            violation = checker.feed(operation, is_open)
            if violation is not None and not is_known:
                self.progress.say(stopped_in_words(violation))
                self.stop.set()

    async def _connect(self, host: str) -> Client:
        return await self.db.connect(host, self.test.workloads, self.test.load.deadline_s)

    async def _load_and_faults(
        self,
        dispatcher: Dispatcher,
        schedule: Schedule,
        keys: Mapping[str, Sequence[int]],
    ) -> tuple[FaultRecord, ...]:
        """The load runs for as long as the faults take, or until a check on the run says invalid:

        then the fault at work is healed, and is no record, for nobody verified its end.
        """
        plan = schedule.chosen(planned_calls(self.test, self.seed, keys))
        stop = self.stop
        ledger = _Ledger(self.recorder)

        async def inject() -> None:
            try:
                for fault in schedule.faults:
                    await strike(fault, self.site, ledger)
                    await asyncio.sleep(fault.rest_s)
            finally:
                stop.set()

        injecting = asyncio.ensure_future(inject())
        asides = [asyncio.ensure_future(self._tick())]
        is_simulated = kernel().simulates  # then nothing is ever late
        if not is_simulated:
            asides.append(asyncio.ensure_future(self._be_punctual()))
        if isinstance(self.db, WatchedDatabase):
            period_s = SIMULATED_PERIOD_S if is_simulated else PERIOD_S
            watching = watch(self.db, self.test.db.hosts, self.clock.now_ns, self.reigns, period_s)
            asides.append(asyncio.ensure_future(watching))
        try:
            await dispatcher.run(plan, stop)
            if self._violation is None:
                await injecting
        finally:
            injecting.cancel()
            for aside in asides:
                aside.cancel()
            ended = await asyncio.gather(injecting, *asides, return_exceptions=True)
            for outcome in ended[1:]:
                if isinstance(outcome, Exception):  # of no verdict; but not in silence
                    self.progress.say(f"something beside the load has failed: {outcome!r}")
        return tuple(ledger.records)

    async def _be_punctual(self) -> None:
        """Note how late this process wakes up: whether the machine had time for the run."""
        while True:
            due_ns = self.clock.now_ns() + PUNCTUAL_NS
            await asyncio.sleep(PUNCTUAL_NS / 1e9)
            self.late_ns = max(self.late_ns, self.clock.now_ns() - due_ns)

    async def _tick(self) -> None:
        """One line a second: what came back since the last."""
        seen = 0
        while True:
            await asyncio.sleep(PROGRESS_S)
            nodes, outcomes = self.history.node[seen:], self.history.outcome[seen:]
            seen += len(nodes)
            asked = Counter(nodes)
            ok = Counter(n for n, outcome in zip(nodes, outcomes, strict=True) if outcome == "ok")
            parts = [f"{host} {ok[host]}/{asked[host]}" for host in self.test.db.hosts]
            self.progress.say(f"ok of asked: {'   '.join(parts)}")
            self.recorder.flush()

    async def _final_reads(
        self,
        dispatcher: Dispatcher,
        asked: Collection[tuple[str, int | str]],
        keys: Mapping[str, Sequence[int]],
    ) -> tuple[tuple[Call, str], ...]:
        """Read every key that was used on every host. After the faults have healed this must
        succeed."""
        reads = [
            Call("read", key, workload=workload.name)
            for workload in self.test.workloads
            for key in keys[workload.name]
            if (workload.name, key) in asked
        ]
        missing = [(call, host) for call in reads for host in self.test.db.hosts]
        self.progress.say(f"final reads: {len(reads)} keys on every host")
        usual = FINAL_READS_PER_S_MAX if kernel().simulates else self.test.load.rate
        began_ns = self.clock.now_ns()
        for number in range(FINAL_ROUNDS_MAX):
            done = len(self.history)
            rate = final_rate(number, usual)
            await dispatcher.run(final_reads(missing, rate=rate), grace_s=FINAL_GRACE_S)
            read = {
                (operation.workload, operation.key, operation.node)
                for operation in self.history[done:]
                if operation.outcome == "ok"
            }
            missing = [
                (call, host)
                for call, host in missing
                if (call.workload, call.key, host) not in read
            ]
            if not missing or self.clock.now_ns() - began_ns > FINAL_READS_MAX_S * 1e9:
                break
            self.progress.say(f"final reads: {len(missing)} not answered, asked again more slowly")
            await asyncio.sleep(FINAL_ROUND_PAUSE_S)
        return tuple(missing)


class _Ledger:
    """The records of the faults, and their windows in the history."""

    def __init__(self, recorder: Recorder) -> None:
        self.records: list[FaultRecord] = []
        self._recorder = recorder

    def ended(self, record: FaultRecord) -> None:
        """The second fault of a name is called so: what is said of one is not said of the other."""
        before = sum(r.name.partition(" (time ")[0] == record.name for r in self.records)
        if before:
            record = replace(record, name=f"{record.name} (time {before + 1})")
        self.records.append(record)
        self._recorder.fault(record.window)

    def cut_short(self, name: str, start_ns: int) -> None:
        self._recorder.fault(FaultWindow(name, start_ns, None))


# ------------------------------------------------------------------------------ running it


@asynccontextmanager
async def _until_signal() -> AsyncIterator[None]:
    """SIGINT, SIGTERM and SIGHUP cancel the body once; further ones wait for its clean-up."""
    loop = asyncio.get_running_loop()
    body = asyncio.current_task()
    assert body is not None
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            body.cancel()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    except asyncio.CancelledError:
        if not received:
            raise
        body.uncancel()
        raise Interrupted(received[0]) from None
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def run_async(main: Coroutine[Any, Any, T], seed: int = 0) -> T:
    """Run `main` on the loop that the kernel has for it."""

    async def guarded() -> T:
        async with _until_signal():
            return await main

    with asyncio.Runner(loop_factory=kernel().new_loop(seed)) as runner:
        return runner.run(guarded())
