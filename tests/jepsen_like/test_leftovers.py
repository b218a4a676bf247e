"""After SIGKILL: what is left of a run is found by its mark and removed; nothing else is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.backends import leftovers
from jepsen_like.kernel import kernel
from tests.jepsen_like.networks import require_namespaces

pytestmark = [pytest.mark.slow, pytest.mark.processes]

COMMAND = (sys.executable, "-m", "jepsen_like")

MAKER = """
import subprocess, sys
from pathlib import Path
from jepsen_like.backends.leftovers import claimed, marked
child = subprocess.Popen(marked(["sleep", "1000"]), stdout=subprocess.DEVNULL)
directory = Path(sys.argv[1])
directory.mkdir()
with claimed(directory):
    print(child.pid, flush=True)
    sys.stdin.read()
child.kill()
child.wait()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Claims of this test's own, so that no other run's are taken for them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.fixture
def maker(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that has made a process and claimed a directory, and the former's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(home / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    wait_for_mark(child)
    with process:
        yield process, child


def wait_for_mark(pid: int) -> None:
    """`env` has set the mark and become the program."""
    give_up = time.monotonic() + 10
    while leftovers.MARK.encode() not in Path(f"/proc/{pid}/environ").read_bytes():
        assert time.monotonic() < give_up, f"process {pid} got no mark"


def test_what_a_living_maker_has_made_is_left_alone(
    home: Path, maker: tuple[subprocess.Popen[str], int]
) -> None:
    process, child = maker
    assert child not in leftovers.find().pids
    assert not leftovers.clean().directories
    assert kernel().state(child)
    process.communicate()
    assert (home / "data").is_dir()  # its maker's own affair; the claim is gone
    assert not leftovers.find().directories


def test_what_a_killed_maker_has_made_is_removed(
    home: Path, maker: tuple[subprocess.Popen[str], int]
) -> None:
    process, child = maker
    process.kill()
    process.wait()
    found = leftovers.find()
    assert child in found.pids
    assert found.directories == (home / "data",)
    assert f"1 directory ({home / 'data'})" in str(found)
    removed = leftovers.clean()
    assert child in removed.pids
    assert not kernel().state(child)
    assert not (home / "data").exists()
    assert child not in leftovers.find().pids
    assert not leftovers.find().directories


def test_another_directory_at_the_same_path_is_left_alone(
    home: Path, maker: tuple[subprocess.Popen[str], int]
) -> None:
    process, _ = maker
    process.kill()
    process.wait()
    (home / "data" / leftovers.SIGN).write_text("somebody else")
    assert not leftovers.clean().directories
    assert (home / "data").is_dir()


def test_a_claim_from_another_pid_namespace_is_left_alone(home: Path) -> None:
    """Its maker's id means nothing here."""
    pid, _, namespace = leftovers.maker().split("-")
    foreign, dead = f"{pid}-1-1", f"{pid}-1-{namespace}"  # started too early to be this process
    claims = home / f"jepsen-like-{os.getuid()}"
    claims.mkdir(mode=0o700)
    for made_by in (foreign, dead):
        directory = home / made_by
        directory.mkdir()
        (directory / leftovers.SIGN).write_text(made_by)
        (claims / f"{made_by}-x").write_text(str(directory))
    assert leftovers.clean().directories == (home / dead,)
    assert (home / foreign).is_dir()


# ------------------------------------------------------------------------------ whole runs

SPEC = """
from jepsen_like import Test, checks, faults, load, workloads
from tests.jepsen_like.register_db import RegisterDb

def make(*schedule):
    return Test(name="left", db=RegisterDb(), workloads=[workloads.register(keys=4)],
                load=load.open_loop(rate=50, deadline="250ms", clients=5),
                checks=[checks.linearizable()], faults=schedule)

paused = make(faults.healthy("200ms"), faults.pause(faults.host("n2"), hold="60s"))
test = make(faults.partition(faults.split(["n3"]), hold="600ms", rest="0s"))
"""


def wait_for_stop(pid: int) -> None:
    """A run says what it is about to do, and then does it."""
    until = time.monotonic() + 10.0
    while kernel().state(pid) != "T" and time.monotonic() < until:
        time.sleep(0.001)


def processes_that_name(text: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except (OSError, ValueError):
            continue
        if text.encode() in line and kernel().state(int(process.name)):
            found.append(int(process.name))
    return found


@pytest.mark.alone  # another run that begins would remove what this one left
@pytest.mark.parametrize("backend", ["proxy", "netns"])
def test_a_run_that_was_killed_leaves_nothing_after_doctor_clean(home: Path, backend: str) -> None:
    """The worst moment: a process of the database is stopped, and cannot see that we are gone."""
    require_namespaces()
    (home / "spec.py").write_text(SPEC)
    run = subprocess.Popen(
        [*COMMAND, "run", f"{home}/spec.py:paused", "--out", f"{home}/out", "--backend", backend],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stderr is not None
        stopped = next(line for line in run.stderr if "pause n2 (pid " in line)
        pid = int(stopped.partition("(pid ")[2].partition(")")[0])
        wait_for_stop(pid)
        os.kill(run.pid, signal.SIGKILL)
    assert kernel().state(pid) == "T"
    assert list((home / "out").glob("data-*"))

    cleaned = subprocess.run(
        [*COMMAND, "doctor", "--clean"], capture_output=True, text=True, check=True
    )
    assert str(pid) in cleaned.stdout
    assert not kernel().state(pid)
    assert not processes_that_name(str(home))
    assert not list((home / "out").glob("data-*"))
    assert not list((home / f"jepsen-like-{os.getuid()}").iterdir())


@pytest.mark.parametrize("backend", ["proxy", "netns"])
def test_runs_leave_no_process_and_no_file(home: Path, backend: str) -> None:
    """Two of them, unless RUNS says otherwise. A namespace or a port needs a process to last."""
    require_namespaces()
    (home / "spec.py").write_text(SPEC)
    runs = int(os.environ.get("RUNS", "2"))
    for number in range(runs):
        out = home / f"out{number}"
        done = subprocess.run(
            [*COMMAND, "run", f"{home}/spec.py", "--out", str(out), "--backend", backend],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        results = json.loads((out / "results.json").read_text())
        assert results["backend"] == backend
        assert results["validity"] == "valid"
        assert not list(out.glob("data-*"))
    assert not processes_that_name(str(home))
    assert not list((home / f"jepsen-like-{os.getuid()}").iterdir())


class Seen:
    """What processes of one run held, looked at while it ran."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.processes: set[int] = set()
        self.namespaces: set[str] = set()
        self.sockets: set[str] = set()

    def look(self) -> None:
        for pid in processes_that_name(str(self._home)):
            self.processes.add(pid)
            with suppress(OSError):
                self.namespaces.add(str(Path(f"/proc/{pid}/ns/net").readlink()))
                held = {str(handle.readlink()) for handle in Path(f"/proc/{pid}/fd").iterdir()}
                self.sockets |= held & listening(pid)

    def counts(self) -> dict[str, int]:
        here = str(Path("/proc/self/ns/net").readlink())
        return {
            "processes": len(self.processes),
            "namespaces": len(self.namespaces - {here}),
            "sockets": len(self.sockets),
        }

    def left(self) -> dict[str, set[Any]]:
        """What of it is still there. A namespace lasts by a process in it, or by a mount."""
        here = str(Path("/proc/self/ns/net").readlink())
        namespaces, sockets = set(), listening(os.getpid())
        for process in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                namespaces.add(str((process / "ns/net").readlink()))
        return {
            "processes": {pid for pid in self.processes if kernel().state(pid)},
            "namespaces": (self.namespaces & namespaces) - {here},
            "sockets": self.sockets & sockets,
            "mounts": {
                line
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if any(namespace in line for namespace in self.namespaces - {here})
            },
        }


def listening(pid: int) -> set[str]:
    """The listening TCP sockets of the process's network, as its handles name them."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}


@pytest.mark.long
@pytest.mark.alone  # the kernel gives the numbers of namespaces that are gone to others' again
@pytest.mark.parametrize("backend", [pytest.param("proxy", marks=pytest.mark.nightly), "netns"])
def test_ten_runs_one_of_them_killed_leave_nothing(home: Path, backend: str) -> None:
    """Of every run but the killed one nothing is left when it ends; of that one, nothing after
    the next."""
    require_namespaces()
    (home / "spec.py").write_text(SPEC)
    claims = home / f"jepsen-like-{os.getuid()}"
    counts: Counter[str] = Counter()
    for number in range(10):
        seen = Seen(home)
        out, is_killed = home / f"out{number}", number == 4
        run = subprocess.Popen(
            [*COMMAND, "run", f"{home}/spec.py", "--out", str(out), "--backend", backend],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with run:
            assert run.stderr is not None
            for line in run.stderr:
                if "cut: " in line:
                    seen.look()
                    counts.update(seen.counts())
                    if is_killed:
                        os.kill(run.pid, signal.SIGKILL)
                        break
        if is_killed:
            assert run.returncode == -signal.SIGKILL
            assert list(out.glob("data-*"))
            continue
        assert run.returncode == 0
        assert not list(home.glob("out*/data-*"))
        assert not list(claims.iterdir())
        assert not processes_that_name(str(home))
        assert not any(seen.left().values())
    assert {path.name for path in home.iterdir()} - {"__pycache__"} == {
        "spec.py",
        claims.name,
        *(f"out{number}" for number in range(10)),
    }
    assert counts["processes"] >= 10 * 4
    assert counts["sockets"] >= 10 * 3
    assert counts["namespaces"] == (10 * 4 if backend == "netns" else 0)
    print(
        f"10 runs on {backend}, the fifth ended by SIGKILL: of {counts['processes']} processes, "
        f"{counts['namespaces']} network namespaces and {counts['sockets']} listening sockets "
        "nothing is left, and no file but those of the results"
    )
