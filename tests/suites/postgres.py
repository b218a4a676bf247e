"""A real PostgreSQL, thrown away afterwards: the oracle of the suites.

It listens on loopback and a port of its own, keeps nothing safe from a crash, and speaks the
language of this project's defaults: UTF-8, collation C, characters of C.UTF-8, UTC.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.local_cluster import free_ports

__all__ = ["APT", "Postgres", "PostgresMissing", "find_programs", "running_postgres"]

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


class PostgresMissing(Exception):
    """It is not installed; the message says how to install it."""


@dataclass(frozen=True)
class Postgres:
    """A server that runs; everybody on loopback is trusted."""

    port: int
    log: Path

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
    # PostgreSQL refuses to run as root; Debian's package made a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    scratch = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if user is not None:
            owner = pwd.getpwnam(user)
            os.chown(scratch, owner.pw_uid, owner.pw_gid)
        data = scratch / "data"
        subprocess.run(
            [
                *(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"),
                *("--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8", "--lc-messages=C"),
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd=scratch,
        )
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
                    *(programs / "postgres", "-D", data),
                    *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
                cwd=scratch,
                start_new_session=True,
            )
        try:
            _wait(programs, port, server, log)
            yield Postgres(port, log)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(scratch)


def _wait(programs: Path, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until it accepts connections. Raises RuntimeError with its log if it has ended."""
    ask: list[str | Path] = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(600):
        if server.poll() is not None:
            break
        if subprocess.run(ask, check=False).returncode == 0:
            return
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text(errors='replace')}")
