"""A real PostgreSQL, thrown away afterwards: the oracle of the suites.

It listens on loopback and a port of its own, keeps nothing safe from a crash, and speaks the
language of this project's defaults: UTF-8, collation C, characters of C.UTF-8, UTC.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.local_cluster import free_ports

__all__ = [
    "APT",
    "Postgres",
    "PostgresMissing",
    "find_programs",
    "running_postgres",
    "running_standby",
]

MAJOR: Final = "15"
"""Answers, types and SQLSTATEs are compared with this one."""

APT: Final = f"PostgreSQL {MAJOR} is missing: apt-get install postgresql-{MAJOR}"

SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "jit": "off",
    "shared_buffers": "32MB",
    "max_connections": "50",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


_TRIES: Final = 600
_PAUSE_S: Final = 0.05
"""What is waited for takes moments, or never comes: half a minute."""


class PostgresMissing(Exception):
    """It is not installed; the message says how to install it."""


@dataclass(frozen=True)
class Postgres:
    """A server that runs; everybody on loopback is trusted."""

    port: int
    log: Path
    pid: int

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


def find_programs() -> Path:
    """The directory of `initdb` and `postgres`. Raises PostgresMissing."""
    debian = Path(f"/usr/lib/postgresql/{MAJOR}/bin")
    if (debian / "postgres").exists():
        return debian
    found = shutil.which("postgres")
    if found is not None:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if f" {MAJOR}." in said.stdout:
            return Path(found).parent
    raise PostgresMissing(APT)


@contextmanager
def running_postgres(**settings: str) -> Iterator[Postgres]:
    """A new server, stopped and removed at the end. Raises PostgresMissing."""
    programs = find_programs()
    with _scratch() as scratch:
        _made(
            scratch,
            *(programs / "initdb", "-D", scratch / "data", "-U", "postgres", "-A", "trust"),
            *("--no-sync", "--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8"),
            "--lc-messages=C",
        )
        with _serving(scratch, settings) as postgres:
            yield postgres


@contextmanager
def running_standby(primary: Postgres, **settings: str) -> Iterator[Postgres]:
    """A standby of it, which it waits for from now on: nothing is acknowledged before both have
    it on disk, if both have `fsync` and `synchronous_commit` on. Raises RuntimeError if they do
    not come together."""
    programs = find_programs()
    source = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres")
    with _scratch() as scratch:
        base = programs / "pg_basebackup"
        _made(scratch, base, *source, "-D", scratch / "data", "-R", "-c", "fast", "--no-sync")
        with _serving(scratch, settings) as standby:

            def said(sql: str) -> str:
                psql = (programs / "psql", *source, "-qtAXc", sql, "postgres")
                return subprocess.run(psql, capture_output=True, text=True, check=True).stdout

            said("ALTER SYSTEM SET synchronous_standby_names = '*'")
            said("SELECT pg_reload_conf()")
            for _ in range(_TRIES):
                if "sync" in said("SELECT sync_state FROM pg_stat_replication").split():
                    break
                time.sleep(_PAUSE_S)
            else:
                raise RuntimeError(f"the standby does not follow:\n{standby.log.read_text()}")
            try:
                yield standby
            finally:
                said("ALTER SYSTEM RESET synchronous_standby_names")
                said("SELECT pg_reload_conf()")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory of whoever runs the server, removed at the end."""
    scratch = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if (user := _user()) is not None:
            owner = pwd.getpwnam(user)
            os.chown(scratch, owner.pw_uid, owner.pw_gid)
        yield scratch
    finally:
        shutil.rmtree(scratch)


def _user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package made a user for it."""
    return "postgres" if os.geteuid() == 0 else None


def _made(scratch: Path, *command: str | Path) -> None:
    """Run what makes the data directory. Raises subprocess.CalledProcessError."""
    subprocess.run(command, check=True, capture_output=True, user=_user(), cwd=scratch)


@contextmanager
def _serving(scratch: Path, settings: Mapping[str, str]) -> Iterator[Postgres]:
    """The server of `scratch`/data, on a port of its own."""
    programs = find_programs()
    [port] = free_ports(1)
    options = {
        **SETTINGS,
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(scratch),
        **settings,
    }
    log = scratch / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                *(programs / "postgres", "-D", scratch / "data"),
                *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=_user(),
            cwd=scratch,
            start_new_session=True,
        )
    try:
        _wait(programs, port, server, log)
        yield Postgres(port, log, server.pid)
    finally:
        # Fast: who is still connected is sent away, which SIGTERM would wait for.
        server.send_signal(signal.SIGINT)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(programs: Path, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until it accepts connections. Raises RuntimeError with its log if it has ended."""
    ask: list[str | Path] = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(_TRIES):
        if server.poll() is not None:
            break
        if subprocess.run(ask, check=False).returncode == 0:
            return
        try:
            server.wait(_PAUSE_S)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text(errors='replace')}")
