"""Every fault of a process, its clocks and its disk, on a real process: verified, and faked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from jepsen_like import faults
from jepsen_like.adapters.database import Offer
from jepsen_like.backends.cgroups import CgroupError, Limited
from jepsen_like.dummy import HOST, Dummy, dummy_site
from jepsen_like.dummy_faults import FAULTS, try_faults
from jepsen_like.faults.demands import demands
from jepsen_like.faults.processes import ProcessFault, Victim
from jepsen_like.interpose import Clock, ClockSetting, Instrument, InterposeError, build
from jepsen_like.interpose.control import monotonic_ns
from jepsen_like.result import FaultRecord

pytestmark = pytest.mark.slow

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build(tmp_path_factory.mktemp("library"), flags=["-Werror"])
    except InterposeError as exc:
        pytest.skip(str(exc))


async def run(fault: ProcessFault, directory: Path, library: Path | None) -> FaultRecord:
    async with dummy_site(directory, library) as (site, _):
        return await fault.drawn([HOST], Random(1)).run(site)


def instrument_of(site: faults.Site) -> Instrument:
    assert site.instruments is not None
    found = site.instruments.of(HOST)
    assert found is not None
    return found


PLAIN = [
    faults.kill("one", hold="50ms"),
    faults.restart("one", hold="50ms"),
    faults.pause("one", hold="50ms"),
    faults.bit_flip("one", hold="50ms"),
    faults.torn_write("one", hold="50ms"),
    faults.starve_cpu("one", "20%", hold="600ms"),
    faults.exhaust_files("one", hold="50ms"),
]
PRELOADED = [
    faults.kill("one", hold="50ms", lose_unsynced=True),
    faults.kill("one", hold="50ms", lose_unsynced="torn"),
    faults.kill("one", hold="50ms", lose_unsynced="pieces"),
    faults.clock("one", jump="+30s", hold="50ms"),
    faults.clock("one", jump="-400s", hold="50ms"),
    faults.clock("one", jump="+30s", monotonic=True, hold="50ms"),
    faults.clock("one", drift="-5%", hold="200ms"),
    faults.clock("one", drift="500ppm", monotonic=True, hold="200ms"),
    faults.clock("one", strobe="-200ms", every="20ms", hold="50ms"),
    faults.slow_fsync("one", "30ms", hold="200ms"),
    faults.fsync_error("one", hold="100ms"),
    faults.write_error("one", hold="100ms"),
    faults.disk_full("one", hold="100ms"),
]


@pytest.mark.parametrize("fault", PLAIN, ids=lambda fault: fault.name)
async def test_a_fault_of_a_process_is_verified(fault: ProcessFault, tmp_path: Path) -> None:
    record = await run(fault, tmp_path, None)
    assert record.verified, record.evidence


@pytest.mark.parametrize("fault", PRELOADED, ids=lambda fault: f"{fault.name} {fault.hold_s}")
async def test_a_fault_of_clocks_and_disks_is_verified(
    fault: ProcessFault, tmp_path: Path, library: Path
) -> None:
    record = await run(fault, tmp_path, library)
    assert record.verified, record.evidence


@pytest.mark.parametrize("fault", PRELOADED[:4:3], ids=lambda fault: fault.name)
async def test_without_the_library_there_is_no_such_fault(
    fault: ProcessFault, tmp_path: Path
) -> None:
    with pytest.raises(faults.TargetError, match="the library of the harness is not in process"):
        await run(fault, tmp_path, None)


async def test_a_library_that_was_not_loaded_is_noticed(tmp_path: Path, library: Path) -> None:
    """As into a static binary: the page says which process has it."""
    async with dummy_site(tmp_path, library) as (site, _):
        instrument_of(site).control.set("PID", 0)
        with pytest.raises(faults.TargetError, match="not loaded, as into no static binary"):
            await faults.clock(HOST, jump="+1s").run(site)


# ------------------------------------------------------------------------------ what it does


async def test_a_program_believes_its_clock(tmp_path: Path, library: Path) -> None:
    async with dummy_site(tmp_path, library) as (site, dummy):
        instrument = instrument_of(site)
        assert abs(float(await dummy.ask("time")) - time.time()) < 1
        instrument.control.set_clock(Clock.WALL, ClockSetting(offset_ns=-86_400 * SECOND_NS))
        assert abs(float(await dummy.ask("time")) + 86_400 - time.time()) < 1
        instrument.control.set_clock(Clock.WALL, ClockSetting())
        assert abs(float(await dummy.ask("time")) - time.time()) < 1


DEADLINES = """
import select, threading, time
began = time.monotonic()
time.sleep(0.05)                       # an absolute deadline on the monotonic clock
lock = threading.Lock()
lock.acquire()
assert not lock.acquire(timeout=0.05)  # sem_clockwait, or a condition variable
assert not threading.Event().wait(0.05)
spent = time.monotonic() - began
print(spent, time.monotonic(), time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)
"""


@pytest.mark.parametrize("offset_s", [0, 3_600, 40_000_000])
def test_waiting_takes_as_long_as_ever(tmp_path: Path, library: Path, offset_s: int) -> None:
    """A deadline that was computed from a wrong clock must not be taken by the kernel's."""
    instrument = Instrument(library, tmp_path / "i", tmp_path / "data", records=False)
    for clock in Clock:
        instrument.control.set_clock(clock, ClockSetting(offset_ns=offset_s * SECOND_NS))
    began = time.monotonic()
    done = subprocess.run(
        instrument.command([sys.executable, "-I", "-S", "-c", DEADLINES]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    spent, monotonic, wall, boot = map(float, done.stdout.split())
    assert 0.15 <= spent <= time.monotonic() - began
    assert monotonic >= began + offset_s
    assert abs(wall - time.time() - offset_s) < 10
    assert boot >= monotonic - 1
    instrument.control.close()


def test_a_setting_says_what_is_added() -> None:
    now = monotonic_ns()
    drifting = ClockSetting(offset_ns=5, drift_ppb=-50_000_000, since_ns=now)
    assert drifting.shifts(now) == (5,)
    assert drifting.shifts(now + 2 * SECOND_NS) == (5 - SECOND_NS // 10,)
    strobe = ClockSetting(offset_ns=5, strobe_ns=7, period_ns=1, since_ns=now)
    assert strobe.shifts(now) == (12, 5)


async def test_what_was_synced_survives_and_what_was_not_is_lost(
    tmp_path: Path, library: Path
) -> None:
    """Of a program that syncs one file and not the other."""
    async with dummy_site(tmp_path, library) as (site, dummy):
        log, notes = (dummy.data_directory(HOST) / name for name in ("log", "notes"))
        async with asyncio.timeout(10):
            while log.stat().st_size < 1000:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.01)
        synced = log.read_text().splitlines()[:-1]
        # Names first: a file is there after a cut when its directory was synced.
        instrument = instrument_of(site)
        await dummy.stop()
        assert instrument.end_in_order() == ""
        await dummy.start()
        written = notes.stat().st_size
        async with asyncio.timeout(10):
            while notes.stat().st_size < written + 1000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        record = await faults.kill(HOST, hold=0, lose_unsynced=True).run(site)
    assert record.verified, record.evidence
    assert log.read_text().splitlines()[: len(synced)] == synced
    assert "notes" in " ".join(record.evidence)


@pytest.mark.parametrize("fault", [faults.kill(HOST, hold="50ms"), faults.restart(HOST)])
async def test_a_process_that_is_ended_answered_before_the_start_and_not_after(
    fault: ProcessFault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it still answered would pass for a failover."""
    async with dummy_site(tmp_path) as (site, dummy):
        first, answered_ns = dummy.pid(HOST), []

        async def answering_pid(host: str) -> int | None:
            pid = await Dummy.answering_pid(dummy, host)
            if pid == first:
                answered_ns.append(site.clock.now_ns())
            return pid

        monkeypatch.setattr(dummy, "answering_pid", answering_pid)
        record = await fault.run(site)
    assert record.verified, record.evidence
    assert answered_ns
    assert max(answered_ns) <= record.start_ns


@pytest.mark.processes
@pytest.mark.parametrize(("way", "share"), [("as it can be here", "8%"), ("by signals", "20%")])
async def test_a_process_that_starves_goes_on_as_far_as_it_may(
    way: str, share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that wants all of the CPU; the kernel counts what it gets. It holds back whoever
    wants more than the share, so the share is less than what a busy machine leaves."""

    def refuse(pid: int, share: float) -> Limited:
        raise CgroupError("it is not wanted")

    if way == "by signals":
        monkeypatch.setattr("jepsen_like.faults.starving.Limited", refuse)
    async with dummy_site(tmp_path) as (site, dummy):
        task = asyncio.ensure_future(faults.starve_cpu(HOST, share, hold="600ms").run(site))
        assert await dummy.ask("spin 0.1", timeout_s=20) == "done"
        record = await task
    assert record.verified, record.evidence
    assert "used 0.00 s" not in record.evidence[1]
    by_signals = "by signals, for" in record.evidence[0]
    assert by_signals or "was held by cgroup v" in record.evidence[1]
    assert by_signals or "wanted more in 0 turns" not in record.evidence[1]
    assert not way.startswith("by") or by_signals


async def test_nothing_can_be_opened_until_the_heal(tmp_path: Path) -> None:
    async with dummy_site(tmp_path) as (site, dummy):
        assert await dummy.ask("open") == "ok"
        task = asyncio.ensure_future(faults.exhaust_files(HOST, hold="60s").run(site))
        async with asyncio.timeout(10):
            while await dummy.ask("open") != "EMFILE":  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await dummy.ask("open") == "ok"


async def test_damage_is_in_the_ledger_and_taken_back(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that the program does not write to; a power cut after it goes by the files as they
    are then."""
    untouched = tmp_path / "data" / "a-file"
    untouched.parent.mkdir()
    untouched.write_bytes(b"x" * 100_000)
    monkeypatch.setattr("jepsen_like.faults.damage._files", lambda _: [untouched])
    async with dummy_site(tmp_path, library) as (site, _):
        fault = faults.bit_flip(HOST, hold="60s").drawn([HOST], Random(3))
        task = asyncio.ensure_future(fault.run(site))
        async with asyncio.timeout(10):
            while untouched.read_bytes() == b"x" * 100_000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (offset,) = (i for i, byte in enumerate(untouched.read_bytes()) if byte != ord("x"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        untouched.write_bytes(b"x" * 100_000)
        record = await faults.bit_flip(HOST, hold=0).drawn([HOST], Random(3)).run(site)
        assert record.verified, record.evidence
        assert f"offset {offset} of {untouched}: 0x78 became 0x" in " ".join(record.evidence)
        assert "the bytes were put back" in record.evidence
        assert untouched.read_bytes() == b"x" * 100_000
        record = await faults.kill(HOST, hold=0, lose_unsynced=True).run(site)
        assert not any("another content" in line for line in record.evidence), record.evidence


@pytest.mark.parametrize("when", ["at once", "at the end of the process"])
async def test_damage_of_a_file_that_is_gone_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    removed = tmp_path / "data" / "a-file"
    removed.parent.mkdir()
    removed.write_bytes(b"x" * 1000)
    monkeypatch.setattr("jepsen_like.faults.damage._files", lambda _: [removed])
    end = Victim.end

    async def end_and_remove(victim: Victim) -> bool:
        ended = await end(victim)
        removed.unlink()
        return ended

    monkeypatch.setattr(Victim, "end", end_and_remove)
    async with dummy_site(tmp_path) as (site, _):
        task = asyncio.ensure_future(faults.bit_flip(HOST, hold="200ms").run(site))
        if when == "at once":
            async with asyncio.timeout(10):
                while removed.read_bytes() == b"x" * 1000:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            removed.unlink()
        record = await task
    assert record.verified, record.evidence
    assert any("it is left as it is" in line for line in record.evidence)


# ------------------------------------------------------------------------------ faked


async def test_a_clock_that_does_not_move_is_not_verified(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.interpose.control.Control.set_clock", lambda *_: None)
    record = await run(faults.clock(HOST, jump="+1s", hold=0), tmp_path, library)
    assert not record.verified_start
    assert not record.verified_end
    assert "was told a time +0.00" in record.evidence[1]


async def test_a_disk_that_works_is_not_verified(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.faults.disks.SETTLE_S", 0.1)
    monkeypatch.setattr("jepsen_like.interpose.control.Control.fail", lambda *_: None)
    record = await run(faults.disk_full(HOST, hold="100ms"), tmp_path, library)
    assert not record.verified_start
    assert not record.verified_end
    monkeypatch.setattr("jepsen_like.interpose.control.Control.set", lambda *_: None)
    record = await run(faults.slow_fsync(HOST, "10ms", hold="100ms"), tmp_path / "2", library)
    assert not record.verified_start
    assert not record.verified_end


async def test_a_disk_that_works_again_too_early_is_not_verified(
    tmp_path: Path, library: Path
) -> None:
    async with dummy_site(tmp_path, library) as (site, _):
        instrument = instrument_of(site)
        task = asyncio.ensure_future(faults.write_error(HOST, hold="300ms").run(site))
        async with asyncio.timeout(10):
            while instrument.control.get("FAILED") < 5:  # noqa: ASYNC110 - a page tells nobody
                await asyncio.sleep(0.01)
        instrument.control.fail_no_more()
        record = await task
    assert record.verified_start
    assert not record.verified_end


async def test_a_journal_that_misses_something_is_not_verified(
    tmp_path: Path, library: Path
) -> None:
    async with dummy_site(tmp_path, library) as (site, dummy):
        with (dummy.data_directory(HOST) / "log").open("a") as log:
            log.write("written past the library")
        record = await faults.kill(HOST, hold=0, lose_unsynced=True).run(site)
    assert not record.verified_start
    assert any("log has another content" in line for line in record.evidence)


async def test_a_journal_goes_on_behind_what_a_kill_cut_off(tmp_path: Path, library: Path) -> None:
    """SIGKILL may come within the write of a record."""
    async with dummy_site(tmp_path, library) as (site, dummy):
        await dummy.stop()
        journal = tmp_path / "instruments" / HOST / "journal"
        with journal.open("ab") as file:
            file.write(b"\xff\x00\x00\x00W")
        await dummy.start()
        record = await faults.kill(HOST, hold=0, lose_unsynced=True).run(site)
    assert record.verified, record.evidence


async def test_a_journal_that_is_full_is_not_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.interpose.control.JOURNAL_BYTES_MAX", 4_000)
    async with dummy_site(tmp_path, build(tmp_path / "library")) as (site, _):
        journal = tmp_path / "instruments" / HOST / "journal"
        async with asyncio.timeout(10):
            while b"more than" not in journal.read_bytes():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        record = await faults.kill(HOST, hold=0, lose_unsynced=True).run(site)
    assert not record.verified_start
    assert any("more than the journal may hold" in line for line in record.evidence)
    assert journal.stat().st_size < 5_000


@pytest.mark.parametrize("first", ["kill", "write error"])
async def test_faults_at_once_start_a_process_again_once(
    tmp_path: Path, library: Path, first: str
) -> None:
    """Whichever heals first; the others do not wait for the end of what it started."""
    hold = {name: "50ms" if name == first else "300ms" for name in ("kill", "write error")}
    others = [
        faults.kill(HOST, hold=hold["kill"], rest=0),
        faults.write_error(HOST, hold=hold["write error"], rest=0),
    ]
    async with dummy_site(tmp_path, library) as (site, dummy):
        before = dummy.pid(HOST)
        async with asyncio.timeout(30):
            await faults.strike(faults.together(*others), site, Ledger())
        assert await dummy.answering_pid(HOST) == dummy.pid(HOST) != before


async def test_a_process_that_was_dead_before_lives_after_the_heal(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.faults.processes.ANSWER_WAIT_S", 1.0)
    async with dummy_site(tmp_path, library) as (site, dummy):
        await dummy.stop()
        record = await faults.kill(HOST, hold=0, lose_unsynced=True).run(site)
        assert not record.verified_start
        assert record.verified_end, record.evidence
        assert await dummy.answering_pid(HOST) == dummy.pid(HOST)


async def test_all_is_well_again_when_the_run_is_cancelled(tmp_path: Path, library: Path) -> None:
    async with dummy_site(tmp_path, library) as (site, dummy):
        instrument = instrument_of(site)
        wrong = faults.together(
            faults.clock(HOST, jump="-9s", hold="60s"),
            faults.slow_fsync(HOST, "10ms", hold="60s"),
            faults.write_error(HOST, hold="60s"),
        )
        task = asyncio.ensure_future(faults.strike(wrong, site, Ledger()))
        control = instrument.control
        async with asyncio.timeout(10):
            while not (  # noqa: ASYNC110 - a page tells nobody
                control.setting(Clock.WALL).offset_ns
                and control.get("SYNC_DELAY_NS")
                and control.get("FAILED")
            ):
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert abs(float(await dummy.ask("time")) - time.time()) < 1
        assert control.get("SYNC_DELAY_NS") == 0
        failed = control.get("FAILED")
        done = control.get("WRITES")
        async with asyncio.timeout(10):
            while control.get("WRITES") < done + 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert control.get("FAILED") == failed


class Ledger:
    def ended(self, record: FaultRecord) -> None:
        """Nobody asks."""

    def cut_short(self, name: str, start_ns: int) -> None:
        """Nobody asks."""


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: faults.clock("one"), "one of jump=, drift= and strobe="),
        (lambda: faults.clock("one", jump="1s", drift="5%"), "one of jump=, drift= and strobe="),
        (lambda: faults.clock("one", jump="soon"), "'soon' is not a duration"),
        (lambda: faults.clock("one", drift="fast"), "'fast' is no drift"),
        (lambda: faults.clock("one", drift="-100%"), "stand still"),
        (lambda: faults.clock("one", jump="-1s", monotonic=True), "never goes back"),
        (lambda: faults.clock("one", strobe="1s", every=0), "takes some time"),
        (lambda: faults.slow_fsync("one", 0), "takes some time"),
        (lambda: faults.starve_cpu("one", "100%"), "'100%' is no share of a CPU"),
        (lambda: faults.bit_flip(faults.router("one")), "a router keeps no data"),
        (lambda: faults.kill("one", lose_unsynced="some"), "'torn', 'pieces', 'any'"),
    ],
)
def test_nonsense_is_a_sentence(make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=sentence):
        make()


async def test_the_doctor_says_what_is_missing_and_tries_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.interpose.library.shutil.which", lambda _: None)
    found = {name: (works, why) for name, works, why in await try_faults()}
    for name, fault in FAULTS.items():
        works, why = found[name]
        assert works == (Offer.PRELOAD not in demands([fault])), (name, why)
        assert works or why == "there is no C compiler: apt-get install gcc libc6-dev"


def test_no_compiler_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InterposeError, match="no C compiler: apt-get install gcc libc6-dev"):
        build(tmp_path)
