"""A cluster as a user starts it: `shardrouter up`, in a directory of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.local_cluster import free_ports

START_TIMEOUT_S = 60


def shardrouter(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shardrouter.cli", *arguments]


@dataclass
class Up:
    """A running `shardrouter up`."""

    directory: Path
    port: int
    process: subprocess.Popen[str]
    progress: Path  # its stderr

    @property
    def dsn(self) -> str:
        return (self.directory / "dsn").read_text().strip()

    def run(
        self, *arguments: str, stdin: str | None = None, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Another verb of the command line, on this cluster."""
        return subprocess.run(
            shardrouter(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=os.environ | {"SHARDROUTER_CLUSTER": str(self.directory / "cluster.toml")},
        )

    def stop(self) -> int:
        return self.end_by(signal.SIGTERM)

    def end_by(self, number: signal.Signals) -> int:
        """Exit code after a signal, once it has ended."""
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def ready_line(self) -> str:
        """The first line of stdout, or a failure that shows what it said on stderr."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            self.process.communicate()
            pytest.fail(f"`shardrouter up` did not get ready:\n{self.progress.read_text()}")
        return line.strip()


def start_up(directory: Path, *options: str, code: Path | None = None) -> Up:
    """`code`: the directory whose packages run, instead of this one's."""
    port = free_base_port()
    known = directory / "cluster.toml"
    if known.exists():
        from nodes.config import parse_cluster

        port = parse_cluster(known.read_text()).router.port
    else:
        options = (*options, "--port", str(port))
    progress = directory.with_suffix(".stderr")
    with progress.open("w") as stderr:
        process = subprocess.Popen(
            shardrouter("up", str(directory), *options),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            env=None if code is None else os.environ | {"PYTHONPATH": str(code)},
            cwd=code,
        )
    up = Up(directory, port, process, progress)
    assert up.ready_line() == f"ready: {up.dsn}"
    return up


def free_base_port() -> int:
    """A port with free ones behind it for the nodes."""
    for _ in range(50):
        base = free_ports(1)[0]
        if base < 65000 and all(port_is_free(base + i) for i in range(5)):
            return base
    raise RuntimeError("no five free ports in a row")


def port_is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(
    condition: Callable[[], object],
    timeout_s: float,
    what: str,
    show: Callable[[], str] = lambda: "",
) -> None:
    """Poll, for what other processes do; the deadline only bounds a failure."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"within {timeout_s} s: {what}\n{show()}")
        select.select([], [], [], 0.05)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    cluster = start_up(tmp_path_factory.mktemp("up") / "data")
    yield cluster
    if cluster.process.poll() is None:
        cluster.stop()
